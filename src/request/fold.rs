//! The folds under which denials compare (R5, R6): wider than equality, so that another spelling of a denied name is
//! denied as well. What a rule says and what a request holds go through the same function.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use unicode_normalization::UnicodeNormalization;

/// The deny form of one canonical path segment, or of one segment of a canonical glob (R5): percent-decoded, NFKC,
/// lower-cased, trailing dots and white space removed. Characters without any shape (Default_Ignorable_Code_Point) are left
/// out, as the NFKC_Casefold of UAX #44 does.
pub fn fold_segment(canonical: &str) -> String {
    fold_decoded(&percent_decode_str(canonical).decode_utf8_lossy())
}

/// The deny form of a decoded segment.
pub(super) fn fold_decoded(decoded: &str) -> String {
    let trailing = |c: char| c == '.' || c.is_whitespace();
    if decoded.is_ascii() {
        return decoded.trim_end_matches(trailing).to_ascii_lowercase();
    }
    let mut folded = String::with_capacity(decoded.len());
    for character in decoded.nfkc().filter(|c| !is_ignorable(*c)) {
        // Lower, upper, lower: letters that some case-insensitive matchers hold equal become one (ı and i, ς and σ, ß
        // and ss). Letter by letter, since the lower case of a whole word depends on where the letter stands.
        let letters = character.to_lowercase().flat_map(char::to_uppercase).flat_map(char::to_lowercase);
        for letter in letters {
            // İ is i and a dot above in full case mapping, i alone in the simple one.
            if !(letter == '\u{307}' && folded.ends_with('i')) {
                folded.push(letter);
            }
        }
    }
    folded.truncate(folded.trim_end_matches(trailing).len());
    folded
}

/// The default-ignorable characters that a path may hold; those of category Cf or Cn never get this far (R2.5).
fn is_ignorable(character: char) -> bool {
    matches!(
        character,
        '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}' | '\u{e0100}'..='\u{e01ef}'
    )
}

/// The folded form of a name in a query (R6): lower case; `.`, `-`, `[` and `]` read as `_`; leading `$` dropped; runs
/// of `_` merged, and trimmed at both ends, so that a trailing `[]` is gone.
pub fn fold_name(name: &str) -> Cow<'_, str> {
    let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
    if name.bytes().all(plain) && !name.starts_with('_') && !name.ends_with('_') && !name.contains("__") {
        return Cow::Borrowed(name);
    }
    let mut folded = String::with_capacity(name.len());
    for character in name.trim_start_matches(['$', '_', '.', '-', '[', ']']).chars() {
        match character {
            '_' | '.' | '-' | '[' | ']' if folded.ends_with('_') => {}
            '_' | '.' | '-' | '[' | ']' => folded.push('_'),
            other => folded.extend(other.to_lowercase()),
        }
    }
    folded.truncate(folded.trim_end_matches('_').len());
    Cow::Owned(folded)
}
