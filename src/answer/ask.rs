//! What an agent asks of an answer's form, in the argument `answer`: `fields=id,owner.login; as=toon; from=100`.
//!
//! Promises that nothing of it reaches the API, and that nothing asked for here shows what the policy redacts. Refuses
//! words it does not know, and each word twice.

use crate::policy::{FieldPath, FieldPathError, Format, Segment};

/// The longest argument, in bytes, and the most fields in it.
const MAX_BYTES: usize = 2_048;
const MAX_FIELDS: usize = 64;
/// The most `**` in all fields together: each is held against every member of the answer.
const MAX_DEEP: usize = 2;

/// How the agent wants an answer; by default as the policy says, whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ask {
    /// The members to keep, as paths from the root.
    pub(super) fields: Option<Vec<FieldPath>>,
    pub(super) format: Option<Format>,
    /// The first element of the largest array that is wanted.
    pub(super) from: Option<usize>,
}

/// Why an argument `answer` is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// Too much work on a large answer.
    #[error("`fields` holds more than {MAX_DEEP} `**`; name the members from the root")]
    TooDeep,
    /// Longer than anybody needs.
    #[error("`answer` is longer than {MAX_BYTES} bytes or {MAX_FIELDS} fields")]
    TooLong,
    /// Something else than the three words.
    #[error("`answer` is made of `fields=a,b.c`, `as=json` or `as=toon`, and `from=N`, divided by `;`")]
    Unknown,
    /// A word given twice.
    #[error("`answer` names `{0}` twice")]
    Twice(&'static str),
    /// Another form.
    #[error("`answer` knows `as=json` and `as=toon`")]
    Format,
    /// No whole number.
    #[error("`from` in `answer` is the number of an element, from 0")]
    From,
    /// A field that names nothing.
    #[error("a field in `answer` cannot be read: {0}")]
    Field(FieldPathError),
}

impl Ask {
    /// Reads the argument.
    ///
    /// # Errors
    /// [`AskError`], which says what there is.
    pub fn parse(text: &str) -> Result<Self, AskError> {
        if text.len() > MAX_BYTES {
            return Err(AskError::TooLong);
        }
        let mut ask = Self::default();
        for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            let (word, value) = part.split_once('=').ok_or(AskError::Unknown)?;
            let value = value.trim();
            match word.trim() {
                "fields" => set(&mut ask.fields, "fields", fields(value)?)?,
                "as" => set(&mut ask.format, "as", format(value)?)?,
                "from" => set(&mut ask.from, "from", value.parse().map_err(|_| AskError::From)?)?,
                _ => return Err(AskError::Unknown),
            }
        }
        Ok(ask)
    }
}

fn set<T>(place: &mut Option<T>, word: &'static str, value: T) -> Result<(), AskError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(AskError::Twice(word)),
    }
}

fn fields(value: &str) -> Result<Vec<FieldPath>, AskError> {
    let paths: Vec<_> = value
        .split(',')
        .map(|path| FieldPath::from_root(path.trim()))
        .collect::<Result<_, _>>()
        .map_err(AskError::Field)?;
    if paths.len() > MAX_FIELDS {
        return Err(AskError::TooLong);
    }
    let deep = paths.iter().flat_map(FieldPath::segments).filter(|segment| **segment == Segment::Any).count();
    if deep > MAX_DEEP { Err(AskError::TooDeep) } else { Ok(paths) }
}

fn format(value: &str) -> Result<Format, AskError> {
    match value {
        "json" => Ok(Format::Json),
        "toon" => Ok(Format::Toon),
        _ => Err(AskError::Format),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_words_are_read_in_any_order() {
        let ask = Ask::parse(" from=100 ;fields = id, owner.login,**.tag;as=toon;").unwrap();
        let fields: Vec<String> = ask.fields.unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(fields, ["id", "owner.login", "**.tag"]);
        assert_eq!((ask.format, ask.from), (Some(Format::Toon), Some(100)));
        assert_eq!(Ask::parse(""), Ok(Ask::default()));
    }

    #[test]
    fn whatever_else_it_says_is_refused() {
        for (text, error) in [
            ("id,name", AskError::Unknown),
            ("field=id", AskError::Unknown),
            ("Fields=id", AskError::Unknown),
            ("as=structured", AskError::Format),
            ("as=xml", AskError::Format),
            ("from=-1", AskError::From),
            ("from=", AskError::From),
            ("from=1;from=2", AskError::Twice("from")),
            ("fields=", AskError::Field(FieldPathError::EmptyName)),
            ("fields=a,,b", AskError::Field(FieldPathError::EmptyName)),
            ("fields=**.a,**.b,**.c", AskError::TooDeep),
            ("fields=**", AskError::Field(FieldPathError::AnyLast)),
        ] {
            assert_eq!(Ask::parse(text), Err(error), "{text}");
        }
        assert_eq!(Ask::parse(&format!("fields={}", ["a"; 65].join(","))), Err(AskError::TooLong));
        assert_eq!(Ask::parse(&format!("fields={}", "a".repeat(2_048))), Err(AskError::TooLong));
    }
}
