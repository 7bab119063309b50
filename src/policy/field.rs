//! Names of members in JSON, as `[response] redact` and the agent's `fields` write them.
//!
//! Promises that a path names something and never everything: it ends in a name or in `*`. Names are compared exactly,
//! as they are after JSON's escapes. Refuses empty names and more segments or bytes than anybody needs.

use std::fmt;

/// The longest path, in segments and in bytes.
const MAX_SEGMENTS: usize = 32;
const MAX_BYTES: usize = 256;

/// A path to members of a JSON text: `owner.email`, `*.token`, `**.password`.
///
/// Arrays are looked through: `items.id` is the member of each element. `*` stands for one member or one array element,
/// `**` for any depth; `\` before `.`, `*` or `\` makes it part of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldPath {
    segments: Vec<Segment>,
}

/// One step of a [`FieldPath`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// A member of that name.
    Name(Box<str>),
    /// One member, or one element of an array.
    One,
    /// Any number of members, none included.
    Any,
}

/// Why a text is no [`FieldPath`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FieldPathError {
    /// Nothing between two dots, or nothing at all.
    #[error("a name in it is empty")]
    EmptyName,
    /// `*` or `**` beside other characters.
    #[error("`*` stands for a whole name; write `\\*` for the character")]
    PartStar,
    /// A backslash before something else.
    #[error("a backslash stands before `.`, `*` or `\\` only")]
    Escape,
    /// `**` at the end would mean everything.
    #[error("`**` cannot come last: name the member itself")]
    AnyLast,
    /// Longer than anybody needs.
    #[error("it is longer than {MAX_BYTES} bytes or {MAX_SEGMENTS} names")]
    TooLong,
}

impl FieldPath {
    /// A path that begins at the root of the text.
    ///
    /// # Errors
    /// The first thing wrong with it.
    pub fn from_root(text: &str) -> Result<Self, FieldPathError> {
        if text.len() > MAX_BYTES {
            return Err(FieldPathError::TooLong);
        }
        let mut segments = Vec::new();
        let mut word = Word::default();
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            match character {
                '.' => push(&mut segments, std::mem::take(&mut word).segment()?),
                '*' => word.stars += 1,
                '\\' => match characters.next() {
                    Some(plain @ ('.' | '*' | '\\')) => word.name.push(plain),
                    Some(_) | None => return Err(FieldPathError::Escape),
                },
                plain => word.name.push(plain),
            }
        }
        push(&mut segments, word.segment()?);
        match segments.last() {
            Some(Segment::Any) => Err(FieldPathError::AnyLast),
            Some(Segment::Name(_) | Segment::One) | None if segments.len() > MAX_SEGMENTS => {
                Err(FieldPathError::TooLong)
            }
            Some(Segment::Name(_) | Segment::One) | None => Ok(Self { segments }),
        }
    }

    /// As [`from_root`](Self::from_root), but that a bare name is met at any depth.
    ///
    /// # Errors
    /// The first thing wrong with it.
    pub fn anywhere(text: &str) -> Result<Self, FieldPathError> {
        let mut path = Self::from_root(text)?;
        if let [Segment::Name(_)] = path.segments.as_slice() {
            path.segments.insert(0, Segment::Any);
        }
        Ok(path)
    }

    /// The steps from the root; the last is a name or `*`, and no two `**` follow each other.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, segment) in self.segments.iter().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            match segment {
                Segment::Name(name) => {
                    f.write_str(&name.replace('\\', "\\\\").replace('.', "\\.").replace('*', "\\*"))?;
                }
                Segment::One => f.write_str("*")?,
                Segment::Any => f.write_str("**")?,
            }
        }
        Ok(())
    }
}

/// What stands between two dots.
#[derive(Default)]
struct Word {
    name: String,
    stars: usize,
}

impl Word {
    fn segment(self) -> Result<Segment, FieldPathError> {
        match (self.name.is_empty(), self.stars) {
            (true, 0) => Err(FieldPathError::EmptyName),
            (true, 1) => Ok(Segment::One),
            (true, 2) => Ok(Segment::Any),
            (false, 0) => Ok(Segment::Name(self.name.into_boxed_str())),
            (true | false, _) => Err(FieldPathError::PartStar),
        }
    }
}

fn push(segments: &mut Vec<Segment>, segment: Segment) {
    // Two of them say no more than one.
    if segment != Segment::Any || segments.last() != Some(&Segment::Any) {
        segments.push(segment);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_prints_as_it_was_written() {
        for text in ["email", "**.password", "user.address.street", "items.*.token", r"a\.b.c\*\\d", "é. b"] {
            assert_eq!(FieldPath::from_root(text).map(|path| path.to_string()), Ok(text.to_owned()));
        }
        assert_eq!(FieldPath::from_root("a.**.**.b").unwrap().to_string(), "a.**.b");
    }

    #[test]
    fn a_bare_name_is_met_at_any_depth_and_a_path_is_not() {
        assert_eq!(FieldPath::anywhere("email"), FieldPath::from_root("**.email"));
        assert_eq!(FieldPath::anywhere("user.email"), FieldPath::from_root("user.email"));
        assert_eq!(FieldPath::anywhere("*"), FieldPath::from_root("*"));
    }

    #[test]
    fn a_path_that_names_nothing_or_everything_is_refused() {
        for (text, error) in [
            ("", FieldPathError::EmptyName),
            ("a..b", FieldPathError::EmptyName),
            (".a", FieldPathError::EmptyName),
            ("a.", FieldPathError::EmptyName),
            ("**", FieldPathError::AnyLast),
            ("a.**", FieldPathError::AnyLast),
            ("a*", FieldPathError::PartStar),
            ("***.a", FieldPathError::PartStar),
            (r"a\b", FieldPathError::Escape),
            ("a\\", FieldPathError::Escape),
        ] {
            assert_eq!(FieldPath::from_root(text), Err(error), "{text}");
        }
        assert_eq!(FieldPath::from_root(&"a".repeat(257)), Err(FieldPathError::TooLong));
        assert_eq!(FieldPath::from_root(&["a"; 33].join(".")), Err(FieldPathError::TooLong));
    }
}
