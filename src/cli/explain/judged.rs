//! One request, judged: the gate's own verdict, each rule that was considered, and what would be sent.

use std::fmt::Display;
use std::io::{self, Write};

use serde_json::{Value, json};

use super::{Page, quote};
use crate::agent::Agent;
use crate::cli::Format;
use crate::cli::audit::text::{Tone, printable};
use crate::clock::{Clock as _, SystemClock};
use crate::policy::{
    Channel, Confirm, Considered, DenyReason, Effect, Grant, Part, Policy, Preview, RuleKind, RuleRef, Verdict,
};
use crate::request::Request;
use crate::request::method::Method;
use crate::upstream::outline::{self, Header, HeaderText};

/// The longest text of a request's own that is shown on a line, in characters.
const MOST: usize = 2_000;

/// What came of a request.
pub(super) struct Judged {
    /// Method and target.
    what: String,
    end: End,
    considered: Vec<Considered>,
}

enum End {
    /// It breaks a rule of the language, so that no policy is asked.
    Refused {
        rule: Option<&'static str>,
        message: String,
    },
    Denied {
        reason: DenyReason,
        rule: Option<RuleRef>,
    },
    Held {
        rule: RuleRef,
        passes: Passes,
    },
    Allowed(Passes),
}

/// What lets a request pass, and as what it is sent.
struct Passes {
    grant: RuleRef,
    obligations: Vec<RuleRef>,
    rates: Vec<usize>,
    effect: Effect,
    confirm: Confirm,
    channel: Channel,
    preview: Preview,
    /// Why no rule grants it, where report mode lets it through.
    reported: Option<DenyReason>,
    credential: Option<String>,
    method: Method,
    url: String,
    headers: Vec<Header>,
    body: Option<String>,
}

impl Judged {
    /// A request under a policy.
    pub(super) fn request(policy: &Policy, request: Request) -> Self {
        let what = format!("{} {}", request.method(), request.target());
        let considered = policy.considered(&request);
        // One process serves one agent, and which it is changes no verdict.
        let verdict = policy.report(policy.authorize(&Agent::stdio(0), request), || SystemClock::new().since_epoch());
        let end = match verdict {
            Verdict::Allow(authorized) => End::Allowed(Passes::new(policy, authorized.request(), authorized.grant())),
            Verdict::Hold(held) => {
                End::Held { rule: held.rule().clone(), passes: Passes::new(policy, held.request(), held.grant()) }
            }
            Verdict::Deny(denial) => End::Denied { reason: denial.reason().clone(), rule: denial.rule().cloned() },
        };
        Self { what, end, considered }
    }

    /// A call that makes no request.
    pub(super) fn refused(what: String, rule: Option<&'static str>, error: &dyn Display) -> Self {
        Self { what, end: End::Refused { rule, message: error.to_string() }, considered: Vec::new() }
    }

    /// Whether it is let through or held.
    pub(super) fn passes(&self) -> bool {
        match &self.end {
            End::Allowed(_) | End::Held { .. } => true,
            End::Denied { .. } | End::Refused { .. } => false,
        }
    }

    pub(super) fn print(&self, page: &mut Page<impl Write>, policy: &Policy) -> io::Result<()> {
        match page.format {
            Format::Json => writeln!(page.out, "{:#}", self.json(policy)),
            Format::Human => self.told(page, policy),
        }
    }

