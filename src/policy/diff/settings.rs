//! Everything of a policy but its rules: which settings let more through, ask for less, or lead elsewhere.
//!
//! Each table is taken apart by name, so that whoever adds a key has to say here whether it can widen.

use super::rates::{is_slower, is_within};
use super::redact::uncovered;
use super::words::{duration, optional, rate};
use super::{Kind, Widening};
use crate::policy::report::ReportUntil;
use crate::policy::sink::SinkSpec;
use crate::policy::spec::{AuditSpec, ConfirmSpec, LimitSpec, ResponseSpec, Sync, UpstreamSpec};
use crate::policy::{Openapi, Policy};
use crate::request::method::Method;

/// The settings in which NEW is wider; where requests go comes first.
pub(super) fn widenings(old: &Policy, new: &Policy) -> Vec<Widening> {
    let mut found = Vec::new();
    report(old.report_until(), new.report_until(), &mut found);
    upstream(old.upstream(), new.upstream(), &mut found);
    description(old, new, &mut found);
    limits(old.limits(), new.limits(), &mut found);
    confirm(old.confirm(), new.confirm(), &mut found);
    response(old.response(), new.response(), &mut found);
    audit(old.audit(), new.audit(), &mut found);
    found
}

/// Until when reads pass that no rule grants.
fn report(old: Option<&ReportUntil>, new: Option<&ReportUntil>, found: &mut Vec<Widening>) {
    let day = |report: Option<&ReportUntil>| optional(report, |report| report.day().to_owned());
    if new.map(|report| report.end) > old.map(|report| report.end) {
        found.push(Widening::of_setting(Kind::Report, "access.report_until", day(old), day(new)));
    }
}

/// Which DELETE has a body, the API's description says (R8); otherwise it lets nothing through.
fn description(old: &Policy, new: &Policy, found: &mut Vec<Widening>) {
    let (was, is) = (&old.upstream().openapi, &new.upstream().openapi);
    let told = |openapi: &Option<Openapi>| {
        optional(openapi.as_ref(), |openapi| match openapi {
            Openapi::Allstacks => "builtin:allstacks".to_owned(),
            Openapi::File(path) => path.display().to_string(),
        })
    };
    if was != is && is.is_some() && new.could_send(Method::Delete) {
        found.push(Widening::of_setting(Kind::Upstream, "upstream.openapi", told(was), told(is)));
    }
}

/// Where requests go and whom they trust: whatever is another, is wider. How long is waited, what the gateway calls
/// itself and which description it offers tools from let nothing through; credentials count where they are used.
fn upstream(old: &UpstreamSpec, new: &UpstreamSpec, found: &mut Vec<Widening>) {
    let UpstreamSpec {
        base_url,
        openapi: _,
        timeout: _,
        connect_timeout: _,
        allow_http,
        allow_private,
        ca_file,
        client_certificate,
        proxy,
        user_agent: _,
        headers,
        credential: _,
        credentials: _,
    } = new;
    let mut push = |key, is_wider: bool, was: String, is: String| {
        found.extend(is_wider.then(|| Widening::of_setting(Kind::Upstream, key, was, is)));
    };
    let file = |path: &Option<std::path::PathBuf>| optional(path.as_ref(), |path| path.display().to_string());
    push("upstream.base_url", *base_url != old.base_url, old.base_url.to_string(), base_url.to_string());
    push("upstream.allow_http", *allow_http && !old.allow_http, "false".to_owned(), "true".to_owned());
    push("upstream.allow_private", *allow_private && !old.allow_private, "false".to_owned(), "true".to_owned());
    push("upstream.ca_file", *ca_file != old.ca_file, file(&old.ca_file), file(ca_file));
    let another = client_certificate.is_some() && *client_certificate != old.client_certificate;
    push("upstream.client_certificate", another, file(&old.client_certificate), file(client_certificate));
    let url = |url: &Option<url::Url>| optional(url.as_ref(), url::Url::to_string);
    push("upstream.proxy", *proxy != old.proxy, url(&old.proxy), url(proxy));
    // Their values may say who the caller is.
    let names = |headers: &[(String, String)]| {
        let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    };
    push("upstream.headers", *headers != old.headers, names(&old.headers), names(headers));
}

