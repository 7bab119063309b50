//! What `deny.toml` says of bans, licences and sources, held without cargo-deny: from `Cargo.lock` and `cargo metadata`.

#![cfg(test)]

use std::path::Path;
use std::process::Command;

use serde_json::Value;

#[test]
fn no_banned_crate_is_in_the_lock_file() {
    let deny = document("deny.toml");
    let banned: Vec<&str> =
        deny["bans"]["deny"].as_array().unwrap().iter().map(|ban| ban["crate"].as_str().unwrap()).collect();
    assert!(banned.contains(&"openssl"), "the list was not read");
    let lock = document("Cargo.lock");
    let locked: Vec<&str> = packages(&lock).map(|package| package["name"].as_str().unwrap()).collect();
    assert!(locked.len() > 50, "the lock file was not read");
    for name in banned {
        assert!(!locked.contains(&name), "`{name}` is banned by deny.toml");
    }
}

#[test]
fn every_dependency_comes_from_the_one_registry_with_a_checksum() {
    let lock = document("Cargo.lock");
    let ours = env!("CARGO_PKG_NAME");
    let mut sources: Vec<&str> = Vec::new();
    for package in packages(&lock).filter(|package| package["name"].as_str() != Some(ours)) {
        let name = package["name"].as_str().unwrap();
        let source = package.get("source").and_then(|source| source.as_str());
        let source = source.unwrap_or_else(|| panic!("`{name}` comes from a path"));
        assert!(source.starts_with("registry+"), "`{name}` comes from {source}");
        assert!(package.get("checksum").is_some(), "`{name}` has no checksum");
        sources.push(source);
    }
    sources.sort_unstable();
    sources.dedup();
    assert_eq!(sources.len(), 1, "{sources:?}");
}

#[test]
fn every_licence_is_one_that_deny_toml_allows() {
    let deny = document("deny.toml");
    let allowed: Vec<&str> =
        deny["licenses"]["allow"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
    // Not offline: a build fetches no crates of other platforms, and their licences count too.
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--format-version", "1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    for package in metadata["packages"].as_array().unwrap() {
        let licence = package["license"].as_str().unwrap_or("none");
        assert!(is_allowed(licence, &allowed), "{}: `{licence}` is not allowed by deny.toml", package["name"]);
    }
}

#[test]
fn an_expression_is_allowed_only_when_every_part_of_some_alternative_is() {
    let allowed = ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"];
    for (expression, expected) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("GPL-3.0 OR MIT", true),
        ("GPL-3.0/MIT", true),
        ("MIT AND GPL-3.0", false),
        ("ISC AND (GPL-3.0 OR MIT)", true),
        ("ISC AND (GPL-3.0 OR LGPL-3.0)", false),
        ("Apache-2.0 WITH LLVM-exception AND MIT", true),
        ("", false),
        ("MIT AND", false),
        ("(MIT", false),
    ] {
        assert_eq!(is_allowed(expression, &allowed), expected, "{expression}");
    }
}

/// Whether the allowed licences satisfy an SPDX expression (`/` is the old way to write `OR`).
fn is_allowed(expression: &str, allowed: &[&str]) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    either(&mut rest, allowed).unwrap_or_default() && rest.is_empty()
}

fn either(words: &mut &[&str], allowed: &[&str]) -> Option<bool> {
    let mut holds = all(words, allowed)?;
    while words.first() == Some(&"OR") {
        *words = &words[1..];
        holds |= all(words, allowed)?;
    }
    Some(holds)
}

fn all(words: &mut &[&str], allowed: &[&str]) -> Option<bool> {
    let mut holds = one(words, allowed)?;
    while words.first() == Some(&"AND") {
        *words = &words[1..];
        holds &= one(words, allowed)?;
    }
    Some(holds)
}

fn one(words: &mut &[&str], allowed: &[&str]) -> Option<bool> {
    let (first, rest) = words.split_first()?;
    *words = rest;
    if *first == "(" {
        let holds = either(words, allowed)?;
        let (close, rest) = words.split_first()?;
        *words = rest;
        return (*close == ")").then_some(holds);
    }
    let mut id = (*first).to_owned();
    if let ["WITH", exception, rest @ ..] = rest {
        id = format!("{id} WITH {exception}");
        *words = rest;
    }
    Some(allowed.contains(&id.as_str()))
}

fn document(name: &str) -> toml::Value {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap();
    toml::from_str(&text).unwrap()
}

fn packages(lock: &toml::Value) -> impl Iterator<Item = &toml::Value> {
    lock["package"].as_array().unwrap().iter()
}
