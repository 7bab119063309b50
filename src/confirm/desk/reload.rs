//! What the desk and a gateway say to each other about another policy.

use serde::{Deserialize, Serialize};

use crate::confirm::escape::shown;
use crate::policy::diff::Rest;

/// What the policy file of a gateway would change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The API, by the name of its policy.
    pub api: String,
    /// The policy file, as the gateway was told of it.
    pub file: String,
    /// SHA-256 of the policy in force, 64 hexadecimal digits.
    pub before: String,
    /// And of the file.
    pub now: String,
    /// How the file compares with the policy in force.
    pub width: Width,
    /// In what it is wider.
    pub widened: Vec<Widened>,
    /// And whether that is all.
    pub rest: Rest,
}

/// How a policy compares with the one in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Width {
    /// It is that one.
    Same,
    /// It lets nothing through that is not let through now, and asks for no less.
    NoWider,
    /// It does.
    Wider,
    /// Nobody can tell.
    Undecided,
}

/// One thing in which it is wider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Widened {
    /// In what way: one word.
    pub kind: String,
    /// A request, or a key of the policy.
    pub subject: String,
    /// The rule that lets it through, where it is about a request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// How it is in force.
    pub was: String,
    /// How it would be.
    pub is: String,
}

impl Change {
    /// The same, with whatever a terminal could act upon spelled out.
    #[must_use]
    pub fn printable(self) -> Self {
        let line = |text: String| shown(&text).into_owned();
        let widened = self.widened.into_iter().map(|widened| Widened {
            kind: line(widened.kind),
            subject: line(widened.subject),
            rule: widened.rule.map(line),
            was: line(widened.was),
            is: line(widened.is),
        });
        Self {
            api: line(self.api),
            file: line(self.file),
            before: line(self.before),
            now: line(self.now),
            width: self.width,
            widened: widened.collect(),
            rest: self.rest,
        }
    }
}
