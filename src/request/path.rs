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
use super::error::Shown;
use super::fold::{fold_decoded, is_ignorable};
use super::readings::readings;

/// The longest canonical path, in bytes (R2.8).
pub const MAX_PATH: usize = 4_096;
/// The most segments; an empty one after a trailing slash is not counted (R2.8).
pub const MAX_SEGMENTS: usize = 64;
/// The longest canonical segment, in bytes (R2.8).
pub const MAX_SEGMENT: usize = 1_024;

/// A path that keeps R2, in canonical form.
#[derive(Clone)]
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

/// R2.5 and R2.7 on a decoded segment. Characters that some servers drop do not make a name of dots (R2.7).
pub(super) fn check_segment(decoded: &str) -> Result<(), PathError> {
    check_characters(decoded)?;
    if decoded.chars().all(|c| c == '.' || c.is_whitespace() || is_ignorable(c)) {
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
    #[error("`path` holds `{}` at byte {at}: {}", Shown(*found), advice(*found))]
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
    #[error("`path` holds a segment of nothing but dots and blanks: write the path that is meant")]
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn accepts(cases: &[(&str, &str, &str)]) {
        for (name, raw, canonical) in cases {
            let path = Path::parse(raw).unwrap_or_else(|error| panic!("{name}: {raw}: {error}"));
            assert_eq!(path.canonical(), *canonical, "{name}");
            assert!(path.encoded().is_empty(), "{name}");
            assert_eq!(path.deny_forms().len(), 1, "{name}");
        }
    }

    fn refuses(cases: &[(&str, &str, &str)]) {
        for (name, raw, rule) in cases {
            match Path::parse(raw) {
                Ok(path) => panic!("{name}: {raw:?} became {path}"),
                Err(error) => assert_eq!(error.rule(), *rule, "{name}: {raw:?}: {error}"),
            }
        }
    }

    #[test]
    fn an_ordinary_path_is_its_own_canonical_form() {
        accepts(&[
            ("root", "/", "/"),
            ("one segment", "/a", "/a"),
            ("a trailing slash is kept", "/a/b/", "/a/b/"),
            ("every unreserved mark", "/a.b-c_d~e", "/a.b-c_d~e"),
            ("every sub-delimiter, colon and at", "/!$&'()*+,=:@", "/!$&'()*+,=:@"),
            ("dots with a name", "/..a/b../.c/...d", "/..a/b../.c/...d"),
            ("an encoded space with a name", "/%20a%20", "/%20a%20"),
            ("characters that must be encoded", "/%22%3C%3E%5B%5D%5E%60%7B%7C%7D", "/%22%3C%3E%5B%5D%5E%60%7B%7C%7D"),
            ("encoded sub-delimiters are kept", "/%24%26%2B%3D%3A%40", "/%24%26%2B%3D%3A%40"),
        ]);
    }

    #[test]
    fn two_rewrites_are_made_and_no_third() {
        accepts(&[
            ("raw letters beyond ASCII", "/Müller", "/M%C3%BCller"),
            ("lower-case hexadecimal", "/M%c3%bcller/%5b", "/M%C3%BCller/%5B"),
            ("no normalization", "/e\u{301}/ﬁ", "/e%CC%81/%EF%AC%81"),
            ("no case", "/A/a", "/A/a"),
            ("four bytes", "/😀", "/%F0%9F%98%80"),
            (
                "letters of many scripts",
                "/שלום/مرحبا/한국어",
                "/%D7%A9%D7%9C%D7%95%D7%9D/%D9%85%D8%B1%D8%AD%D8%A8%D8%A7/%ED%95%9C%EA%B5%AD%EC%96%B4",
            ),
        ]);
    }

    #[test]
    fn a_path_is_rooted_and_alone() {
        refuses(&[
            ("empty", "", "R2.1"),
            ("relative", "a/b", "R2.1"),
            ("a scheme", "https://evil.test/a", "R2.1"),
            ("an encoded slash first", "%2Fa", "R2.1"),
            ("a byte order mark first", "\u{feff}/a", "R2.1"),
            ("a space first", " /a", "R2.1"),
            ("an authority", "//evil.test/a", "R2.6"),
            ("a backslash first", "\\/evil.test", "R2.1"),
            ("an asterisk", "*", "R2.1"),
        ]);
    }

    #[test]
    fn raw_characters_that_a_path_may_not_hold_are_refused() {
        for byte in 0..0x80_u8 {
            let raw = format!("/a{}b", char::from(byte));
            let allowed = byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,=:@/".contains(&byte);
            match Path::parse(&raw) {
                Ok(path) => assert!(allowed && path.canonical() == raw, "{raw:?} was accepted"),
                Err(error) => assert!(!allowed && error.rule() == "R2.2", "{raw:?} was refused: {error}"),
            }
        }
        refuses(&[
            ("a lone percent sign", "/%", "R2.2"),
            ("one digit", "/%2", "R2.2"),
            ("one digit before a slash", "/%2/a", "R2.2"),
            ("the form of another age", "/%u0041", "R2.2"),
            ("a space among the digits", "/% 20", "R2.2"),
            ("a sign among the digits", "/%+1", "R2.2"),
            ("nested percent signs", "/%%32%65", "R2.2"),
            ("letters beyond hexadecimal", "/%GG", "R2.2"),
            ("digits of another script", "/%\u{ff12}\u{ff10}", "R2.2"),
        ]);
    }

    #[test]
    fn what_an_encoded_byte_may_not_stand_for_is_refused() {
        for byte in 0..=0xff_u8 {
            for raw in [format!("/a%{byte:02X}b"), format!("/a%{byte:02x}b")] {
                let needless = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
                let expected = match byte {
                    0x80.. => Err("R2.4"),
                    _ if needless || byte.is_ascii_control() || byte == b'\\' => Err("R2.3"),
                    b'/' | b'%' | b'?' | b'#' | b';' => Ok(false),
                    _ => Ok(true),
                };
                let got = Path::parse(&raw).map(|path| path.encoded().is_empty()).map_err(|error| error.rule());
                assert_eq!(got, expected, "{raw}");
            }
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_are_refused() {
        refuses(&[
            ("cut short", "/%C3", "R2.4"),
            ("cut short before a slash", "/%C3/%BC", "R2.4"),
            ("a bad continuation", "/%C3%28", "R2.4"),
            ("a continuation alone", "/%BC", "R2.4"),
            ("an overlong nul", "/%C0%80", "R2.4"),
            ("an overlong dot", "/%c0%ae%c0%ae", "R2.4"),
            ("an overlong slash", "/..%e0%80%af", "R2.4"),
            ("a surrogate", "/%ED%A0%80", "R2.4"),
            ("a pair of surrogates", "/%ED%A0%80%ED%B0%80", "R2.4"),
            ("beyond the last character", "/%F4%90%80%80", "R2.4"),
            ("five bytes", "/%F8%88%80%80%80", "R2.4"),
            ("raw, then cut short", "/é%C3", "R2.4"),
        ]);
    }

    #[test]
    fn invisible_characters_and_look_alikes_are_refused_raw_and_encoded() {
        let barred = [
            ("a C1 control", '\u{85}'),
            ("a soft hyphen", '\u{ad}'),
            ("a zero width space", '\u{200b}'),
            ("a zero width joiner", '\u{200d}'),
            ("an override of direction", '\u{202e}'),
            ("an isolate of direction", '\u{2066}'),
            ("an Arabic letter mark", '\u{61c}'),
            ("a byte order mark", '\u{feff}'),
            ("a tag", '\u{e0041}'),
            ("a line separator", '\u{2028}'),
            ("a paragraph separator", '\u{2029}'),
            ("a private character", '\u{e000}'),
            ("a private character of plane 16", '\u{10fffd}'),
            ("a noncharacter", '\u{fffe}'),
            ("an unassigned character", '\u{378}'),
            ("a fullwidth slash", '\u{ff0f}'),
            ("a fullwidth backslash", '\u{ff3c}'),
            ("a small backslash", '\u{fe68}'),
            ("a fullwidth full stop", '\u{ff0e}'),
            ("a small full stop", '\u{fe52}'),
            ("a one dot leader", '\u{2024}'),
            ("a two dot leader", '\u{2025}'),
            ("an ellipsis", '\u{2026}'),
            ("a digit with a full stop", '\u{2488}'),
            ("a fullwidth percent sign", '\u{ff05}'),
            ("a fullwidth question mark", '\u{ff1f}'),
            ("a double question mark", '\u{2047}'),
            ("a fullwidth hash", '\u{ff03}'),
            ("a fullwidth semicolon", '\u{ff1b}'),
            ("a Greek question mark", '\u{37e}'),
            ("an account-of sign", '\u{2100}'),
            ("a fraction slash", '\u{2044}'),
            ("a division slash", '\u{2215}'),
            ("a set minus", '\u{2216}'),
            ("a reverse solidus operator", '\u{29f5}'),
            ("a big solidus", '\u{29f8}'),
            ("a big reverse solidus", '\u{29f9}'),
        ];
        for (name, character) in barred {
            let encoded: String = character.to_string().bytes().map(|byte| format!("%{byte:02X}")).collect();
            refuses(&[(name, &format!("/a{character}b"), "R2.5"), (name, &format!("/a{encoded}b"), "R2.5")]);
        }
    }

    #[test]
    fn empty_segments_and_segments_of_dots_and_space_are_refused() {
        refuses(&[
            ("two slashes", "/a//b", "R2.6"),
            ("two slashes last", "/a//", "R2.6"),
            ("two slashes alone", "//", "R2.6"),
            ("a dot", "/a/./b", "R2.7"),
            ("a dot last", "/a/.", "R2.7"),
            ("two dots", "/a/../b", "R2.7"),
            ("two dots last", "/a/..", "R2.7"),
            ("two dots before a slash", "/a/../", "R2.7"),
            ("three dots", "/.../b", "R2.7"),
            ("a space", "/a/%20/b", "R2.7"),
            ("dots and a space", "/a/..%20/b", "R2.7"),
            ("a space and dots", "/a/%20../b", "R2.7"),
            ("an ideographic space", "/a/\u{3000}/b", "R2.7"),
            ("a variation selector", "/\u{fe0f}/a", "R2.7"),
            ("dots around a variation selector", "/a/.\u{fe0f}./b", "R2.7"),
            ("a filler", "/a/\u{3164}", "R2.7"),
            ("a no-break space and dots", "/a/..\u{a0}/b", "R2.7"),
        ]);
    }

    #[test]
    fn lengths_are_counted_on_the_canonical_form() {
        let of_length = |length: usize| {
            let mut raw = "/abcdefg".repeat(length / 8);
            raw.push_str(&"x".repeat(length % 8));
            raw
        };
        assert!(Path::parse(&"/abcdefg".repeat(64)).is_ok());
        assert!(Path::parse(&format!("{}/", "/a".repeat(64))).is_ok(), "the slash after 64 segments is none more");
        refuses(&[
            ("65 segments", &"/a".repeat(65), "R2.8"),
            ("100,000 segments", &"/a".repeat(100_000), "R2.8"),
            ("a long segment", &format!("/{}", "a".repeat(1_025)), "R2.8"),
            ("a segment long once encoded", &format!("/{}", "é".repeat(171)), "R2.8"),
            ("4,097 bytes", &format!("/{}", vec!["a".repeat(1_023); 4].join("/") + "/a"), "R2.8"),
            ("long, with something else wrong", &of_length(5_000).replace('b', ".."), "R2.8"),
        ]);
        assert!(Path::parse(&format!("/{}", "a".repeat(1_024))).is_ok());
        assert!(Path::parse(&format!("/{}", "é".repeat(170))).is_ok());
        assert_eq!(
            Path::parse(&format!("/{}", vec!["a".repeat(1_023); 4].join("/"))).unwrap().canonical().len(),
            4_096
        );
    }

    #[test]
    fn segments_are_canonical_and_a_trailing_slash_is_an_empty_one() {
        let segments = |raw: &str| Path::parse(raw).unwrap().segments().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(segments("/"), [""]);
        assert_eq!(segments("/a/ü"), ["a", "%C3%BC"]);
        assert_eq!(segments("/a/"), ["a", ""]);
    }

    #[test]
    fn the_deny_form_is_decoded_folded_and_without_a_trailing_slash() {
        let form = |raw: &str| Path::parse(raw).unwrap().deny_forms()[0].segments().join("|");
        let cases = [
            ("root", "/", ""),
            ("trailing slash", "/a/b/", "a|b"),
            ("case", "/Personal_Access_TOKENS", "personal_access_tokens"),
            ("decoded", "/a%20b/%5Bx%5D", "a b|[x]"),
            ("trailing dots and space", "/tokens.%20./x..", "tokens|x"),
            ("leading dots and space stay", "/%20a/..b", " a|..b"),
            ("fullwidth", "/\u{ff50}ersonal", "personal"),
        ];
        for (name, raw, expected) in cases {
            assert_eq!(form(raw), expected, "{name}");
        }
    }

    #[test]
    fn a_glob_goes_through_the_same_function_as_a_path() {
        assert_eq!(canonical_glob_text("/**/Mü%c3%bc*/x/").unwrap(), "/**/M%C3%BC%C3%BC*/x/");
        let cases = [
            ("relative", "**/a", "R2.1"),
            ("a question mark", "/a?", "R2.2"),
            ("a class", "/[a]", "R2.2"),
            ("an alternative", "/{a,b}", "R2.2"),
            ("an escape", "/a\\*", "R2.2"),
            ("an encoded slash", "/a%2Fb", "R2.3"),
            ("a needless encoding", "/%61", "R2.3"),
            ("an empty segment", "/a//**", "R2.6"),
            ("a dot segment", "/../**", "R2.7"),
        ];
        for (name, glob, rule) in cases {
            assert_eq!(canonical_glob_text(glob).unwrap_err().rule(), rule, "{name}");
        }
    }

    #[test]
    fn a_refusal_names_the_character_and_what_to_do() {
        let message = |raw: &str| Path::parse(raw).unwrap_err().to_string();
        assert_eq!(message("/a b"), "`path` holds ` ` at byte 2: write it as `%20`");
        assert_eq!(message("/a\"b"), "`path` holds `\"` at byte 2: write it as `%22`");
        assert_eq!(message("/a?b=c"), "`path` holds `?` at byte 2: put the query into `query`");
        assert_eq!(message("/a#b"), "`path` holds `#` at byte 2: leave the fragment out");
        assert_eq!(message("/a\n"), "`path` holds `\\n` at byte 2: leave it out");
        assert_eq!(message("/%41"), "`path` encodes `A` at byte 1, which is never needed: write it as it is");
        assert_eq!(
            message("/a\u{202e}"),
            "`path` holds the invisible or unassigned character `\\u{202e}`: leave it out"
        );
        for raw in ["", "/%", "/%01", "/%5c", "/%C3", "/\u{2044}", "//", "/..", "/a;b"] {
            let message = message(raw);
            assert!(message.is_ascii() && message.contains("`path`") && message.contains(": "), "{message}");
        }
    }

    /// Pieces that paths and attacks on them are made of.
    fn pieces() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            8 => prop::sample::select(vec![
                "/", "a", "B", ".", "..", "%20", "%2F", "%2f", "%25", "%252F", "%3B", "%3F", "%23", "%c3%bc", "%5B", "ü", "*", "~", "%25252e",
                "%2500", "25", "2F", "\u{3000}", "\u{fe0f}",
            ])
            .prop_map(str::to_owned),
            1 => any::<char>().prop_map(String::from),
        ];
        prop::collection::vec(piece, 0..24).prop_map(|pieces| format!("/{}", pieces.concat()))
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in any::<String>(), bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            for raw in [text.as_str(), &format!("/{text}"), &String::from_utf8_lossy(&bytes)] {
                if let Err(error) = Path::parse(raw) {
                    prop_assert!(error.rule().starts_with("R2."));
                    prop_assert!(error.to_string().len() < 160);
                }
            }
        }

        #[test]
        fn the_canonical_form_of_a_canonical_form_is_itself(raw in pieces()) {
            if let Ok(path) = Path::parse(&raw) {
                let again = Path::parse(path.canonical()).unwrap();
                prop_assert_eq!(again.canonical(), path.canonical());
                prop_assert_eq!(again.encoded(), path.encoded());
                prop_assert_eq!(again.deny_forms(), path.deny_forms());
                prop_assert!(path.canonical().is_ascii());
                prop_assert_eq!(Encoded::in_canonical(path.canonical()).is_empty(), path.encoded().is_empty());
            }
        }

        #[test]
        fn an_http_client_sends_the_canonical_form_unchanged(raw in pieces()) {
            if let Ok(path) = Path::parse(&raw) {
                let target = format!("https://api.example.test{path}");
                let url = url::Url::parse(&target).unwrap();
                prop_assert_eq!(url.as_str(), target);
            }
        }

        #[test]
        fn no_reading_of_a_path_holds_what_r2_bars(raw in pieces()) {
            if let Ok(path) = Path::parse(&raw) {
                let lone_slash = path.segments().any(|segment| ["%2F", "%252F", "%25252F"].contains(&segment));
                for form in path.deny_forms() {
                    for segment in form.segments() {
                        prop_assert!(!segment.chars().any(char::is_control));
                        prop_assert!(!segment.contains('\\'));
                        prop_assert!(!segment.trim_matches('.').is_empty() || (segment.is_empty() && lone_slash), "{:?}", form);
                    }
                }
            }
        }

        #[test]
        fn without_encoded_reserved_characters_there_is_one_reading(raw in pieces()) {
            if let Ok(path) = Path::parse(&raw) && path.encoded().is_empty() {
                prop_assert_eq!(path.deny_forms().len(), 1);
                let folded: Vec<String> = path.segments().map(crate::request::fold::fold_segment).collect();
                let form = path.deny_forms()[0].segments();
                let kept = folded.iter().filter(|segment| !segment.is_empty());
                prop_assert!(kept.eq(form.iter().map(|segment| &**segment)));
            }
        }
    }
}
