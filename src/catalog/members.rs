//! One level of a JSON object: names read, values left as the text they are.
//!
//! An object that holds a name twice is refused, since its readers would disagree, and so is one with more members than
//! anybody writes. Nothing below the level is looked at
//! but for its grammar, so that a large document costs one pass and what is never asked for costs no memory.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::json;

/// The most members of an object.
const MAX_MEMBERS: usize = 10_000;

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
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
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
                    if known || members.len() == MAX_MEMBERS {
                        return Err(A::Error::custom("an object holds the same key again, or too many"));
                    }
                    members.push((key, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Read)
    }
}

/// The texts of an array's first elements, at most so many; `None` for a text that is no array.
pub(super) fn elements(text: &str, most: usize) -> Option<Vec<&str>> {
    struct Read(usize);
    impl<'de> Visitor<'de> for Read {
        type Value = Vec<&'de str>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let mut elements = Vec::new();
            while elements.len() < self.0 {
                let Some(raw) = seq.next_element::<&'de RawValue>()? else { return Ok(elements) };
                elements.push(raw.get());
            }
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            Ok(elements)
        }
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    let elements = reader.deserialize_seq(Read(most)).ok()?;
    reader.end().ok().map(|()| elements)
}

/// The value of one member, all others passed over; `None` where it is not there once, or the text is no object.
pub(super) fn member<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    struct Read<'n>(&'n str);
    impl<'de> Visitor<'de> for Read<'_> {
        type Value = Option<&'de RawValue>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut found = None;
            while let Some(Key(key)) = map.next_key::<Key<'de>>()? {
                if key != self.0 {
                    map.next_value::<IgnoredAny>()?;
                } else if found.replace(map.next_value()?).is_some() {
                    return Err(A::Error::custom("an object holds the same key again"));
                }
            }
            Ok(found)
        }
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    let found = reader.deserialize_map(Read(name)).ok()?;
    reader.end().ok()?;
    found.map(RawValue::get)
}

/// A key, borrowed where it has no escape.
pub(super) struct Key<'a>(pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Key<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
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
        assert_eq!(elements("[1, [2] ]", 9), Some(vec!["1", "[2]"]));
        assert_eq!(elements("[1, [2] , 3]", 2), Some(vec!["1", "[2]"]));
        for text in ["[1, 2 3]", "[1] 2", "{}", "[1,", "7"] {
            assert_eq!(elements(text, 1), None, "{text}");
        }
    }

    #[test]
    fn one_member_is_found_however_many_there_are() {
        let many: String = (0..=MAX_MEMBERS).map(|n| format!("\"k{n}\":{n},")).collect();
        let text = format!("{{{many}\"\\u0061\": [1] }}");
        assert!(Members::read(&text).is_none());
        assert_eq!((member(&text, "a"), member(&text, "k7"), member(&text, "b")), (Some("[1]"), Some("7"), None));
        for text in [r#"{"a":1,"a":1}"#, r#"{"a":1} 2"#, r#"{"a":1"#, "[]", "7"] {
            assert_eq!(member(text, "a"), None, "{text}");
        }
    }
}
