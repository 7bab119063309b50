//! A short run of what `fuzz/fuzz_targets/log.rs` holds of any bytes, over the documented log changed at random, from a
//! fixed seed; and no change of it passes for a log that its key covers. `PORTCULLIS_SOAK=1` runs it for long.

#![cfg(test)]

#[path = "../fuzz/checks/log.rs"]
mod log;

use portcullis::audit::verify::Against;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

/// Pieces that mean something to a reader of logs.
const PIECES: [&str; 14] = [
    "\n",
    "\"",
    "\\u0061",
    "\\n",
    "{\"v\":2,\"seq\":",
    ",\"kind\":\"stop\"",
    ",\"kind\":\"answer\"",
    ",\"seq\":1",
    "00",
    "-1",
    "1.0",
    " ",
    "\u{feff}",
    "\0",
];

/// One change: so many bytes from a place are exchanged for a piece, for other bytes, or for bytes from elsewhere.
#[derive(Debug, Clone)]
enum Change {
    Piece(Index, usize, Index),
    Bytes(Index, usize, Vec<u8>),
    Copy(Index, usize, Index, usize),
}

fn change() -> impl Strategy<Value = Change> {
    let (place, few) = (any::<Index>, 0..40_usize);
    prop_oneof![
        (place(), few.clone(), place()).prop_map(|(at, count, piece)| Change::Piece(at, count, piece)),
        (place(), few.clone(), prop::collection::vec(any::<u8>(), 0..6))
            .prop_map(|(at, count, bytes)| Change::Bytes(at, count, bytes)),
        (place(), few, place(), 0..900_usize)
            .prop_map(|(at, count, from, length)| Change::Copy(at, count, from, length)),
    ]
}

fn apply(log: &mut Vec<u8>, change: &Change) {
    if log.is_empty() {
        return;
    }
    let (at, count, new) = match change {
        Change::Piece(at, count, piece) => (at, *count, PIECES[piece.index(PIECES.len())].as_bytes().to_vec()),
        Change::Bytes(at, count, bytes) => (at, *count, bytes.clone()),
        Change::Copy(at, count, from, length) => {
            let from = from.index(log.len());
            (at, *count, log[from..(from + length).min(log.len())].to_vec())
        }
    };
    let at = at.index(log.len());
    log.splice(at..(at + count).min(log.len()), new);
}

/// The log and the key that the documentation shows.
fn documented() -> (Vec<u8>, Against) {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/audit-log.md")).unwrap();
    let (_, rest) = text.split_once("```jsonl\n").unwrap();
    let (log, _) = rest.split_once("```").unwrap();
    let key = text.split(['`', ' ', '\n']).find(|word| word.starts_with("portcullis+")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("checkpoint.pub");
    std::fs::write(&file, key).unwrap();
    (log.as_bytes().to_vec(), Against::keys(&[file], directory.path()).unwrap())
}

#[test]
fn any_change_of_a_finished_log_is_found() {
    let (log, against) = documented();
    assert!(log::hold(&log, &against).is_some_and(|summary| summary.is_anchored()), "as it is documented");
    #[expect(clippy::disallowed_methods, reason = "how much a test does is no setting of the program")]
    let soak = std::env::var_os("PORTCULLIS_SOAK").is_some();
    let cases = if soak { 50_000 } else { 1_000 };
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let seed = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let changes = prop::collection::vec(change(), 1..4);
    TestRunner::new_with_rng(config, seed)
        .run(&changes, |changes| {
            let mut changed = log.clone();
            changes.iter().for_each(|change| apply(&mut changed, change));
            let whole = log::hold(&changed, &against).is_some_and(|summary| summary.is_anchored() && summary.stopped);
            prop_assert!(!whole || changed == log, "{}", String::from_utf8_lossy(&changed));
            Ok(())
        })
        .unwrap();
}
