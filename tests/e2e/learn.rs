//! `learn` and `replay` over a log that a gate wrote.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;

use serde_json::{Value, json};

use super::common::gate::{Gate, Home, Launch, binary};
use super::common::policy::{OPEN_LIMITS, head};
use super::common::recorder::Recorder;

const RULES: &str = r#"
[access]
writes = true

# Whatever is here.
[[allow]]
id = "things"
methods = ["GET", "POST"]
paths = ["/things/**", "/thing/*"]
query = { only = ["page", "sort"], values = { sort = ["name", "age"] } }
body = { only = ["name", "size", "colour"] }
confirm = "never"

[[allow]]
id = "queries"
methods = ["POST"]
effect = "read"
paths = ["/query/*"]
rate = "1000/s"

[[allow]]
id = "unused"
methods = ["DELETE"]
paths = ["/never/*"]

[[deny]]
id = "secrets"
paths = ["/**/secrets"]
"#;

/// A gate that has seen a day's calls.
fn day(upstream: &Recorder, access: &str) -> Arc<Home> {
    seen(upstream, &RULES.replace("writes = true", access), &calls())
}

/// A gate with these rules that has seen these calls.
fn seen(upstream: &Recorder, rules: &str, calls: &[Value]) -> Arc<Home> {
    let home = Home::new(&format!("{}{OPEN_LIMITS}{rules}", head(upstream)));
    let mut gate = Launch::new(&home).start();
    for call in calls {
        gate.call("api_send", call);
    }
    gate.finish();
    home
}

fn calls() -> Vec<Value> {
    let get = |path: &str| json!({ "method": "GET", "path": path });
    let mut calls: Vec<Value> = (1..9).map(|id| get(&format!("/things/{id}/parts/{}", id * 7))).collect();
    calls.extend([
        get("/things/list"),
        get("/things/list"),
        json!({ "method": "GET", "path": "/things/list", "query": { "page": 2, "sort": "age" } }),
        // Refused: a value, a name, a denial, no rule, a member.
        json!({ "method": "GET", "path": "/things/list", "query": { "sort": "shape" } }),
        json!({ "method": "GET", "path": "/things/list", "query": { "filter": "x" } }),
        get("/things/secrets/1"),
        get("/elsewhere"),
        json!({ "method": "POST", "path": "/things/1", "body": { "weight": 1 } }),
        json!({ "method": "POST", "path": "/things/1", "body": { "name": "a", "size": 3 } }),
        json!({ "method": "POST", "path": "/query/7", "body": [1, 2, 3] }),
        // No request at all.
        get("/things/../x"),
    ]);
    calls
}

fn run(words: &[&str]) -> Output {
    binary().args(words).output().expect("the binary runs")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of text")
}

fn learn(home: &Home, words: &[&str]) -> (Output, PathBuf) {
    let output = run(&[&["learn", text(&home.state())], words].concat());
    let file = home.path().join("learnt.toml");
    fs::write(&file, &output.stdout).expect("the policy is written");
    (output, file)
}

fn replay(policy: &Path, home: &Home, words: &[&str]) -> (Option<i32>, Value) {
    let output = run(&[&["replay", text(policy), text(&home.state()), "--format", "json"], words].concat());
    let told = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (output.status.code(), told)
}

