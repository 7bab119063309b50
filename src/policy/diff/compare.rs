//! Two grants of one request: in what the one asks for less than the other.

use super::Kind;
use crate::policy::Policy;
use crate::policy::rule::Allow;
use crate::policy::spec::CredentialSpec;
use crate::policy::verdict::{Confirm, Effect, Grant, Preview, RuleRef, Values};

/// The two policies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sides<'p> {
    pub(super) old: &'p Policy,
    pub(super) new: &'p Policy,
}

/// One thing in which NEW asks for less than OLD.
#[derive(Debug)]
pub(super) struct Slack {
    pub(super) kind: Kind,
    /// The rule of OLD that asked for it.
    pub(super) old: RuleRef,
    pub(super) was: String,
    pub(super) is: String,
}

/// Everything in which NEW asks for less of a request that both let through, now or after a person agrees.
pub(super) fn slack(sides: Sides<'_>, old: &Grant, new: &Grant) -> Vec<Slack> {
    let mut found = Vec::new();
    let asking = old.obligations.get(old.strictest).unwrap_or(&old.rule);
    let mut push = |kind, rule: &RuleRef, was: &str, is: &str| {
        found.push(Slack { kind, old: rule.clone(), was: was.to_owned(), is: is.to_owned() });
    };
    if (old.effect, new.effect) == (Effect::Write, Effect::Read) {
        push(Kind::Effect, &old.rule, old.effect.as_str(), new.effect.as_str());
    }
    match (is_held(old), is_held(new)) {
        (true, false) => push(Kind::Unasked, asking, "held for a person", "allowed"),
        (true, true) => {
            if new.confirm < old.confirm {
                push(Kind::Confirm, asking, old.confirm.as_str(), new.confirm.as_str());
            }
            if new.channel < old.channel {
                push(
                    Kind::Channel,
                    by(sides, old, |rule| rule.channel == old.channel),
                    old.channel.as_str(),
                    new.channel.as_str(),
                );
            }
            if new.preview < old.preview {
                let word = |preview| match preview {
                    Preview::No => "false",
                    Preview::IfPossible => "if-possible",
                    Preview::Yes => "true",
                };
                push(
                    Kind::Preview,
                    by(sides, old, |rule| rule.preview == old.preview),
                    word(old.preview),
                    word(new.preview),
                );
            }
        }
        (false, _) => {}
    }
    if new.effect == Effect::Write && old.idempotency_key && !new.idempotency_key {
        push(Kind::IdempotencyKey, by(sides, old, |rule| rule.idempotency_key), "true", "false");
    }
    if new.values < old.values {
        let word = |values| match values {
            Values::Names => "names",
            Values::Digest => "digest",
            Values::Full => "full",
        };
        push(Kind::Log, by(sides, old, |rule| rule.values == old.values), word(old.values), word(new.values));
    }
    if !sides.same_credential(old, new) {
        let (was, mut is) = (credential(sides.old, old), credential(sides.new, new));
        if was == is {
            is.push_str(", with other arguments");
        }
        push(Kind::Credential, &old.rule, &was, &is);
    }
    found
}

/// Whether a person is asked.
pub(super) fn is_held(grant: &Grant) -> bool {
    match grant.confirm {
        Confirm::Never => false,
        Confirm::Each | Confirm::Typed => grant.effect == Effect::Write,
    }
}

impl Sides<'_> {
    /// Whether each credential that rules of NEW choose is the same in OLD.
    pub(super) fn share_credentials(self) -> bool {
        let mut names = self.new.rules.credentials();
        names.all(|name| named(self.new, name) == named(self.old, name))
    }

    fn same_credential(self, old: &Grant, new: &Grant) -> bool {
        let new = named(self.new, new.credential());
        // A request that shows no credential can do no more than one that does.
        new.is_none() || new == named(self.old, old.credential())
    }
}

fn named<'p>(policy: &'p Policy, name: Option<&str>) -> Option<&'p CredentialSpec> {
    match name {
        Some(name) => policy.upstream().credentials.get(name),
        None => policy.upstream().credential.as_ref(),
    }
}

/// A credential by its name and where it comes from.
fn credential(policy: &Policy, grant: &Grant) -> String {
    let name = match grant.credential() {
        Some(name) => format!("upstream.credentials.{name}"),
        None => "upstream.credential".to_owned(),
    };
    match named(policy, grant.credential()) {
        Some(spec @ CredentialSpec::Header { name: header, .. }) => format!("{name}: {header}, {}", spec.origin()),
        Some(spec) => format!("{name}: {}", spec.origin()),
        None => "none".to_owned(),
    }
}

/// The first of the rules with an obligation of which this is true.
fn by<'g>(sides: Sides<'_>, grant: &'g Grant, asks: impl Fn(&Allow) -> bool) -> &'g RuleRef {
    let asking = |name: &&RuleRef| sides.old.rules.allow(name).is_some_and(&asks);
    grant.obligations.iter().find(asking).unwrap_or(&grant.rule)
}
