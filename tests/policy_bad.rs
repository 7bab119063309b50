//! Bad policy files: what each kind is told. `tests/bad/NAME.toml` holds the file, `NAME.txt` what `check` prints.
//!
//! With `PORTCULLIS_BLESS=1` in the environment the texts are written anew; read the difference before you commit it.

#![cfg(test)]

use std::fs;
use std::path::{Path, PathBuf};

use portcullis::cli::check::{Checked, Hints, Look, check, sarif, write_human, write_json};
use portcullis::config::PolicyFile;
use portcullis::policy::{Parsed, Policy, Severity};

/// What stands for a secret in every bad file.
const SECRET: &str = "hunter2-5d41402a";

#[test]
fn every_bad_file_is_told_what_is_wrong_with_it() {
    let mut wrong = Vec::new();
    for file in files() {
        let expected = file.with_extension("txt");
        let told = told(&read(&file));
        if bless() {
            fs::write(&expected, &told).unwrap();
        } else if fs::read_to_string(&expected).unwrap_or_default() != told {
            wrong.push(format!("{}:\n{told}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_file_with_an_error_makes_no_policy_and_one_without_does() {
    for file in files() {
        let parsed = Policy::parse("policy.toml", &fs::read_to_string(&file).unwrap());
        let errors = parsed.findings.iter().any(|finding| finding.severity == Severity::Error);
        assert_eq!(parsed.policy.is_none(), errors, "{}", file.display());
        assert!(!parsed.findings.is_empty(), "{} has no finding", file.display());
    }
}

#[test]
fn no_finding_repeats_a_secret_in_any_format() {
    let mut seen = 0;
    for file in files() {
        let checked = read(&file);
        seen += usize::from(checked.text.contains(SECRET));
        let human = told(&checked);
        let mut json = Vec::new();
        write_json(&mut json, std::slice::from_ref(&checked)).unwrap();
        sarif::write(&mut json, &[checked]).unwrap();
        let json = String::from_utf8(json).unwrap();
        for part in [SECRET, "hunter2", "5d41402a"] {
            assert!(!human.contains(part) && !json.contains(part), "{}:\n{human}", file.display());
        }
    }
    assert!(seen >= 7, "only {seen} bad files hold the secret");
}

#[test]
fn code_review_is_told_every_finding_with_its_place_and_its_rule() {
    let number = |value: &serde_json::Value| usize::try_from(value.as_u64().unwrap()).unwrap();
    for file in files() {
        let checked = read(&file);
        let mut out = Vec::new();
        sarif::write(&mut out, std::slice::from_ref(&checked)).unwrap();
        let log: serde_json::Value = serde_json::from_slice(&out).unwrap();
        let run = &log["runs"][0];
        let results = run["results"].as_array().unwrap();
        assert_eq!(results.len(), checked.findings.len(), "{}", file.display());
        for (result, finding) in results.iter().zip(&checked.findings) {
            let rule = &run["tool"]["driver"]["rules"][number(&result["ruleIndex"])];
            assert_eq!((&rule["id"], &result["ruleId"]), (&finding.code.into(), &finding.code.into()));
            let region = &result["locations"][0]["physicalLocation"]["region"];
            assert_eq!((number(&region["startLine"]), number(&region["startColumn"])), (finding.line, finding.column));
            // Counted from the other end: what follows the finding's last character.
            let (before, after) = checked.text.split_at_checked(finding.span.end).unwrap();
            let lines = checked.text.matches('\n').count() + 1;
            assert_eq!(
                number(&region["endLine"]),
                lines - after.matches('\n').count(),
                "{}: {finding:?}",
                file.display()
            );
            let column = before.rsplit('\n').next().unwrap().chars().count() + 1;
            assert_eq!(number(&region["endColumn"]), column, "{}: {finding:?}", file.display());
        }
    }
}

#[test]
fn a_finding_points_into_the_file() {
    for file in files() {
        let checked = read(&file);
        for finding in &checked.findings {
            let before = checked.text.get(..finding.span.start).unwrap();
            assert_eq!(finding.line, before.matches('\n').count() + 1, "{}: {finding:?}", file.display());
            assert!(checked.text.get(finding.span.clone()).is_some(), "{}: {finding:?}", file.display());
            assert!(!finding.message.contains('\n') && !finding.message.ends_with('.'), "{finding:?}");
        }
    }
}

#[test]
fn an_address_that_is_not_public_is_an_error_in_any_spelling() {
    let spellings = [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "0x7f000001",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "10.0.0.1",
        "10.0.1",
        "0xa000001",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "2852039166",
        "0xa9fea9fe",
        "[::ffff:169.254.169.254]",
        "[64:ff9b::a9fe:a9fe]",
        "168.63.129.16",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "[fd00::1]",
        "[2002:7f00:1::]",
        "0.0.0.0",
        "0",
        "[::]",
        "255.255.255.255",
        "224.0.0.1",
        "127.0.0.1.",
        "%31%32%37.0.0.1",
    ];
    for host in spellings {
        let parsed = parse_at(host, "");
        let refused: Vec<_> = parsed.findings.iter().filter(|finding| finding.code == "refused-address").collect();
        assert!(parsed.policy.is_none(), "{host}");
        let [refused] = refused.as_slice() else { panic!("{host}: {:?}", parsed.findings) };
        assert_eq!((refused.severity, refused.line), (Severity::Error, 4), "{host}");
        assert!(refused.help.is_some(), "{host}");
    }
}

#[test]
fn an_address_is_allowed_as_the_policy_says() {
    for (host, more, allowed) in [
        ("1.1.1.1", "", true),
        ("[2606:4700::1111]", "", true),
        ("api.example.test", "", true),
        ("10.0.0.1", "allow_private = true\n", true),
        ("127.0.0.1", "allow_private = true\n", true),
        ("169.254.169.254", "allow_private = true\n", true),
        ("0.0.0.0", "allow_private = true\n", false),
        ("10.0.0.1", "allow_private = false\n", false),
        ("10.0.0.1", "allow_http = true\n", false),
    ] {
        assert_eq!(parse_at(host, more).policy.is_some(), allowed, "{host} {more}");
    }
}

#[test]
fn findings_for_programs_are_one_array_with_stable_codes() {
    let checked = read(&bad().join("unknown-nested-key.toml"));
    let mut json = Vec::new();
    write_json(&mut json, &[checked]).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let expected = serde_json::json!([{
        "file": "unknown-nested-key.toml", "line": 14, "column": 1, "span": [167, 173], "severity": "error",
        "code": "unknown-key", "message": "unknown key `bursts` in `limits`", "help": "did you mean `burst`?",
    }]);
    assert_eq!(json, expected);
}

#[test]
fn more_rules_than_the_limit_are_refused() {
    let rule = |id: usize| format!("[[allow]]\nid = \"r{id}\"\nmethods = [\"GET\"]\npaths = [\"/things/{id}\"]\n");
    let text = |count: usize| HEAD.to_owned() + &(0..count).map(rule).collect::<String>();
    assert!(Policy::parse("many.toml", &text(10_000)).policy.is_some());
    let parsed = Policy::parse("many.toml", &text(10_001));
    assert_eq!(messages(&parsed.findings), ["10001 rules; the limit is 10000"]);
}

#[test]
fn more_paths_than_the_limit_are_refused() {
    let paths = |count: usize| (0..count).map(|at| format!("\"/things/{at}\",")).collect::<String>();
    let text = |count| format!("{HEAD}[[allow]]\nid = \"r\"\nmethods = [\"GET\"]\npaths = [{}]\n", paths(count));
    assert!(Policy::parse("many.toml", &text(256)).policy.is_some());
    let parsed = Policy::parse("many.toml", &text(257));
    assert_eq!(messages(&parsed.findings), ["257 paths in one rule; the limit is 256"]);
}

#[test]
fn a_file_beyond_the_limit_is_refused_unread() {
    let text = format!("{HEAD}# {}", "x".repeat(1 << 20));
    let parsed = Policy::parse("large.toml", &text);
    assert_eq!(parsed.findings.len(), 1);
    assert_eq!(parsed.findings[0].code, "file-too-large");
}

#[test]
fn findings_beyond_a_thousand_are_counted() {
    let unknown: String = (0..1_500).map(|at| format!("k{at} = 1\n")).collect();
    let parsed = Policy::parse("many.toml", &format!("{unknown}{HEAD}"));
    assert!(parsed.policy.is_none());
    assert_eq!(parsed.findings.len(), 1_001);
    assert_eq!(parsed.findings[1_000].message, "500 more findings are not listed");
}

#[test]
fn a_long_line_is_pointed_at_in_characters() {
    let text = HEAD.replace("\"demo\"", "\"demo\" # é\nnäme = 1");
    let parsed = Policy::parse("p.toml", &text);
    assert!(parsed.policy.is_none(), "{:?}", parsed.findings);
}

const HEAD: &str = "version = 1\nname = \"demo\"\n[upstream]\nbase_url = \"https://api.example.test/\"\n";

/// A policy whose upstream is at this host.
fn parse_at(host: &str, more: &str) -> Parsed {
    let head = HEAD.replace("https://api.example.test/", &format!("https://{host}:8443/v1/"));
    let rule = "[[allow]]\nid = \"r\"\nmethods = [\"GET\"]\npaths = [\"/things\"]\n";
    Policy::parse("address.toml", &format!("{head}{more}{rule}"))
}

fn messages(findings: &[portcullis::policy::Finding]) -> Vec<&str> {
    findings.iter().map(|finding| &*finding.message).collect()
}

fn bad() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad")
}

fn files() -> Vec<PathBuf> {
    let entries = fs::read_dir(bad()).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|end| end == "toml")).collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

fn read(file: &Path) -> Checked {
    let name = Path::new(file.file_name().unwrap());
    let text = fs::read_to_string(file).unwrap();
    check(&PolicyFile { shown_path: name.to_owned(), real_path: file.to_owned(), text }, |_, _| Vec::new())
}

fn told(checked: &Checked) -> String {
    let mut out = Vec::new();
    write_human(&mut out, std::slice::from_ref(checked), Look::Plain, Hints::Shown).unwrap();
    String::from_utf8(out).unwrap()
}

#[expect(clippy::disallowed_methods, reason = "a switch of this test, not of the gateway")]
fn bless() -> bool {
    std::env::var_os("PORTCULLIS_BLESS").is_some()
}
