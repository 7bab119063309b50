//! A table of the policy file, read key by key. Each reader reports what is wrong with its key and goes on, so that one
//! run finds everything.
//!
//! Promises that the value of a key nobody knows, and of a key under `upstream` or of a sink that has the wrong type, is never shown:
//! it may be a secret in the wrong place.

use std::ops::Range;
use std::time::{Duration, UNIX_EPOCH};

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use toml::value::Datetime;

use crate::policy::finding::{Findings, nearest, quoted};

/// One table, whose keys are all known.
#[derive(Debug, Clone)]
pub(super) struct Section<'a> {
    name: String,
    table: &'a DeTable<'a>,
    span: Range<usize>,
}

/// One value, with its name as a person would say it, such as `upstream.base_url`.
#[derive(Debug, Clone)]
pub(super) struct Value<'a> {
    name: String,
    item: &'a Spanned<DeValue<'a>>,
}

impl<'a> Section<'a> {
    /// The whole file.
    pub(super) fn root(table: &'a DeTable<'a>, span: Range<usize>, keys: &[&str], findings: &mut Findings<'_>) -> Self {
        let section = Self { name: String::new(), table, span };
        section.refuse_unknown(keys, findings);
        section
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The header, or the whole of an inline table.
    pub(super) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    pub(super) fn get(&self, key: &str) -> Option<Value<'a>> {
        let item = self.table.get(key)?;
        Some(Value { name: join(&self.name, key), item })
    }

    /// The value of a key that must be there.
    pub(super) fn need(&self, key: &str, findings: &mut Findings<'_>) -> Option<Value<'a>> {
        let value = self.get(key);
        if value.is_none() {
            let name = quoted(&join(&self.name, key));
            findings.error("missing-key", self.span(), format!("{name} is missing"), None);
        }
        value
    }

    /// A table of this one, without a word about what is wrong with it.
    pub(super) fn peek(&self, key: &str) -> Option<Section<'a>> {
        let value = self.get(key)?;
        Some(Section { table: value.item.get_ref().as_table()?, span: value.span(), name: value.name })
    }

    /// Every key with its value, in the order of their names.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'a str, Range<usize>, Value<'a>)> {
        self.table.iter().map(|(key, item)| {
            let value = Value { name: join(&self.name, key.get_ref()), item };
            (&**key.get_ref(), key.span(), value)
        })
    }

    /// A table of this one.
    pub(super) fn section(&self, key: &str, keys: &[&str], findings: &mut Findings<'_>) -> Option<Section<'a>> {
        let section = self.get(key)?.table(findings)?;
        section.refuse_unknown(keys, findings);
        Some(section)
    }

    pub(super) fn text(&self, key: &str, findings: &mut Findings<'_>) -> Option<(&'a str, Range<usize>)> {
        let value = self.get(key)?;
        Some((value.text(findings)?, value.span()))
    }

    /// True or false, false if absent.
    pub(super) fn flag(&self, key: &str, findings: &mut Findings<'_>) -> bool {
        self.get(key).and_then(|value| value.flag(findings)).unwrap_or(false)
    }

    /// As [`flag`](Self::flag), without a word about what is wrong with it.
    pub(super) fn peek_flag(&self, key: &str) -> bool {
        self.table.get(key).and_then(|item| item.get_ref().as_bool()).unwrap_or(false)
    }

    /// One of some words.
    pub(super) fn word<T: Copy>(&self, key: &str, words: &[(&str, T)], findings: &mut Findings<'_>) -> Option<T> {
        let (text, span) = self.text(key, findings)?;
        let known = words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning);
        if known.is_none() {
            let name = quoted(&join(&self.name, key));
            let listed: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
            let message = format!("{name} must be one of {}, got {}", listed.join(", "), quoted(text));
            findings.error("bad-value", span, message, suggest(text, words.iter().map(|(word, _)| *word)).as_deref());
        }
        known
    }

    pub(super) fn refuse_unknown(&self, keys: &[&str], findings: &mut Findings<'_>) {
        for (key, span, value) in self.entries() {
            if keys.contains(&key) {
                continue;
            }
            let place = if self.name.is_empty() { String::new() } else { format!(" in `{}`", self.name) };
            let help = suggest(key, keys.iter().copied());
            let listed = || format!("keys here: {}", keys.join(", "));
            // The header of a table shows its name alone.
            if !value.span().contains(&span.start) {
                findings.hide(value.span());
            }
            let message = format!("unknown key {}{place}", quoted(key));
            findings.error("unknown-key", span, message, Some(&help.unwrap_or_else(listed)));
        }
    }
}

impl<'a> Value<'a> {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn span(&self) -> Range<usize> {
        self.item.span()
    }

