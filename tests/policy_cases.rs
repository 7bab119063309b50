//! The verdict, case by case: each file of `tests/cases` holds a policy, and requests with what it says of them.
//!
//! `expect` is `allow`, `hold`, `deny`, or `refuse` for what makes no request at all; `reason` is the kind of a denial,
//! or the rule of the contract that a refused request breaks. What a case does not mention is not compared.

#![cfg(test)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use portcullis::agent::Agent;
use portcullis::policy::{Grant, Policy, Verdict};
use portcullis::request::body::DeleteBody;
use portcullis::request::{RawRequest, Request};
use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    policy: String,
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    #[serde(default = "get")]
    method: String,
    path: String,
    query: Option<String>,
    body: Option<String>,
    /// A string of this many bytes in an object, as the body.
    body_bytes: Option<usize>,
    expect: String,
    rule: Option<String>,
    reason: Option<String>,
    effect: Option<String>,
    confirm: Option<String>,
    channel: Option<String>,
    preview: Option<String>,
    idempotency_key: Option<bool>,
    /// The rule that makes it a hold.
    holds: Option<String>,
    credential: Option<String>,
    rules: Option<Vec<String>>,
    rates: Option<Vec<String>>,
}

fn get() -> String {
    "GET".to_owned()
}

#[test]
fn every_case_gets_its_verdict() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for (name, text) in files() {
        let File { policy, case } = toml::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let parsed = Policy::parse(&name, &policy);
        let policy = parsed.policy.unwrap_or_else(|| panic!("{name}: {:#?}", parsed.findings));
        count += case.len();
        for case in case {
            let (expected, got) = (expected(&case), got(&policy, &case));
            let differ = expected.iter().any(|(key, value)| got.get(key) != Some(value));
            if differ {
                wrong.push(format!("{name}: {} {}: expected {expected:?}, got {got:?}", case.method, case.path));
            }
        }
    }
    assert!(count > 150, "only {count} cases were read");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_policy_foresees_whether_a_person_at_the_desk_could_be_asked() {
    let allow = |id: &str, methods: &str, more: &str| {
        format!("[[allow]]\nid = \"{id}\"\nmethods = {methods}\npaths = [\"/{id}/*\"]\n{more}\n")
    };
    let (put, post, get) = ("[\"PUT\"]", "[\"POST\"]", "[\"GET\"]");
    for (case, writes, rules, expected) in [
        ("nothing is allowed", true, String::new(), false),
        ("reads alone", true, allow("a", get, ""), false),
        ("a POST that reads", true, allow("a", post, "effect = \"read\""), false),
        ("a write", true, allow("a", put, ""), true),
        ("a write while writes are off", false, allow("a", put, ""), false),
        ("a GET that writes", true, allow("a", get, "effect = \"write\""), true),
        ("at the desk alone", true, allow("a", put, "channel = \"desk\""), true),
        ("in the client alone", true, allow("a", put, "channel = \"client\""), false),
        ("nobody is asked", true, allow("a", put, "confirm = \"never\""), false),
        ("nobody is asked, at the desk", true, allow("a", put, "confirm = \"never\"\nchannel = \"desk\""), false),
        (
            "one rule asks in the client, another one says where",
            true,
            allow("a", put, "channel = \"client\"") + &allow("b", put, "confirm = \"never\"\nchannel = \"desk\""),
            true,
        ),
        (
            "one rule asks in the client, and another one not at all",
            true,
            allow("a", put, "channel = \"client\"") + &allow("b", put, "confirm = \"never\""),
            false,
        ),
        (
            "the rule that says where is about another method",
            true,
            allow("a", put, "channel = \"client\"") + &allow("b", post, "confirm = \"never\"\nchannel = \"desk\""),
            false,
        ),
        (
            "what GET does HEAD may do",
            true,
            allow("a", get, "effect = \"write\"\nconfirm = \"never\"") + &allow("b", "[\"HEAD\"]", ""),
            true,
        ),
    ] {
        let head = "version = 1\nname = \"desk\"\n[upstream]\nbase_url = \"https://api.example.test/\"\n";
        let parsed = Policy::parse("desk.toml", &format!("{head}[access]\nwrites = {writes}\n{rules}"));
        let policy = parsed.policy.unwrap_or_else(|| panic!("{case}: {:#?}", parsed.findings));
        assert_eq!(policy.could_hold(), expected, "{case}");
    }
}

#[test]
fn a_rule_keeps_its_reason_for_those_who_may_read_it() {
    let text = "version = 1\nname = \"why\"\n[upstream]\nbase_url = \"https://api.example.test/\"\n\
        [[allow]]\nid = \"a\"\nmethods = [\"GET\"]\npaths = [\"/a\"]\nreason = \"people look at it\"\n\
        [[allow]]\nid = \"b\"\nmethods = [\"GET\"]\npaths = [\"/b\"]\n\
        [[deny]]\nid = \"c\"\npaths = [\"/c\"]\nreason = \"nobody looks at it\"\n";
    let policy = Policy::parse("why.toml", text).policy.unwrap();
    let reasons: Vec<_> = policy.rules().iter().map(|rule| (rule.id(), rule.reason())).collect();
    assert_eq!(reasons, [("a", Some("people look at it")), ("b", None), ("c", Some("nobody looks at it"))]);
    assert!(!policy.in_words().contains("people look at it"), "{}", policy.in_words());
}

