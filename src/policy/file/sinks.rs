//! `[[audit.sinks]]`: where the log goes beside its file.
//!
//! Promises that no secret of a sink stands in the file or travels in the clear, and that a sink reaches no further than
//! the upstream may: what is not encrypted stays on this machine, and private addresses need `allow_private`.

use std::path::PathBuf;

use url::Url;

use super::credential::{CREDENTIAL, one_of, read_credential, read_secret};
use super::is_label;
use super::section::{Section, Value};
use super::upstream::{hide_userinfo, is_loopback, read_path, read_url};
use crate::address::Reach;
use crate::policy::finding::{Findings, quoted};
use crate::policy::sink::{Destination, Endpoint, SinkSpec, Target};
use crate::policy::spec::{Source, SourceSpec};

const KEYS: [&str; 10] =
    ["name", "syslog", "otlp", "webhook", "credential", "secret", "require", "allow_http", "allow_private", "ca_file"];
const KINDS: [&str; 3] = ["syslog", "otlp", "webhook"];
/// Each sink reads the log by itself.
const MOST: usize = 8;
/// What the address of a Unix socket holds, without its last NUL.
const MOST_SOCKET: usize = 107;
/// The credential travels in the same requests as the log.
const IN_THE_CLEAR: &str = "would send the log in the clear";

/// All sinks that could be read.
pub(super) fn read(audit: &Section<'_>, sources: &mut Vec<Source>, findings: &mut Findings<'_>) -> Vec<SinkSpec> {
    let Some(value) = audit.get("sinks") else { return Vec::new() };
    if value.is_table() {
        let message = "`audit.sinks` must be a list of tables".to_owned();
        findings.error("wrong-type", value.span(), message, Some("write `[[audit.sinks]]` above each sink"));
        return Vec::new();
    }
    let list = value.list("a list of tables", findings).unwrap_or_default();
    if list.len() > MOST {
        let message = format!("{} sinks; the limit is {MOST}", list.len());
        findings.error("too-many-sinks", value.span(), message, None);
        return Vec::new();
    }
    let mut sinks: Vec<SinkSpec> = Vec::with_capacity(list.len());
    for value in list {
        let Some(section) = value.table(findings) else { continue };
        section.refuse_unknown(&KEYS, findings);
        let name = read_name(&section, &sinks, findings);
        let to = read_destination(&section, sources, findings);
        let require = section.flag("require", findings);
        let allow_private = section.flag("allow_private", findings);
        let ca_file = read_path(&section, "ca_file", SourceSpec::CaFile, sources, findings);
        let (Some(name), Some(to)) = (name, to) else { continue };
        sinks.push(SinkSpec { name, to, require, allow_private, ca_file });
    }
    sinks
}

fn read_name(section: &Section<'_>, others: &[SinkSpec], findings: &mut Findings<'_>) -> Option<String> {
    let value = section.need("name", findings)?;
    let name = value.text(findings)?;
    if !is_label(name, &value.span(), "`audit.sinks.name`", "-", findings) {
        return None;
    }
    if others.iter().any(|other| other.name == name) {
        let message = format!("two sinks are called {}", quoted(name));
        findings.error("duplicate-name", value.span(), message, Some("what a sink has taken is kept under its name"));
        return None;
    }
    Some(name.to_owned())
}

fn read_destination(
    section: &Section<'_>,
    sources: &mut Vec<Source>,
    findings: &mut Findings<'_>,
) -> Option<Destination> {
    let kind = one_of(section, &KINDS, findings);
    if kind.is_none() && !KINDS.iter().any(|kind| section.get(kind).is_some()) && section.entries().next().is_some() {
        let message = format!("`audit.sinks` needs one of {}", KINDS.join(", "));
        findings.error("missing-key", section.span(), message, None);
    }
    let credential = match section.section("credential", &CREDENTIAL, findings) {
        Some(credential) => read_credential(&credential, sources, findings),
        None => None,
    };
    let secret = section.get("secret").map(|value| read_secret(&value, sources, findings));
    let (kind, value) = kind?;
    match kind {
        "syslog" => {
            refuse(section, "credential", "syslog has no place for a credential", findings);
            refuse(section, "secret", "syslog has no signature", findings);
            refuse(section, "allow_http", "it is for HTTP", findings);
            read_syslog(section, &value, findings)
        }
        "otlp" => {
            refuse(section, "secret", "OTLP has no signature; use `credential`", findings);
            let mut url = read_endpoint(section, &value, findings)?;
            if !url.path().ends_with('/') {
                url.set_path(&format!("{}/", url.path()));
            }
            Some(Destination::Otlp(Endpoint { url, credential }))
        }
        _ => {
            if secret.is_none() {
                let help =
                    "name a secret of the form `whsec_…`, by which the receiver knows that the records are yours";
                let message = "`audit.sinks.secret` is missing: a webhook is signed".to_owned();
                findings.error("missing-key", value.span(), message, Some(help));
            }
            let url = read_endpoint(section, &value, findings)?;
            Some(Destination::Webhook(Endpoint { url, credential }, secret??))
        }
    }
}

