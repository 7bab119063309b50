//! Patterns of a document's schemas, compiled for the linear-time engine.
//!
//! Promises that a pattern which compiles means here what it means to ECMA-262, in whose words JSON Schema writes them:
//! `\d`, `\w` and `\b` are about ASCII, and nothing is an operation on sets. It leaves out what the engine does not know
//! (look-around, back references), and bounds what all patterns of a document cost.

use std::collections::HashMap;
use std::sync::Arc;

use regex::{Regex, RegexBuilder};

/// What the patterns of a document may cost to compile, in shares: most take one. It bounds their number, and so their
/// memory.
const MAX_SHARES: usize = 500;

/// The longest pattern, in bytes; how many of them make a share, of one that folds case, whose classes become large,
/// and of any other.
const MAX_PATTERN: usize = 500;
const FOLDING_SHARE: usize = 8;
const SHARE: usize = 64;

/// What a compiled pattern may take at most, and up to where it is small, in bytes; what a large one costs, in shares.
const MAX_COMPILED: usize = 256 << 10;
const SMALL: usize = 32 << 10;
const LARGE_SHARES: usize = 4;

/// The patterns of a document; `None` for one that is not understood or too large.
#[derive(Debug)]
pub(super) struct Patterns {
    compiled: HashMap<Box<str>, Option<Arc<Regex>>>,
    shares: usize,
}

impl Patterns {
    pub(super) fn new() -> Self {
        Self { compiled: HashMap::new(), shares: MAX_SHARES }
    }

    /// A pattern, compiled; `None` where it is not understood, where it is too large, or where there have been too many.
    pub(super) fn get(&mut self, pattern: &str) -> Option<Arc<Regex>> {
        if pattern.len() > MAX_PATTERN {
            return None;
        }
        if let Some(known) = self.compiled.get(pattern) {
            return known.clone();
        }
        let share = if folds_case(pattern) { FOLDING_SHARE } else { SHARE };
        self.shares = self.shares.checked_sub(1 + pattern.len() / share)?;
        let compiled = translated(pattern).and_then(|translated| {
            compile(&translated, SMALL).or_else(|| {
                self.shares = self.shares.checked_sub(LARGE_SHARES)?;
                compile(&translated, MAX_COMPILED)
            })
        });
        self.compiled.insert(pattern.into(), compiled.clone());
        compiled
    }
}

fn compile(pattern: &str, most: usize) -> Option<Arc<Regex>> {
    RegexBuilder::new(pattern).size_limit(most).dfa_size_limit(most).build().ok().map(Arc::new)
}

/// The pattern in the engine's words; `None` where they have none for it.
fn translated(pattern: &str) -> Option<String> {
    let mut text = String::with_capacity(pattern.len());
    let mut place = Place::Outside;
    let mut rest = pattern;
    while let Some(letter) = rest.chars().next() {
        let after = rest.get(letter.len_utf8()..)?;
        let escaped = after.chars().next().filter(|_| letter == '\\');
        rest = after.get(escaped.map_or(0, char::len_utf8)..)?;
        place = match (place, letter, escaped) {
            (_, '\\', escaped) => place.escape(escaped?, rest, &mut text)?,
            // An empty class, or its opposite; the first bracket of a class is no letter of it.
            (Place::Outside, '[', _) if rest.starts_with(']') || rest.starts_with("^]") => return None,
            (Place::Outside, '[', _) => push(&mut text, "[", Place::Class),
            (Place::Outside, '{', _) if rest.starts_with(',') => return None,
            (Place::Outside, '.', _) if !pattern.contains("(?s") => {
                push(&mut text, r"[^\n\r\x{2028}\x{2029}]", Place::Outside)
            }
            (Place::Class | Place::Set, ']', _) => push(&mut text, "]", Place::Outside),
            (Place::Class | Place::Set, '[', _) => push(&mut text, r"\[", Place::Class),
            // Two of them are an operation on sets.
            (Place::Class | Place::Set, '&' | '~' | '-', _) if rest.starts_with(letter) => return None,
            // No range begins or ends with a set.
            (Place::Set, '-', _) => push(&mut text, r"\-", Place::Class),
            (Place::Class, '-', _) if is_set(rest) => push(&mut text, r"\-", Place::Class),
            (Place::Class | Place::Set, ..) => push(&mut text, letter.encode_utf8(&mut [0; 4]), Place::Class),
            (Place::Outside, ..) => push(&mut text, letter.encode_utf8(&mut [0; 4]), Place::Outside),
        };
    }
    Some(text)
}

/// Where in a pattern the next letter stands.
#[derive(Clone, Copy)]
enum Place {
    Outside,
    Class,
    /// In a class, right behind a set such as `\d`.
    Set,
}

