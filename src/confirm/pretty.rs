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
    /// What it says, safe to look at.
    pub shown: String,
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
        (!text.is_empty()).then(|| Line { indent: indent.min(LEVELS) * INDENT, shown: shown(text).into_owned() })
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
