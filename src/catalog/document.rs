//! The text of an OpenAPI document with an index of its places.
//!
//! Promises: one pass over the text finds where each path item and component stands; nothing is copied but names. It
//! refuses references out of the document and bounds every walk along them. Trusts: nothing but that the text is UTF-8.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

use percent_encoding::percent_decode_str;

use super::MAX_DOCUMENT;
use super::budget::{Pool, Work};
use super::members::{elements, member};
use super::outline::{Raws, Root};
use super::warning::{DocumentError, ReferenceError};
use super::yaml;

/// The most references that are followed one after another.
const MAX_HOPS: usize = 16;

/// The most tokens of one JSON pointer.
const MAX_TOKENS: usize = 32;

/// The longest array that a JSON pointer leads into.
const MAX_INDEX: usize = 10_000;

/// Where a value stands in the text, in bytes.
pub(super) type Span = Range<usize>;

/// A document whose outermost shape is that of OpenAPI 3.
pub(super) struct Document {
    text: Cow<'static, str>,
    paths: Vec<(Box<str>, Span)>,
    /// Places in `paths`, sorted by path.
    by_path: Vec<usize>,
    components: HashMap<Box<str>, HashMap<Box<str>, Span>>,
    rest: HashMap<Box<str>, Span>,
    /// What is left to describe its operations with.
    pub(super) pool: Pool,
}

impl Document {
    /// Reads JSON, or YAML where the text does not begin as JSON does.
    pub(super) fn read(text: Cow<'static, str>) -> Result<Self, DocumentError> {
        if text.len() > MAX_DOCUMENT {
            return Err(DocumentError::TooLong);
        }
        let text = if text.trim_start().starts_with(['{', '[']) { text } else { Cow::Owned(yaml::to_json(&text)?) };
        let root = Root::read(&text)?;
        root.check_version()?;
        let Some(Some(items)) = root.paths else {
            return Err(DocumentError::Paths);
        };
        let spans = |members: Raws<'_>| -> Vec<(Box<str>, Span)> {
            members.into_iter().map(|(name, raw)| (name.into(), span_in(&text, raw.get()))).collect()
        };
        let paths = spans(items);
        let name = |place: &usize| paths.get(*place).map(|(path, _)| path);
        let mut by_path: Vec<usize> = (0..paths.len()).collect();
        by_path.sort_by_key(name);
        let sections = root.components.flatten().unwrap_or_default().into_iter();
        let components =
            sections.filter_map(|(name, section)| Some((name.into(), spans(section?).into_iter().collect()))).collect();
        let rest = spans(root.rest).into_iter().collect();
        Ok(Self { paths, by_path, components, rest, pool: Pool::new(), text })
    }

    /// Paths and the texts of their items, in the document's order.
    pub(super) fn paths(&self) -> impl Iterator<Item = (&str, &str)> {
        self.paths.iter().map(|(path, span)| (&**path, self.slice(span)))
    }

    /// Whether the document says which servers to call or how to identify.
    pub(super) fn owns_policy(&self) -> bool {
        ["servers", "security"].iter().any(|name| self.rest.contains_key(*name))
            || self.components.contains_key("securitySchemes")
    }

    /// The text at a place.
    pub(super) fn slice(&self, span: &Span) -> &str {
        self.text.get(span.clone()).unwrap_or("null")
    }

    /// Where a text stands that is part of this document's.
    pub(super) fn span(&self, part: &str) -> Span {
        span_in(&self.text, part)
    }

    /// The text that a reference leads to, through other references if need be.
    pub(super) fn resolve<'a>(&'a self, reference: &str, work: &mut Work) -> Result<&'a str, ReferenceError> {
        let mut reference = Cow::Borrowed(reference);
        for _ in 0..MAX_HOPS {
            let target = self.target(&reference, work)?;
            let next = work.members(target)?.and_then(|members| members.text("$ref"));
            match next {
                Some(next) => reference = Cow::Owned(next.into_owned()),
                None => return Ok(target),
            }
        }
        Err(ReferenceError::Circle)
    }

    fn target(&self, reference: &str, work: &mut Work) -> Result<&str, ReferenceError> {
        work.charge(reference.len())?;
        let pointer = reference.strip_prefix('#').ok_or(ReferenceError::Outside)?;
        let pointer = percent_decode_str(pointer).decode_utf8().map_err(|_| ReferenceError::Missing)?;
        let tokens: Vec<String> = pointer
            .split('/')
            .skip(1)
            .take(MAX_TOKENS + 1)
            .map(|token| token.replace("~1", "/").replace("~0", "~"))
            .collect();
        if tokens.len() > MAX_TOKENS {
            return Err(ReferenceError::Missing);
        }
        let (span, deeper) = match tokens.as_slice() {
            [first, section, name, deeper @ ..] if first == "components" => {
                (self.components.get(&**section).and_then(|section| section.get(&**name)), deeper)
            }
            [first, path, deeper @ ..] if first == "paths" => (self.item(path), deeper),
            [first, deeper @ ..] => (self.rest.get(&**first), deeper),
            [] => (None, [].as_slice()),
        };
        let mut text = self.slice(span.ok_or(ReferenceError::Missing)?);
        for token in deeper {
            work.charge(text.len())?;
            text = child(text, token).ok_or(ReferenceError::Missing)?;
        }
        Ok(text)
    }

    /// Where the item of a path stands; of a path that stands there twice, the first.
    fn item(&self, path: &str) -> Option<&Span> {
        let at = |place: &usize| self.paths.get(*place);
        let first = self.by_path.partition_point(|place| at(place).is_some_and(|(known, _)| **known < *path));
        self.by_path.get(first).and_then(at).filter(|(known, _)| **known == *path).map(|(_, span)| span)
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document").field("bytes", &self.text.len()).field("paths", &self.paths.len()).finish()
    }
}

