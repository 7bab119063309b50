use serde::Deserialize;
use serde_json::json;

use super::super::allstacks;
use super::super::document::offer as from_document;
use super::*;
use crate::agent::Agent;
use crate::catalog::Catalog;
use crate::catalog::operation::Operation;
use crate::policy::{Parsed, Policy, Verdict};
use crate::request::body::DeleteBody;
use crate::request::{RawRequest, Request};

const BASE: &str = "https://api.example.com/v1/";

fn read(text: &str) -> Policy {
    let Parsed { policy, findings, .. } = Policy::parse("p.toml", text);
    assert!(findings.is_empty(), "{findings:#?}\n{text}");
    policy.unwrap()
}

fn upstream(credential: Option<&Credential>) -> Upstream<'_> {
    Upstream { name: "sample", base_url: BASE, allow: Allow::default(), credential }
}

fn written(offer: &Offer) -> Policy {
    let credential = Credential::read("env:TOKEN", None, Path::new("/")).unwrap();
    read(&policy(offer, &upstream(credential.as_ref()), Path::new("/")))
}

#[derive(Deserialize)]
struct Cases {
    case: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    method: String,
    path: String,
    body: Option<toml::Value>,
    expect: String,
    rule: Option<String>,
}

/// What the policy says of a case: the word and the rule.
fn judged(policy: &Policy, case: &Case) -> (&'static str, Option<String>) {
    let body = case.body.as_ref().map(|body| serde_json::value::to_raw_value(body).unwrap());
    let raw = RawRequest {
        method: &case.method,
        path: &case.path,
        query: None,
        headers: None,
        body: body.as_deref(),
        delete_body: DeleteBody::Refused,
    };
    let Ok(request) = Request::parse(&raw) else { return ("refuse", None) };
    match policy.authorize(&Agent::stdio(1), request) {
        Verdict::Allow(authorized) => ("allow", Some(authorized.grant().rule().id().to_owned())),
        Verdict::Hold(_) => ("hold", None),
        Verdict::Deny(denial) => ("deny", denial.rule().map(|rule| rule.id().to_owned())),
    }
}

fn cases_hold(offer: &Offer) {
    let policy = written(offer);
    let Cases { case } = toml::from_str(&cases(offer, Path::new("p.toml"))).unwrap();
    assert_eq!(case.len(), offer.groups.len() + offer.closed.len() + 3);
    for case in case {
        let (expect, rule) = judged(&policy, &case);
        assert_eq!(expect, case.expect, "{} {}", case.method, case.path);
        assert!(case.rule.is_none() || case.rule == rule, "{} {}: {rule:?}", case.method, case.path);
    }
}

#[test]
fn a_policy_for_allstacks_has_no_finding_whatever_is_chosen_and_its_cases_hold() {
    let whole = allstacks::offer().unwrap();
    assert!(whole.groups.len() >= 8 && whole.closed.len() >= 5, "{whole:?}");
    cases_hold(&whole);
    for group in &whole.groups {
        let mut offer = allstacks::offer().unwrap();
        offer.groups.retain(|other| other.id == group.id);
        written(&offer);
    }
}

#[test]
fn a_policy_for_allstacks_opens_what_the_example_opens() {
    let example = read(include_str!("../../../../policy.example.toml"));
    let policy = written(&allstacks::offer().unwrap());
    let ids = |policy: &Policy| policy.rules().iter().map(|rule| rule.id().to_owned()).collect::<Vec<_>>();
    assert_eq!(ids(&policy), ids(&example));
    assert!(!policy.in_words().contains("(a write"), "{}", policy.in_words());
    assert!(!policy.in_words().split("Closed").next().unwrap().contains("/**"), "{}", policy.in_words());
    let passage = |policy: &Policy, operation: &Operation| policy.passage(operation.method(), operation.template());
    for operation in Catalog::allstacks().unwrap().operations() {
        let name = operation.name();
        assert_eq!(passage(&policy, operation), passage(&example, operation), "{name} {}", operation.template());
    }
}

