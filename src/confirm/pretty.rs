//! JSON laid out for a reader, from its text alone.
//!
//! Promises: every number, name and string stands byte for byte as it was sent, [escaped](shown) for the eye alone;
//! nothing is dropped, sorted or merged. Only white space between tokens is chosen anew. Trusts nothing: of a text that
//! is no JSON it makes lines too.

use super::escape::shown;

/// The longest container that stands on one line, in bytes.
const SHORT: usize = 60;
/// How far one level is indented, in columns, and after how many levels no further.
const INDENT: usize = 2;
const LEVELS: usize = 12;

/// The tokens of a JSON text: one of `{}[],:`, a string with its quotes, or a run of anything else.
#[derive(Debug, Clone)]
pub(super) struct Tokens<'t> {
    rest: &'t str,
}

impl<'t> Tokens<'t> {
    pub(super) fn of(text: &'t str) -> Self {
        Self { rest: text }
    }

    /// What follows the last token, white space included.
    pub(super) fn rest(&self) -> &'t str {
        self.rest
    }

    pub(super) fn peek(&self) -> Option<&'t str> {
        self.clone().next()
    }
}

impl<'t> Iterator for Tokens<'t> {
    type Item = &'t str;

    fn next(&mut self) -> Option<&'t str> {
        let text = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
        let length = match text.bytes().next()? {
            b'{' | b'}' | b'[' | b']' | b',' | b':' => 1,
            b'"' => string_length(text),
            _ => text.find(['{', '}', '[', ']', ',', ':', '"', ' ', '\t', '\n', '\r']).unwrap_or(text.len()),
        };
        let (token, rest) = text.split_at_checked(length).unwrap_or((text, ""));
        self.rest = rest;
        Some(token)
    }
}

/// How long the string is that begins the text, with its quotes; all of the text where it has no end.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    let end = text.bytes().skip(1).position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |end| end + 2)
}

/// One line of [`lines`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// How far it is indented, in columns.
    pub indent: usize,
    /// In how many containers it stands, where the indentation does not tell any more.
    pub depth: Option<usize>,
    /// What it says, safe to look at.
    pub shown: String,
    /// The same with the characters in place of their escapes, where a character that could be printed is written as one:
    /// `role` for `\u0072ole`. Safe to look at.
    pub reads: Option<String>,
}

/// The lines of a JSON text, one member or element each. On one line stand a short list of plain values, and a short
/// object of plain values that is itself the element of a list: a row.
pub fn lines(json: &str) -> impl Iterator<Item = Line> {
    let mut layout = Layout { tokens: Tokens::of(json), open: Vec::new() };
    std::iter::from_fn(move || layout.line())
}

/// The text on one line, with one space after each comma and colon. Not yet escaped.
pub(super) fn compact(json: &str) -> String {
    let mut text = String::new();
    Tokens::of(json).for_each(|token| append(&mut text, token));
    text
}

struct Layout<'t> {
    tokens: Tokens<'t>,
    /// The brackets that are open.
    open: Vec<&'t str>,
}

impl<'t> Layout<'t> {
    fn line(&mut self) -> Option<Line> {
        let mut text = String::new();
        let mut indent = self.open.len();
        while let Some(token) = self.tokens.peek() {
            let closes = matches!(token, "}" | "]");
            if closes && !text.is_empty() {
                break;
            }
            if let Some((list, after)) = self.short(token) {
                append(&mut text, &list);
                self.tokens = after;
                continue;
            }
            self.tokens.next();
            append(&mut text, token);
            if closes {
                self.open.pop();
                indent = self.open.len();
            }
            if matches!(token, "{" | "[") {
                self.open.push(token);
                break;
            }
            if token == "," {
                break;
            }
        }
        let text = text.trim_end_matches(' ');
        (!text.is_empty()).then(|| Line {
            indent: indent.min(LEVELS) * INDENT,
            depth: (indent > LEVELS).then_some(indent),
            shown: shown(text).into_owned(),
            reads: reads(text).map(|read| shown(&read).into_owned()),
        })
    }