    fn told(&self, page: &mut Page<impl Write>, policy: &Policy) -> io::Result<()> {
        let (word, tone) = match &self.end {
            End::Allowed(Passes { reported: Some(_), .. }) => ("reported", Tone::Waiting),
            End::Allowed(_) => ("allowed", Tone::Good),
            End::Held { .. } => ("held", Tone::Waiting),
            End::Denied { .. } => ("denied", Tone::Refused),
            End::Refused { .. } => ("refused", Tone::Refused),
        };
        let word = tone.paint(word, page.coloured);
        writeln!(page.out, "{word}  {}\n", printable(&self.what, MOST))?;
        match &self.end {
            End::Refused { rule, message } => {
                let rule = rule.map(|rule| format!("{rule}: ")).unwrap_or_default();
                writeln!(page.out, "It is no request, whatever a policy says. {rule}{}", printable(message, MOST))?;
                return Ok(());
            }
            End::Denied { reason, rule } => self.told_denied(page, policy, reason, rule.as_ref())?,
            End::Held { rule, passes } => {
                let typed = if passes.confirm == Confirm::Typed { ", by typing a word" } else { "" };
                let place = at(passes.channel);
                writeln!(page.out, "A person approves it{place}{typed}, as rule `{}` asks:", rule.id())?;
                quote::print(&mut page.out, policy, rule)?;
            }
            End::Allowed(Passes { reported: Some(reason), grant, .. }) => {
                let cause = printable(&reason.cause().to_string(), MOST);
                writeln!(page.out, "No rule grants it ({cause}), and report mode lets it through:")?;
                quote::print(&mut page.out, policy, grant)?;
            }
            End::Allowed(passes) => {
                let what = passes.effect.as_str();
                writeln!(page.out, "Rule `{}` lets it through, as a {what}:", passes.grant.id())?;
                quote::print(&mut page.out, policy, &passes.grant)?;
            }
        }
        self.told_considered(page, policy)?;
        match &self.end {
            End::Allowed(passes) | End::Held { passes, .. } => passes.told(page, policy),
            End::Denied { .. } | End::Refused { .. } => Ok(()),
        }
    }

    fn told_denied(
        &self,
        page: &mut Page<impl Write>,
        policy: &Policy,
        reason: &DenyReason,
        rule: Option<&RuleRef>,
    ) -> io::Result<()> {
        match (reason, rule) {
            (DenyReason::Rule { .. }, Some(rule)) => writeln!(page.out, "Rule `{}` denies it:", rule.id())?,
            (DenyReason::WritesOff, _) => {
                writeln!(page.out, "It may change something, and `[access] writes` is false.")?;
            }
            (_, Some(rule)) => {
                let cause = printable(&reason.cause().to_string(), MOST);
                writeln!(page.out, "Rule `{}` comes closest and does not grant it ({cause}):", rule.id())?;
            }
            (_, None) => writeln!(page.out, "No allow rule is about this path, so it is denied.")?,
        }
        if let Some(rule) = rule {
            quote::print(&mut page.out, policy, rule)?;
        }
        writeln!(page.out, "The agent is told: {}", printable(&reason.to_string(), MOST))
    }

    fn told_considered(&self, page: &mut Page<impl Write>, policy: &Policy) -> io::Result<()> {
        let others = policy.rules().len().saturating_sub(self.considered.len());
        let others = match others {
            0 => String::new(),
            1 => "1 other rule is about other paths.".to_owned(),
            many => format!("{many} other rules are about other paths."),
        };
        if self.considered.is_empty() {
            return writeln!(page.out, "\n{others}");
        }
        writeln!(page.out, "\nRules about this path:")?;
        let width = self.considered.iter().map(|rule| rule.rule.id().len()).max().unwrap_or(0);
        for Considered { rule, part } in &self.considered {
            let says = self.says(rule, part);
            writeln!(page.out, "  {:<5}  {:<width$}  line {:<4} {says}", kind(part), rule.id(), rule.line())?;
        }
        if others.is_empty() { Ok(()) } else { writeln!(page.out, "  {others}") }
    }

