//! The policy file: TOML, strict. Reads all of it or reports all that is wrong with it.
//!
//! Promises that an unknown key, a second value for a key, a value of another type or outside its range is an error, and
//! that a default never opens anything. Trusts nothing in the file but its author's intent.

mod confirm;
mod credential;
pub(super) mod headers;
mod ids;
mod response;
mod rules;
mod section;
mod sinks;
mod tools;
mod units;
mod upstream;

use std::num::NonZeroU32;
use std::ops::Range;
use std::time::Duration;

use toml::de::DeTable;

use self::section::Section;
use self::units::Size;
use super::finding::{Findings, quoted};
use super::report::{REPORT, ReportUntil};
use super::rule::{Allow, Deny, Written};
use super::spec::{AuditSpec, ConfirmSpec, LimitSpec, Rate, ResponseSpec, Source, Sync, UpstreamSpec};
use super::tools::ToolSpec;
use super::verdict::RuleRef;

/// The largest policy file, in bytes.
const MOST_BYTES: usize = 1 << 20;

const KEYS: [&str; 11] =
    ["version", "name", "upstream", "access", "allow", "deny", "limits", "confirm", "tools", "response", "audit"];

/// Controls that make text read otherwise than it is (CVE-2021-42574).
const BIDI: [char; 12] = [
    '\u{061c}', '\u{200e}', '\u{200f}', '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}', '\u{2066}',
    '\u{2067}', '\u{2068}', '\u{2069}',
];

/// A file as read; to be used only if there is no error among the findings.
#[derive(Debug)]
pub(super) struct File {
    pub(super) name: String,
    pub(super) upstream: UpstreamSpec,
    pub(super) sources: Vec<Source>,
    pub(super) writes: bool,
    pub(super) report: Option<ReportUntil>,
    pub(super) allows: Vec<Written<Allow>>,
    pub(super) denies: Vec<Written<Deny>>,
    pub(super) limits: LimitSpec,
    pub(super) confirm: ConfirmSpec,
    pub(super) tools: ToolSpec,
    pub(super) response: ResponseSpec,
    pub(super) audit: AuditSpec,
}

impl File {
    /// Reads a file; `None` where nothing could be made of it.
    pub(super) fn read(findings: &mut Findings<'_>) -> Option<Self> {
        let text = findings.text();
        if text.len() > MOST_BYTES {
            let message = format!("the file is {} bytes long; the limit is {MOST_BYTES}", text.len());
            findings.error("file-too-large", 0..0, message, None);
            return None;
        }
        refuse_bidi(findings);
        let body = text.trim_start_matches('\u{feff}').trim_start();
        if body.starts_with('{') {
            let brace = text.len().saturating_sub(body.len());
            findings.error(
                "syntax",
                brace..brace.saturating_add(1),
                "this is not TOML (it looks like JSON)".to_owned(),
                Some("write `key = value` lines and `[table]` headers"),
            );
            return None;
        }
        let (table, errors) = DeTable::parse_recoverable(text);
        if !report_syntax(&errors, findings) {
            return None;
        }
        read_root(table.get_ref(), findings)
    }
}

/// Whether the tree can be used: a second value for a key leaves the rest readable, anything else does not.
fn report_syntax(errors: &[toml::de::Error], findings: &mut Findings<'_>) -> bool {
    let (duplicates, others): (Vec<_>, Vec<_>) = errors.iter().partition(|error| error.message() == "duplicate key");
    for error in duplicates {
        let span = error.span().unwrap_or(0..0);
        let key = findings.text().get(span.clone()).unwrap_or_default();
        hide_values(&span, findings);
        findings.error("duplicate-key", span, format!("{} is given twice", quoted(key)), None);
    }
    // What follows the first error of grammar is often its echo.
    if let Some(error) = others.first() {
        let span = error.span().unwrap_or(0..0);
        hide_values(&span, findings);
        let message = match error.message() {
            "invalid basic string, expected `\"`" | "invalid literal string, expected `'`" => {
                "this string is not closed"
            }
            other => other,
        };
        findings.error("syntax", span, message.replace('\n', " "), None);
    }
    others.is_empty()
}

/// Hides what stands after `=` or `:` on a line that cannot be read, all but its quotes and brackets: it may be a secret.
fn hide_values(span: &Range<usize>, findings: &mut Findings<'_>) {
    let line = findings.line_span(findings.place(span.clone()).line);
    let text = findings.text().get(line.clone()).unwrap_or_default();
    // Without a sign between them, whatever follows the first word may be its value.
    let word = text.find(|c: char| !c.is_whitespace()).unwrap_or(0);
    let after = || text.get(word..).and_then(|rest| rest.find(char::is_whitespace)).map(|at| word + at);
    let Some(start) = text.find(['=', ':']).or_else(after) else { return };
    let words = text.char_indices().filter(|(at, character)| *at > start && !"\"'[]{},= \t\r".contains(*character));
    let spans: Vec<_> = words.map(|(at, character)| line.start + at..line.start + at + character.len_utf8()).collect();
    spans.into_iter().for_each(|span| findings.hide(span));
}

