//! `policy.example.toml` is a good policy, changes nothing, and says what the defaults really are.

#![cfg(test)]

use portcullis::agent::Agent;
use portcullis::policy::{Finding, Policy, Severity, Verdict};
use portcullis::request::body::DeleteBody;
use portcullis::request::method::Method;
use portcullis::request::{RawRequest, Request};
use serde_json::value::RawValue;

const EXAMPLE: &str = include_str!("../policy.example.toml");

/// Every key of the policy language, by its table.
const KEYS: &[(&str, &str)] = &[
    ("", "version name"),
    (
        "upstream",
        "base_url openapi timeout connect_timeout allow_http allow_private ca_file client_certificate proxy user_agent headers",
    ),
    ("upstream.credential", "bearer basic header"),
    ("access", "writes report_until"),
    (
        "allow",
        "id methods paths effect query body encoded confirm channel preview credential rate idempotency_key log reason",
    ),
    ("deny", "id methods paths query reason"),
    ("limits", "rate burst writes denials prompts concurrency daily max_wait"),
    ("confirm", "ttl desk_ttl wait client_wait cooldown key"),
    ("tools", "mode max_bytes include exclude"),
    ("response", "read_max_bytes max_bytes format redact"),
    ("audit", "prefix sync max_bytes max_age keep"),
    ("audit.sinks", "name syslog otlp webhook credential secret require allow_http allow_private ca_file"),
];

/// The tables of the schema for editors by the names that `KEYS` has for them.
fn schema_table<'a>(schema: &'a serde_json::Value, table: &str) -> &'a serde_json::Value {
    match table {
        "" => schema,
        "upstream.credential" => &schema["definitions"]["credential"],
        "allow" | "deny" => &schema["properties"][table]["items"],
        "audit.sinks" => &schema["properties"]["audit"]["properties"]["sinks"]["items"],
        table => &schema["properties"][table],
    }
}