    /// What a rule says of the request, and why it does not decide where it does not.
    fn says(&self, rule: &RuleRef, part: &Part) -> String {
        match part {
            Part::Denies if self.decides(rule) => "denies it".to_owned(),
            Part::Denies => "denies it, too; a more specific rule is named".to_owned(),
            Part::SparesMethod => "denies other methods".to_owned(),
            Part::SparesQuery => "denies it only with certain names in the query".to_owned(),
            Part::Grants => match &self.end {
                End::Denied { reason: DenyReason::Rule { .. }, .. } => "grants it, but a denial wins".to_owned(),
                End::Denied { reason: DenyReason::WritesOff, .. } => "grants it, but writes are off".to_owned(),
                End::Allowed(passes) | End::Held { passes, .. } if passes.grant == *rule => "grants it".to_owned(),
                End::Allowed(_) | End::Held { .. } | End::Denied { .. } | End::Refused { .. } => {
                    "grants it, too; a more specific rule is named, and what both ask for holds".to_owned()
                }
            },
            Part::Refuses(reason) => {
                let cause = printable(&reason.cause().to_string(), MOST);
                format!("does not grant it ({cause}); what it asks for holds all the same")
            }
            Part::Reads => {
                "is about another reading of the path: grants nothing, and what it asks for holds".to_owned()
            }
            Part::LacksMethod => "does not list the method".to_owned(),
        }
    }

    /// Whether the verdict names the rule.
    fn decides(&self, rule: &RuleRef) -> bool {
        match &self.end {
            End::Denied { rule: by, .. } => by.as_ref() == Some(rule),
            End::Allowed(passes) => passes.grant == *rule,
            End::Held { rule: by, passes } => by == rule || passes.grant == *rule,
            End::Refused { .. } => false,
        }
    }

    fn json(&self, policy: &Policy) -> Value {
        let place = |rule: &RuleRef| format!("{}:{}", policy.file(), rule.line());
        let considered = self.considered.iter().map(|Considered { rule, part }| {
            json!({
                "rule": rule.id(), "line": rule.line(), "kind": kind(part), "part": code(part),
                "says": self.says(rule, part), "decides": self.decides(rule),
            })
        });
        let mut told = match &self.end {
            End::Refused { rule, message } => {
                json!({ "verdict": "refuse", "code": "bad_request", "reason": rule, "message": message })
            }
            End::Denied { reason, rule } => json!({
                "verdict": "deny", "code": "denied", "reason": reason.code(), "cause": reason.cause().to_string(),
                "message": reason.to_string(), "rule": rule.as_ref().map(RuleRef::id), "place": rule.as_ref().map(place),
            }),
            End::Held { rule, passes } => {
                let mut told = passes.json(policy);
                merge(&mut told, json!({ "verdict": "hold", "holds": rule.id() }));
                told
            }
            End::Allowed(passes) => {
                let mut told = passes.json(policy);
                let reported = passes.reported.as_ref();
                let verdict = if reported.is_some() { "report" } else { "allow" };
                let cause = reported.map(|reason| reason.cause().to_string());
                merge(&mut told, json!({ "verdict": verdict, "cause": cause }));
                told
            }
        };
        merge(&mut told, json!({ "asked": self.what, "considered": considered.collect::<Vec<_>>() }));
        told
    }
}

impl Passes {
    fn new(policy: &Policy, request: &Request, grant: &Grant) -> Self {
        let base = policy.upstream().base_url.as_str();
        let base = base.strip_suffix('/').unwrap_or(base);
        Self {
            grant: grant.rule().clone(),
            obligations: grant.obligations().to_vec(),
            rates: grant.rates().to_vec(),
            effect: grant.effect(),
            confirm: grant.confirm(),
            channel: grant.channel(),
            preview: grant.preview(),
            reported: grant.reported().cloned(),
            credential: grant.credential().map(str::to_owned),
            method: request.method(),
            url: format!("{base}{}", request.target()),
            headers: outline::headers(policy.upstream(), request, grant),
            body: request.body().map(|body| String::from_utf8_lossy(body.bytes()).into_owned()),
        }
    }