    /// The container that begins here, and what follows it, if it is empty, or short and flat: a list, or an object in
    /// a list.
    fn short(&self, open: &str) -> Option<(String, Tokens<'t>)> {
        let row = open == "{" && self.open.last() == Some(&"[");
        if !matches!(open, "{" | "[") {
            return None;
        }
        let mut ahead = self.tokens.clone();
        ahead.next();
        let mut text = open.to_owned();
        loop {
            let token = ahead.next()?;
            let closes = matches!(token, "}" | "]");
            let flat = open == "[" || row || closes;
            if !flat || matches!(token, "{" | "[") || text.len() + token.len() > SHORT {
                return None;
            }
            append(&mut text, token);
            if closes {
                return Some((text, ahead));
            }
        }
    }
}

/// The text with each character that could be printed in place of its `\u` escape; `None` where there is no such escape.
/// Quotation marks, backslashes and controls stay escaped, so that strings end where they did.
pub(super) fn reads(text: &str) -> Option<String> {
    let mut read = String::new();
    let mut found = false;
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        read.push_str(before);
        match escaped(after) {
            Some((character, behind)) => {
                read.push(character);
                found = true;
                rest = behind;
            }
            None => {
                // Whatever is escaped otherwise, and the next backslash where it is one.
                let length = after.chars().next().map_or(0, char::len_utf8);
                let (one, behind) = after.split_at_checked(length).unwrap_or((after, ""));
                read.push('\\');
                read.push_str(one);
                rest = behind;
            }
        }
    }
    read.push_str(rest);
    found.then_some(read)
}

/// The character that an escape stands for, from behind its backslash, and what follows it.
fn escaped(text: &str) -> Option<(char, &str)> {
    let (first, rest) = code_unit(text)?;
    let pair = rest.strip_prefix('\\').and_then(code_unit);
    let (character, rest) = match (char::from_u32(first), pair) {
        (Some(character), _) => (character, rest),
        // Two surrogates (RFC 8259, section 7).
        (None, Some((second, rest))) => {
            (char::decode_utf16([u16::try_from(first).ok()?, u16::try_from(second).ok()?]).next()?.ok()?, rest)
        }
        (None, None) => return None,
    };
    let stays = character.is_control() || matches!(character, '"' | '\\');
    (!stays).then_some((character, rest))
}

fn code_unit(text: &str) -> Option<(u32, &str)> {
    let (digits, rest) = text.strip_prefix('u')?.split_at_checked(4)?;
    let hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    Some((u32::from_str_radix(digits, 16).ok().filter(|_| hex)?, rest))
}

