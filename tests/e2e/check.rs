//! `portcullis check` beyond the text of a policy, and the schema that editors use.

use std::fs;
use std::process::Output;

use serde_json::Value;

use super::common::gate::binary;

const POLICY: &str = r#"version = 1
name = "known"
[upstream]
base_url = "https://api.example.test/"
openapi = "builtin:allstacks"

[[allow]]
id = "some"
methods = ["GET"]
paths = ["/organization/*/labels", "/organization/*/dashboards/**", "/organization/"]
"#;

fn check(words: &[&str]) -> Output {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("policy.toml");
    fs::write(&file, POLICY).expect("the policy is written");
    binary().arg("check").arg(&file).args(words).output().expect("the binary runs")
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&[&*output.stdout, &*output.stderr].concat()).into_owned()
}

#[test]
fn a_path_that_the_description_does_not_have_is_found_and_the_right_one_suggested() {
    let text = told(&check(&[]));
    assert!(
        text.contains("warning[matches-no-operation]: the API's description has no GET of a path like this"),
        "{text}"
    );
    assert!(text.contains("did you mean `/organization/*/labels/`?"), "{text}");
    assert!(text.ends_with("1 warning, 1 hint\n"), "{text}");
}

#[test]
fn an_answer_that_cannot_be_written_is_no_answer() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("policy.toml");
    fs::write(&file, POLICY).expect("the policy is written");
    for form in ["json", "sarif"] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("a full device");
        let output = binary().args(["check", "--format", form]).arg(&file).stdout(full).output().expect("it runs");
        assert_eq!(output.status.code(), Some(2), "{form}: {output:?}");
        assert!(told(&output).contains("the answer cannot be written"), "{form}: {output:?}");
    }
}

#[test]
fn hints_are_counted_for_people_until_they_ask_and_told_to_programs() {
    let hint = "`**` opens 3 operations today: get_dashboard_names, get_org_dashboard, list_org_dashboards";
    assert!(!told(&check(&[])).contains(hint));
    let text = told(&check(&["--hints"]));
    assert!(text.contains(&format!("hint[opens-many]: {hint}")), "{text}");
    let output = check(&["--format", "json"]);
    let findings: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let severities: Vec<&str> =
        findings.as_array().unwrap().iter().map(|of| of["severity"].as_str().unwrap()).collect();
    assert_eq!(severities, ["warning", "hint"]);
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_code_is_explained() {
    let explain = |code| binary().args(["check", "--explain", code]).output().expect("the binary runs");
    let output = explain("shallow-deny");
    assert!(told(&output).starts_with("shallow-deny\n\nwarning `*` is exactly one segment"), "{output:?}");
    assert_eq!(output.status.code(), Some(0));
    let output = explain("no-such-code");
    assert_eq!(output.status.code(), Some(2));
    assert!(told(&output).contains("docs/policy-findings.md lists them"), "{output:?}");
}

#[test]
fn the_schema_is_the_one_of_the_documents() {
    let output = binary().arg("schema").output().expect("the binary runs");
    let page = fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/policy.schema.json")).expect("the schema");
    assert_eq!(output.stdout, page);
}
