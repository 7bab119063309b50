//! R2 and R3: the path, refused or canonical, never repaired.
//!
//! A [`Path`] holds the canonical bytes that rules match and the wire carries, and the deny forms in which denials
//! compare. It refuses whatever two parties could read differently: dot segments in any spelling, empty segments,
//! needless encodings, characters that turn into path syntax, invisible characters.

use std::borrow::Cow;
use std::fmt;

use percent_encoding::percent_decode_str;

use super::canonical::{canonical, check_characters};
use super::encoded::Encoded;
use super::fold::fold_decoded;
use super::readings::readings;

/// The longest canonical path, in bytes (R2.8).
pub const MAX_PATH: usize = 4_096;
/// The most segments; an empty one after a trailing slash is not counted (R2.8).
pub const MAX_SEGMENTS: usize = 64;
/// The longest canonical segment, in bytes (R2.8).
pub const MAX_SEGMENT: usize = 1_024;

/// A path that keeps R2, in canonical form.
pub struct Path {
    canonical: String,
    encoded: Encoded,
    deny_forms: Vec<DenyForm>,
}

impl Path {
    /// Checks a path and puts it into canonical form.
    ///
    /// Encoded reserved characters (`%2F` and its like) are accepted, and [`Path::encoded`] tells of them: whoever
    /// judges the path must refuse it unless a rule lists them all.
    ///
    /// # Errors
    /// The first thing that R2 bars, in the text or in any of its decoded forms.
    pub fn parse(raw: &str) -> Result<Self, PathError> {
        let (canonical, in_text) = checked_text(raw)?;
        if in_text.is_empty() {
            let deny_forms = vec![DenyForm::of_canonical(&canonical)?];
            return Ok(Self { deny_forms, encoded: in_text, canonical });
        }
        let (readings, in_readings) = readings(&canonical)?;
        let mut deny_forms: Vec<DenyForm> = Vec::with_capacity(readings.len());
        for reading in readings {
            let form = DenyForm::of_reading(&reading);
            if !deny_forms.contains(&form) {
                deny_forms.push(form);
            }
        }
        Ok(Self { deny_forms, encoded: in_text.union(in_readings), canonical })
    }

    /// The canonical bytes, beginning with `/` (R3).
    pub fn canonical(&self) -> &str {
        &self.canonical
    }

    /// The canonical segments. A trailing slash is an empty last segment; the root is one empty segment.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &str> + Clone {
        segments(&self.canonical)
    }

    /// The encoded reserved characters that the path holds, at any depth of encoding: `%252F` holds `%25` and `%2F`.
    /// Unless it is empty, only a rule that lists all of them may grant the path (R2.3).
    pub fn encoded(&self) -> Encoded {
        self.encoded
    }

    /// The forms in which denials compare (R5): one, or, where the path holds encoded reserved characters, one for
    /// each way to read it (R2.3). A denial that matches any of them matches the path.
    pub fn deny_forms(&self) -> &[DenyForm] {
        &self.deny_forms
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Path").field(&self.canonical).finish()
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.canonical)
    }
}

/// One reading of a path as denials see it (R5).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DenyForm {
    segments: Vec<Box<str>>,
}

impl DenyForm {
    /// The folded segments (see [`super::fold::fold_segment`]). An empty one after a trailing slash is left out; the
    /// root has none.
    pub fn segments(&self) -> &[Box<str>] {
        &self.segments
    }

    /// The one reading of a path without encoded reserved characters, checked against R2.4, R2.5 and R2.7.
    fn of_canonical(canonical: &str) -> Result<Self, PathError> {
        let mut folded = Vec::with_capacity(canonical.bytes().filter(|&byte| byte == b'/').count());
        for segment in segments(canonical).filter(|segment| !segment.is_empty()) {
            let decoded = decode(segment)?;
            check_segment(&decoded)?;
            folded.push(fold_decoded(&decoded).into());
        }
        Ok(Self { segments: folded })
    }

