//! Text from outside, short and escaped, for a message of one line.

use std::fmt;
use std::io::{Error, Write};

use serde_json::Value;

/// How many characters of the input are kept.
const LONGEST: usize = 40;

/// The beginning of a text from outside, escaped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Excerpt(Box<str>);

impl Excerpt {
    /// The first characters of a text. What is cut is shown by three dots.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let mut escaped: String = text.chars().take(LONGEST).flat_map(escape).collect();
        if text.chars().nth(LONGEST).is_some() {
            escaped.push_str("...");
        }
        Self(escaped.into())
    }

    /// The beginning of a value's JSON.
    pub(super) fn of_json(value: &Value) -> Self {
        Self::of(&beginning(value))
    }

    /// The beginning of a list of values.
    pub(super) fn of_list(values: &[Value]) -> Self {
        let shown: Vec<String> = values.iter().take(LONGEST).map(beginning).collect();
        Self::of(&shown.join(", "))
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The JSON of a value, of which not much more is made than is kept.
fn beginning(value: &Value) -> String {
    const ENOUGH: usize = 4 * (LONGEST + 1);
    /// Ends the writing once there is enough.
    struct Beginning(Vec<u8>);
    impl Write for Beginning {
        fn write(&mut self, bytes: &[u8]) -> Result<usize, Error> {
            if self.0.len() >= ENOUGH {
                return Err(Error::other("enough"));
            }
            self.0.extend(bytes.iter().take(ENOUGH));
            Ok(bytes.len())
        }

        fn flush(&mut self) -> Result<(), Error> {
            Ok(())
        }
    }
    let mut beginning = Beginning(Vec::new());
    // Where it ends early, what is there is enough.
    drop(serde_json::to_writer(&mut beginning, value));
    String::from_utf8_lossy(&beginning.0).into_owned()
}

/// Printable ASCII as it is, so that JSON and paths stay readable; back quotes close a quotation and are escaped too.
fn escape(c: char) -> impl Iterator<Item = char> {
    let plain = matches!(c, ' '..='~') && c != '`';
    plain.then_some(c).into_iter().chain((!plain).then(|| c.escape_unicode()).into_iter().flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_short_escaped_and_of_one_line() {
        assert_eq!(Excerpt::of(r#"{"a":1}"#).to_string(), r#"{"a":1}"#);
        assert_eq!(Excerpt::of("a\n`\u{202e}").to_string(), "a\\u{a}\\u{60}\\u{202e}");
        assert_eq!(Excerpt::of(&"n".repeat(5_000)).to_string(), "n".repeat(LONGEST) + "...");
        let values =
            [serde_json::json!(["a", 1, {"b": null}]), Value::from("\u{fc}\n".repeat(99)), Value::from(vec![7; 999])];
        for value in values {
            assert_eq!(Excerpt::of_json(&value), Excerpt::of(&value.to_string()));
        }
    }
}
