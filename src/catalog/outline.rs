//! Where paths, components and the members of the top stand in the text of a document: one pass, nothing copied.
//!
//! It refuses a text that is no JSON, and more names than can be kept. Promises nothing of what they name.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::excerpt::Excerpt;
use super::members::Key;
use super::warning::DocumentError;

/// The most names that are kept: paths, components, and members of the top.
const MAX_NAMES: usize = 100_000;

/// The members of an object, values raw. Of a name that stands twice the last is found.
pub(super) type Raws<'a> = Vec<(Cow<'a, str>, &'a RawValue)>;

/// The sections of `components`; `None` for one that is no object.
pub(super) type Sections<'a> = Vec<(Cow<'a, str>, Option<Raws<'a>>)>;

/// The top of the document; `Some(None)` for what is there and no object.
#[derive(Default)]
pub(super) struct Root<'a> {
    pub(super) paths: Option<Option<Raws<'a>>>,
    pub(super) components: Option<Option<Sections<'a>>>,
    pub(super) rest: Raws<'a>,
}

impl<'a> Root<'a> {
    pub(super) fn read(text: &'a str) -> Result<Self, DocumentError> {
        let names = Cell::new(MAX_NAMES);
        let mut reader = serde_json::Deserializer::from_str(text);
        let root = Object(Top(&names)).deserialize(&mut reader).and_then(|root| reader.end().map(|()| root));
        // Whatever else is wrong with the text is its grammar.
        let error = |error: serde_json::Error| match error.is_data() {
            true => DocumentError::TooManyNames,
            // serde_json calls the place before the first character of a line its column 0.
            false => DocumentError::Json { line: error.line().max(1), column: error.column().max(1) },
        };
        root.map_err(error)?.ok_or(DocumentError::NotAnObject)
    }

    pub(super) fn check_version(&self) -> Result<(), DocumentError> {
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

/// What is made of the members of an object, each taking one of the names that are left.
trait Shape<'de> {
    type Output;

    fn read<A: MapAccess<'de>>(self, map: A) -> Result<Self::Output, A::Error>;
}

/// The next name of an object.
fn next_name<'de, A: MapAccess<'de>>(map: &mut A, left: &Cell<usize>) -> Result<Option<Cow<'de, str>>, A::Error> {
    let Some(Key(name)) = map.next_key()? else { return Ok(None) };
    left.set(left.get().checked_sub(1).ok_or_else(|| A::Error::custom("too many names"))?);
    Ok(Some(name))
}

struct Raw<'c>(&'c Cell<usize>);

impl<'de> Shape<'de> for Raw<'_> {
    type Output = Raws<'de>;

    fn read<A: MapAccess<'de>>(self, mut map: A) -> Result<Raws<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some(name) = next_name(&mut map, self.0)? {
            members.push((name, map.next_value()?));
        }
        Ok(members)
    }
}

struct InSections<'c>(&'c Cell<usize>);

impl<'de> Shape<'de> for InSections<'_> {
    type Output = Sections<'de>;

    fn read<A: MapAccess<'de>>(self, mut map: A) -> Result<Sections<'de>, A::Error> {
        let mut sections = Vec::new();
        while let Some(name) = next_name(&mut map, self.0)? {
            sections.push((name, map.next_value_seed(Object(Raw(self.0)))?));
        }
        Ok(sections)
    }
}

struct Top<'c>(&'c Cell<usize>);

impl<'de> Shape<'de> for Top<'_> {
    type Output = Root<'de>;

    fn read<A: MapAccess<'de>>(self, mut map: A) -> Result<Root<'de>, A::Error> {
        let mut root = Root::default();
        while let Some(name) = next_name(&mut map, self.0)? {
            match name.as_ref() {
                "paths" => root.paths = Some(map.next_value_seed(Object(Raw(self.0)))?),
                "components" => root.components = Some(map.next_value_seed(Object(InSections(self.0)))?),
                _ => root.rest.push((name, map.next_value()?)),
            }
        }
        Ok(root)
    }
}

/// Reads an object of that shape; any other value is passed over and `None`.
struct Object<S>(S);

impl<'de, S: Shape<'de>> DeserializeSeed<'de> for Object<S> {
    type Value = Option<S::Output>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, S: Shape<'de>> Visitor<'de> for Object<S> {
    type Value = Option<S::Output>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        self.0.read(map).map(Some)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}
