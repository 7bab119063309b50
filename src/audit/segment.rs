//! The files of one log: each is followed by another when it is full or old.
//!
//! Promises: a file ends with `rotate` and a checkpoint over all of it, and the next begins with `continue`, which holds
//! what it takes to check it alone. A name says whose file it is and which one.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// When a file is followed by another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) bytes: u64,
    pub(super) age: Duration,
}

/// The name of the file with this number of the log that began with `first`.
pub(super) fn path(first: &Path, number: u32) -> PathBuf {
    let mut stem = first.file_stem().unwrap_or_default().to_owned();
    // `_` sorts behind the `.` of the first file.
    stem.push(format!("_{number:05}.jsonl"));
    first.with_file_name(stem)
}

/// The first file of the log that `path` is of, and the number of `path`.
pub(super) fn first(path: &Path) -> (PathBuf, u32) {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let split = name.rsplit_once('_').filter(|(_, digits)| digits.len() >= 5);
    match split.and_then(|(stem, digits)| Some((stem, digits.parse().ok()?))) {
        Some((stem, number)) => (path.with_file_name(format!("{stem}.jsonl")), number),
        None => (path.to_owned(), 1),
    }
}

/// The file that holds the newest checkpoint of the log that `path` is of.
pub(super) fn head(path: &Path) -> PathBuf {
    first(path).0.with_extension("head")
}

/// Whether a file is of a log with this prefix, and not of one whose prefix only begins like it.
pub(super) fn has_prefix(path: &Path, prefix: &str) -> bool {
    let name = name(path);
    let time = name.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('-')).and_then(|rest| rest.split_once('T'));
    time.is_some_and(|(date, _)| date.len() == 8 && date.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Whether a file has the name of a log, whatever its prefix: `PREFIX-TIME-PID.jsonl`, or of one that follows it.
pub(super) fn is_log(path: &Path) -> bool {
    let first = first(path).0;
    let stem = first.file_stem().unwrap_or_default().to_string_lossy();
    let mut parts = stem.rsplitn(3, '-');
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (Some(pid), Some(time), Some(prefix)) = (parts.next(), parts.next(), parts.next()) else { return false };
    let time = time.strip_suffix('Z').and_then(|time| time.split_once('T'));
    let is_time = time.is_some_and(|(date, clock)| date.len() == 8 && digits(date) && digits(&clock.replace('.', "")));
    path.extension().is_some_and(|e| e == "jsonl") && !prefix.is_empty() && digits(pid) && is_time
}

/// A file's own name, as records hold it.
pub(super) fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_whose_file_it_is_and_which() {
        let one = Path::new("/s/audit-20260101T000000.000Z-7.jsonl");
        let two = path(one, 2);
        assert_eq!(two, Path::new("/s/audit-20260101T000000.000Z-7_00002.jsonl"));
        assert!(*one < *two && two < path(one, 10), "they sort in order");
        assert_eq!(first(&two), (one.to_owned(), 2));
        assert_eq!(first(one), (one.to_owned(), 1));
        assert_eq!(first(&path(one, 123_456)), (one.to_owned(), 123_456));
        assert_eq!(head(&two), Path::new("/s/audit-20260101T000000.000Z-7.head"));
        assert_eq!(name(&two), "audit-20260101T000000.000Z-7_00002.jsonl");
        for (file, prefix, expected) in [
            ("audit-20260101T000000.000Z-7.jsonl", "audit", true),
            ("audit-20260101T000000.000Z-7.jsonl", "aud", false),
            ("audit-b-20260101T000000.000Z-7.jsonl", "audit", false),
            ("audit-2-20260101T000000.000Z-7.jsonl", "audit", false),
            ("audit-2-20260101T000000.000Z-7.jsonl", "audit-2", true),
            ("audit-other.jsonl", "audit", false),
        ] {
            assert_eq!(has_prefix(Path::new(file), prefix), expected, "{file} of {prefix}");
        }
        for (file, expected) in [
            ("audit-20260101T000000.000Z-7.jsonl", true),
            ("audit-20260101T000000.000Z-7_00002.jsonl", true),
            ("acknowledge-20260101T000000.000Z-7.jsonl", true),
            ("a-b-20260101T000000.000Z-7.jsonl", true),
            ("20260101T000000.000Z-7.jsonl", false),
            ("audit-20260101T000000.000Z-7.head", false),
            ("audit-20260101T000000.000Z.jsonl", false),
            ("audit-other.jsonl", false),
            ("digest.key", false),
            ("policy.toml", false),
        ] {
            assert_eq!(is_log(Path::new(file)), expected, "{file}");
        }
    }
}