#[test]
fn the_words_for_the_agent_say_how_a_write_is_approved() {
    let ways = [
        ("", " (a write; a human approves each)"),
        ("channel = \"client\"", " (a write; a human approves each in the client)"),
        ("channel = \"desk\"", " (a write; a human approves each at the desk)"),
        ("confirm = \"typed\"", " (a write; a human approves each by typing a word)"),
        ("confirm = \"typed\"\nchannel = \"desk\"", " (a write; a human approves each at the desk by typing a word)"),
        ("confirm = \"never\"\nchannel = \"desk\"", " (a write)"),
    ];
    for (keys, expected) in ways {
        let text = format!(
            "version = 1\nname = \"how\"\n[upstream]\nbase_url = \"https://api.example.test/\"\n[access]\nwrites = true\n\
            [[allow]]\nid = \"a\"\nmethods = [\"PUT\"]\npaths = [\"/a/*\"]\n{keys}\n"
        );
        let policy = Policy::parse("how.toml", &text).policy.unwrap();
        let line = format!("- PUT /a/*{expected}");
        assert!(policy.in_words().lines().any(|told| told == line), "{keys}: {}", policy.in_words());
    }
}

fn files() -> Vec<(String, String)> {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let paths = fs::read_dir(cases).unwrap().map(|entry| entry.unwrap().path());
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    paths.map(|path| (name(&path), fs::read_to_string(&path).unwrap())).collect()
}

fn expected(case: &Case) -> BTreeMap<&'static str, String> {
    let sorted = |list: &Vec<String>| {
        let mut list = list.clone();
        list.sort();
        list.join(" ")
    };
    let mut expected = BTreeMap::from([("expect", case.expect.clone())]);
    let given = [
        ("rule", case.rule.clone()),
        ("reason", case.reason.clone()),
        ("effect", case.effect.clone()),
        ("confirm", case.confirm.clone()),
        ("channel", case.channel.clone()),
        ("preview", case.preview.clone()),
        ("idempotency_key", case.idempotency_key.map(|asked| asked.to_string())),
        ("holds", case.holds.clone()),
        ("credential", case.credential.clone()),
        ("rules", case.rules.as_ref().map(sorted)),
        ("rates", case.rates.as_ref().map(sorted)),
    ];
    expected.extend(given.into_iter().filter_map(|(key, value)| Some((key, value?))));
    expected
}

fn got(policy: &Policy, case: &Case) -> BTreeMap<&'static str, String> {
    let raw = |text: &String| RawValue::from_string(text.clone()).unwrap();
    let large = case.body_bytes.map(|bytes| format!("{{\"text\":\"{}\"}}", "x".repeat(bytes - 11)));
    let (query, body) = (case.query.as_ref().map(raw), case.body.as_ref().or(large.as_ref()).map(raw));
    let parts = RawRequest {
        method: &case.method,
        path: &case.path,
        query: query.as_deref(),
        headers: None,
        body: body.as_deref(),
        delete_body: DeleteBody::Refused,
    };
    let request = match Request::parse(&parts) {
        Ok(request) => request,
        Err(error) => return BTreeMap::from([("expect", "refuse".into()), ("reason", error.rule().into())]),
    };
    match policy.authorize(&Agent::stdio(0), request) {
        Verdict::Allow(authorized) => granted("allow", policy, authorized.grant()),
        Verdict::Hold(held) => {
            let mut got = granted("hold", policy, held.grant());
            got.insert("holds", held.rule().id().to_owned());
            got
        }
        Verdict::Deny(denial) => BTreeMap::from([
            ("expect", "deny".to_owned()),
            ("reason", denial.reason().code().to_owned()),
            ("rule", denial.rule().map_or_else(String::new, |rule| rule.id().to_owned())),
        ]),
    }
}

fn granted(expect: &str, policy: &Policy, grant: &Grant) -> BTreeMap<&'static str, String> {
    let mut rules: Vec<&str> = grant.obligations().iter().map(|rule| rule.id()).collect();
    rules.sort_unstable();
    let mut rates: Vec<&str> = grant.rates().iter().map(|index| policy.rules()[*index].id()).collect();
    rates.sort_unstable();
    for rule in grant.obligations() {
        assert_eq!(policy.rules()[rule.index()].id(), rule.id());
    }
    BTreeMap::from([
        ("expect", expect.to_owned()),
        ("rule", grant.rule().id().to_owned()),
        ("effect", grant.effect().as_str().to_owned()),
        ("confirm", grant.confirm().as_str().to_owned()),
        ("channel", grant.channel().as_str().to_owned()),
        ("preview", format!("{:?}", grant.preview())),
        ("idempotency_key", grant.idempotency_key().to_string()),
        ("credential", grant.credential().unwrap_or_default().to_owned()),
        ("rules", rules.join(" ")),
        ("rates", rates.join(" ")),
    ])
}
