//! Text of a document on its way to a reader. All of it goes through here.
//!
//! Promises that a person sees all that an agent reads. Prose is made short, since an agent reads it in every
//! conversation, and loses what is invisible. A name, a pattern or a value has a meaning to the byte: it is shown as it
//! is, or not at all where it holds what is invisible. A schema then asks less, and the API judges what is sent. To
//! leave the whole operation out would let one such value among many close what the policy opens, and to show the value
//! changed would make an agent send what the API does not know.

use serde_json::Value;

use crate::request::fold::is_invisible;

/// The longest description of an argument or of a part of one, in characters.
pub(super) const MAX_DESCRIPTION: usize = 100;

/// How much of a text is looked at for its first sentence, in bytes.
const MAX_LOOK: usize = 8 << 10;

/// The first sentence of a text in one line, at most `most` characters long, without what is invisible.
pub(super) fn sentence(text: &str, most: usize) -> String {
    let mut line = String::new();
    // The beginning holds the first sentence; a description may be pages long, or a megabyte of nothing.
    let text = text.get(..text.floor_char_boundary(MAX_LOOK)).unwrap_or_default();
    for word in text.split_whitespace().take(most) {
        let word: String = word.chars().filter(|c| !is_invisible(*c)).take(most).collect();
        if !line.is_empty() && !word.is_empty() {
            line.push(' ');
        }
        line.push_str(&word);
        let ends = word.ends_with(['.', '!', '?']) && word.chars().filter(|c| *c == '.').count() < 2;
        if ends || line.len() > 4 * most {
            break;
        }
    }
    let line = line.trim_end_matches('.');
    if line.chars().count() <= most {
        return line.to_owned();
    }
    let cut: String = line.chars().take(most.saturating_sub(1)).collect();
    let cut = cut.rsplit_once(' ').map_or(cut.as_str(), |(whole, _)| whole);
    format!("{}\u{2026}", cut.trim_end())
}

/// The first invisible character of a text that is shown as it is. Tabs and ends of lines are none: JSON writes them
/// as visible escapes.
pub(super) fn hidden(text: &str) -> Option<char> {
    text.chars().find(|c| is_invisible(*c) && !matches!(c, '\t' | '\n' | '\r'))
}

/// The same for a value with all that is in it, names too.
pub(super) fn hidden_in(value: &Value) -> Option<char> {
    match value {
        Value::String(text) => hidden(text),
        Value::Array(items) => items.iter().find_map(hidden_in),
        Value::Object(members) => members.iter().find_map(|(name, member)| hidden(name).or_else(|| hidden_in(member))),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_sentence_is_kept_and_a_long_one_cut_at_a_word() {
        let cases = [
            ("Lists things. And more.", "Lists things"),
            ("Two\n\nlines", "Two lines"),
            ("Such as e.g. this one. No", "Such as e.g. this one"),
            ("", ""),
            ("a word that is cut off here", "a word that is cut\u{2026}"),
            ("\u{202e}One\u{200b} two\u{e0041}.\u{e0042} More", "One two"),
            ("\u{200b} \u{feff} a", "a"),
            (&format!("a {}. b", "\u{200b}".repeat(MAX_LOOK)), "a"),
        ];
        for (text, expected) in cases {
            assert_eq!(sentence(text, 21), expected);
        }
    }
}