    /// A reading from [`readings`], which has checked it.
    fn of_reading(decoded: &[Cow<'_, str>]) -> Self {
        let mut segments: Vec<Box<str>> = decoded.iter().map(|segment| fold_decoded(segment).into()).collect();
        if decoded.last().is_some_and(|last| last.is_empty()) {
            segments.pop();
        }
        Self { segments }
    }
}

/// Puts the text of a policy's glob through the function that paths go through, so that both compare as bytes (R3).
/// `*` is an ordinary character here.
///
/// # Errors
/// Whatever [`Path::parse`] refuses, and every encoded reserved character: a glob cannot spell one out, `*` covers it.
pub fn canonical_glob_text(glob: &str) -> Result<String, PathError> {
    let (canonical, encoded) = checked_text(glob)?;
    if !encoded.is_empty() {
        return Err(PathError::EncodedReserved { encoded });
    }
    DenyForm::of_canonical(&canonical)?;
    Ok(canonical)
}

/// The checks that need no decoding (R2.1, R2.2, R2.3, R2.6, R2.8), and the canonical text.
fn checked_text(raw: &str) -> Result<(String, Encoded), PathError> {
    if !raw.starts_with('/') {
        return Err(PathError::NotRooted);
    }
    if raw.len() > MAX_PATH {
        return Err(PathError::TooLong);
    }
    let (canonical, encoded) = canonical(raw)?;
    if canonical.len() > MAX_PATH {
        return Err(PathError::TooLong);
    }
    check_shape(&canonical)?;
    Ok((canonical, encoded))
}

/// R2.6 and R2.8 on the canonical segments.
fn check_shape(canonical: &str) -> Result<(), PathError> {
    let mut numbered = segments(canonical).zip(1..).peekable();
    while let Some((segment, number)) = numbered.next() {
        let last = numbered.peek().is_none();
        if segment.is_empty() && !last {
            return Err(PathError::EmptySegment);
        }
        if number > MAX_SEGMENTS && !segment.is_empty() {
            return Err(PathError::TooManySegments);
        }
        if segment.len() > MAX_SEGMENT {
            return Err(PathError::SegmentTooLong { number });
        }
    }
    Ok(())
}

fn segments(canonical: &str) -> impl DoubleEndedIterator<Item = &str> + Clone {
    canonical.strip_prefix('/').unwrap_or_default().split('/')
}

/// Undoes one layer of percent-encoding (R2.4).
pub(super) fn decode(segment: &str) -> Result<Cow<'_, str>, PathError> {
    if segment.contains('%') {
        percent_decode_str(segment).decode_utf8().map_err(|_| PathError::NotUtf8)
    } else {
        Ok(Cow::Borrowed(segment))
    }
}

/// R2.5 and R2.7 on a decoded segment.
pub(super) fn check_segment(decoded: &str) -> Result<(), PathError> {
    check_characters(decoded)?;
    if decoded.chars().all(|c| c == '.' || c.is_whitespace()) {
        return Err(PathError::DotSegment);
    }
    Ok(())
}