/// Line ends that are none in TOML, zero-width characters and tags: a comment could look like a rule, or a rule like another.
fn is_unseen(character: char) -> bool {
    matches!(character, '\u{85}' | '\u{200B}'..='\u{200D}' | '\u{2028}' | '\u{2029}' | '\u{2060}'..='\u{2064}' | '\u{FEFF}' | '\u{E0000}'..='\u{E007F}')
}

fn refuse_bidi(findings: &mut Findings<'_>) {
    for (at, character) in findings.text().match_indices(BIDI) {
        let code = character.chars().next().map_or(0, u32::from);
        let message = format!("bidirectional control U+{code:04X}: what is seen is not what is read");
        findings.error("bidi-control", at..at + character.len(), message, Some("remove it (CVE-2021-42574)"));
    }
    for (at, character) in findings.text().char_indices().filter(|(_, character)| is_unseen(*character)) {
        let message = format!("U+{:04X}: an editor may break the line here, or show nothing", u32::from(character));
        findings.error("unseen-character", at..at + character.len_utf8(), message, Some("remove it"));
    }
}

fn read_root<'a>(table: &'a DeTable<'a>, findings: &mut Findings<'_>) -> Option<File> {
    if table.is_empty() {
        let empty = if findings.text().trim().is_empty() { "the file is empty: " } else { "" };
        let message = format!("{empty}no `version`, no `name`, no `upstream`");
        findings.error("empty", 0..0, message, Some("begin with `version = 1`"));
        return None;
    }
    if !is_version_1(table, findings) {
        return None;
    }
    let root = Section::root(table, 0..0, &KEYS, findings);
    let name = read_name(&root, findings);
    let (upstream, mut sources) = upstream::read(&root, findings);
    let access = root.section("access", &["writes", "report_until"], findings);
    let writes = access.as_ref().is_some_and(|access| access.flag("writes", findings));
    let report = access.and_then(|access| read_report(&access, findings));
    let (allows, denies) = rules::read(&root, &upstream::credential_names(&root), findings);
    let (limits, confirm) = (read_limits(&root, findings), confirm::read(&root, &mut sources, findings));
    let tools = tools::read(&root, findings);
    let (response, audit) = (response::read(&root, findings), read_audit(&root, &mut sources, findings));
    let (name, upstream) = (name?, upstream?);
    Some(File { name, upstream, sources, writes, report, allows, denies, limits, confirm, tools, response, audit })
}

/// The last day of report mode.
fn read_report(access: &Section<'_>, findings: &mut Findings<'_>) -> Option<ReportUntil> {
    let value = access.get("report_until")?;
    let (day, end) = value.day(findings)?;
    let place = findings.place(value.span());
    let line = u32::try_from(place.line).unwrap_or(u32::MAX);
    // Holds on every day: what the day is today, the text does not know.
    let message = format!("report mode: a read that no rule denies passes up to {day}, and none by it after that day");
    let help = Some("remove it once `portcullis learn` has made rules of what was read");
    findings.warn("report-mode", value.span(), message, help);
    Some(ReportUntil { day, end, rule: RuleRef::new(REPORT.into(), line, usize::MAX), place })
}

/// Whether to read on: of a version that is not known, no key is.
fn is_version_1<'a>(table: &'a DeTable<'a>, findings: &mut Findings<'_>) -> bool {
    let bare = Section::root(table, 0..0, &table.keys().map(|key| &**key.get_ref()).collect::<Vec<_>>(), findings);
    let Some(value) = bare.get("version") else {
        let help = Some("begin with `version = 1`");
        findings.error("missing-key", 0..0, "`version` is missing; this build reads version 1".to_owned(), help);
        return true;
    };
    match value.integer(findings) {
        None | Some(1) => true,
        Some(newer @ 2..) => {
            let message = format!("version {newer} is newer than this build understands (1)");
            findings.error("bad-version", value.span(), message, None);
            false
        }
        Some(_) => {
            findings.error(
                "bad-version",
                value.span(),
                "there is no such version; this build reads version 1".to_owned(),
                None,
            );
            true
        }
    }
}

