//! `docs/policy-findings.md` explains every code of a finding, and no other.

#![cfg(test)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Where findings are made.
const SOURCES: [&str; 7] = [
    "src/policy/file",
    "src/policy/lint",
    "src/policy/finding.rs",
    "src/cli/sources.rs",
    "src/cli/check.rs",
    "src/cli/diff.rs",
    "src/cli/check",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn texts(path: &Path) -> Vec<String> {
    if path.is_dir() {
        return fs::read_dir(path).unwrap().flat_map(|entry| texts(&entry.unwrap().path())).collect();
    }
    let text = fs::read_to_string(path).unwrap();
    vec![text.split("#[cfg(test)]").next().unwrap_or_default().to_owned()]
}

fn explained() -> BTreeSet<String> {
    let page = fs::read_to_string(root().join("docs/policy-findings.md")).unwrap();
    page.lines().filter_map(|line| line.strip_prefix("### ")).map(str::to_owned).collect()
}

#[test]
fn every_code_that_a_bad_file_gets_is_explained() {
    let explained = explained();
    let mut seen = BTreeSet::new();
    for entry in fs::read_dir(root().join("tests/bad")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "txt") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let codes =
            text.lines().filter_map(|line| line.strip_prefix("error[").or_else(|| line.strip_prefix("warning[")));
        seen.extend(codes.filter_map(|code| code.split_once(']')).map(|(code, _)| code.to_owned()));
    }
    let unexplained: Vec<_> = seen.difference(&explained).collect();
    assert!(seen.len() > 50 && unexplained.is_empty(), "{unexplained:?}");
}

#[test]
fn every_code_that_is_explained_can_be_found() {
    let source: String = SOURCES.iter().flat_map(|path| texts(&root().join(path))).collect();
    let unknown: Vec<_> = explained().into_iter().filter(|code| !source.contains(&format!("\"{code}\""))).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}