fn limits(old: &LimitSpec, new: &LimitSpec, found: &mut Vec<Widening>) {
    // How long a call waits for its turn lets no more calls through.
    let LimitSpec { rate: calls, burst, writes, denials, prompts, concurrency, daily, max_wait: _ } = new;
    let mut push = |key, is_wider: bool, was: String, is: String| {
        found.extend(is_wider.then(|| Widening::of_setting(Kind::Limits, key, was, is)));
    };
    push("limits.rate", !is_slower(*calls, old.rate), rate(old.rate), rate(*calls));
    push("limits.burst", *burst > old.burst, old.burst.to_string(), burst.to_string());
    push("limits.writes", !is_within(*writes, old.writes), rate(old.writes), rate(*writes));
    push("limits.denials", !is_within(*denials, old.denials), rate(old.denials), rate(*denials));
    push("limits.prompts", !is_within(*prompts, old.prompts), rate(old.prompts), rate(*prompts));
    push("limits.concurrency", *concurrency > old.concurrency, old.concurrency.to_string(), concurrency.to_string());
    let day = |daily: Option<u64>| daily.map_or_else(|| "unlimited".to_owned(), |calls| calls.to_string());
    let more = daily.unwrap_or(u64::MAX) > old.daily.unwrap_or(u64::MAX);
    push("limits.daily", more, day(old.daily), day(*daily));
}

fn confirm(old: &ConfirmSpec, new: &ConfirmSpec, found: &mut Vec<Widening>) {
    // How long a call stays open beside the question makes no answer good.
    let ConfirmSpec { ttl, desk_ttl, wait: _, client_wait: _, cooldown, key } = new;
    let mut push = |key, is_wider: bool, was: String, is: String| {
        found.extend(is_wider.then(|| Widening::of_setting(Kind::Confirmation, key, was, is)));
    };
    push("confirm.ttl", *ttl > old.ttl, duration(old.ttl), duration(*ttl));
    push("confirm.desk_ttl", *desk_ttl > old.desk_ttl, duration(old.desk_ttl), duration(*desk_ttl));
    push("confirm.cooldown", *cooldown < old.cooldown, duration(old.cooldown), duration(*cooldown));
    let shown = |is_some: bool| if is_some { "a key" } else { "none" }.to_owned();
    let another = if old.key.is_some() { "another key".to_owned() } else { shown(true) };
    push("confirm.key", key.is_some() && *key != old.key, shown(old.key.is_some()), another);
}

fn response(old: &ResponseSpec, new: &ResponseSpec, found: &mut Vec<Widening>) {
    // The format tells the same in another way.
    let ResponseSpec { read_max_bytes, max_bytes, format: _, redact } = new;
    let mut push = |key, is_wider: bool, was: String, is: String| {
        found.extend(is_wider.then(|| Widening::of_setting(Kind::Response, key, was, is)));
    };
    let more = *read_max_bytes > old.read_max_bytes;
    push("response.read_max_bytes", more, old.read_max_bytes.to_string(), read_max_bytes.to_string());
    push("response.max_bytes", *max_bytes > old.max_bytes, old.max_bytes.to_string(), max_bytes.to_string());
    if let Some(path) = uncovered(&old.redact, redact) {
        push("response.redact", true, format!("`{path}` redacted"), "shown".to_owned());
    }
}

fn audit(old: &AuditSpec, new: &AuditSpec, found: &mut Vec<Widening>) {
    // How the log's files are called and where one ends takes nothing from it.
    let AuditSpec { prefix: _, sync, max_bytes: _, max_age: _, keep, sinks } = new;
    let mut push = |key, is_wider: bool, was: String, is: String| {
        found.extend(is_wider.then(|| Widening::of_setting(Kind::Audit, key, was, is)));
    };
    let later = match (old.sync, sync) {
        (Sync::Each, Sync::Writes) => true,
        (Sync::Each, Sync::Each) | (Sync::Writes, _) => false,
    };
    push("audit.sync", later, "each".to_owned(), "writes".to_owned());
    let forever = |keep| optional(keep, duration).replace("none", "forever");
    let shorter = keep.is_some_and(|keep| old.keep.is_none_or(|old| keep < old));
    push("audit.keep", shorter, forever(old.keep), forever(*keep));
    for sink in &old.sinks {
        let other = sinks.iter().find(|other| other.name == sink.name);
        let was = |what: &str| format!("`{}`{what}", sink.name);
        match other {
            None => push("audit.sinks", true, was(""), "not there".to_owned()),
            Some(other) if !is_same_place(sink, other) => {
                push("audit.sinks", true, was(""), "another place".to_owned())
            }
            Some(other) if sink.require && !other.require => {
                push("audit.sinks", true, was(" required"), "not required".to_owned());
            }
            Some(_) => {}
        }
    }
    for sink in sinks.iter().filter(|sink| old.sinks.iter().all(|other| other.name != sink.name)) {
        push("audit.sinks", true, "not there".to_owned(), format!("`{}`", sink.name));
    }
}

/// Whether two sinks send the log to the same place over the same trust.
fn is_same_place(old: &SinkSpec, new: &SinkSpec) -> bool {
    let SinkSpec { name: _, to, require: _, allow_private, ca_file } = new;
    *to == old.to && *ca_file == old.ca_file && (old.allow_private || !allow_private)
}