    fn told(&self, page: &mut Page<impl Write>, policy: &Policy) -> io::Result<()> {
        for rule in self.rates.iter().filter_map(|index| policy.rules().get(*index)) {
            let Some(rate) = rule.rate() else { continue };
            writeln!(page.out, "Rule `{}` counts it: {} in {}.", rule.id(), rate.count, period(rate.per))?;
        }
        writeln!(page.out, "\nAs it would be sent:")?;
        writeln!(page.out, "  {} {}", self.method, printable(&self.url, MOST))?;
        for Header { name, value } in &self.headers {
            match value {
                HeaderText::Sent(value) => writeln!(page.out, "  {name}: {}", printable(value, MOST))?,
                HeaderText::Described(words) => {
                    let words = format!("({})", printable(words, MOST));
                    writeln!(page.out, "  {name}: {}", Tone::Faint.paint(&words, page.coloured))?;
                }
            }
        }
        if let Some(body) = &self.body {
            writeln!(page.out, "\n  {}", printable(body, MOST))?;
        }
        Ok(())
    }

    fn json(&self, policy: &Policy) -> Value {
        let ids = |rules: &[RuleRef]| rules.iter().map(|rule| rule.id().to_owned()).collect::<Vec<_>>();
        let rates = self.rates.iter().filter_map(|index| policy.rules().get(*index)).map(|rule| rule.id());
        let headers = self.headers.iter().map(|Header { name, value }| match value {
            HeaderText::Sent(value) => json!({ "name": name, "value": value }),
            HeaderText::Described(words) => json!({ "name": name, "from": words }),
        });
        json!({
            "rule": self.grant.id(),
            "place": format!("{}:{}", policy.file(), self.grant.line()),
            "effect": self.effect.as_str(),
            "confirm": (self.effect == Effect::Write).then(|| self.confirm.as_str()),
            "channel": (self.effect == Effect::Write).then(|| self.channel.as_str()),
            "preview": (self.effect == Effect::Write).then(|| self.preview.as_str()),
            "obligations": ids(&self.obligations),
            "rates": rates.collect::<Vec<_>>(),
            "credential": self.credential,
            "request": { "method": self.method.as_str(), "url": self.url, "headers": headers.collect::<Vec<_>>(), "body": self.body },
        })
    }
}

/// Where a person answers, after a verb.
pub(super) fn at(channel: Channel) -> &'static str {
    match channel {
        Channel::Any => ", in the client or at the desk",
        Channel::Client => ", in the client",
        Channel::Desk => ", at the desk",
    }
}

fn period(per: std::time::Duration) -> String {
    humantime::format_duration(per).to_string()
}

fn kind(part: &Part) -> &'static str {
    let kind = match part {
        Part::Denies | Part::SparesMethod | Part::SparesQuery => RuleKind::Deny,
        Part::Grants | Part::Refuses(_) | Part::Reads | Part::LacksMethod => RuleKind::Allow,
    };
    kind.as_str()
}

fn code(part: &Part) -> &'static str {
    match part {
        Part::Denies => "denies",
        Part::SparesMethod => "spares_method",
        Part::SparesQuery => "spares_query",
        Part::Grants => "grants",
        Part::Refuses(_) => "refuses",
        Part::Reads => "reads",
        Part::LacksMethod => "lacks_method",
    }
}

