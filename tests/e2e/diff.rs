//! `diff` and `check --within`: what is told of two policies, to people and to programs, and the exit codes.

use std::{fs, path::Path, process::Output, sync::Arc};

use serde_json::{Value, json};

use super::common::gate::{Home, binary};

const OLD: &str = "version = 1\nname = \"t\"\n[upstream]\nbase_url = \"https://a.example.test/\"\n\
                   [[allow]]\nid = \"all\"\nmethods = [\"GET\"]\npaths = [\"/a/**\"]\n\
                   [[deny]]\nid = \"secrets\"\npaths = [\"/**/secret\"]\n[limits]\nrate = \"10/min\"\n";

/// A home with OLD in it and, beside it, what the changes make of it.
fn two(changes: &[(&str, &str)]) -> Arc<Home> {
    let home = Home::new(OLD);
    let new = changes.iter().fold(OLD.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replace(from, to)
    });
    fs::write(home.path().join("new.toml"), new).expect("it can be written");
    home
}

fn diff(home: &Home, more: &[&str]) -> Output {
    let files = [home.policy(), home.path().join("new.toml")];
    binary().arg("diff").args(files).args(more).output().expect("it runs")
}

fn told(home: &Home, output: &Output) -> String {
    let text = String::from_utf8(output.stdout.clone()).expect("text");
    text.replace(&format!("{}/", home.path().display()), "")
}

#[test]
fn a_change_that_widens_nothing_is_no_wider_and_says_what_is_narrower() {
    let home = two(&[]);
    let same = diff(&home, &[]);
    assert_eq!(told(&home, &same), "new.toml: no wider and no narrower than policy.toml\n");
    assert_eq!(same.status.code(), Some(0));
    let home = two(&[("/a/**", "/a/*"), ("10/min", "9/min")]);
    let narrower = diff(&home, &[]);
    let expected = "narrower (limits): limits.rate\n  was: 10/min\n  is:  9/min\n\
                    narrower (passes): GET /a/x/\n  was: allowed (policy.toml:5 `all`)\n  is:  denied (no_rule)\n\
                    new.toml: no wider and narrower in 2 things than policy.toml\n";
    assert_eq!(told(&home, &narrower), expected);
    assert_eq!(narrower.status.code(), Some(0));
}

#[test]
fn a_change_that_widens_is_shown_by_a_request_with_the_rules_of_both() {
    let home = two(&[("/**/secret", "/a/secret"), ("10/min", "11/min"), ("a.example", "b.example")]);
    let wider = diff(&home, &[]);
    let expected = "wider (upstream): upstream.base_url\n  was: https://a.example.test/\n  is:  https://b.example.test/\n\
                    wider (limits): limits.rate\n  was: 10/min\n  is:  11/min\n\
                    wider (passes): GET /a/x/secret\n  was: denied (deny_rule) (policy.toml:9 `secrets`)\n  \
                    is:  allowed (new.toml:5 `all`)\n";
    let told = told(&home, &wider);
    assert!(told.starts_with(expected), "{told}");
    assert!(told.ends_with("new.toml: wider in 3 things and narrower in 1 thing than policy.toml\n"), "{told}");
    assert_eq!(wider.status.code(), Some(1));
}

#[test]
fn what_could_not_be_told_is_not_taken_for_no_wider() {
    let home = two(&[("/a/**\"]", "/a/*\"]\nencoded = [\"%2F\"]")]);
    let output = diff(&home, &[]);
    let told = told(&home, &output);
    assert!(
        told.contains("new.toml: undecided whether it is wider and narrower in 1 thing than policy.toml\n"),
        "{told}"
    );
    assert!(told.contains("docs/policy-diff.md"), "{told}");
    assert_eq!(output.status.code(), Some(1));
    let (new, ceiling) = (home.path().join("new.toml"), home.policy());
    let check = binary().arg("check").arg(new).arg("--within").arg(ceiling).output().expect("it runs");
    assert!(String::from_utf8_lossy(&check.stderr).contains("error[ceiling-undecided]"), "{check:?}");
    assert_eq!(check.status.code(), Some(1));
}

