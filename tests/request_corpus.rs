//! Hostile and honest calls under two small policies: every verdict is right, and an allowed call has exactly the
//! target that the corpus expects. The policies are written out here, naively, so that this file needs nothing but
//! the parser.

use std::borrow::Cow;

use portcullis::request::body::DeleteBody;
use portcullis::request::method::Method;
use portcullis::request::path::DenyForm;
use portcullis::request::{RawRequest, Request};
use serde_json::value::RawValue;

#[derive(serde::Deserialize)]
struct Case<'a> {
    id: &'a str,
    policy: &'a str,
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(borrow)]
    path: Cow<'a, str>,
    #[serde(borrow)]
    query: Option<&'a RawValue>,
    #[serde(borrow)]
    headers: Option<&'a RawValue>,
    body: Option<String>,
    expect: &'a str,
    expect_target: Option<String>,
}

#[test]
fn every_call_of_the_corpus_gets_its_verdict_and_its_target() {
    let corpus = include_str!("data/requests.jsonl");
    let mut count = 0;
    let mut wrong = Vec::new();
    for line in corpus.lines() {
        let case: Case<'_> = serde_json::from_str(line).expect(line);
        let got = judge(&case);
        let expected = case.expect_target.clone();
        assert_eq!(case.expect == "allow", expected.is_some(), "{}: an allowed case has a target", case.id);
        if got != expected {
            wrong.push(format!("{}: expected {expected:?}, got {got:?}", case.id));
        }
        count += 1;
    }
    assert_eq!(count, 368);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The target that is sent, or nothing for a refused call.
fn judge(case: &Case<'_>) -> Option<String> {
    let body = match &case.body {
        Some(text) => Some(RawValue::from_string(text.clone()).ok()?),
        None => None,
    };
    let request = Request::parse(&RawRequest {
        method: &case.method,
        path: &case.path,
        query: case.query,
        headers: case.headers,
        body: body.as_deref(),
        delete_body: DeleteBody::Refused,
    })
    .ok()?;
    let denied = request.path().deny_forms().iter().any(is_denied);
    (!denied && request.path().encoded().is_empty() && is_granted(case.policy, &request))
        .then(|| request.target().to_owned())
}

/// `/api/v1/organization/**` and `/api/v1/project/*/metrics_v2/**` for GET; under B also PATCH of labels.
fn is_granted(policy: &str, request: &Request) -> bool {
    let segments: Vec<&str> = request.path().segments().collect();
    match request.method() {
        Method::Get => matches!(
            segments.as_slice(),
            ["api", "v1", "organization", _, ..] | ["api", "v1", "project", _, "metrics_v2", _, ..]
        ),
        Method::Patch => policy == "B" && matches!(segments.as_slice(), ["api", "v1", "service_item", _, "labels", ""]),
        Method::Head | Method::Post | Method::Put | Method::Delete => false,
    }
}

/// `/api/v1/organization/*/personal_access_tokens/**`, as wide as a denial is.
fn is_denied(form: &DenyForm) -> bool {
    let segments: Vec<&str> = form.segments().iter().map(|segment| &**segment).collect();
    match segments.as_slice() {
        ["api", "v1", "organization", _, name, ..] => name.strip_prefix("personal_access_tokens").is_some_and(|rest| {
            rest.is_empty() || rest.starts_with(['.', ':', '(', ')', ',', '@', '!', '~', '$', '\'', '+', '=', '&', '*'])
        }),
        _ => false,
    }
}
