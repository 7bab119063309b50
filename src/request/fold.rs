//! The folds under which denials compare (R5, R6): wider than equality, so that another spelling of a denied name is
//! denied as well. What a rule says and what a request holds go through the same function.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use unicode_normalization::UnicodeNormalization;

use super::canonical::has_no_shape;

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
    for character in decoded.chars().filter(|c| !is_ignorable(*c)).nfkc() {
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
pub(crate) fn is_ignorable(character: char) -> bool {
    matches!(
        character,
        '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}' | '\u{e0100}'..='\u{e01ef}'
    )
}

/// Whether a reader does not see a character, or sees another text because of it: controls, format characters (zero
/// width, bidirectional, tags), variation selectors and fillers, private and unassigned ones, and every space but the
/// plain one, since nobody tells them apart.
pub fn is_invisible(character: char) -> bool {
    let blank = character == '\u{2800}' || (character.is_whitespace() && character != ' ');
    !matches!(character, ' '..='~') && (blank || is_ignorable(character) || has_no_shape(character))
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spellings_that_a_server_may_hold_equal_fold_together() {
        let cases = [
            ("case", "TOKENS", "tokens"),
            ("encoded", "%C3%9Cser", "üser"),
            ("trailing dots", "tokens...", "tokens"),
            ("trailing space", "tokens%20%20.", "tokens"),
            ("trailing ideographic space", "tokens%E3%80%80", "tokens"),
            ("fullwidth", "%EF%BC%B4OKENS", "tokens"),
            ("a ligature", "%EF%AC%81le", "file"),
            ("combining marks", "e%CC%81", "é"),
            ("the Kelvin sign", "to%E2%84%AAens", "tokens"),
            ("a long s", "token%C5%BF", "tokens"),
            ("a dotless i", "adm%C4%B1n", "admin"),
            ("a capital i with dot", "ADM%C4%B0N", "admin"),
            ("an i with a dot on it", "admi%CC%87n", "admin"),
            ("a sharp s", "stra%C3%9Fe", "strasse"),
            ("a capital sharp s", "STRA%E1%BA%9EE", "strasse"),
            ("a final sigma", "%CE%BF%CE%B4%CE%BF%CF%82", "οδοσ"),
            ("a variation selector", "to%EF%B8%8Fkens", "tokens"),
            ("a mark behind a variation selector", "e%EF%B8%8F%CC%81", "é"),
            ("a filler", "tokens%E3%85%A4", "tokens"),
            ("wildcards of a glob", "*.Json", "*.json"),
        ];
        for (name, canonical, folded) in cases {
            assert_eq!(fold_segment(canonical), folded, "{name}");
        }
    }

    #[test]
    fn other_names_stay_other_names() {
        let cases = [
            ("accents", "%C3%A9", "é"),
            ("leading dots", "..a", "..a"),
            ("inner dots", "a.b", "a.b"),
            ("plus", "a+b", "a+b"),
        ];
        for (name, canonical, folded) in cases {
            assert_eq!(fold_segment(canonical), folded, "{name}");
        }
    }

    #[test]
    fn what_a_reader_does_not_see_is_told_from_letters_marks_and_signs() {
        let hidden = "\0\t\n\u{7f}\u{85}\u{a0}\u{ad}\u{34f}\u{61c}\u{180e}\u{200b}\u{200d}\u{2003}\u{2028}\u{202e}\u{2069}\u{2800}\
                      \u{3000}\u{3164}\u{e000}\u{fe0f}\u{feff}\u{ffff}\u{1d173}\u{e0001}\u{e0041}\u{e01ef}\u{10ffff}";
        for c in hidden.chars() {
            assert!(is_invisible(c), "{}", c.escape_unicode());
        }
        for c in "a ~`\"\\äßжई\u{301}中ﬁ𝔘😀€…–".chars() {
            assert!(!is_invisible(c), "{}", c.escape_unicode());
        }
    }

    #[test]
    fn names_of_a_query_fold_as_frameworks_read_them() {
        let cases = [
            ("plain", "page", "page"),
            ("plain with underscores", "page_size", "page_size"),
            ("case", "X-HTTP-Method-Override", "x_http_method_override"),
            ("leading dollar", "$filter", "filter"),
            ("inner dollar", "a$b", "a$b"),
            ("trailing brackets", "ids[]", "ids"),
            ("inner brackets", "user[password]", "user_password"),
            ("runs", "a..__--b", "a_b"),
            ("both ends", "__a__", "a"),
            ("dollar, then underscore", "$_method", "method"),
            ("underscore, then dollar", "_$method", "method"),
            ("nothing left", "_", ""),
            ("colon", "a:b", "a:b"),
        ];
        for (name, raw, folded) in cases {
            assert_eq!(fold_name(raw), folded, "{name}");
        }
    }

    proptest! {
        #[test]
        fn a_fold_of_a_fold_is_itself(text in any::<String>()) {
            let folded = fold_decoded(&text);
            prop_assert_eq!(fold_decoded(&folded), folded);
        }

        #[test]
        fn a_fold_forgets_case(text in "[a-zA-Zäöüß._ -]{0,12}") {
            prop_assert_eq!(fold_decoded(&text.to_uppercase()), fold_decoded(&text.to_lowercase()));
        }

        #[test]
        fn a_name_folds_to_what_it_folds_to(name in "[A-Za-z0-9_.$:\\[\\]-]{0,12}") {
            let folded = fold_name(&name).into_owned();
            prop_assert_eq!(fold_name(&folded), folded.as_str());
        }
    }
}
