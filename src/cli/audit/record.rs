//! A record as the commands for auditors read it: the members they show, filter by or count.

use serde::Deserialize;

use super::text::printable;

/// The members of a record of any kind; those that it has not are empty.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::cli) struct Record {
    pub(in crate::cli) seq: u64,
    pub(in crate::cli) time: String,
    pub(in crate::cli) kind: String,
    pub(in crate::cli) log: String,
    pub(in crate::cli) policy: String,
    pub(in crate::cli) call: String,
    pub(in crate::cli) agent: String,
    pub(in crate::cli) tool: String,
    pub(in crate::cli) operation: String,
    pub(in crate::cli) verdict: String,
    pub(in crate::cli) effect: String,
    pub(in crate::cli) method: String,
    pub(in crate::cli) path: String,
    pub(in crate::cli) digest: String,
    pub(in crate::cli) credential: String,
    pub(in crate::cli) rule: String,
    pub(in crate::cli) line: Option<u32>,
    pub(in crate::cli) code: serde_json::Value,
    pub(in crate::cli) cause: String,
    pub(in crate::cli) reason: String,
    pub(in crate::cli) status: Option<u16>,
    pub(in crate::cli) bytes: Option<u64>,
    pub(in crate::cli) attempts: Option<u8>,
    pub(in crate::cli) redacted: Option<u32>,
    pub(in crate::cli) duration_us: Option<u64>,
    pub(in crate::cli) channels: Vec<String>,
    pub(in crate::cli) said: String,
    pub(in crate::cli) uid: Option<u32>,
    pub(in crate::cli) state: String,
    pub(in crate::cli) seconds: Option<u64>,
    pub(in crate::cli) calls: Option<u64>,
    pub(in crate::cli) before: String,
    pub(in crate::cli) now: String,
    pub(in crate::cli) wider: bool,
    pub(in crate::cli) person: Option<Person>,
    pub(in crate::cli) query: Vec<Vec<String>>,
    pub(in crate::cli) body: Option<LoggedBody>,
    pub(in crate::cli) values: String,
    pub(in crate::cli) key: String,
    pub(in crate::cli) policy_text: String,
}

/// What a record says of a body.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub(in crate::cli) struct LoggedBody {
    pub(in crate::cli) bytes: usize,
    /// Whether it is an array; else it is an object.
    pub(in crate::cli) array: bool,
    /// The members, each with its digest where that is told.
    pub(in crate::cli) names: Vec<Vec<String>>,
}

/// What a person said of a call.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::cli) struct Person {
    pub(in crate::cli) said: String,
    pub(in crate::cli) channel: String,
    pub(in crate::cli) client: String,
    pub(in crate::cli) uid: Option<u32>,
    pub(in crate::cli) took_ms: u64,
}

impl Record {
    /// The code of a call that was refused or failed; of a frame its number.
    pub(in crate::cli) fn code(&self) -> Option<String> {
        match self.code.as_str() {
            Some(code) => Some(code.to_owned()),
            None => (!self.code.is_null()).then(|| self.code.to_string()),
        }
    }

    /// What was asked for: method and path, or the tool and the operation that it names.
    pub(in crate::cli) fn subject(&self) -> String {
        match (self.method.is_empty(), self.operation.is_empty()) {
            (true, true) => self.tool.clone(),
            (true, false) => format!("{} {}", self.tool, self.operation),
            (false, _) => format!("{} {}", self.method, self.path),
        }
    }
}

impl Person {
    /// In a few words, escaped.
    pub(in crate::cli) fn words(&self) -> String {
        let [said, channel] = [&self.said, &self.channel].map(|text| printable(text, 20));
        let client = match (self.client.is_empty(), self.uid) {
            (true, None) => String::new(),
            (true, Some(uid)) => format!(" by user {uid}"),
            // No name can end its own quotes.
            (false, _) => format!(" `{}`", printable(&self.client, 60).replace('`', "\\u{60}")),
        };
        format!("{said} at the {channel}{client} after {} s", self.took_ms / 1_000)
    }
}
