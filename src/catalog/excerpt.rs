//! Text from outside, short and escaped, for a message of one line.

use std::fmt;

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
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
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
    }
}