/// A document with these operations: method, path, tag, summary.
fn document(operations: &[(&str, &str, &str, &str)]) -> String {
    let mut paths = serde_json::Map::new();
    for (method, path, tag, summary) in operations {
        let variables = path.split('{').skip(1).map(|rest| rest.split('}').next().unwrap());
        let parameters: Vec<_> = variables
            .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
            .collect();
        let tags: Vec<_> = Some(*tag).filter(|tag| !tag.is_empty()).into_iter().collect();
        let operation = json!({ "tags": tags, "summary": summary, "parameters": parameters });
        let item = paths.entry(*path).or_insert_with(|| json!({}));
        item[*method] = operation;
    }
    json!({ "openapi": "3.1.0", "info": { "title": "t", "version": "1" }, "paths": paths }).to_string()
}

const OPERATIONS: &[(&str, &str, &str, &str)] = &[
    ("get", "/repos/{owner}/{repo}", "Repos", "One \u{202e}# repository"),
    ("delete", "/repos/{owner}/{repo}", "Repos", ""),
    ("get", "/repos/{owner}/all", "Repos", "covered by the first"),
    ("get", "/repos/{owner}/{repo}/keys", "Repos", ""),
    ("get", "/v1/items", "", ""),
    ("get", "/v1/items/{id}.json", "", ""),
    ("get", "/users/{id}/repos", "Users", ""),
    ("post", "/items/{id}/apiTokens", "", ""),
    ("get", "/odd/[x]", "", ""),
    ("get", "/odd/*", "", ""),
    ("get", "/{kind}", "\u{e4}", ""),
];

#[test]
fn a_policy_from_a_document_opens_reads_alone_and_closes_what_looks_sensitive() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("My API.json");
    std::fs::write(&path, document(OPERATIONS)).unwrap();
    let offer = from_document(&path).unwrap();
    assert_eq!(offer.name, "my-api");
    assert_eq!(offer.left_out, 1, "a path with an asterisk of its own; the one with brackets is none");
    let ids: Vec<_> = offer.groups.iter().map(|group| (&*group.id, group.paths)).collect();
    assert_eq!(ids, [("api", 1), ("items", 2), ("repos", 1)]);
    cases_hold(&offer);
    let policy = written(&offer);
    for (method, path, expected) in [
        ("GET", "/repos/a/b", "allow"),
        ("GET", "/repos/a/all", "allow"),
        ("GET", "/v1/items/7.json", "allow"),
        ("GET", "/repos/a/b/keys", "deny"),
        ("GET", "/users", "deny"),
        ("GET", "/items/7/apitokens", "deny"),
        ("DELETE", "/repos/a/b", "deny"),
        ("GET", "/unheard/of", "deny"),
    ] {
        let case = Case { method: method.into(), path: path.into(), body: None, expect: String::new(), rule: None };
        assert_eq!(judged(&policy, &case).0, expected, "{method} {path}");
    }
}

#[test]
fn a_large_document_gives_a_policy_without_a_finding() {
    let things: Vec<String> = (0..700).map(|number| format!("/thing{number}/{{id}}")).collect();
    let keys: Vec<String> = (0..700).map(|number| format!("/key-{number}/{{id}}")).collect();
    let operations: Vec<_> = things.iter().chain(&keys).map(|path| ("get", path.as_str(), "everything", "")).collect();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("large.json");
    std::fs::write(&path, document(&operations)).unwrap();
    let offer = from_document(&path).unwrap();
    assert_eq!((offer.groups.len(), offer.closed.len()), (3, 3), "at most 256 paths a rule");
    cases_hold(&offer);
}

#[test]
fn a_header_of_the_apis_own_and_no_credential_can_be_written() {
    let offer = allstacks::offer().unwrap();
    for (place, header, line) in [
        ("file:/run/token", Some("X-Api-Key"), "header = { name = \"X-Api-Key\", value = { file = \"/run/token\" } }"),
        ("none", None, "# No credential"),
    ] {
        let credential = Credential::read(place, header, Path::new("/nowhere")).unwrap();
        let text = policy(&offer, &upstream(credential.as_ref()), Path::new("/nowhere"));
        assert!(text.contains(line), "{text}");
        read(&text);
    }
}
