//! The one rewriting of a path's text (R3) and the checks of its characters (R2.2, R2.3, R2.5), shared by paths, the
//! globs of a policy and the decoded forms of a path.

use unicode_normalization::UnicodeNormalization;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

use super::encoded::Encoded;
use super::path::PathError;

/// Characters that look like a slash to a reader and are none (R2.5).
const SLASH_LOOK_ALIKES: [char; 6] = ['\u{2044}', '\u{2215}', '\u{2216}', '\u{29f5}', '\u{29f8}', '\u{29f9}'];

/// Checks the raw characters and the form of every `%HH` (R2.2, R2.3) and rewrites the text: raw non-ASCII becomes
/// `%HH` of its UTF-8, hexadecimal digits become upper case. Also says which encoded reserved characters it holds.
pub(super) fn canonical(raw: &str) -> Result<(String, Encoded), PathError> {
    let mut encoded = Encoded::NONE;
    if raw.bytes().all(is_raw) {
        return Ok((raw.to_owned(), encoded));
    }
    let mut text = String::with_capacity(raw.len() + 16);
    let mut bytes = raw.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        if byte == b'%' {
            let high = bytes.next().and_then(|(_, digit)| hex(digit));
            let low = bytes.next().and_then(|(_, digit)| hex(digit));
            let (Some(high), Some(low)) = (high, low) else {
                return Err(PathError::Percent { at });
            };
            let stands_for = high << 4 | low;
            encoded = encoded.union(check_encoded(at, stands_for)?);
            push_percent(&mut text, stands_for);
        } else if is_raw(byte) {
            text.push(char::from(byte));
        } else if byte.is_ascii() {
            return Err(PathError::Character { at, found: char::from(byte) });
        } else {
            push_percent(&mut text, byte);
        }
    }
    Ok((text, encoded))
}

/// Appends `%HH`, in upper case.
fn push_percent(text: &mut String, byte: u8) {
    text.push('%');
    for digit in [byte >> 4, byte & 15] {
        text.push(char::from(if digit < 10 { b'0' + digit } else { b'A' + digit - 10 }));
    }
}

/// Bytes that no encoder needs to encode (RFC 3986 section 2.3).
fn is_unreserved(byte: u8) -> bool {
    matches!(byte, b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~')
}

/// Refuses a decoded text with a character that R2.5 bars. The five reserved characters of [`Encoded`] pass: whoever
/// decoded them knows that they are there.
pub(super) fn check_characters(decoded: &str) -> Result<(), PathError> {
    if decoded.bytes().all(is_raw) {
        return Ok(());
    }
    decoded.chars().try_for_each(check_character)
}

fn check_character(found: char) -> Result<(), PathError> {
    if found.is_ascii() {
        return if found.is_ascii_control() {
            Err(PathError::Invisible { found })
        } else if found == '\\' {
            Err(PathError::LookAlike { found })
        } else {
            Ok(())
        };
    }
    if has_no_shape(found) {
        return Err(PathError::Invisible { found });
    }
    let becomes_syntax = std::iter::once(found).nfkc().any(|c| matches!(c, '/' | '\\' | '.' | '%' | '?' | '#' | ';'));
    if becomes_syntax || SLASH_LOOK_ALIKES.contains(&found) {
        return Err(PathError::LookAlike { found });
    }
    Ok(())
}

/// Whether a character is of one of the categories that R2.5 bars.
pub(super) fn has_no_shape(found: char) -> bool {
    matches!(
        found.general_category(),
        GeneralCategory::Control
            | GeneralCategory::Format
            | GeneralCategory::LineSeparator
            | GeneralCategory::ParagraphSeparator
            | GeneralCategory::Surrogate
            | GeneralCategory::PrivateUse
            | GeneralCategory::Unassigned
    )
}

/// ASCII that may stand in a path as it is (R2.2).
fn is_raw(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(byte, b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'=' | b':' | b'@' | b'/')
}

/// What `%HH` may not stand for (R2.3), or the mark of the reserved character that it does stand for.
fn check_encoded(at: usize, stands_for: u8) -> Result<Encoded, PathError> {
    if is_unreserved(stands_for) {
        Err(PathError::NeedlessEncoding { at, stands_for: char::from(stands_for) })
    } else if stands_for.is_ascii_control() {
        Err(PathError::EncodedControl { at })
    } else if stands_for == b'\\' {
        Err(PathError::EncodedBackslash { at })
    } else {
        Ok(Encoded::standing_for(stands_for))
    }
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}