/// Adds a token and, where one belongs, the space before it.
fn append(text: &mut String, token: &str) {
    let sign = |end: Option<char>| end.is_none_or(|end| matches!(end, '{' | '}' | '[' | ']'));
    let after_separator = text.ends_with([',', ':']);
    let after_value = !sign(text.chars().next_back()) && !matches!(token, "{" | "}" | "[" | "]" | "," | ":");
    if !text.is_empty() && (after_separator || after_value) {
        text.push(' ');
    }
    text.push_str(token);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn laid_out(json: &str) -> String {
        lines(json).map(|line| format!("{:1$}{2}\n", "", line.indent, line.shown)).collect()
    }

    #[test]
    fn a_member_or_element_has_a_line_of_its_own() {
        let json = r#"{"a":1,"b":{"c":[{"d":true,"e":[]},{"d":[[]]}],"f":{}},"g":[1, 2 ,"x,]"],"a":1.50e0}"#;
        let expected = r#"{
  "a": 1,
  "b": {
    "c": [
      {
        "d": true,
        "e": []
      },
      {
        "d": [
          []
        ]
      }
    ],
    "f": {}
  },
  "g": [1, 2, "x,]"],
  "a": 1.50e0
}
"#;
        assert_eq!(laid_out(json), expected);
    }

    #[test]
    fn what_is_short_and_flat_stands_on_one_line() {
        let long = format!(r#"["{}","b"]"#, "a".repeat(SHORT));
        for (name, json, expected) in [
            ("nothing", "", ""),
            ("space", " \n", ""),
            ("empty", " { } ", "{}\n"),
            ("a list", "[1,2,3]", "[1, 2, 3]\n"),
            ("rows", r#"[{"a":1,"b":null},{}]"#, "[\n  {\"a\": 1, \"b\": null},\n  {}\n]\n"),
            ("an object that is no row", r#"{"a":{"b":1}}"#, "{\n  \"a\": {\n    \"b\": 1\n  }\n}\n"),
            ("a long list", &long, &format!("[\n  \"{}\",\n  \"b\"\n]\n", "a".repeat(SHORT))),
            ("a text", r#""a\" {b}  c""#, "\"a\\\" {b}\\u{20*2}c\"\n"),
        ] {
            assert_eq!(laid_out(json), expected, "{name}");
        }
    }

    #[test]
    fn what_is_written_with_escapes_is_read_beside_it() {
        for (name, json, read) in [
            ("a name and a text", r#""\u0072ole": "\u0061dmin""#, Some(r#""role": "admin""#)),
            ("a letter beyond ASCII", r#""M\u00fcller""#, Some(r#""Müller""#)),
            ("a pair of surrogates", r#""\ud83d\uDE00""#, Some(r#""😀""#)),
            ("what nobody would see", r#""a\u202eb""#, Some(r#""a\u{202e}b""#)),
            ("a space", r#""a\u0020b""#, Some(r#""a b""#)),
            ("half a pair", r#""\ud83d""#, None),
            ("two first halves", r#""\ud83d\ud83d""#, None),
            ("what must stay", r#""\u0022\u005c\u000a\u007f""#, None),
            ("other escapes", r#""\n\/\"\\""#, None),
            ("an escaped backslash", r#""\\u0041""#, None),
            ("one behind it", r#""\\\u0041""#, Some(r#""\\A""#)),
            ("too short", r#""\u004"#, None),
            ("no digits", r#""\u+041""#, None),
        ] {
            let line = lines(json).next().unwrap();
            assert_eq!(line.reads.as_deref(), read, "{name}");
        }
    }

    #[test]
    fn what_is_too_deep_to_be_indented_says_how_deep_it_is() {
        let json = format!("{}1{}", "[".repeat(14), "]".repeat(14));
        let told: Vec<_> = lines(&json).map(|line| (line.indent, line.depth)).collect();
        let deep = told.iter().filter(|(indent, depth)| *indent == LEVELS * INDENT && depth.is_some()).count();
        assert_eq!(told.iter().find(|(_, depth)| depth.is_some()), Some(&(LEVELS * INDENT, Some(LEVELS + 1))));
        assert_eq!(deep, told.iter().filter(|(_, depth)| depth.is_some()).count(), "{told:?}");
    }

    #[test]
    fn what_is_no_json_has_lines_too() {
        for (json, expected) in [
            ("<html> 1 2", "<html> 1 2\n"),
            ("\"open", "\"open\n"),
            ("]]}", "]\n]\n}\n"),
            ("[{", "[\n  {\n"),
            (",,:", ",\n,\n:\n"),
        ] {
            assert_eq!(laid_out(json), expected, "{json}");
        }
        let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
        assert!(lines(&deep).all(|line| line.indent <= LEVELS * INDENT));
    }

    proptest! {
        #[test]
        fn the_tokens_stay_as_they_are_whatever_is_done_to_the_space_between(
            tokens in prop::collection::vec(
                prop::sample::select(vec!["{", "}", "[", "]", ",", ":", "-1.50E+3", "null", r#""a, b""#, r#""\\\"[{""#, "x"]),
                0..40,
            ),
        ) {
            let text = tokens.join(" ");
            for text in [&text, &laid_out(&text), &compact(&text)] {
                prop_assert_eq!(&Tokens::of(text).collect::<Vec<_>>(), &tokens);
            }
        }

        #[test]
        fn no_byte_that_is_no_space_is_lost(text in "[\\[\\]{},: \n\"\\\\a1é]{0,40}") {
            let squeezed = |text: &str| text.replace([' ', '\n'], "");
            prop_assert_eq!(squeezed(&Tokens::of(&text).collect::<String>()), squeezed(&text));
        }
    }
}