#[test]
fn programs_read_the_same_as_json() {
    let home = two(&[("/**/secret", "/a/secret")]);
    let output = diff(&home, &["--format", "json"]);
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&told["result"], &told["reverse"]), (&json!("wider"), &json!("no-narrower")), "{told}");
    let expected = json!({
        "kind": "passes",
        "key": null,
        "rule": { "id": "all", "line": 5 },
        "old_rule": { "id": "secrets", "line": 9 },
        "was": "denied (deny_rule)",
        "is": "allowed",
        "example": { "method": "GET", "path": "/a/x/secret", "query": [], "body": null, "body_bytes": null },
    });
    assert_eq!(told["wider"], json!([expected]));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_file_that_cannot_be_used_is_told_and_ends_with_2() {
    let home = two(&[("version = 1", "version = 1\nnonsense = 2")]);
    let output = diff(&home, &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("error[unknown-key]"), "{output:?}");
    fs::remove_file(home.path().join("new.toml")).expect("it is there");
    let output = diff(&home, &[]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{output:?}");
}

#[test]
fn a_policy_that_is_wider_than_its_ceiling_has_an_error_at_each_rule_that_is() {
    let check = |home: &Home, ceiling: &Path| {
        let new = home.path().join("new.toml");
        binary().arg("check").arg(new).arg("--within").arg(ceiling).output().expect("it runs")
    };
    let home = two(&[("/**/secret", "/a/secret"), ("10/min", "11/min")]);
    let output = check(&home, &home.policy());
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{told}");
    for part in
        ["error[wider-than-ceiling]", "GET /a/x/secret", "`secrets`", "new.toml:5:1", "limits.rate", "new.toml:13:1"]
    {
        assert!(told.contains(part), "{part}: {told}");
    }
    let home = two(&[("/a/**", "/a/*")]);
    let output = check(&home, &home.policy());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(check(&home, &home.path().join("not-there.toml")).status.code(), Some(2));
}

#[test]
fn what_report_mode_could_let_through_is_never_called_no_wider() {
    let on = "[access]\nreport_until = 2999-12-31\n[[allow]]";
    let home = two(&[("[[allow]]", on), ("[[deny]]\nid = \"secrets\"\npaths = [\"/**/secret\"]\n", "")]);
    let reporting = OLD.replace("[[allow]]", on);
    fs::write(home.policy(), reporting).expect("it can be written");
    let output = diff(&home, &[]);
    assert_eq!(output.status.code(), Some(1), "{}", told(&home, &output));
    // Over the same rules it is the same, and where it begins that is told.
    let same = two(&[("[[allow]]", on)]);
    let output = diff(&same, &[]);
    assert!(told(&same, &output).contains("access.report_until"), "{}", told(&same, &output));
    fs::copy(same.path().join("new.toml"), same.policy()).expect("it can be copied");
    assert_eq!(diff(&same, &[]).status.code(), Some(0));
}

#[test]
fn what_is_shown_is_not_taken_for_all_where_nobody_can_tell() {
    let home = two(&[("paths = [\"/a/**\"]\n", "paths = [\"/a/**\", \"/z\"]\nencoded = [\"%2F\"]\n")]);
    let output = diff(&home, &[]);
    let text = told(&home, &output);
    assert!(text.contains("wider (passes): GET /z\n"), "{text}");
    assert!(
        text.contains("\nnobody can tell whether that is all: docs/policy-diff.md says why that can be\n"),
        "{text}"
    );
    assert!(text.contains("new.toml: wider in 1 thing or more and "), "{text}");
    let json: Value = serde_json::from_slice(&diff(&home, &["--format", "json"]).stdout).expect("JSON");
    assert_eq!((&json["result"], &json["complete"]), (&json!("wider"), &json!(false)), "{json}");
    let new = home.path().join("new.toml");
    let within = binary().arg("check").arg(&new).arg("--within").arg(home.policy()).output().expect("it runs");
    let said = String::from_utf8_lossy(&within.stderr);
    assert!(said.contains("error[wider-than-ceiling]") && said.contains("error[ceiling-undecided]"), "{said}");
    assert_eq!(within.status.code(), Some(1));
}
