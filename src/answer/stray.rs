//! Redacted members in text that is no JSON as a whole: behind a guard or a comment, in a log, in a page.
//!
//! Promises to find each place that a lenient reader of JSON could take for such a member: after a `{`, the name in quotes,
//! with JSON's escapes or with characters in it that nobody sees, then a colon, with nothing between but space, quotes,
//! backslashes and the start of a comment. Does not say that it is one: such text is withheld, since nothing can be
//! redacted in what cannot be read.

use memchr::{memchr, memchr2_iter};
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

use crate::json::text::unescape_unit;
use crate::policy::{FieldPath, Segment};

/// Whether `text` may hold a member that `redact` names.
pub(super) fn may_hold(text: &str, redact: &[FieldPath]) -> bool {
    let names: Option<Vec<String>> = redact.iter().map(|path| last_name(path.segments())).collect();
    let Some(mut names) = names else {
        // A path of `*` and `**` alone: whatever is inside brackets.
        return text.contains(['{', '[']);
    };
    names.sort_unstable();
    let Some(open) = memchr(b'{', text.as_bytes()) else { return false };
    let after = text.get(open..).unwrap_or_default();
    let mut quotes = memchr2_iter(b'"', b'\'', after.as_bytes());
    quotes.any(|quote| is_member(&names, after.get(quote + 1..).unwrap_or_default()))
}

/// The last name on a path as it is seen: a text without it as a member holds nothing of what the path redacts.
fn last_name(segments: &[Segment]) -> Option<String> {
    segments.iter().rev().find_map(|segment| match segment {
        Segment::Name(name) => Some(name.chars().filter(|character| is_visible(*character)).collect()),
        Segment::One | Segment::Any => None,
    })
}

/// Whether `text`, which follows a quote, is one of these sorted names, a quote and a colon.
fn is_member(mut names: &[String], text: &str) -> bool {
    let (mut known, mut rest) = (0, text);
    while let Some(shortest) = names.first() {
        if shortest.len() == known && is_end(rest) {
            return true;
        }
        let Some((character, after)) = next(rest) else { return false };
        // All of them go on as the text did up to here.
        let here = |name: &String| name.get(known..).and_then(|name| name.chars().next());
        let (from, to) = (
            names.partition_point(|name| here(name) < Some(character)),
            names.partition_point(|name| here(name) <= Some(character)),
        );
        names = names.get(from..to).unwrap_or_default();
        (known, rest) = (known + character.len_utf8(), after);
    }
    false
}

/// Whether a quote and a colon come next.
fn is_end(text: &str) -> bool {
    let (mut rest, mut quoted) = (text, false);
    while let Some((character, after)) = next(rest) {
        match character {
            '"' | '\'' => quoted = true,
            ':' => return quoted,
            '/' => return quoted && after.starts_with(['/', '*']),
            '\\' => {}
            other if other.is_whitespace() => {}
            _ => return false,
        }
        rest = after;
    }
    false
}

/// The next character that is seen, its escape undone, and what comes after it.
fn next(text: &str) -> Option<(char, &str)> {
    let mut rest = text;
    loop {
        let mut characters = rest.chars();
        let character = characters.next()?;
        let (character, after) = match (character, characters.as_str()) {
            ('\\', escape) if escape.starts_with('u') => {
                let (character, length) = unescape_unit(escape)?;
                (character, escape.get(length..)?)
            }
            // The others that do not stand for themselves are controls.
            ('\\', escape) if escape.starts_with(['b', 'f', 'n', 'r', 't']) => ('\0', escape.get(1..)?),
            ('\\', escape) => (escape.chars().next()?, escape.get(escape.chars().next()?.len_utf8()..)?),
            (plain, after) => (plain, after),
        };
        if is_visible(character) {
            return Some((character, after));
        }
        rest = after;
    }
}

/// Not a control, and no character of format such as a byte order mark.
fn is_visible(character: char) -> bool {
    match character.is_ascii() {
        true => !character.is_ascii_control(),
        false => character.general_category_group() != GeneralCategoryGroup::Other,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn holds(text: &str, redact: &[&str]) -> bool {
        let redact: Vec<FieldPath> = redact.iter().map(|path| FieldPath::anywhere(path).unwrap()).collect();
        may_hold(text, &redact)
    }

    #[test]
    fn a_name_in_quotes_before_a_colon_is_a_member_whatever_is_around_it() {
        for text in [
            ")]}',\n{\"email\":1}",
            "{\"a\":1,\n// the address\n\"email\" : 1}",
            "x={ 'email' :1}",
            "{\"em\\u0061il\"\u{a0}\t\r\n:1}",
            "{\"\u{200b}em\u{feff}ail\"\u{200b}:1}",
            "\0{\0\"\0e\0m\0a\0i\0l\0\"\0:\0",
            "{\"email\"/* never shown */:1}",
            "{\"email\" // never shown\n:1}",
            "log: {\\\"email\\\":1}",
            "id,json\n1,\"{\"\"email\"\":1}\"",
            "{\"e\\mail\\n\": 1}",
            "{{{\"\"email\":1",
        ] {
            assert!(holds(text, &["id", "email"]), "{text}");
            assert!(holds(text, &["user.*.email", "name"]) && holds(text, &["email.*"]), "{text}");
            assert!(!holds(text, &["emai", "email2", "mail", "Email", "x"]), "{text}");
        }
        assert!(holds("{\"a \\\\ \\\" \\ud83d\\ude00\":1}", &["a \\\\ \" 😀"]), "an unusual name");
        assert!(holds("{\"\":1}", &["\u{200b}"]), "a name that nobody sees");
    }

    #[test]
    fn text_without_such_a_member_is_none_whatever_it_looks_like() {
        for text in [
            "",
            "Write to \"email\": it is read",
            "{email} email: ann, \"email\", 'email'; \"email\" {",
            "name,\"email\",x\n\"{\",\"email\",\"a:b\"\n",
            "<style>p{color:red}</style><input name=\"email\" id='email'/><a title=\"email\">: x</a>",
            "{\"emails\":1,\"e-mail\":2,\"x\":\"email\"}",
            "{\"email\\ud800\": 1}",
            "{ don't 'email' me: no }",
        ] {
            assert!(!holds(text, &["email", "user.email"]), "{text}");
        }
        assert!(!holds("no bracket at all: \"a\":1", &["*"]) && holds("[1", &["*"]) && holds("x {", &["a", "*.*"]));
    }

    proptest! {
        #[test]
        fn no_member_of_an_object_is_missed(
            name in "[ae\"'\\\\/{}: é\u{200b}😀]{1,6}",
            before in "[a\"'\\\\/{}\\[ \n\u{feff}]{0,6}",
            blank in "[ \t\n\u{feff}\u{200b}\0]{0,3}",
        ) {
            let path = name.replace('\\', "\\\\");
            let text = format!("{before}{{{blank}{}{blank}:{}}}", json!(name), Value::Null);
            prop_assert!(holds(&text, &[&path]), "{text}");
        }

        #[test]
        fn what_is_found_is_there(text in "[ae\"\\\\:{ ]{0,12}") {
            let found = text.contains('{') && ["\"ae\"", "\"a\\e\"", "\"\\ae\"", "\"\\a\\e\"", "ae\\", "e\\\\", "e\\"].iter().any(|name| text.contains(name));
            prop_assert!(!holds(&text, &["ae"]) || found, "{}", text);
        }
    }
}
