//! The text of an OpenAPI document with an index of its places.
//!
//! Promises: one pass over the text finds where each path item and component stands; nothing is copied but names. It
//! refuses references out of the document and bounds every walk along them. Trusts: nothing but that the text is UTF-8.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::MAX_DOCUMENT;
use super::excerpt::Excerpt;
use super::members::{Key, Members, elements};
use super::warning::{DocumentError, ReferenceError};
use super::yaml;

/// The most references that are followed one after another.
const MAX_HOPS: usize = 16;

/// The most tokens of one JSON pointer.
const MAX_TOKENS: usize = 32;

/// Where a value stands in the text, in bytes.
pub(super) type Span = Range<usize>;

/// A document whose outermost shape is that of OpenAPI 3.
pub(super) struct Document {
    text: Cow<'static, str>,
    paths: Vec<(String, Span)>,
    by_path: HashMap<String, usize>,
    components: HashMap<String, HashMap<String, Span>>,
    rest: HashMap<String, Span>,
}

impl Document {
    /// Reads JSON, or YAML where the text does not begin as JSON does.
    pub(super) fn read(text: Cow<'static, str>) -> Result<Self, DocumentError> {
        if text.len() > MAX_DOCUMENT {
            return Err(DocumentError::TooLong);
        }
        let text = if text.trim_start().starts_with(['{', '[']) { text } else { Cow::Owned(yaml::to_json(&text)?) };
        let root: Node<Root<'_>> = serde_json::from_str(&text)
            .map_err(|error| DocumentError::Json { line: error.line(), column: error.column() })?;
        let Node::Object(root) = root else {
            return Err(DocumentError::NotAnObject);
        };
        root.check_version()?;
        let Some(Node::Object(Level(items))) = root.paths else {
            return Err(DocumentError::Paths);
        };
        let spans = |level: Level<'_, &RawValue>| -> Vec<(String, Span)> {
            level.0.into_iter().map(|(name, raw)| (name.into_owned(), span_in(&text, raw.get()))).collect()
        };
        let paths = spans(Level(items));
        let by_path = paths.iter().enumerate().map(|(index, (path, _))| (path.clone(), index)).collect();
        let components = match root.components {
            Some(Node::Object(Level(sections))) => sections
                .into_iter()
                .filter_map(|(name, section)| match section {
                    Node::Object(members) => Some((name.into_owned(), spans(members).into_iter().collect())),
                    Node::Other => None,
                })
                .collect(),
            Some(Node::Other) | None => HashMap::new(),
        };
        let rest = spans(Level(root.rest)).into_iter().collect();
        Ok(Self { paths, by_path, components, rest, text })
    }

    /// Paths and the texts of their items, in the document's order.
    pub(super) fn paths(&self) -> impl Iterator<Item = (&str, &str)> {
        self.paths.iter().map(|(path, span)| (path.as_str(), self.slice(span)))
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

    /// The text that a reference leads to, through other references if need be. `work` counts the bytes that were
    /// looked at; they end at `most`.
    pub(super) fn resolve<'a>(&'a self, reference: &str, work: &mut Work) -> Result<&'a str, ReferenceError> {
        let mut reference = Cow::Borrowed(reference);
        for _ in 0..MAX_HOPS {
            let target = self.target(&reference, work)?;
            work.charge(target.len())?;
            let next = Members::read(target).and_then(|members| members.text("$ref"));
            match next {
                Some(next) => reference = Cow::Owned(next.into_owned()),
                None => return Ok(target),
            }
        }
        Err(ReferenceError::Circle)
    }

    fn target(&self, reference: &str, work: &mut Work) -> Result<&str, ReferenceError> {
        let pointer = reference.strip_prefix('#').ok_or(ReferenceError::Outside)?;
        let pointer = percent_decode_str(pointer).decode_utf8().map_err(|_| ReferenceError::Missing)?;
        let tokens: Vec<String> =
            pointer.split('/').skip(1).map(|token| token.replace("~1", "/").replace("~0", "~")).collect();
        if tokens.len() > MAX_TOKENS {
            return Err(ReferenceError::Missing);
        }
        let (span, deeper) = match tokens.as_slice() {
            [first, section, name, deeper @ ..] if first == "components" => {
                (self.components.get(section).and_then(|section| section.get(name)), deeper)
            }
            [first, path, deeper @ ..] if first == "paths" => {
                let item = self.by_path.get(path).and_then(|index| self.paths.get(*index));
                (item.map(|(_, span)| span), deeper)
            }
            [first, deeper @ ..] => (self.rest.get(first), deeper),
            [] => (None, [].as_slice()),
        };
        let mut text = self.slice(span.ok_or(ReferenceError::Missing)?);
        for token in deeper {
            work.charge(text.len())?;
            text = child(text, token).ok_or(ReferenceError::Missing)?;
        }
        Ok(text)
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document").field("bytes", &self.text.len()).field("paths", &self.paths.len()).finish()
    }
}