    pub(super) fn text(&self, findings: &mut Findings<'_>) -> Option<&'a str> {
        self.text_as("a string", findings)
    }

    /// A string, called what it has to say.
    pub(super) fn text_as(&self, wanted: &str, findings: &mut Findings<'_>) -> Option<&'a str> {
        let text = self.item.get_ref().as_str();
        self.typed(text, wanted, findings)
    }

    pub(super) fn flag(&self, findings: &mut Findings<'_>) -> Option<bool> {
        self.typed(self.item.get_ref().as_bool(), "true or false", findings)
    }

    /// A whole number; one that fits in no `i64` is out of every range.
    pub(super) fn integer(&self, findings: &mut Findings<'_>) -> Option<i64> {
        let integer = self.typed(self.item.get_ref().as_integer(), "a whole number", findings)?;
        Some(i64::from_str_radix(integer.as_str(), integer.radix()).unwrap_or(i64::MAX))
    }

    /// A day without a time, as TOML writes it, and the first moment after it in UTC, since the Unix epoch.
    pub(super) fn day(&self, findings: &mut Findings<'_>) -> Option<(String, Duration)> {
        let date = self.item.get_ref().as_datetime().and_then(|of| match of {
            Datetime { date, time: None, offset: None } => *date,
            Datetime { .. } => None,
        });
        let date = self.typed(date, "a day such as 2026-12-31, without quotes", findings)?;
        let day = format!("{:04}-{:02}-{:02}", date.year, date.month, date.day);
        let start = humantime::parse_rfc3339(&format!("{day}T00:00:00Z")).ok();
        let since = start.and_then(|start| start.duration_since(UNIX_EPOCH).ok());
        if since.is_none() {
            findings.error(
                "out-of-range",
                self.span(),
                format!("{} must be a day from 1970 on", quoted(&self.name)),
                None,
            );
        }
        Some((day, since? + Duration::from_secs(86_400)))
    }

    pub(super) fn is_text(&self) -> bool {
        self.item.get_ref().is_str()
    }

    pub(super) fn is_flag(&self) -> bool {
        self.item.get_ref().is_bool()
    }

    pub(super) fn is_table(&self) -> bool {
        self.item.get_ref().is_table()
    }

    /// A value in a table, if it is one.
    pub(super) fn peek(&self, key: &str) -> Option<Value<'a>> {
        let item = self.item.get_ref().as_table()?.get(key)?;
        Some(Value { name: join(&self.name, key), item })
    }

    /// A table, whose keys are still to be checked.
    pub(super) fn table(&self, findings: &mut Findings<'_>) -> Option<Section<'a>> {
        let table = self.typed(self.item.get_ref().as_table(), "a table", findings)?;
        Some(Section { name: self.name.clone(), table, span: self.span() })
    }

    /// The elements of a list.
    pub(super) fn list(&self, of: &'static str, findings: &mut Findings<'_>) -> Option<Vec<Value<'a>>> {
        let list = self.typed(self.item.get_ref().as_array(), of, findings)?;
        Some(list.iter().map(|item| Value { name: self.name.clone(), item }).collect())
    }

    /// A list of strings, each with its place; elements of another type are reported and left out.
    pub(super) fn texts(&self, findings: &mut Findings<'_>) -> Option<Vec<(&'a str, Range<usize>)>> {
        let list = self.list("a list of strings", findings)?;
        let mut texts = Vec::with_capacity(list.len());
        for value in list {
            if let Some(text) = value.typed(value.item.get_ref().as_str(), "a list of strings", findings) {
                texts.push((text, value.span()));
            }
        }
        Some(texts)
    }

    /// The place of some bytes of a string, where the file has them as they are.
    pub(super) fn inside(&self, within: Range<usize>, findings: &Findings<'_>) -> Range<usize> {
        inside(self.span(), self.item.get_ref().as_str().unwrap_or_default(), within, findings)
    }

    fn typed<T>(&self, found: Option<T>, wanted: &str, findings: &mut Findings<'_>) -> Option<T> {
        if found.is_none() {
            let got = match self.item.get_ref() {
                DeValue::String(_) => "a string",
                DeValue::Integer(_) => "an integer",
                DeValue::Float(_) => "a float",
                DeValue::Boolean(_) => "true or false",
                DeValue::Datetime(_) => "a date or time",
                DeValue::Array(_) => "a list",
                DeValue::Table(_) => "a table",
            };
            if ["upstream", "audit.sinks"].iter().any(|section| self.name.starts_with(section)) {
                findings.hide(self.span());
            }
            let message = format!("{} must be {wanted}, got {got}", quoted(&self.name));
            findings.error("wrong-type", self.span(), message, None);
        }
        found
    }
}

/// The place of some bytes of a string value: exact where the file has the text without escapes, else the whole value.
pub(super) fn inside(span: Range<usize>, text: &str, within: Range<usize>, findings: &Findings<'_>) -> Range<usize> {
    let raw = findings.text().get(span.clone()).unwrap_or_default();
    match raw.find(text) {
        Some(at) if !text.is_empty() => span.start + at + within.start..span.start + at + within.end,
        _ => span,
    }
}

/// "did you mean" for a word that is not known.
pub(super) fn suggest<'w>(word: &str, known: impl IntoIterator<Item = &'w str>) -> Option<String> {
    nearest(word, known).map(|known| format!("did you mean `{known}`?"))
}

fn join(section: &str, key: &str) -> String {
    if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") }
}
