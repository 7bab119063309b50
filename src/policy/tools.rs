//! `[tools]` as values: which operations of the API's description become tools, and how their list is shown.
//!
//! Nothing here permits anything: what is left out of the list is judged like any call where it is called all the same.

use std::path::PathBuf;

use super::pattern::{Pattern, Segment};

/// `upstream.openapi`: where the API's description comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Openapi {
    /// `builtin:allstacks`.
    Allstacks,
    /// A file, as written, so relative to the policy file.
    File(PathBuf),
}

/// `[tools]`.
#[derive(Debug, Clone)]
pub struct ToolSpec {
    /// How operations are offered.
    pub mode: ToolMode,
    /// What the list of typed tools may take at most, in bytes of JSON; above it `auto` is `search`.
    pub max_bytes: u64,
    /// Only these operations; all, where it is empty.
    pub include: Vec<Selector>,
    /// Never these.
    pub exclude: Vec<Selector>,
}

/// How operations are offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToolMode {
    /// Typed while the list is small enough, else by search.
    Auto,
    /// A tool each.
    Typed,
    /// Tools to find, describe and call operations.
    Search,
}

/// Some operations.
#[derive(Debug, Clone)]
pub struct Selector(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Name(Segment),
    Tag(Box<str>),
    Path(Pattern),
}

impl ToolSpec {
    /// Whether an operation is among the tools: some `include` selects it, where there are any, and no `exclude` does.
    #[must_use]
    pub fn selects(&self, name: &str, template: &str, tags: &[String]) -> bool {
        let any = |selectors: &[Selector]| selectors.iter().any(|selector| selector.selects(name, template, tags));
        (self.include.is_empty() || any(&self.include)) && !any(&self.exclude)
    }
}

impl Selector {
    /// The tool of that name; `*` stands for any part of it.
    pub(super) fn name(text: &str) -> Self {
        Self(Kind::Name(Segment::of(text)))
    }

    pub(super) fn tag(tag: &str) -> Self {
        Self(Kind::Tag(tag.into()))
    }

    pub(super) fn path(pattern: Pattern) -> Self {
        Self(Kind::Path(pattern))
    }

    fn selects(&self, name: &str, template: &str, tags: &[String]) -> bool {
        match &self.0 {
            Kind::Name(segment) => segment.is(name),
            Kind::Tag(tag) => tags.iter().any(|other| **other == **tag),
            Kind::Path(pattern) => pattern.covers(template),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(include: &[&str], exclude: &[&str]) -> ToolSpec {
        let read = |texts: &[&str]| {
            let selector = |text: &&str| match text.strip_prefix("tag:") {
                Some(tag) => Selector::tag(tag),
                None if text.starts_with('/') => Selector::path(Pattern::parse(text).unwrap()),
                None => Selector::name(text),
            };
            texts.iter().map(selector).collect()
        };
        ToolSpec { mode: ToolMode::Auto, max_bytes: 1, include: read(include), exclude: read(exclude) }
    }

    #[test]
    fn operations_are_selected_by_name_tag_and_path() {
        let (name, template, tags) = ("list_issues", "/repos/{owner}/{repo}/issues", &["issues".to_owned()][..]);
        for (include, exclude, selected) in [
            (&[][..], &[][..], true),
            (&["list_issues"], &[], true),
            (&["list_*"], &[], true),
            (&["*_issues", "other"], &[], true),
            (&["list"], &[], false),
            (&["tag:issues"], &[], true),
            (&["tag:Issues"], &[], false),
            (&["/repos/**"], &[], true),
            (&["/repos/*/*/issues"], &[], true),
            (&["/repos/*/issues"], &[], false),
            (&["/**/issues"], &[], true),
            (&["/repos/**/issues/**"], &[], false),
            (&["/repos"], &[], false),
            (&[], &["list_issues"], false),
            (&["tag:issues"], &["/repos/**"], false),
            (&[], &["tag:pulls", "/orgs/**"], true),
        ] {
            assert_eq!(spec(include, exclude).selects(name, template, tags), selected, "{include:?} {exclude:?}");
        }
    }
}
