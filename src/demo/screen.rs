//! Text for a terminal of 80 columns.
//!
//! Promises: no line over 80 columns except what is there to be copied (a path, a JSON line); no colour unless asked for; text from outside cannot steer the terminal, since every character that is not printable is escaped.

use std::borrow::Cow;
use std::io::{self, Write};

/// The columns of a line.
const WIDTH: usize = 80;
/// Where the text beside a label begins.
const INDENT: usize = 10;

/// What a line is about, and so its colour.
#[derive(Clone, Copy)]
pub(super) enum Tone {
    Plain,
    Good,
    Refused,
    Faint,
}

/// Where the demo is told.
pub(super) struct Screen<'a> {
    out: &'a mut dyn Write,
    colour: bool,
}

impl<'a> Screen<'a> {
    pub(super) fn new(out: &'a mut dyn Write, colour: bool) -> Self {
        Self { out, colour }
    }

    /// An empty line.
    pub(super) fn blank(&mut self) -> io::Result<()> {
        writeln!(self.out)
    }

    /// A heading with an empty line above.
    pub(super) fn title(&mut self, text: &str) -> io::Result<()> {
        let (start, end) = if self.colour { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
        writeln!(self.out, "\n{start}{text}{end}")
    }

    /// Running text, wrapped.
    pub(super) fn paragraph(&mut self, text: &str) -> io::Result<()> {
        for line in wrap(text, WIDTH) {
            writeln!(self.out, "{line}")?;
        }
        self.out.flush()
    }

    /// A label and a path or address, never wrapped: it is there to be copied.
    pub(super) fn place(&mut self, label: &str, text: &str) -> io::Result<()> {
        writeln!(self.out, "{label:>width$}  {}", escaped(text), width = INDENT - 2)?;
        self.out.flush()
    }

    /// A label and its text; the text is escaped and wrapped beside the label.
    pub(super) fn pair(&mut self, label: &str, text: &str, tone: Tone) -> io::Result<()> {
        let mut label = label;
        for line in wrap(&escaped(text), WIDTH - INDENT) {
            writeln!(self.out, "{label:>width$}  {}", self.toned(&line, tone), width = INDENT - 2)?;
            label = "";
        }
        self.out.flush()
    }

    /// One line of a table, indented, escaped and cut.
    pub(super) fn row(&mut self, text: &str, tone: Tone) -> io::Result<()> {
        let line = cut(&escaped(text), WIDTH - 2);
        writeln!(self.out, "  {}", self.toned(&line, tone))
    }

    /// Text to copy, exactly as it is: it is ours, and wrapping would break it.
    pub(super) fn verbatim(&mut self, text: &str) -> io::Result<()> {
        for line in text.lines() {
            writeln!(self.out, "{}", self.toned(line, Tone::Faint))?;
        }
        self.out.flush()
    }

    /// Text from outside in the lines that it has, escaped; it keeps to the width by itself.
    pub(super) fn quote(&mut self, text: &str) -> io::Result<()> {
        for line in text.lines() {
            writeln!(self.out, "{}", escaped(line))?;
        }
        self.out.flush()
    }

    fn toned<'t>(&self, text: &'t str, tone: Tone) -> Cow<'t, str> {
        let code = match tone {
            Tone::Plain => return Cow::Borrowed(text),
            Tone::Good => "32",
            Tone::Refused => "33",
            Tone::Faint => "2",
        };
        if self.colour { Cow::Owned(format!("\x1b[{code}m{text}\x1b[0m")) } else { Cow::Borrowed(text) }
    }
}

/// The text with everything escaped that is not printable ASCII.
pub(super) fn escaped(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            if c == ' ' || c.is_ascii_graphic() { Escape::Keep(Some(c)) } else { Escape::Code(c.escape_default()) }
        })
        .collect()
}

/// At most `columns` characters, with `...` in place of what is left out.
pub(super) fn cut(text: &str, columns: usize) -> String {
    if text.chars().count() <= columns {
        return text.to_owned();
    }
    text.chars().take(columns.saturating_sub(3)).chain("...".chars()).collect()
}

/// The two ways a character is written by [`escaped`].
enum Escape {
    Keep(Option<char>),
    Code(std::char::EscapeDefault),
}

impl Iterator for Escape {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        match self {
            Escape::Keep(c) => c.take(),
            Escape::Code(code) => code.next(),
        }
    }
}

/// Lines of at most `width` characters, broken at spaces, or inside a word that is longer than a line.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut used = 0;
    for word in text.split(' ') {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > width {
            lines.push(std::mem::take(&mut line));
            used = 0;
        }
        if used > 0 {
            line.push(' ');
            used += 1;
        }
        for c in word.chars() {
            if used == width {
                lines.push(std::mem::take(&mut line));
                used = 0;
            }
            line.push(c);
            used += 1;
        }
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(colour: bool, tell: impl Fn(&mut Screen<'_>) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        tell(&mut Screen::new(&mut out, colour)).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_from_outside_cannot_steer_the_terminal() {
        let text = shown(false, |s| s.pair("agent", "a\x1b[2Jb\u{202e}c\r\n", Tone::Plain));
        assert_eq!(text, "   agent  a\\u{1b}[2Jb\\u{202e}c\\r\\n\n");
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let words = "seven sins ".repeat(40);
        let text = shown(false, |s| {
            s.pair("gate", &words, Tone::Good)?;
            s.paragraph(&words)?;
            s.pair("answer", &words.replace(' ', "-"), Tone::Faint)?;
            s.row(&words, Tone::Plain)
        });
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
    }

    #[test]
    fn colour_appears_only_when_asked_for() {
        let tell = |s: &mut Screen<'_>| s.pair("gate", "allowed", Tone::Good);
        assert!(!shown(false, tell).contains('\x1b'));
        assert!(shown(true, tell).contains("\x1b[32mallowed\x1b[0m"));
    }
}
