//! One level of a JSON object: names read, values left as the text they are.
//!
//! An object that holds a name twice is refused, since its readers would disagree. Nothing below the level is looked at
//! but for its grammar, so that a large document costs one pass and what is never asked for costs no memory.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{Error, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::json;

/// Up to this many names an object is searched at each new one; a larger one keeps a set of them.
const FEW: usize = 16;

/// The members of an object in order, values raw.
#[derive(Debug, Default)]
pub(super) struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Members<'a> {
    /// Reads a text that is one JSON object; `None` for any other.
    pub(super) fn read(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The text of a member's value.
    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.get())
    }

    /// A member that is a string.
    pub(super) fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        self.get(name).and_then(json::string)
    }

    /// Whether a member is there and `true`.
    pub(super) fn is_true(&self, name: &str) -> bool {
        self.get(name) == Some("true")
    }

    /// How many members there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Names and the text of their values.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &'a str)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), value.get()))
    }
}

impl<'a> IntoIterator for Members<'a> {
    type Item = (Cow<'a, str>, &'a RawValue);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members: Vec<(Cow<'de, str>, &'de RawValue)> = Vec::with_capacity(4);
                let mut many: HashSet<Cow<'de, str>> = HashSet::new();
                while let Some((Key(key), value)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
                    let known = if members.len() < FEW {
                        members.iter().any(|(known, _)| *known == key)
                    } else {
                        if many.is_empty() {
                            many.extend(members.iter().map(|(known, _)| known.clone()));
                        }
                        !many.insert(key.clone())
                    };
                    if known {
                        return Err(A::Error::custom("an object holds the same key again"));
                    }
                    members.push((key, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Read)
    }
}

/// The texts of an array's elements; `None` for a text that is no array.
pub(super) fn elements(text: &str) -> Option<Vec<&str>> {
    let raw: Vec<&RawValue> = serde_json::from_str(text).ok()?;
    Some(raw.into_iter().map(RawValue::get).collect())
}

/// A key, borrowed where it has no escape.
pub(super) struct Key<'a>(pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Key<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Key<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_stands_twice_is_refused_in_small_and_large_objects() {
        assert_eq!(Members::read(r#"{"a":1,"b":[2]}"#).unwrap().len(), 2);
        assert!(Members::read(r#"{"a":1,"\u0061":2}"#).is_none());
        let names: String = (0..40).map(|n| format!("\"k{n}\":0,")).collect();
        assert_eq!(Members::read(&format!("{{{names}\"k\":0}}")).unwrap().len(), 41);
        for again in ["k0", "k15", "k16", "k39"] {
            assert!(Members::read(&format!("{{{names}\"{again}\":0}}")).is_none(), "{again}");
        }
        assert!(Members::read("[]").is_none() && Members::read("{} x").is_none());
    }

    #[test]
    fn values_keep_their_text() {
        let members = Members::read(r#"{"n": 1.50 ,"s":"a\n","t":true}"#).unwrap();
        assert_eq!(members.get("n"), Some("1.50"));
        assert_eq!(members.text("s").as_deref(), Some("a\n"));
        assert!(members.is_true("t") && !members.is_true("n"));
        assert_eq!(elements("[1, [2] ]"), Some(vec!["1", "[2]"]));
    }
}
