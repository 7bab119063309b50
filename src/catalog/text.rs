//! Prose of a document made short: an agent reads it in every conversation.

/// The longest description of an argument or of a part of one, in characters.
pub(super) const MAX_DESCRIPTION: usize = 100;

/// The first sentence of a text in one line, at most `most` characters long.
pub(super) fn sentence(text: &str, most: usize) -> String {
    let mut line = String::new();
    // A paragraph or two hold the first sentence; a description may be pages long.
    for word in text.split_whitespace().take(most) {
        if !line.is_empty() {
            line.push(' ');
        }
        line.extend(word.chars().filter(|c| !c.is_control()).take(most));
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
        ];
        for (text, expected) in cases {
            assert_eq!(sentence(text, 21), expected);
        }
    }
}