/// A key that means nothing beside this kind.
fn refuse(section: &Section<'_>, key: &str, why: &str, findings: &mut Findings<'_>) {
    if let Some(value) = section.get(key) {
        findings.error("misplaced-key", value.span(), format!("{} cannot be used: {why}", quoted(value.name())), None);
    }
}

fn read_syslog(section: &Section<'_>, value: &Value<'_>, findings: &mut Findings<'_>) -> Option<Destination> {
    let text = value.text(findings)?;
    hide_userinfo(value, text, findings);
    if let Some(path) = text.strip_prefix("unix:") {
        let good = path.starts_with('/') && path.len() <= MOST_SOCKET && !path.contains('\0');
        if !good {
            let message =
                format!("`audit.sinks.syslog` must name a socket by its absolute path of at most {MOST_SOCKET} bytes");
            findings.error("bad-value", value.span(), message, Some("write `unix:/dev/log`"));
        }
        refuse(section, "ca_file", "there is no TLS on a Unix socket", findings);
        refuse(section, "allow_private", "a Unix socket has no address", findings);
        return good.then(|| Destination::SyslogUnix(PathBuf::from(path)));
    }
    let (tls, place) = match (text.strip_prefix("tls://"), text.strip_prefix("tcp://")) {
        (Some(place), _) => (true, place),
        (None, Some(place)) => (false, place),
        (None, None) => {
            let help = Some("write `unix:/dev/log`, `tls://host:6514` or `tcp://127.0.0.1:601`");
            findings.error("bad-url", value.span(), "`audit.sinks.syslog` has no transport".to_owned(), help);
            return None;
        }
    };
    let Some(target) = target(place) else {
        let message = "`audit.sinks.syslog` must be a host and a port, in canonical form".to_owned();
        findings.error("bad-url", value.span(), message, Some("write `tls://host:6514`"));
        return None;
    };
    if !tls {
        refuse(section, "ca_file", "there is no TLS on plain TCP", findings);
        refuse(section, "allow_private", "plain TCP reaches this machine alone", findings);
        if !target.address().is_some_and(|address| address.is_loopback()) {
            let message = format!("`audit.sinks.syslog` {IN_THE_CLEAR}");
            let help = "use tls:// (tcp is for 127.0.0.1 and [::1] alone), or a relay on this machine";
            findings.error("bad-url", value.span(), message, Some(help));
            return None;
        }
        return Some(Destination::SyslogTcp(target));
    }
    judge(section, value, place, findings).then_some(Destination::SyslogTls(target))
}

/// `host:port`, as it will be dialled.
fn target(place: &str) -> Option<Target> {
    let (_, port) = place.rsplit_once(':')?;
    let url = Url::parse(&format!("https://{place}/")).ok()?;
    let target = Target { host: url.host()?.to_owned(), port: port.parse().ok().filter(|port| *port > 0)? };
    (format!("{}:{}", target.host, target.port) == place).then_some(target)
}

/// Whether the address that stands in place of a name may be dialled.
fn judge(section: &Section<'_>, value: &Value<'_>, place: &str, findings: &mut Findings<'_>) -> bool {
    let allow_private = section.peek_flag("allow_private");
    let Ok(url) = Url::parse(&format!("https://{place}/")) else { return false };
    let Err(refused) = Reach::over_https(allow_private).judge_literal(&url) else { return true };
    findings.error(
        "refused-address",
        value.span(),
        format!("{}: {refused}", quoted(value.name())),
        Some(refused.help()),
    );
    false
}

fn read_endpoint(section: &Section<'_>, value: &Value<'_>, findings: &mut Findings<'_>) -> Option<Url> {
    let text = value.text(findings)?;
    let url = read_url(value, text, findings)?;
    let name = quoted(value.name());
    let mut refuse = |message: &str, help: &str| {
        findings.error("bad-url", value.span(), format!("{name} {message}"), Some(help));
        None
    };
    if url.query().is_some() || url.fragment().is_some() {
        return refuse("must not have a query or a fragment", "a secret belongs into `credential`");
    }
    match url.scheme() {
        "https" => {}
        "http" if !is_loopback(&url) => {
            let help = "use https:// (http is for 127.0.0.1 and [::1] alone, with `allow_http = true`)";
            return refuse(IN_THE_CLEAR, help);
        }
        "http" if !section.peek_flag("allow_http") => {
            return refuse("is http", "set `allow_http = true` to reach a server on this machine");
        }
        "http" => {}
        _ => return refuse("must begin with https://", "syslog has a key of its own"),
    }
    if url.as_str() != text && url.as_str() != format!("{text}/") {
        return refuse("is not in canonical form", &format!("write `{url}`"));
    }
    let place = url.as_str().strip_prefix("https://").and_then(|rest| rest.split('/').next());
    place.is_none_or(|place| judge(section, value, place, findings)).then_some(url)
}
