//! What the example policy says of Allstacks, rule by rule; a `**` in what it opens is spelled out, so that nothing is open
//! that nobody has read.

use serde::Deserialize;

use super::document::{covers, joined, pattern};
use super::text::{list, toml_string};
use super::{Closed, Group, InitError, Offer, Openapi, Sample};
use crate::catalog::Catalog;
use crate::request::method::Method;

/// The policy that the groups are taken from, comments included.
const EXAMPLE: &str = include_str!("../../../policy.example.toml");

/// What is read of the example.
#[derive(Debug, Deserialize)]
struct Example {
    upstream: Upstream,
}

#[derive(Debug, Deserialize)]
struct Upstream {
    base_url: String,
}

/// One paragraph of it.
#[derive(Debug, Deserialize)]
struct Paragraph {
    #[serde(default)]
    allow: Vec<Rule>,
    #[serde(default)]
    deny: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
struct Rule {
    id: String,
    #[serde(default)]
    methods: Vec<String>,
    paths: Vec<String>,
}

/// The groups and the denials of the example policy.
///
/// # Errors
/// None that a test would not have found; the text is part of the program.
pub(super) fn offer() -> Result<Offer, InitError> {
    let example: Example = toml::from_str(EXAMPLE).map_err(InitError::Builtin)?;
    let catalog = Catalog::allstacks().map_err(InitError::Catalog)?;
    let (mut groups, mut closed) = (Vec::new(), Vec::new());
    for text in EXAMPLE.split("\n\n").map(str::trim) {
        if !text.lines().any(|line| line.starts_with("[[allow]]") || line.starts_with("[[deny]]")) {
            continue;
        }
        let Paragraph { allow, deny } = toml::from_str(text).map_err(InitError::Builtin)?;
        groups.extend(allow.into_iter().map(|rule| spelled_out(rule, text, &catalog)));
        closed.extend(deny.into_iter().map(|rule| Closed { case: sample(&rule), id: rule.id, toml: text.to_owned() }));
    }
    Ok(Offer {
        openapi: Openapi::Builtin("builtin:allstacks"),
        base_url: Some(example.upstream.base_url),
        name: "allstacks".to_owned(),
        groups,
        closed,
        left_out: 0,
    })
}

/// The rule as it stands, or with the operations below in place of each `**`.
fn spelled_out(mut rule: Rule, text: &str, catalog: &Catalog) -> Group {
    if !rule.paths.iter().any(|path| path.contains("**")) {
        return Group { case: sample(&rule), paths: rule.paths.len(), id: rule.id, toml: text.to_owned() };
    }
    let mut paths: Vec<Vec<String>> = Vec::new();
    for path in &rule.paths {
        match path.strip_suffix("/**") {
            Some(above) => paths.extend(below(above, catalog)),
            None => paths.push(segments(path)),
        }
    }
    paths.sort();
    paths.dedup();
    let covered = |path: &&Vec<String>| paths.iter().any(|wide| wide != *path && covers(wide, path));
    rule.paths = paths.iter().filter(|path| !covered(path)).map(|path| joined(path)).collect();
    let toml =
        format!("[[allow]]\nid      = {}\nmethods = [\"GET\"]\npaths   = {}", toml_string(&rule.id), list(&rule.paths));
    Group { case: sample(&rule), paths: rule.paths.len(), id: rule.id, toml }
}

/// The paths of the GET operations below a path.
fn below(above: &str, catalog: &Catalog) -> Vec<Vec<String>> {
    let above = segments(above);
    let get = catalog.operations().iter().filter(|operation| operation.method() == Method::Get);
    let paths = get.filter_map(|operation| pattern(&operation.template().split('/').skip(1).collect::<Vec<_>>()));
    paths
        .filter(|path| path.len() > above.len() && path.get(..above.len()).is_some_and(|top| covers(&above, top)))
        .collect()
}

fn segments(path: &str) -> Vec<String> {
    path.split('/').skip(1).map(str::to_owned).collect()
}

/// A request that the rule is about: each `*` is a number, and what `**` begins with an organization.
fn sample(rule: &Rule) -> Sample {
    let pattern = rule.paths.first().map(String::as_str).unwrap_or_default();
    let path = pattern.replacen("/**/", "/organization/1/", 1).replace("**", "1").replace('*', "1");
    let posts = rule.methods.first().is_some_and(|method| method == "POST");
    let (method, body) = if posts { ("POST", Some("{ config = {} }")) } else { ("GET", None) };
    Sample { method, path, body }
}
