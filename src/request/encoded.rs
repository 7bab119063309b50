//! The reserved characters that a path holds in encoded form (R2.3).
//!
//! An encoded slash, percent sign, question mark, hash or semicolon can be read in two ways, so a path that holds one
//! is parsed but marked, and only a rule that lists them all may grant it.

use std::fmt;

/// A set drawn from `%2F`, `%25`, `%3F`, `%23`, `%3B`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Encoded {
    bits: u8,
}

impl Encoded {
    /// None of them: what nearly every path holds.
    pub const NONE: Self = Self { bits: 0 };

    /// How each is written, with the character it stands for.
    const ALL: [(&'static str, u8, Self); 5] = [
        ("%2F", b'/', Self { bits: 1 }),
        ("%25", b'%', Self { bits: 2 }),
        ("%3F", b'?', Self { bits: 4 }),
        ("%23", b'#', Self { bits: 8 }),
        ("%3B", b';', Self { bits: 16 }),
    ];

    /// Reads one of the five as a policy writes it, in upper case; `None` for anything else.
    pub fn parse(written: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(name, _, _)| *name == written).map(|(_, _, one)| one)
    }

    /// Those that a canonical text (a path or one of its segments) holds.
    pub fn in_canonical(text: &str) -> Self {
        let mut found = Self::NONE;
        for (at, _) in text.match_indices('%') {
            if let Some(one) = text.get(at..at + 3).and_then(Self::parse) {
                found = found.union(one);
            }
        }
        found
    }

    /// The set holding the one that stands for `byte`; empty for any other byte.
    pub(super) fn standing_for(byte: u8) -> Self {
        Self::ALL.into_iter().find(|(_, character, _)| *character == byte).map_or(Self::NONE, |(_, _, one)| one)
    }

    /// Whether there is none in the set.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.bits == 0
    }

    /// Whether every member of this set is in `other`: with `other` from a rule, whether the rule lists them all.
    #[must_use]
    pub fn is_subset(self, other: Self) -> bool {
        self.bits & !other.bits == 0
    }

    /// The members of both.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self { bits: self.bits | other.bits }
    }

    /// The members in the order `%2F %25 %3F %23 %3B`, as written.
    pub fn iter(self) -> impl Iterator<Item = &'static str> {
        Self::ALL.into_iter().filter(move |(_, _, one)| one.is_subset(self)).map(|(name, _, _)| name)
    }
}

/// The members as written, with commas between: `%2F, %25`.
impl fmt::Display for Encoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        for name in self.iter() {
            write!(f, "{comma}{name}")?;
            comma = ", ";
        }
        Ok(())
    }
}

impl fmt::Debug for Encoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_names_the_five_in_upper_case_only() {
        for (name, _, one) in Encoded::ALL {
            assert_eq!(Encoded::parse(name), Some(one));
            assert_eq!(one.to_string(), name);
        }
        for other in ["", "%2f", "%20", "%5C", "/", "2F", "%2F ", "%2F%25"] {
            assert_eq!(Encoded::parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_rule_that_lists_all_of_them_covers_a_path_and_no_lesser_one_does() {
        let slash = Encoded::in_canonical("/a%2Fb");
        let both = Encoded::in_canonical("/a%2Fb%25");
        assert_eq!(both.to_string(), "%2F, %25");
        assert!(Encoded::NONE.is_subset(slash) && slash.is_subset(both) && both.is_subset(both));
        assert!(!both.is_subset(slash) && !slash.is_subset(Encoded::NONE));
        assert_eq!(slash.union(Encoded::in_canonical("%25")), both);
        assert!(Encoded::in_canonical("/a%20b/100").is_empty());
    }
}