#[test]
fn the_schema_for_editors_has_every_key_of_the_language_and_no_other() {
    let schema: serde_json::Value = serde_json::from_str(include_str!("../docs/policy.schema.json")).unwrap();
    for (table, keys) in KEYS {
        let listed = schema_table(&schema, table);
        let mut known: Vec<&str> = listed["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        let mut expected: Vec<&str> = keys.split(' ').collect();
        // The root lists its tables, and `upstream` its credentials.
        known.retain(|key| !listed["properties"][*key]["properties"].is_object() || expected.contains(key));
        known.retain(|key| {
            !["allow", "deny", "credentials", "credential", "sinks"].contains(key) || expected.contains(key)
        });
        known.sort_unstable();
        expected.sort_unstable();
        assert_eq!(known, expected, "[{table}]");
        assert_eq!(listed["additionalProperties"], false, "[{table}]");
    }
}

#[test]
fn the_example_has_no_finding_but_what_it_says_itself() {
    let parsed = Policy::parse("policy.example.toml", EXAMPLE);
    assert!(parsed.policy.is_some(), "{:#?}", parsed.findings);
    assert!(parsed.findings.is_empty(), "{:#?}", parsed.findings);
}

#[test]
fn the_example_lets_people_read_what_they_need_first() {
    let policy = good(EXAMPLE);
    for path in [
        "/organization/",
        "/organization/1/",
        "/organization/1/projects/",
        "/organization/1/dashboards/3/",
        "/organization/1/labels/label_families/",
        "/organization/1/metrics_v2/templates/",
        "/project/7/",
        "/project/7/service_items/initial/",
        "/project/7/work_bundles/5/forecast/",
        "/service_items/service_item/",
        "/forecasting/7/v3/",
    ] {
        assert!(matches!(judge(&policy, "GET", path, None), Verdict::Allow(_)), "GET {path}");
    }
    let body = r#"{"config":{"metric":"cycle_time"}}"#;
    for path in ["/project/7/metrics_v2/metrics", "/organization/1/metrics_v2/metrics"] {
        assert!(matches!(judge(&policy, "POST", path, Some(body)), Verdict::Allow(_)), "POST {path}");
    }
}

#[test]
fn the_example_keeps_credentials_people_and_error_logs_closed() {
    let policy = good(EXAMPLE);
    for path in [
        "/organization/1/personal_access_tokens/",
        "/organization/1/Personal_Access_Tokens/4/",
        "/organization/1/user_invites/",
        "/organization/1/users/",
        "/organization/1/users/2/",
        "/project/7/users/",
        "/project/7/service_users_v2/",
        "/project/7/service/4/service_users/",
        "/organization/1/employee_list/",
        "/employee/7/summary/3",
        "/organization/1/error_logs/",
        "/organization/1/shared_links/",
    ] {
        let verdict = judge(&policy, "GET", path, None);
        assert!(matches!(&verdict, Verdict::Deny(denial) if denial.rule().is_some()), "GET {path}: {verdict:?}");
    }
}

#[test]
fn the_example_changes_nothing_whatever_the_method() {
    let policy = good(EXAMPLE);
    for method in [Method::Put, Method::Patch, Method::Delete] {
        assert!(!policy.could_send(method), "{method:?}");
    }
    for (method, path, body) in [
        ("POST", "/organization/1/projects/", Some("{}")),
        ("PATCH", "/project/7/", Some("{}")),
        ("DELETE", "/organization/1/dashboards/3/", None),
        ("POST", "/project/7/metrics_v2/metrics", Some(r#"{"config":{},"delete":true}"#)),
    ] {
        assert!(matches!(judge(&policy, method, path, body), Verdict::Deny(_)), "{method} {path}");
    }
}

#[test]
fn every_default_that_the_example_shows_is_the_real_one() {
    let (bare, written) = (good(EXAMPLE), good(&with_defaults(EXAMPLE)));
    assert_eq!(bare.upstream(), written.upstream());
    assert_eq!(bare.limits(), written.limits());
    assert_eq!(bare.confirm(), written.confirm());
    assert_eq!(bare.response(), written.response());
    assert_eq!(bare.audit(), written.audit());
}

#[test]
fn the_defaults_are_written_out_where_they_are_compared() {
    let written = with_defaults(EXAMPLE);
    for line in
        ["timeout = \"30s\"", "rate = \"120/min\"", "ttl = \"120s\"", "read_max_bytes = \"8MiB\"", "sync = \"writes\""]
    {
        assert!(written.lines().any(|written| written.starts_with(line)), "{line} is still a comment");
    }
}

#[test]
fn a_wrong_default_would_be_noticed() {
    let wrong = EXAMPLE.replace("# burst = 20 ", "# burst = 21 ");
    assert_ne!(wrong, EXAMPLE);
    assert_ne!(good(&with_defaults(&wrong)).limits(), good(EXAMPLE).limits());
}

#[test]
fn every_alternative_that_the_example_shows_is_accepted() {
    let mut tried = 0;
    for (number, line) in EXAMPLE.lines().enumerate().filter(|(_, line)| is_alternative(line)) {
        // In a table of its own it stands with the lines below it; else it takes the place of the line it replaces.
        let text: String =
            EXAMPLE.lines().enumerate().filter_map(|(at, other)| shown_with(number, line, at, other)).collect();
        let errors = errors(&text);
        assert!(errors.is_empty(), "line {}: {line}\n{errors:#?}", number + 1);
        tried += 1;
    }
    assert!(tried >= 10, "only {tried} alternatives were found");
}

#[test]
fn every_key_of_the_language_is_in_the_example() {
    for (table, keys) in KEYS {
        for key in keys.split(' ') {
            assert!(shows(table, key), "`{key}` of [{table}] is not shown");
        }
    }
}

fn good(text: &str) -> Policy {
    let parsed = Policy::parse("policy.example.toml", text);
    parsed.policy.unwrap_or_else(|| panic!("{:#?}", parsed.findings))
}

fn errors(text: &str) -> Vec<Finding> {
    let findings = Policy::parse("policy.example.toml", text).findings;
    findings.into_iter().filter(|finding| matches!(finding.severity, Severity::Error)).collect()
}

fn judge(policy: &Policy, method: &str, path: &str, body: Option<&str>) -> Verdict {
    let body = body.map(|text| RawValue::from_string(text.to_owned()).unwrap());
    let raw = RawRequest {
        method,
        path,
        query: None,
        headers: None,
        body: body.as_deref(),
        delete_body: DeleteBody::Refused,
    };
    policy.authorize(&Agent::stdio(1000), Request::parse(&raw).unwrap())
}

/// A commented key or table of the example, without its `# `.
fn commented(line: &str) -> Option<&str> {
    let text = line.strip_prefix("# ")?;
    let key = text.split([' ', '=']).next()?;
    let is_key = text.contains('=') && !key.is_empty() && key.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    (is_key || text.starts_with('[')).then_some(text)
}

fn is_alternative(line: &str) -> bool {
    commented(line).is_some_and(|text| text.contains("# alternative"))
}

/// The example with every default written out; alternatives and the tables that they open stay comments.
fn with_defaults(example: &str) -> String {
    let mut in_alternative_table = false;
    let mut written = String::new();
    for line in example.lines() {
        match commented(line) {
            Some(text) if text.starts_with('[') => in_alternative_table = true,
            Some(text) if !in_alternative_table && !is_alternative(line) => written.push_str(text),
            Some(_) => {}
            None => {
                in_alternative_table = in_alternative_table && line.starts_with('#');
                written.push_str(line);
            }
        }
        written.push('\n');
    }
    written.replace("portcullis/VERSION", concat!("portcullis/", env!("CARGO_PKG_VERSION")))
}

/// How the line `other` looks when the alternative at `number` is chosen; `None`: it gives way.
fn shown_with(number: usize, line: &str, at: usize, other: &str) -> Option<String> {
    let chosen = commented(line).unwrap_or_default();
    let table = chosen.starts_with('[');
    // The rule for writes names the second credential, so they are always shown together.
    let of_tables = |at: usize| {
        let above = EXAMPLE.lines().take(at + 1).collect::<Vec<_>>();
        above.iter().rev().take_while(|line| line.starts_with('#')).any(|line| line.starts_with("# ["))
    };
    let credential = |text: &str| ["bearer", "basic", "header "].iter().any(|key| text.starts_with(key));
    let text = match commented(other) {
        Some(text) if at == number || (table && of_tables(at)) => text,
        None if !table && !of_tables(number) && credential(chosen) && credential(other) => return None,
        Some(_) | None => other,
    };
    Some(format!("{text}\n"))
}

/// Whether the example holds `key` in `table`, as a value or as a comment.
fn shows(table: &str, key: &str) -> bool {
    let mut current = String::new();
    EXAMPLE.lines().any(|line| {
        let text = commented(line).unwrap_or(line);
        if let Some(name) = text.strip_prefix('[') {
            current = name.trim_start_matches('[').split(']').next().unwrap_or_default().to_owned();
        }
        current == table && text.split([' ', '=']).next() == Some(key)
    })
}