/// How many bytes may still be looked at along references: small ones that lead to large texts multiply.
#[derive(Debug)]
pub(super) struct Work(usize);

impl Work {
    pub(super) fn of(bytes: usize) -> Self {
        Self(bytes)
    }

    pub(super) fn charge(&mut self, bytes: usize) -> Result<(), ReferenceError> {
        self.0 = self.0.checked_sub(bytes).ok_or(ReferenceError::TooMuch)?;
        Ok(())
    }
}

/// One step of a JSON pointer (RFC 6901 section 4).
fn child<'a>(text: &'a str, token: &str) -> Option<&'a str> {
    match Members::read(text) {
        Some(members) => members.get(token),
        None => elements(text)?.get(token.parse::<usize>().ok()?).copied(),
    }
}

/// Where a slice stands in the text that it was cut from.
fn span_in(text: &str, part: &str) -> Span {
    let from = part.as_ptr().addr().saturating_sub(text.as_ptr().addr());
    from..from + part.len()
}

/// An object, or any other value, which is passed over.
enum Node<T> {
    Object(T),
    Other,
}

/// The members of an object. A name that stands twice keeps its last value.
struct Level<'a, T>(Vec<(Cow<'a, str>, T)>);

/// The top of the document.
#[derive(Default)]
struct Root<'a> {
    paths: Option<Node<Level<'a, &'a RawValue>>>,
    components: Option<Node<Level<'a, Node<Level<'a, &'a RawValue>>>>>,
    rest: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl Root<'_> {
    fn check_version(&self) -> Result<(), DocumentError> {
        let word = |name: &str| {
            let raw = self.rest.iter().find(|(known, _)| known == name).map(|(_, raw)| raw.get());
            raw.map(|raw| raw.trim_matches('"'))
        };
        if let Some(version) = word("swagger") {
            return Err(DocumentError::Swagger { version: Excerpt::of(version) });
        }
        let version = word("openapi").ok_or(DocumentError::NotOpenApi)?;
        let read = ["3.0", "3.1"].into_iter().any(|known| {
            version.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-']))
        });
        if read { Ok(()) } else { Err(DocumentError::Version { version: Excerpt::of(version) }) }
    }
}

/// What can be read from the members of an object, one after another.
trait FromMembers<'de>: Sized {
    fn from_members<A: MapAccess<'de>>(map: A) -> Result<Self, A::Error>;
}

impl<'de, T: Deserialize<'de>> FromMembers<'de> for Level<'de, T> {
    fn from_members<A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
        let mut members = Vec::new();
        while let Some((Key(key), value)) = map.next_entry::<Key<'de>, T>()? {
            members.push((key, value));
        }
        Ok(Self(members))
    }
}

impl<'de> FromMembers<'de> for Root<'de> {
    fn from_members<A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
        let mut root = Self::default();
        while let Some(Key(key)) = map.next_key::<Key<'de>>()? {
            match key.as_ref() {
                "paths" => root.paths = Some(map.next_value()?),
                "components" => root.components = Some(map.next_value()?),
                _ => root.rest.push((key, map.next_value()?)),
            }
        }
        Ok(root)
    }
}

impl<'de, T: FromMembers<'de>> Deserialize<'de> for Node<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Read(std::marker::PhantomData))
    }
}

struct Read<T>(std::marker::PhantomData<T>);

impl<'de, T: FromMembers<'de>> Visitor<'de> for Read<T> {
    type Value = Node<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Node<T>, A::Error> {
        T::from_members(map).map(Node::Object)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node<T>, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Node::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Node<T>, E> {
        Ok(Node::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Node<T>, E> {
        Ok(Node::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Node<T>, E> {
        Ok(Node::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node<T>, E> {
        Ok(Node::Other)
    }

    fn visit_str<E>(self, _: &str) -> Result<Node<T>, E> {
        Ok(Node::Other)
    }

    fn visit_unit<E>(self) -> Result<Node<T>, E> {
        Ok(Node::Other)
    }
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
        assert_eq!(document.resolve("#/x-more/list", &mut Work::of(3)), Err(ReferenceError::TooMuch));
    }
}