fn merge(told: &mut Value, more: Value) {
    if let (Value::Object(told), Value::Object(more)) = (told, more) {
        told.extend(more);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::catalog::Tool as Generic;
    use crate::policy::Policy;
    use crate::tools::{Resolved, Tool, Toolbox};

    /// Rules that overlap in every way that a verdict knows.
    const RULES: &str = r#"
version = 1
name = "explained"
[upstream]
base_url = "https://api.example.test/v1/"
[upstream.credentials.writer]
bearer = { env = "W" }
[access]
writes = true
[[allow]]
id = "wide"
methods = ["GET", "POST", "PATCH"]
paths = ["/a/**"]
query = { only = ["q", "page"], values = { q = ["1", "2"] } }
[[allow]]
id = "read-post"
methods = ["POST"]
effect = "read"
paths = ["/r/*"]
[[allow]]
id = "typed"
methods = ["PATCH", "DELETE"]
paths = ["/a/*/b"]
confirm = "typed"
channel = "desk"
credential = "writer"
body = { only = ["n"], max_bytes = "32B" }
[[allow]]
id = "free"
methods = ["PUT"]
paths = ["/a/b*", "/f"]
confirm = "never"
[[allow]]
id = "encoded"
methods = ["GET"]
paths = ["/e/*"]
encoded = ["%2F"]
[[deny]]
id = "closed"
paths = ["/**/b/x"]
[[deny]]
id = "names"
methods = ["GET"]
paths = ["/a"]
query = { names = ["page"] }
"#;

    /// Requests of one case; with the full counts, a million of them.
    #[expect(clippy::disallowed_methods, reason = "how often a test runs is no configuration of the program")]
    fn calls() -> usize {
        if std::env::var_os("PORTCULLIS_SOAK").is_some() { 200 } else { 20 }
    }

    fn call() -> impl Strategy<Value = String> {
        let method = prop::sample::select(vec!["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "get"]);
        let segment =
            prop::sample::select(vec!["a", "A", "b", "bc", "x", "r", "f", "e", "x%2Fy", "..", "%61", "b.json", ""]);
        let path = prop::collection::vec(segment, 1..5).prop_map(|segments| format!("/{}", segments.join("/")));
        let query = prop::sample::select(vec![
            "null",
            "{}",
            r#"{"q":1}"#,
            r#"{"q":["1","3"]}"#,
            r#"{"page":"2"}"#,
            r#"{"z":true}"#,
        ]);
        let body = prop::sample::select(vec![
            "",
            "{}",
            r#"{"n":1}"#,
            r#"{"m":1}"#,
            "[1]",
            r#"{"n":"0123456789012345678901234"}"#,
            "7",
        ]);
        (method, path, query, body).prop_map(|(method, path, query, body)| {
            let body = if body.is_empty() { String::new() } else { format!(r#","body":{body}"#) };
            format!(r#"{{"method":"{method}","path":"{path}","query":{query}{body}}}"#)
        })
    }

    /// What the gate makes of a call of `api_send`: the verdict, the rule, the reason.
    fn gate(policy: &Policy, toolbox: &Toolbox, call: &str) -> (String, Option<String>, Option<String>) {
        let (_, resolved) = toolbox.resolve(Tool::Generic(Generic::Send), call);
        let Ok(Resolved::Ask(request, _)) = resolved else { return ("refuse".to_owned(), None, None) };
        let id = |rule: &RuleRef| Some(rule.id().to_owned());
        match policy.authorize(&Agent::stdio(1_000), request) {
            Verdict::Allow(authorized) => ("allow".to_owned(), id(authorized.grant().rule()), None),
            Verdict::Hold(held) => ("hold".to_owned(), id(held.grant().rule()), None),
            Verdict::Deny(denial) => {
                ("deny".to_owned(), denial.rule().and_then(id), Some(denial.reason().code().to_owned()))
            }
        }
    }

    /// What is explained of the same call.
    fn explained(policy: &Policy, call: &str) -> (String, Option<String>, Option<String>) {
        let arguments = Generic::Send.arguments(call).unwrap();
        let judged = match Request::parse(&arguments.raw()) {
            Ok(request) => Judged::request(policy, request),
            Err(error) => Judged::refused(String::new(), Some(error.rule()), &error),
        };
        let told = judged.json(policy);
        let text = |name: &str| told[name].as_str().map(str::to_owned);
        let reason = text("reason").filter(|_| told["verdict"] == "deny");
        (text("verdict").unwrap(), text("rule"), reason)
    }

    proptest! {
        #[test]
        fn what_is_explained_is_what_the_gate_does(calls in prop::collection::vec(call(), calls())) {
            let policy = Policy::parse("explained.toml", RULES).policy.unwrap();
            let toolbox = Toolbox::new(&policy, None);
            for call in calls {
                prop_assert_eq!(explained(&policy, &call), gate(&policy, &toolbox, &call), "{}", call);
            }
        }
    }
}
