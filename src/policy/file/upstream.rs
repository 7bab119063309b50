//! `[upstream]`: where requests go and with which credential.
//!
//! Promises that no credential travels in the clear, that none stands in the file, and that the base URL is the very
//! text that is sent.

use std::net::IpAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use url::{Host, Url};

use super::credential::{CREDENTIAL, read_credential, read_credentials};
use super::headers::{is_header_value, read_headers};
use super::section::{Section, Value};
use super::tools::read_openapi;
use crate::address::Reach;
use crate::policy::finding::{Findings, quoted};
use crate::policy::spec::{Source, SourceSpec, UpstreamSpec};
use crate::request::path::Path;

const KEYS: [&str; 13] = [
    "base_url",
    "openapi",
    "timeout",
    "connect_timeout",
    "allow_http",
    "allow_private",
    "ca_file",
    "client_certificate",
    "proxy",
    "user_agent",
    "headers",
    "credential",
    "credentials",
];

/// Reads `[upstream]`; `None` where its base URL is missing or wrong.
pub(super) fn read(root: &Section<'_>, findings: &mut Findings<'_>) -> (Option<UpstreamSpec>, Vec<Source>) {
    let mut sources = Vec::new();
    if root.need("upstream", findings).is_none() {
        return (None, sources);
    }
    let Some(section) = root.section("upstream", &KEYS, findings) else { return (None, sources) };
    let allow_http = section.flag("allow_http", findings);
    let allow_private = section.flag("allow_private", findings);
    let base_url = section.need("base_url", findings);
    let base_url = base_url.and_then(|value| read_base_url(&value, allow_http, allow_private, findings));
    let ca_file = read_path(&section, "ca_file", SourceSpec::CaFile, &mut sources, findings);
    let client_certificate =
        read_path(&section, "client_certificate", SourceSpec::ClientCertificate, &mut sources, findings);
    let credential = match section.section("credential", &CREDENTIAL, findings) {
        Some(credential) => read_credential(&credential, &mut sources, findings),
        None => None,
    };
    let credentials = read_credentials(&section, &mut sources, findings);
    let (timeout, connect_timeout) = read_timeouts(&section, findings);
    let headers = read_headers(&section, findings);
    let openapi = read_openapi(&section, &mut sources, findings);
    let proxy = section.get("proxy").and_then(|value| read_proxy(&value, findings));
    let user_agent = read_user_agent(&section, findings);
    let upstream = base_url.map(|base_url| UpstreamSpec {
        base_url,
        openapi,
        timeout,
        connect_timeout,
        allow_http,
        allow_private,
        ca_file,
        client_certificate,
        proxy,
        user_agent,
        headers,
        credential,
        credentials,
    });
    (upstream, sources)
}

/// The names of `[upstream.credentials]`, whatever else is wrong with them.
pub(super) fn credential_names<'a>(root: &Section<'a>) -> Vec<&'a str> {
    let table = root.peek("upstream").and_then(|upstream| upstream.peek("credentials"));
    table.iter().flat_map(Section::entries).map(|(name, _, _)| name).collect()
}

fn read_timeouts(section: &Section<'_>, findings: &mut Findings<'_>) -> (Duration, Duration) {
    let second = Duration::from_secs(1);
    let timeout = section.number("timeout", second * 30, second..=second * 600, findings);
    let range = Duration::from_millis(100)..=second * 600;
    let connect = section.number("connect_timeout", (second * 5).min(timeout), range, findings);
    if let Some(value) = section.get("connect_timeout").filter(|_| connect > timeout) {
        let message = "`upstream.connect_timeout` is longer than `upstream.timeout`, which covers it".to_owned();
        findings.error("out-of-range", value.span(), message, None);
    }
    (timeout, connect)
}

fn read_base_url(value: &Value<'_>, allow_http: bool, allow_private: bool, findings: &mut Findings<'_>) -> Option<Url> {
    let text = value.text(findings)?;
    let url = read_url(value, text, findings)?;
    // The rest is looked at as well, so that the right spelling of the address is told at once. Over HTTP less is allowed, below.
    if url.scheme() == "https"
        && let Err(refused) = Reach::over_https(allow_private).judge_literal(&url)
    {
        let message = format!("`upstream.base_url`: {refused}");
        findings.error("refused-address", value.span(), message, Some(refused.help()));
    }
    let mut refuse = |message: &str, help: Option<&str>| {
        findings.error("bad-url", value.span(), format!("`upstream.base_url` {message}"), help);
        None
    };
    match url.scheme() {
        "https" => {}
        "http" if !is_loopback(&url) => {
            return refuse(
                "is http: the credential would travel in the clear",
                Some("use https:// (http is for 127.0.0.1 and [::1] alone, with `allow_http = true`)"),
            );
        }
        "http" if !allow_http => {
            return refuse("is http", Some("set `allow_http = true` to reach a server on this machine"));
        }
        "http" => {}
        _ => return refuse("must begin with https://", None),
    }
    if url.query().is_some() || url.fragment().is_some() {
        return refuse("must not have a query or a fragment", Some("what the agent asks for is added to the path"));
    }
    let path = url.path();
    if path.contains("//")
        || Path::parse(path).is_ok_and(|path| !path.encoded().is_empty())
        || Path::parse(path).is_err()
    {
        return refuse(
            "has a path that no request could have",
            Some("use plain segments, without dots or encoded characters"),
        );
    }
    // What the parser would change, the author did not see.
    let slash = if text.ends_with('/') { "" } else { "/" };
    let mut whole = url.clone();
    if !path.ends_with('/') {
        whole.set_path(&format!("{path}/"));
    }
    if whole.as_str() != format!("{text}{slash}") {
        let help = format!("write `{whole}`");
        return refuse("is not in canonical form", Some(&help));
    }
    Some(whole)
}