/// One step of a JSON pointer (RFC 6901 section 4).
fn child<'a>(text: &'a str, token: &str) -> Option<&'a str> {
    if text.starts_with('{') {
        return member(text, token);
    }
    let index = token.parse::<usize>().ok().filter(|index| *index < MAX_INDEX)?;
    elements(text, index + 1)?.get(index).copied()
}

/// Where a slice stands in the text that it was cut from.
fn span_in(text: &str, part: &str) -> Span {
    let from = part.as_ptr().addr().saturating_sub(text.as_ptr().addr());
    from..from + part.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(document: &Document, reference: &str) -> Result<String, ReferenceError> {
        document.resolve(reference, &mut Work::of(10_000)).map(str::to_owned)
    }

    #[test]
    fn a_reference_is_a_pointer_into_the_document() {
        let text = r##"{"openapi":"3.1.0","x-more":{"list":[10,{"deep":11}]},"paths":{"/a/{b}":{"get":{"x":1}}},"components":
            {"schemas":{"a/b~c d":1,"to":{"$ref":"#/components/schemas/a~1b~0c%20d"},"one":{"$ref":"#/components/schemas/two"},
            "two":{"$ref":"#/components/schemas/one"},"out":{"$ref":"other.json#/a"}},"parameters":7}}"##;
        let document = Document::read(Cow::Borrowed(text)).unwrap();
        let cases = [
            ("#/components/schemas/a~1b~0c%20d", Ok("1")),
            ("#/components/schemas/to", Ok("1")),
            ("#/x-more/list/1/deep", Ok("11")),
            ("#/paths/~1a~1%7Bb%7D/get/x", Ok("1")),
            ("#/components/schemas/one", Err(ReferenceError::Circle)),
            ("#/components/schemas/out", Err(ReferenceError::Outside)),
            ("other.yaml", Err(ReferenceError::Outside)),
            ("#/components/schemas/none", Err(ReferenceError::Missing)),
            ("#/components/parameters/none", Err(ReferenceError::Missing)),
            ("#/x-more/list/9", Err(ReferenceError::Missing)),
            ("#/x-more/list/-1", Err(ReferenceError::Missing)),
            ("#", Err(ReferenceError::Missing)),
            ("#/", Err(ReferenceError::Missing)),
            ("#/%ff", Err(ReferenceError::Missing)),
        ];
        for (reference, expected) in cases {
            assert_eq!(resolve(&document, reference).as_deref(), expected.as_ref().copied(), "{reference}");
        }
        assert_eq!(document.resolve("#/x-more/list", &mut Work::of(140)), Err(ReferenceError::TooMuch));
    }
}
