//! What holds of any bytes that are taken for a log.

use portcullis::audit::verify::{Against, Summary, verify_file};

/// They verify or are one error, without a panic; and of what verifies every whole line is a record.
pub(crate) fn hold(bytes: &[u8], against: &Against) -> Option<Summary> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    std::fs::write(&path, bytes).unwrap();
    let summary = verify_file(&path, against).ok()?;
    let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
    assert_eq!(summary.records, lines as u64, "each line is a record");
    Some(summary)
}
