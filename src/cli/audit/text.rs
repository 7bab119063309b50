//! Text from a log on a terminal: escaped, cut, and coloured where somebody looks at it.

use std::borrow::Cow;

/// Escapes what could move a terminal's cursor or reorder a line, and cuts.
pub(in crate::cli) fn printable(text: &str, most: usize) -> String {
    let mut shown: String = text.chars().take(most).flat_map(escape).collect();
    if text.chars().nth(most).is_some() {
        shown.push('…');
    }
    shown
}

fn escape(c: char) -> Box<dyn Iterator<Item = char>> {
    match c.is_ascii_graphic() || c == ' ' || c.is_alphanumeric() {
        true => Box::new(std::iter::once(c)),
        false => Box::new(c.escape_unicode()),
    }
}

/// What a word is about, and so its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Tone {
    Good,
    Waiting,
    Refused,
    Faint,
}

impl Tone {
    /// The text in its colour (ECMA-48, SGR).
    pub(in crate::cli) fn paint(self, text: &str, coloured: bool) -> Cow<'_, str> {
        let code = match self {
            Self::Good => "32",
            Self::Waiting => "33",
            Self::Refused => "31",
            Self::Faint => "2",
        };
        if coloured { Cow::Owned(format!("\x1b[{code}m{text}\x1b[0m")) } else { Cow::Borrowed(text) }
    }
}
