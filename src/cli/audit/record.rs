//! A record as the commands for auditors read it: the members they show, filter by or count.

use serde::Deserialize;

use super::text::printable;

/// The members of a record of any kind; those that it has not are empty.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Record {
    pub(super) seq: u64,
    pub(super) time: String,
    pub(super) kind: String,
    pub(super) log: String,
    pub(super) policy: String,
    pub(super) call: String,
    pub(super) agent: String,
    pub(super) tool: String,
    pub(super) operation: String,
    pub(super) verdict: String,
    pub(super) effect: String,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) digest: String,
    pub(super) credential: String,
    pub(super) rule: String,
    pub(super) line: Option<u32>,
    pub(super) code: serde_json::Value,
    pub(super) cause: String,
    pub(super) reason: String,
    pub(super) status: Option<u16>,
    pub(super) bytes: Option<u64>,
    pub(super) attempts: Option<u8>,
    pub(super) redacted: Option<u32>,
    pub(super) duration_us: Option<u64>,
    pub(super) channels: Vec<String>,
    pub(super) said: String,
    pub(super) uid: Option<u32>,
    pub(super) state: String,
    pub(super) seconds: Option<u64>,
    pub(super) calls: Option<u64>,
    pub(super) before: String,
    pub(super) now: String,
    pub(super) wider: bool,
    pub(super) person: Option<Person>,
}

/// What a person said of a call.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Person {
    pub(super) said: String,
    pub(super) channel: String,
    pub(super) client: String,
    pub(super) uid: Option<u32>,
    pub(super) took_ms: u64,
}

impl Record {
    /// The code of a call that was refused or failed; of a frame its number.
    pub(super) fn code(&self) -> Option<String> {
        match self.code.as_str() {
            Some(code) => Some(code.to_owned()),
            None => (!self.code.is_null()).then(|| self.code.to_string()),
        }
    }

    /// What was asked for: method and path, or the tool and the operation that it names.
    pub(super) fn subject(&self) -> String {
        match (self.method.is_empty(), self.operation.is_empty()) {
            (true, true) => self.tool.clone(),
            (true, false) => format!("{} {}", self.tool, self.operation),
            (false, _) => format!("{} {}", self.method, self.path),
        }
    }
}

impl Person {
    /// In a few words, escaped.
    pub(super) fn words(&self) -> String {
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