fn read_name(root: &Section<'_>, findings: &mut Findings<'_>) -> Option<String> {
    let value = root.need("name", findings)?;
    let name = value.text(findings)?;
    is_label(name, &value.span(), "`name`", "-", findings).then(|| name.to_owned())
}

/// Names that become parts of file names and of messages: a letter, then letters, digits and a few others.
fn is_label(text: &str, span: &Range<usize>, what: &str, also: &str, findings: &mut Findings<'_>) -> bool {
    let starts = text.starts_with(|first: char| first.is_ascii_lowercase());
    let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || also.contains(c);
    let good = starts && text.len() <= 32 && text.chars().all(known);
    if !good {
        let others: Vec<String> = also.chars().map(|c| format!("`{c}`")).collect();
        let message = format!(
            "{what} {} must be a lower-case letter, then lower-case letters, digits and {}, 32 at most",
            quoted(text),
            others.join(", ")
        );
        findings.error("bad-name", span.clone(), message, None);
    }
    good
}

fn read_limits(root: &Section<'_>, findings: &mut Findings<'_>) -> LimitSpec {
    let keys = ["rate", "burst", "writes", "denials", "prompts", "concurrency", "daily", "max_wait"];
    let per_minute =
        |count| Rate { count: NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN), per: Duration::from_secs(60) };
    let mut limits = LimitSpec {
        rate: per_minute(120),
        burst: 20,
        writes: per_minute(10),
        denials: per_minute(60),
        prompts: per_minute(6),
        concurrency: 8,
        daily: Some(5_000),
        max_wait: Duration::from_secs(2),
    };
    let Some(section) = root.section("limits", &keys, findings) else { return limits };
    limits.rate = section.rate("rate", findings).unwrap_or(limits.rate);
    limits.writes = section.rate("writes", findings).unwrap_or(limits.writes);
    limits.denials = section.rate("denials", findings).unwrap_or(limits.denials);
    limits.prompts = section.rate("prompts", findings).unwrap_or(limits.prompts);
    limits.burst = section.number("burst", limits.burst, 1..=1_000, findings);
    limits.concurrency = section.number("concurrency", limits.concurrency, 1..=1_024, findings);
    limits.max_wait = section.number("max_wait", limits.max_wait, Duration::ZERO..=Duration::from_secs(60), findings);
    limits.daily = match section.get("daily") {
        Some(value) if value.is_text() => match value.text(findings) {
            Some("unlimited") => None,
            _ => {
                let message = "`limits.daily` must be a whole number or \"unlimited\"".to_owned();
                findings.error("bad-value", value.span(), message, None);
                None
            }
        },
        Some(_) => Some(section.number("daily", 5_000, 1..=1_000_000_000, findings).into()),
        None => limits.daily,
    };
    limits
}

/// What names of other files in a state directory begin with: no log may be taken for one of them.
const RESERVED: [&str; 7] = ["acknowledge", "checkpoint", "daily", "desk", "digest", "used", "writes"];

fn read_audit(root: &Section<'_>, sources: &mut Vec<Source>, findings: &mut Findings<'_>) -> AuditSpec {
    let day = Duration::from_secs(86_400);
    let mut audit = AuditSpec {
        prefix: "audit".to_owned(),
        sync: Sync::Writes,
        max_bytes: 64 << 20,
        max_age: day,
        keep: None,
        sinks: Vec::new(),
    };
    let keys = ["prefix", "sync", "max_bytes", "max_age", "keep", "sinks"];
    let Some(section) = root.section("audit", &keys, findings) else { return audit };
    if let Some((prefix, span)) = section.text("prefix", findings)
        && is_label(prefix, &span, "`audit.prefix`", "-", findings)
    {
        if RESERVED.contains(&prefix) {
            let message =
                format!("`audit.prefix` {} is what other files of the state directory are called", quoted(prefix));
            findings.error("bad-name", span, message, Some("choose another, as `audit` or the API's name"));
        } else {
            audit.prefix = prefix.to_owned();
        }
    }
    let sync = section.word("sync", &[("writes", Sync::Writes), ("each", Sync::Each)], findings);
    audit.sync = sync.unwrap_or(audit.sync);
    Size(audit.max_bytes) =
        section.number("max_bytes", Size(audit.max_bytes), Size(1 << 20)..=Size(16 << 30), findings);
    audit.max_age = section.number("max_age", audit.max_age, Duration::from_secs(60)..=day * 366, findings);
    audit.keep = match section.get("keep") {
        Some(value) if value.is_text() && value.text(findings) == Some("forever") => None,
        Some(_) => Some(section.number("keep", day, day..=day * 36_600, findings)),
        None => None,
    };
    audit.sinks = sinks::read(&section, sources, findings);
    audit
}