impl Place {
    /// Translates an escape, `rest` being what follows, and says where that stands.
    fn escape(self, escaped: char, rest: &str, text: &mut String) -> Option<Self> {
        let outside = matches!(self, Self::Outside);
        let behind_set = if outside { Self::Outside } else { Self::Set };
        let set = match escaped {
            'd' => "[0-9]",
            'D' => "[^0-9]",
            'w' => "[0-9A-Za-z_]",
            'W' => "[^0-9A-Za-z_]",
            's' => r"[\s\x{feff}]",
            'S' => r"[^\s\x{feff}]",
            _ => "",
        };
        let inside = if outside { Self::Outside } else { Self::Class };
        Some(match escaped {
            _ if !set.is_empty() => push(text, set, behind_set),
            'b' if !outside => push(text, r"\x08", inside),
            'b' if !rest.starts_with('{') => push(text, r"(?-u:\b)", inside),
            'B' if outside => push(text, r"(?-u:\B)", inside),
            // Letters that the engine reads in ways of its own.
            'a' | 'A' | 'b' | 'B' | 'z' | 'Q' | 'E' | '<' | '>' => return None,
            other => {
                text.push('\\');
                push(text, other.encode_utf8(&mut [0; 4]), inside)
            }
        })
    }
}

fn push(text: &mut String, more: &str, next: Place) -> Place {
    text.push_str(more);
    next
}

/// Whether a set comes next, such as `\d`.
fn is_set(rest: &str) -> bool {
    rest.strip_prefix('\\').is_some_and(|rest| rest.starts_with(['d', 'D', 'w', 'W', 's', 'S']))
}

/// Whether some group sets the flag `i`.
fn folds_case(pattern: &str) -> bool {
    let flags = |group: &str| group.chars().take_while(|c| c.is_ascii_alphabetic() || *c == '-').any(|c| c == 'i');
    pattern.split("(?").skip(1).any(flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_means_what_ecma_262_says() {
        let cases = [
            (r"^\d+$", "12", true),
            (r"^\d+$", "١٢", false),
            (r"^\D$", "١", true),
            (r"^[^\d]$", "١", true),
            (r"^[\d.]+$", "1.2", true),
            (r"^\w+$", "aZ_9", true),
            (r"^\w+$", "é", false),
            (r"^\W$", "é", true),
            (r"^[^\w]+$", "é", true),
            (r"^[\w-]+$", "a-b", true),
            (r"^[\W]$", "a", false),
            (r"^[\Wa]$", "a", true),
            (r"\bé", "aé", true),
            (r"^a\Bb$", "ab", true),
            (r"^\s$", "\u{feff}", true),
            (r"^\S$", "\u{feff}", false),
            (r"^[\s]$", "\u{a0}", true),
            (r"^[\b]$", "\u{8}", true),
            (r"^[[]$", "[", true),
            (r"^[a\]b]$", "]", true),
            (r"^\/\-\.$", "/-.", true),
            (r"^\u0041\x42$", "AB", true),
            (r"^(?:a|b){2}$", "ab", true),
            (r"a", "bab", true),
            (r"^.$", "\n", false),
            (r"^a$", "a\n", false),
            (r"^(?<x>a)$", "a", true),
            (r"^\\d$", "\\d", true),
            (r"^[\w-z]+$", "-", true),
            (r"^[\w-z]+$", "`", false),
            (r"^[+-\d]+$", "-", true),
            (r"^[+-\d]+$", "A", false),
            (r"^[a-c-]+$", "b-", true),
            (r"^[^\w-]$", "-", false),
            (r"^.$", "\u{2028}", false),
            (r"(?s)^.$", "\n", true),
            (r"^[.]$", "x", false),
            (r"^[\/\-]+$", "-/", true),
            (r"^\[a\]$", "[a]", true),
            (r"^é[ö-ü]?$", "é", true),
        ];
        for (pattern, text, expected) in cases {
            let compiled = Patterns::new().get(pattern).unwrap_or_else(|| panic!("{pattern} is not understood"));
            assert_eq!(compiled.is_match(text), expected, "{pattern} {text:?}");
        }
        for pattern in [
            r"(?=a)", r"(?<!a)b", r"(a)\1", r"\<a", r"[a&&b]", r"[a--b]", r"\A", "(", "[", "\\", r"\cA", r"[\B]",
            r"a{2,1}",
        ] {
            assert!(Patterns::new().get(pattern).is_none(), "{pattern}");
        }
    }

    #[test]
    fn patterns_cost_by_their_length_and_size_and_run_out() {
        let count = |make: &dyn Fn(usize) -> String| {
            let mut patterns = Patterns::new();
            (0..2 * MAX_SHARES).take_while(|number| patterns.get(&make(*number)).is_some()).count()
        };
        assert_eq!(count(&|number| format!("^a{number}$")), MAX_SHARES);
        assert_eq!(count(&|_| "^a$".to_owned()), 2 * MAX_SHARES);
        assert_eq!(count(&|number| format!("[a-z]{{{}}}", 3_000 - number)), MAX_SHARES / (1 + LARGE_SHARES));
        assert_eq!(count(&|number| format!("{number:03}{}", "a".repeat(397))), MAX_SHARES / (1 + 400 / SHARE));
        let folding = count(&|number| format!("(?s-u)(?m:{number:03})|(?si)a"));
        assert_eq!(folding, MAX_SHARES / (1 + 23 / FOLDING_SHARE));
        let mut patterns = Patterns::new();
        assert!(patterns.get(&"a".repeat(MAX_PATTERN + 1)).is_none());
        assert!(patterns.get("[^a]{1,9999}").is_none(), "it is larger than MAX_COMPILED");
        assert_eq!(patterns.shares, MAX_SHARES - 1 - LARGE_SHARES);
    }
}