#[test]
fn the_learnt_policy_is_no_wider_and_changes_nothing_that_was_allowed() {
    let upstream = Recorder::plain();
    let home = day(&upstream, "writes = true");
    let (output, learnt) = learn(&home, &["--writes"]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let policy = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{told}{policy}");
    for line in [
        "  \"/things/*/parts/*\",  # 8 calls, ",
        "  \"/things/list\",  # 3 calls, ",
        "query = { only = [\"page\", \"sort\"], values = { sort = [\"name\", \"age\"] } }",
        "body = { only = [\"name\", \"size\"] }",
        "id = \"queries\"",
        "rate = \"1000/s\"",
        "id = \"secrets\"",
    ] {
        assert!(policy.contains(line), "{line}\n{policy}");
    }
    assert!(!policy.contains("unused") && !policy.contains("/**\""), "{policy}");
    assert!(told.contains("no wider than the policy in force: proved by comparison"), "{told}");
    assert_eq!(run(&["check", text(&learnt)]).status.code(), Some(0), "{policy}");
    assert_eq!(run(&["diff", text(&home.policy()), text(&learnt)]).status.code(), Some(0), "{policy}");
    assert_eq!(run(&["diff", text(&learnt), text(&home.policy())]).status.code(), Some(1), "the old one is wider");
    let (code, told) = replay(&learnt, &home, &[]);
    assert_eq!((code, &told["changed"], &told["undecided"]), (Some(0), &json!(0), &json!(0)), "{told}");
    assert_eq!((told["same"].as_u64(), told["others"].as_u64()), (Some(18), Some(1)), "{told}");
}

#[test]
fn reads_alone_are_learnt_unless_writes_are_asked_for() {
    let upstream = Recorder::plain();
    let home = day(&upstream, "writes = true");
    let (output, learnt) = learn(&home, &[]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("1 write was left out; --writes learns writes as well"), "{told}");
    let (code, told) = replay(&learnt, &home, &[]);
    assert_eq!((code, &told["changed"]), (Some(1), &json!(1)), "{told}");
    let change = &told["changes"][0];
    assert_eq!(
        (&change["was"], &change["is"], &change["example"]["path"]),
        (&json!("allowed"), &json!("denied"), &json!("/things/1"))
    );
}

#[test]
fn a_policy_is_replayed_by_the_values_that_its_rules_list() {
    let upstream = Recorder::plain();
    let home = day(&upstream, "writes = true");
    let other = home.path().join("other.toml");
    let narrower =
        fs::read_to_string(home.policy()).expect("the policy").replace("[\"name\", \"age\"]", "[\"name\", \"shape\"]");
    fs::write(&other, narrower).expect("the policy is written");
    let (code, told) = replay(&other, &home, &[]);
    assert_eq!((code, &told["changed"], &told["undecided"]), (Some(1), &json!(2), &json!(0)), "{told}");
    // Without the key nobody knows which value it was.
    let key = home.state().join("digest.key");
    fs::rename(&key, home.path().join("digest.key")).expect("the key is moved");
    let (code, told) = replay(&other, &home, &[]);
    assert_eq!((code, &told["changed"], &told["undecided"]), (Some(1), &json!(0), &json!(2)), "{told}");
}

#[test]
fn what_report_mode_let_through_is_learnt_and_told_as_wider() {
    let upstream = Recorder::plain();
    let home = day(&upstream, "writes = true\nreport_until = 2999-12-31");
    let (output, learnt) = learn(&home, &[]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let policy = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{told}{policy}");
    assert!(policy.contains("id = \"seen-get-elsewhere\"") && !policy.contains("report_until"), "{policy}");
    assert!(told.contains("with what report mode let through it is wider:"), "{told}");
    assert!(told.contains("passes by `seen-get-elsewhere`: GET /elsewhere"), "{told}");
    assert!(told.contains("but for what report mode let through no wider than the policy in force"), "{told}");
    let (_, told) = replay(&learnt, &home, &[]);
    let changes = told["changes"].as_array().expect("changes");
    let kinds: Vec<_> =
        changes.iter().map(|change| (change["was"].as_str().unwrap(), change["is"].as_str().unwrap())).collect();
    // The write is left out; what was reported is allowed by a rule now.
    assert!(
        kinds.contains(&("reported", "allowed"))
            && kinds.iter().all(|(_, is)| *is == "allowed" || kinds.contains(&("allowed", "denied"))),
        "{told}"
    );
}

#[test]
fn a_policy_to_stay_within_can_be_another_one() {
    let upstream = Recorder::plain();
    let home = day(&upstream, "writes = true");
    let ceiling = home.path().join("ceiling.toml");
    let narrower = fs::read_to_string(home.policy())
        .expect("the policy")
        .replace("\"/things/**\", \"/thing/*\"", "\"/things/*/parts/*\"");
    fs::write(&ceiling, narrower).expect("the policy is written");
    let (output, learnt) = learn(&home, &["--within", text(&ceiling)]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert_eq!(run(&["diff", text(&ceiling), text(&learnt)]).status.code(), Some(0));
    let policy = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(policy.contains("/things/*/parts/*") && !policy.contains("/things/list"), "{policy}");
}

#[test]
fn a_log_without_requests_teaches_nothing() {
    let upstream = Recorder::plain();
    let home = Home::new(&format!("{}{OPEN_LIMITS}{RULES}", head(&upstream)));
    let gate: Gate = Launch::new(&home).start();
    gate.finish();
    let (output, _) = learn(&home, &[]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{output:?}");
}

#[test]
fn what_is_chosen_of_a_log_changes_neither_its_policy_nor_its_key() {
    let upstream = Recorder::plain();
    let home = day(&upstream, "writes = true");
    let other = home.path().join("other.toml");
    let narrower = fs::read_to_string(home.policy()).expect("the policy").replace("[\"name\", \"age\"]", "[\"name\"]");
    fs::write(&other, narrower).expect("the policy is written");
    let (code, told) = replay(&other, &home, &["--method", "GET"]);
    assert_eq!((code, &told["changed"], &told["undecided"]), (Some(1), &json!(1), &json!(0)), "{told}");
    let (output, _) = learn(&home, &["--method", "GET", "--since", "1h"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn what_a_policy_to_stay_within_closes_is_not_learnt_from_report_mode() {
    let upstream = Recorder::plain();
    let home = day(&upstream, "writes = true\nreport_until = 2999-12-31");
    let ceiling = home.path().join("ceiling.toml");
    let closed = fs::read_to_string(home.policy())
        .expect("the policy")
        .replace("\"/**/secrets\"", "\"/**/secrets\", \"/elsewhere\"");
    fs::write(&ceiling, closed).expect("the policy is written");
    let (output, _) = learn(&home, &["--within", text(&ceiling)]);
    let policy = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!policy.contains("seen-get-elsewhere") && policy.contains("seen-get-things"), "{policy}");
}

#[test]
fn tables_below_a_rule_stay_with_it() {
    let upstream = Recorder::plain();
    let below = RULES.replace(
        "query = { only = [\"page\", \"sort\"], values = { sort = [\"name\", \"age\"] } }\nbody = { only = [\"name\", \"size\", \"colour\"] }\nconfirm = \"never\"",
        "confirm = \"never\"\n[allow.query]\nonly = [\"page\", \"sort\"]\n[allow.query.values]\nsort = [\"name\", \"age\"]\n[allow.body]\nonly = [\"name\", \"size\", \"colour\"]",
    );
    assert!(below.contains("[allow.query]"), "{below}");
    let home = seen(&upstream, &below, &calls());
    let (output, learnt) = learn(&home, &["--writes"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(run(&["diff", text(&home.policy()), text(&learnt)]).status.code(), Some(0));
    let (_, told) = replay(&learnt, &home, &[]);
    assert_eq!(told["changed"], 0, "{told}");
}

#[test]
fn a_policy_that_was_only_examined_is_not_the_one_in_force() {
    let upstream = Recorder::plain();
    let home = day(&upstream, "writes = true");
    let draft = home.path().join("draft.toml");
    let wider = fs::read_to_string(home.policy()).expect("the policy").replace("\"/thing/*\"", "\"/**\"");
    fs::write(&draft, wider).expect("the policy is written");
    let mut doctor = binary();
    doctor.args(["doctor", "--offline", "--state-dir", text(&home.state()), text(&draft)]);
    doctor.env("PORTCULLIS_TEST_TOKEN", "examined-0123456789");
    doctor.output().expect("the binary runs");
    let (output, learnt) = learn(&home, &["--writes"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(run(&["diff", text(&home.policy()), text(&learnt)]).status.code(), Some(0));
    assert!(String::from_utf8_lossy(&output.stderr).contains("had 3 allow rules"));
}

#[test]
fn no_request_writes_a_pattern_into_the_policy_and_many_paths_are_several_rules() {
    let upstream = Recorder::plain();
    let text_of = |access: &str| format!("{}{OPEN_LIMITS}{}", head(&upstream), RULES.replace("writes = true", access));
    let home = Home::new(&text_of("writes = true\nreport_until = 2999-12-31"));
    let mut gate = Launch::new(&home).start();
    for path in ["/**", "/things/**", "/things/a*/b"] {
        assert!(gate.call("api_get", &json!({ "path": path })).is_success(), "{path}");
    }
    // Names that nothing folds: each with another depth or beginning.
    for number in 0..300 {
        let path =
            format!("/things/{}{}", "x/".repeat(number % 40), ["q", "r", "s", "t", "u", "v", "w", "z"][number / 40]);
        gate.call("api_get", &json!({ "path": path }));
    }
    gate.finish();
    let (output, learnt) = learn(&home, &[]);
    let policy = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!policy.contains("**\"") || !policy.contains("seen-"), "{policy}");
    assert!(!policy.contains("\"/**\"") && !policy.contains("a*/b"), "{policy}");
    assert!(
        String::from_utf8_lossy(&output.stderr)
            .contains("3 calls were left out, because no rule can name a path with a `*` in it")
    );
    assert_eq!(run(&["diff", text(&home.policy()), text(&learnt)]).status.code(), Some(0));
}

/// A rule for reads that are sent with POST.
const ASKED: &str = "[[allow]]\nid = \"asked\"\nmethods = [\"POST\"]\npaths = [\"/a\", \"/b\"]\neffect = \"read\"\n";

fn post(path: &str, body: Value) -> Value {
    json!({ "method": "POST", "path": path, "body": body })
}

#[test]
fn an_array_that_was_sent_stays_possible_and_an_empty_one_is_told_from_an_empty_object() {
    let upstream = Recorder::plain();
    for (bodies, only) in [
        (vec![json!([]), json!({ "a": 1 })], None),
        (vec![json!({ "a": 1 }), json!([{ "b": 2 }]), json!({})], None),
        (vec![json!({}), json!({ "a": 1 })], Some("body = { only = [\"a\"] }")),
        (vec![json!({})], Some("body = { only = [] }")),
    ] {
        let calls: Vec<Value> = bodies.into_iter().map(|body| post("/a", body)).collect();
        let home = seen(&upstream, ASKED, &calls);
        let (output, learnt) = learn(&home, &[]);
        let policy = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(only.map_or(!policy.contains("body"), |only| policy.contains(only)), "{policy}");
        let (code, told) = replay(&learnt, &home, &[]);
        assert_eq!((code, &told["same"]), (Some(0), &json!(calls.len())), "{told}\n{policy}");
    }
}

#[test]
fn a_rule_that_lists_members_is_replayed_for_bodies_without_any() {
    let upstream = Recorder::plain();
    let home = seen(&upstream, ASKED, &[post("/a", json!({})), post("/a", json!([])), post("/b", json!({ "a": 1 }))]);
    let other = home.path().join("other.toml");
    let narrower = fs::read_to_string(home.policy()).expect("the policy") + "body = { only = [\"a\"] }\n";
    fs::write(&other, narrower).expect("the policy is written");
    let (code, told) = replay(&other, &home, &[]);
    assert_eq!((code, &told["same"], &told["undecided"]), (Some(1), &json!(2), &json!(0)), "{told}");
    assert_eq!(told["changes"][0]["cause"], "body_shape, `asked`", "{told}");
}

/// Rules of which the first takes encoded slashes, each with keys of its own.
fn encoded(methods: &str, e: &str, f: &str) -> String {
    format!(
        "[access]\nwrites = true\n[confirm]\nwait = \"0ms\"\n\
         [[allow]]\nid = \"e\"\nmethods = [{methods}]\npaths = [\"/p/*\"]\nencoded = [\"%2F\"]\n{e}\
         [[allow]]\nid = \"f\"\n{f}paths = [\"/q/**\"]\n"
    )
}

fn requests(lines: &[&str]) -> Vec<Value> {
    let request = |line: &&str| {
        let (method, path) = line.split_once(' ').expect("a method and a path");
        json!({ "method": method, "path": path })
    };
    lines.iter().map(request).collect()
}

/// What `learn` prints and says of these calls; what it prints is no wider, and draws no finding of this code.
fn learnt(home: &Home, words: &[&str], finding: &str) -> (String, String, PathBuf) {
    let (output, learnt) = learn(home, words);
    let [policy, told] = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert_eq!(output.status.code(), Some(0), "{told}{policy}");
    assert_eq!(run(&["diff", text(&home.policy()), text(&learnt)]).status.code(), Some(0), "{policy}");
    let check = run(&["check", text(&learnt)]);
    let found = [check.stdout, check.stderr].concat();
    assert!(!String::from_utf8_lossy(&found).contains(finding), "{finding}\n{policy}");
    (policy, told, learnt)
}

#[test]
fn a_path_that_no_pattern_can_name_is_let_through_by_its_rule_as_it_stands_beside_narrower_ones() {
    let upstream = Recorder::plain();
    let calls = requests(&["GET /p/a%2Fb", "GET /p/c", "GET /q/x", "PUT /q/y", "POST /q/z"]);
    for f in [
        "methods = [\"GET\", \"PUT\", \"POST\"]\nconfirm = \"never\"\n",
        // What is asked of writes is asked of no read of the other rule.
        "methods = [\"GET\", \"PUT\", \"POST\"]\n",
    ] {
        let home = seen(&upstream, &encoded("\"GET\"", "", f), &calls);
        let (policy, told, file) = learnt(&home, &["--writes"], "duplicate-rule");
        assert!(
            told.contains("learnt 4 allow rules with 4 paths from 5 calls") && !told.contains("left out"),
            "{told}"
        );
        let kept = "id = \"e\"\nmethods = [\"GET\"]\npaths = [\"/p/*\"]\nencoded = [\"%2F\"]\n";
        assert!(
            policy.contains(&format!("can name paths with encoded reserved characters.\n[[allow]]\n{kept}")),
            "{policy}"
        );
        assert!(policy.contains("\"/q/x\"") && !policy.contains("/q/**"), "{policy}");
        let (code, told) = replay(&file, &home, &[]);
        assert_eq!((code, &told["same"]), (Some(0), &json!(5)), "{told}\n{policy}");
    }
}

#[test]
fn a_call_that_only_a_wider_rule_could_let_through_is_left_out_and_counted() {
    let upstream = Recorder::plain();
    let (get, calls) = ("methods = [\"GET\"]\n", requests(&["GET /p/a%2Fb", "GET /p/c", "GET /q/x"]));
    for rules in [
        // As it stands the rule lets writes through.
        encoded("\"GET\", \"PUT\"", "confirm = \"never\"\n", get),
        // The rate bounds a path whose slashes the API decodes.
        encoded("\"GET\"", "", &format!("{get}rate = \"1000/s\"\n")),
    ] {
        let home = seen(&upstream, &rules, &calls);
        let (policy, told, _) = learnt(&home, &[], "duplicate-rule");
        assert!(told.contains("1 call was left out, because only a rule with `encoded` can name"), "{told}");
        assert!(told.contains("learnt 2 allow rules with 2 paths from 2 calls"), "{told}");
        assert!(policy.contains("\"/p/c\"") && policy.contains("\"/q/x\""), "{policy}");
        assert!(!policy.contains("encoded") && !policy.contains("PUT") && !policy.contains('*'), "{policy}");
    }
    let home = seen(&upstream, &encoded("\"GET\", \"PUT\"", "", get), &requests(&["GET /p/a%2Fb"]));
    let (output, _) = learn(&home, &[]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{told}");
    assert!(told.contains("hold encoded reserved characters, so there is nothing to learn"), "{told}");
}

#[test]
fn a_rule_that_takes_encoded_characters_changes_nothing_of_what_is_learnt_for_others() {
    let upstream = Recorder::plain();
    for (methods, calls) in [
        ("\"GET\", \"PUT\"", ["GET /p/b", "GET /q/x", "PUT /q/x"]),
        ("\"GET\", \"HEAD\"", ["GET /p/b", "GET /q/x", "HEAD /q/x"]),
        ("\"POST\", \"PUT\"", ["GET /p/b", "POST /q/x", "PUT /q/x"]),
    ] {
        let rules = encoded("\"GET\"", "", &format!("methods = [{methods}]\nconfirm = \"never\"\n"));
        let calls = requests(&calls);
        let with = seen(&upstream, &rules, &calls);
        let without = seen(&upstream, &rules.replace("encoded = [\"%2F\"]\n", ""), &calls);
        for words in [&["--writes"][..], &[]] {
            let (policy, told, _) = learnt(&with, words, "duplicate-rule");
            let (other, _, _) = learnt(&without, words, "duplicate-rule");
            // The upstream's address is one for both.
            assert_eq!(policy, other);
            let writes = methods.contains("PUT") && words.is_empty();
            assert_eq!(told.contains("left out; --writes"), writes, "{told}");
            assert!(!policy.contains("**"), "{policy}");
            assert!(!writes || !policy.contains("PUT"), "{policy}");
        }
    }
}

#[test]
fn the_log_tells_no_more_of_what_is_learnt_than_it_did() {
    let upstream = Recorder::plain();
    for (f, g, expected) in [
        ("", "log = \"names\"\n", Some("log = \"names\"\n")),
        ("log = \"full\"\n", "log = \"full\"\n", Some("log = \"full\"\n")),
        ("log = \"full\"\n", "", None),
    ] {
        let rules = format!(
            "[[allow]]\nid = \"f\"\nmethods = [\"GET\"]\npaths = [\"/q/*\"]\n{f}\
             [[allow]]\nid = \"g\"\nmethods = [\"GET\"]\npaths = [\"/**\"]\n{g}"
        );
        let home = seen(&upstream, &rules, &requests(&["GET /q/x"]));
        let (policy, _, _) = learnt(&home, &[], "duplicate-rule");
        assert!(expected.map_or(!policy.contains("log = "), |log| policy.contains(log)), "{policy}");
    }
}
