//! `portcullis test`: cases beside a policy.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::Value;

use super::common::gate::{Home, binary};
use super::common::policy;
use super::common::recorder::Recorder;

fn test(words: &[&str], files: &[&Path]) -> Output {
    binary().arg("test").args(files).args(words).output().expect("the binary runs")
}

fn home(cases: &str) -> std::sync::Arc<Home> {
    let home = Home::new(&policy::b(&Recorder::plain(), ""));
    fs::write(home.path().join("policy.cases.toml"), cases).expect("the cases are written");
    home
}

const GOOD: &str = "[[case]]\npath = \"/api/v1/organization/1\"\nexpect = \"allow\"\nrule = \"organizations\"\n";
const HELD: &str = "[[case]]\nname = \"a label\"\nmethod = \"PATCH\"\npath = \"/api/v1/service_item/1/labels/\"\n\
    body = { a = 1 }\nexpect = \"hold\"\nrule = \"labels\"\n";
const WRONG: &str = "[[case]]\npath = \"/api/v1/organization/1/personal_access_tokens/\"\nexpect = \"allow\"\n";

#[test]
fn the_example_policy_passes_its_cases_and_each_of_its_rules_is_hit() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("policy.example.toml");
    let output = test(&["--cover"], &[&example]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.ends_with("cases passed, 13 of 13 rules are hit\n"), "{text}");
}

#[test]
fn a_case_that_fails_says_what_was_expected_and_what_was_got_and_where() {
    let home = home(&format!("{GOOD}{HELD}{WRONG}"));
    let output = test(&[], &[&home.policy()]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    let policy = home.policy();
    for told in [
        "FAILED  ",
        "policy.cases.toml:12\n        GET /api/v1/organization/1/personal_access_tokens/\n",
        "        expected  allow\n",
        &format!("        got       deny by `tokens` (deny_rule)  {}:", policy.display()),
        "2 of 3 cases passed, 3 of 4 rules are hit\n",
        "  no case hits `metrics`",
    ] {
        assert!(text.contains(told), "{told}\n{text}");
    }
}

#[test]
fn a_rule_without_a_case_is_a_failure_where_that_is_asked_for() {
    let home = home(&format!("{GOOD}{HELD}"));
    assert_eq!(test(&[], &[&home.policy()]).status.code(), Some(0));
    assert_eq!(test(&["--cover"], &[&home.policy()]).status.code(), Some(1));
}

#[test]
fn programs_and_ci_are_told_the_same() {
    let home = home(&format!("{GOOD}{WRONG}"));
    let output = test(&["--format", "json"], &[&home.policy()]);
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((told["failed"].as_u64(), told["cases"].as_array().map(Vec::len)), (Some(1), Some(2)), "{told}");
    assert_eq!(told["cases"][1]["got"]["rules"][0], "tokens");
    let output = test(&["--format", "junit"], &[&home.policy()]);
    let text = String::from_utf8(output.stdout).expect("text");
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("tests=\"2\" failures=\"1\""), "{text}");
    assert!(text.contains("<failure message=\"expected allow, got deny by `tokens` (deny_rule)"), "{text}");
}

#[test]
fn cases_that_cannot_be_read_are_never_taken_for_passed() {
    for (cases, told) in [
        ("", "there is no case"),
        ("[[case]]\npath = \"/a\"\nexpect = \"yes\"\n", "unknown variant `yes`"),
        ("[[case]]\npath = \"/a\"\nexpect = \"deny\"\nrule = \"lables\"\n", "the policy has no rule `lables`"),
    ] {
        let home = home(cases);
        let output = test(&[], &[&home.policy()]);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{cases}: {error}");
        assert!(error.contains(told), "{cases}: {error}");
    }
    let home = Home::new(&policy::a(&Recorder::plain()));
    let output = test(&[], &[&home.policy()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("policy.cases.toml` cannot be used as cases"));
}
