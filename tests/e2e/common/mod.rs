//! The world around the gate: a client on its stdio (`gate`), an upstream on loopback
//! (`recorder`), places that get the log (`sink`), the person behind the client (`person`) or in another terminal (`desk`, `terminal`), and the search for a
//! leaked credential (`canary`).

pub(crate) mod canary;
pub(crate) mod desk;
pub(crate) mod gate;
pub(crate) mod person;
pub(crate) mod policy;
pub(crate) mod recorder;
pub(crate) mod sink;
pub(crate) mod terminal;

use std::{num::NonZeroU64, time::Duration};

use serde_json::Value;

/// How long a test waits for one thing that must happen; reached only when it never does.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What one gate may need at its peak, whatever is thrown at it: `VmHWM` in KiB.
pub(crate) const MEMORY_CAP_KIB: u64 = 64 * 1024;

/// How many rounds a randomised test runs: `full` when `PORTCULLIS_SOAK` is set, else `quick`;
/// `PORTCULLIS_ROUNDS` overrules both.
pub(crate) fn rounds(quick: u64, full: u64) -> u64 {
    match (variable("PORTCULLIS_ROUNDS"), variable("PORTCULLIS_SOAK")) {
        (Some(rounds), _) => rounds.parse().expect("PORTCULLIS_ROUNDS is a number"),
        (None, Some(_)) => full,
        (None, None) => quick,
    }
}

#[expect(clippy::disallowed_methods, reason = "the counts of the soak run are chosen by the environment")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The cases of a corpus in `tests/data`, one JSON object a line.
pub(crate) fn corpus(name: &str) -> Vec<Value> {
    let path = format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    text.lines().map(|line| serde_json::from_str(line).expect("a corpus line is JSON")).collect()
}

/// Polls until `done` holds. The pause only spares the processor: nothing depends on its length.
pub(crate) fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let pause = Duration::from_millis(5);
    for _ in 0..(PATIENCE.as_millis() / pause.as_millis()) {
        if done() {
            return;
        }
        std::thread::sleep(pause);
    }
    panic!("waited {PATIENCE:?} in vain: {what}");
}

/// A small seeded generator (xorshift64*): the same seed tells the same story again.
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number in `0..end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        let end = NonZeroU64::new(end).expect("an empty range has no number");
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16) % end
    }
}