/// A URL in ASCII, without user name or password, whose text is as its author sees it.
pub(super) fn read_url(value: &Value<'_>, text: &str, findings: &mut Findings<'_>) -> Option<Url> {
    let name = quoted(value.name());
    hide_userinfo(value, text, findings);
    let span = value.span();
    if let Some(letter) = text.chars().find(|letter| !letter.is_ascii()) {
        let message = format!("{name} holds U+{:04X}, which may only look like a letter", u32::from(letter));
        findings.error("bad-url", span, message, Some("write a host name in its ASCII form (xn--…) if this is meant"));
        return None;
    }
    if text.bytes().any(|byte| byte <= b' ' || byte == 0x7f || byte == b'\\') {
        findings.error("bad-url", span, format!("{name} holds white space, a control or a backslash"), None);
        return None;
    }
    let Ok(url) = Url::parse(text) else {
        findings.error("bad-url", span, format!("{name} is not a URL"), Some("write it as `https://host/path/`"));
        return None;
    };
    if !url.username().is_empty() || url.password().is_some() || text.contains('@') {
        let message = format!("{name} must not hold a user name or password");
        let place = if value.name().starts_with("upstream") { "[upstream.credential]" } else { "credential" };
        let help = format!("use `{place}`; what stood there is not repeated here");
        findings.error("bad-url", span, message, Some(&help));
        return None;
    }
    if url.host().is_none_or(|host| matches!(host, Host::Domain(domain) if domain.is_empty())) {
        findings.error("bad-url", span, format!("{name} has no host"), None);
        return None;
    }
    if !text.starts_with(&format!("{}://", url.scheme())) {
        let message = format!("{name} must begin with `{}://`, in lower case and with two slashes", url.scheme());
        findings.error("bad-url", span, message, None);
        return None;
    }
    Some(url)
}

/// Covers what may be a password or a token: everything before `@`, and everything after `?` or `#`.
pub(super) fn hide_userinfo(value: &Value<'_>, text: &str, findings: &mut Findings<'_>) {
    let cover = |within: Range<usize>, findings: &mut Findings<'_>| {
        let span = value.inside(within, findings);
        findings.hide(span);
    };
    if let Some(at) = text.rfind('@') {
        let start = text.find("//").map_or(0, |slashes| slashes + 2).min(at);
        cover(start..at, findings);
    }
    if let Some(at) = text.find(['?', '#']) {
        cover(at + 1..text.len(), findings);
    }
}

pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
        Some(Host::Domain(_)) | None => false,
    }
}

fn read_proxy(value: &Value<'_>, findings: &mut Findings<'_>) -> Option<Url> {
    let text = value.text(findings)?;
    let url = read_url(value, text, findings)?;
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    if !matches!(url.scheme(), "http" | "https") || !bare {
        let message = "`upstream.proxy` must be `http://host:port` or `https://host:port`".to_owned();
        findings.error("bad-url", value.span(), message, None);
        return None;
    }
    Some(url)
}

fn read_user_agent(section: &Section<'_>, findings: &mut Findings<'_>) -> String {
    let own = concat!("portcullis/", env!("CARGO_PKG_VERSION"));
    let Some((text, span)) = section.text("user_agent", findings) else { return own.to_owned() };
    if !is_header_value(text) || text.len() > 256 {
        let message = "`upstream.user_agent` must be 1 to 256 visible ASCII characters and spaces".to_owned();
        findings.error("bad-value", span, message, None);
        return own.to_owned();
    }
    text.to_owned()
}

pub(super) fn read_path(
    section: &Section<'_>,
    key: &str,
    spec: fn(PathBuf) -> SourceSpec,
    sources: &mut Vec<Source>,
    findings: &mut Findings<'_>,
) -> Option<PathBuf> {
    let value = section.get(key)?;
    let path = file_name(&value, findings)?;
    sources.push(source(spec(path.clone()), &value, findings));
    Some(path)
}

pub(super) fn source(spec: SourceSpec, value: &Value<'_>, findings: &Findings<'_>) -> Source {
    Source { spec, key: value.name().to_owned(), place: findings.place(value.span()) }
}

pub(super) fn file_name(value: &Value<'_>, findings: &mut Findings<'_>) -> Option<PathBuf> {
    let text = value.text(findings)?;
    if text.is_empty() || text.contains('\0') {
        findings.error("bad-value", value.span(), format!("{} is not a file's name", quoted(value.name())), None);
        return None;
    }
    Some(PathBuf::from(text))
}
