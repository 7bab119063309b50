//! What a person is asked about a held call: the request as it would be sent, and what it would change.

use super::hold::Hold;
use super::preview::Shown;
use crate::confirm::Question;
use crate::confirm::approval::State;
use crate::confirm::desk::{self, Whole};
use crate::confirm::form;
use crate::confirm::person::Form;
use crate::request::body::Body;

/// A header by name and value.
type Header<'a> = (&'a str, &'a str);

impl Hold<'_> {
    pub(super) fn question(&self, shown: Shown) -> Question {
        let (request, grant, policy) = (self.held.request(), self.held.grant(), &self.pipeline.policy);
        let digest = self.held.digest();
        let base = policy.upstream().base_url.as_str();
        let base = base.strip_suffix('/').unwrap_or(base);
        let headers = self.chosen(&shown);
        let fixed = self.added(&headers);
        let body = request.body().map(Body::bytes);
        let rule = self.held.rule();
        let word = self.word();
        let message = form::message(&form::Facts {
            api: policy.name(),
            method: request.method(),
            base_url: base,
            target: request.target(),
            headers: &headers,
            fixed: &fixed,
            body,
            credential: grant.credential(),
            rule: rule.id(),
            place: &format!("{}:{}", policy.file(), rule.line()),
            reason: policy.rules().get(rule.index()).and_then(crate::policy::RuleInfo::reason),
            digest: &digest.to_string(),
            change: shown.change.as_ref(),
            unseen: shown.unseen.as_deref(),
            word: &word,
        });
        let whole = Whole {
            url: format!("{base}{}", request.target()),
            headers: fixed.iter().chain(&headers).map(|(name, value)| ((*name).into(), (*value).into())).collect(),
            body: body.map(|body| String::from_utf8_lossy(body).into_owned()),
        };
        Question {
            digest,
            form: Form { message, word },
            channel: grant.channel(),
            call: self.entry.call().to_owned(),
            client: self.person.client().map(|name| desk::name(&name)),
            api: policy.name().to_owned(),
            rule: rule.id().to_owned(),
            method: request.method(),
            target: request.target().to_owned(),
            whole,
            seen: shown.state,
        }
    }

    /// The headers of the agent's choice, but for those that the policy fixes, and the condition of the write.
    fn chosen<'s>(&'s self, shown: &'s Shown) -> Vec<Header<'s>> {
        let fixed = &self.pipeline.policy.upstream().headers;
        let chosen = self.held.request().headers().iter();
        let chosen = chosen.filter(|(name, _)| fixed.iter().all(|(fixed, _)| fixed != name));
        let if_match = shown.state.as_ref().and_then(State::if_match).map(|etag| ("if-match", etag));
        chosen.chain(if_match).collect()
    }

    /// The headers that the policy adds to those.
    fn added(&self, headers: &[Header<'_>]) -> Vec<Header<'_>> {
        let fixed = self.pipeline.policy.upstream().headers.iter();
        let fixed = fixed.map(|(name, value)| (name.as_str(), value.as_str()));
        let fixed = fixed.filter(|(name, _)| headers.iter().all(|(other, _)| other != name));
        let key = self.held.grant().idempotency_key().then_some(("idempotency-key", "made for this call"));
        fixed.chain(key).collect()
    }
}
