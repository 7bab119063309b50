//! `[tools]`: which operations of the API's description become tools, and how many bytes their list may take.

use super::section::{Section, Value, suggest};
use super::units::Size;
use super::upstream::{file_name, source};
use crate::policy::finding::{Findings, quoted};
use crate::policy::pattern::Pattern;
use crate::policy::spec::{Source, SourceSpec};
use crate::policy::tools::{Openapi, Selector, ToolMode, ToolSpec};

/// Selectors in one list.
const MOST_SELECTORS: usize = 256;

/// Reads `[tools]`; absent keys have their defaults.
pub(super) fn read(root: &Section<'_>, findings: &mut Findings<'_>) -> ToolSpec {
    let keys = ["mode", "max_bytes", "include", "exclude"];
    let default = Size(64 << 10);
    let mut tools = ToolSpec { mode: ToolMode::Auto, max_bytes: default.0, include: Vec::new(), exclude: Vec::new() };
    let Some(section) = root.section("tools", &keys, findings) else { return tools };
    let modes = [("auto", ToolMode::Auto), ("typed", ToolMode::Typed), ("search", ToolMode::Search)];
    tools.mode = section.word("mode", &modes, findings).unwrap_or(tools.mode);
    let Size(max_bytes) = section.number("max_bytes", default, Size(1 << 10)..=Size(16 << 20), findings);
    tools.max_bytes = max_bytes;
    tools.include = read_selectors(&section, "include", findings);
    tools.exclude = read_selectors(&section, "exclude", findings);
    let openapi = root.peek("upstream").is_some_and(|upstream| upstream.get("openapi").is_some());
    if !openapi {
        let message = "`tools` does nothing without `upstream.openapi`: there are the generic tools only".to_owned();
        findings.warn("tools-unused", section.span(), message, None);
    }
    tools
}

/// Reads `upstream.openapi`.
pub(super) fn read_openapi(
    section: &Section<'_>,
    sources: &mut Vec<Source>,
    findings: &mut Findings<'_>,
) -> Option<Openapi> {
    let value = section.get("openapi")?;
    let (text, span) = (value.text(findings)?, value.span());
    match text.strip_prefix("builtin:") {
        Some("allstacks") => Some(Openapi::Allstacks),
        Some(other) => {
            let message = format!("there is no built-in description {}", quoted(other));
            findings.error("bad-value", span, message, suggest(other, ["allstacks"]).as_deref());
            None
        }
        None if text.contains("://") => {
            let message = "`upstream.openapi` is a file beside this policy; nothing is fetched".to_owned();
            findings.error("bad-value", span, message, Some("download the document and name the file"));
            None
        }
        None => {
            let path = file_name(&value, findings)?;
            sources.push(source(SourceSpec::Openapi(path.clone()), &value, findings));
            Some(Openapi::File(path))
        }
    }
}

fn read_selectors(section: &Section<'_>, key: &str, findings: &mut Findings<'_>) -> Vec<Selector> {
    let Some(values) = section.get(key).and_then(|value| value.list("a list of strings", findings)) else {
        return Vec::new();
    };
    if let Some(excess) = values.get(MOST_SELECTORS) {
        let message = format!("{} has more than {MOST_SELECTORS} entries", quoted(&format!("tools.{key}")));
        findings.error("too-many", excess.span(), message, None);
        return Vec::new();
    }
    values.iter().filter_map(|value| selector(value, findings)).collect()
}

fn selector(value: &Value<'_>, findings: &mut Findings<'_>) -> Option<Selector> {
    let text = value.text(findings)?;
    if text.starts_with('/') {
        return match Pattern::parse(text) {
            Ok(pattern) => Some(Selector::path(pattern)),
            Err(error) => {
                findings.error("bad-glob", value.span(), format!("{}: {error}", quoted(text)), error.help());
                None
            }
        };
    }
    if let Some(tag) = text.strip_prefix("tag:").filter(|tag| !tag.is_empty()) {
        return Some(Selector::tag(tag));
    }
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_-*".contains(c);
    if !text.is_empty() && text.len() <= 128 && text.chars().all(is_name) {
        return Some(Selector::name(text));
    }
    let message = format!("{} selects no operation", quoted(text));
    let help = "write a tool's name (`*` stands for any part of it), `tag:NAME`, or a path such as `/project/**`";
    findings.error("bad-value", value.span(), message, Some(help));
    None
}