/// Why a text is no path (R2). Segments are counted from 1, bytes from 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PathError {
    /// R2.1.
    #[error("`path` does not begin with `/`: give the path alone, without scheme and host")]
    NotRooted,
    /// R2.2: an ASCII character that may not stand in a path as it is.
    #[error("`path` holds `{}` at byte {at}: {}", found.escape_default(), advice(*found))]
    Character {
        /// Where.
        at: usize,
        /// The character.
        found: char,
    },
    /// R2.2: a percent sign without two hexadecimal digits.
    #[error("`path` holds a `%` at byte {at} that is not followed by two hexadecimal digits: encode it correctly")]
    Percent {
        /// Where the percent sign stands.
        at: usize,
    },
    /// R2.3: an encoded letter, digit, `-`, `.`, `_` or `~`.
    #[error("`path` encodes `{stands_for}` at byte {at}, which is never needed: write it as it is")]
    NeedlessEncoding {
        /// Where the percent sign stands.
        at: usize,
        /// What it stands for.
        stands_for: char,
    },
    /// R2.3: an encoded control character.
    #[error("`path` encodes a control character at byte {at}: leave it out")]
    EncodedControl {
        /// Where the percent sign stands.
        at: usize,
    },
    /// R2.3: `%5C`.
    #[error("`path` encodes a backslash at byte {at}: leave it out")]
    EncodedBackslash {
        /// Where the percent sign stands.
        at: usize,
    },
    /// R2.3: `%2F`, `%25`, `%3F`, `%23` or `%3B` where no rule lists it.
    #[error("`path` holds {encoded}, which can be read in two ways: use a path without encoded reserved characters")]
    EncodedReserved {
        /// What it holds.
        encoded: Encoded,
    },
    /// R2.3: still encoded after three rounds of decoding.
    #[error("`path` is encoded too many times over: encode it once")]
    EncodedTooOften,
    /// R2.3: so many encoded reserved characters that the ways to read it are too many to judge.
    #[error("`path` can be read in too many ways: use fewer encoded reserved characters")]
    TooManyReadings,
    /// R2.4.
    #[error("`path` is not UTF-8 once decoded: encode the bytes of valid UTF-8")]
    NotUtf8,
    /// R2.5: a control, format, separator, private or unassigned character.
    #[error("`path` holds the invisible or unassigned character `{}`: leave it out", found.escape_unicode())]
    Invisible {
        /// The character.
        found: char,
    },
    /// R2.5: a character that becomes path syntax when normalized, or looks like it.
    #[error("`path` holds `{}`, which can be taken for `/`, `\\`, `.`, `%`, `?`, `#` or `;`: leave it out", found.escape_unicode())]
    LookAlike {
        /// The character.
        found: char,
    },
    /// R2.6.
    #[error("`path` holds an empty segment (`//`): write each slash once")]
    EmptySegment,
    /// R2.7.
    #[error("`path` holds a segment of nothing but dots and white space: write the path that is meant")]
    DotSegment,
    /// R2.8.
    #[error("`path` is longer than 4,096 bytes: shorten it")]
    TooLong,
    /// R2.8.
    #[error("`path` has more than 64 segments: shorten it")]
    TooManySegments,
    /// R2.8.
    #[error("segment {number} of `path` is longer than 1,024 bytes: shorten it")]
    SegmentTooLong {
        /// Which one.
        number: usize,
    },
}

impl PathError {
    /// The rule that was broken.
    pub fn rule(&self) -> &'static str {
        match self {
            Self::NotRooted => "R2.1",
            Self::Character { .. } | Self::Percent { .. } => "R2.2",
            Self::NeedlessEncoding { .. }
            | Self::EncodedControl { .. }
            | Self::EncodedBackslash { .. }
            | Self::EncodedReserved { .. }
            | Self::EncodedTooOften
            | Self::TooManyReadings => "R2.3",
            Self::NotUtf8 => "R2.4",
            Self::Invisible { .. } | Self::LookAlike { .. } => "R2.5",
            Self::EmptySegment => "R2.6",
            Self::DotSegment => "R2.7",
            Self::TooLong | Self::TooManySegments | Self::SegmentTooLong { .. } => "R2.8",
        }
    }
}

/// What to do about a raw character that a path may not hold.
fn advice(found: char) -> Advice {
    match found {
        '?' => Advice::Query,
        '#' => Advice::Fragment,
        ';' | '\\' => Advice::LeaveOut,
        control if control.is_ascii_control() => Advice::LeaveOut,
        other => Advice::Encode(other),
    }
}

enum Advice {
    Query,
    Fragment,
    LeaveOut,
    Encode(char),
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Query => f.write_str("put the query into `query`"),
            Self::Fragment => f.write_str("leave the fragment out"),
            Self::LeaveOut => f.write_str("leave it out"),
            Self::Encode(character) => write!(f, "write it as `%{:02X}`", u32::from(*character)),
        }
    }
}
