//! What the example policy says of Allstacks, rule by rule.

use serde::Deserialize;

use super::{Closed, Group, InitError, Offer, Openapi, Sample};

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
    let (mut groups, mut closed) = (Vec::new(), Vec::new());
    for text in EXAMPLE.split("\n\n").map(str::trim) {
        if !text.lines().any(|line| line.starts_with("[[allow]]") || line.starts_with("[[deny]]")) {
            continue;
        }
        let Paragraph { allow, deny } = toml::from_str(text).map_err(InitError::Builtin)?;
        groups.extend(allow.into_iter().map(|rule| Group {
            case: sample(&rule),
            paths: rule.paths.len(),
            id: rule.id,
            toml: text.to_owned(),
        }));
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

/// A request that the rule is about: each `*` is a number, and what `**` begins with an organization.
fn sample(rule: &Rule) -> Sample {
    let pattern = rule.paths.first().map(String::as_str).unwrap_or_default();
    let path = pattern.replacen("/**/", "/organization/1/", 1).replace("**", "1").replace('*', "1");
    let posts = rule.methods.first().is_some_and(|method| method == "POST");
    let (method, body) = if posts { ("POST", Some("{ config = {} }")) } else { ("GET", None) };
    Sample { method, path, body }
}
