//! Several APIs behind one connection: names, rules, limits, credentials and logs of their own, and one wrong file stops
//! them all.

use std::{fs, sync::Arc};

use serde_json::{Value, json};

use super::common::{
    gate::{Gate, Home, Launch},
    policy::{self, TOKEN},
    recorder::{Recorder, Reply},
};

const SECOND_TOKEN: &str = "PORTCULLIS_TEST_SECOND_TOKEN";
const SECOND_SECRET: &str = "second-credential-5f1d0c9b7a";

/// Another API, called `other`: one path, one call a day, a credential of its own.
fn other(upstream: &Recorder) -> String {
    policy::a(upstream)
        .replace("name = \"sample\"", "name = \"other\"")
        .replace(TOKEN, SECOND_TOKEN)
        .replace("/api/v1/organization/**", "/api/v1/report")
        .replace("daily = \"unlimited\"", "daily = 1")
}

fn launch(first: &str, second: &str) -> (Arc<Home>, Launch) {
    let home = Home::new(first);
    let path = home.path().join("other.toml");
    fs::write(&path, second).expect("the second policy is written");
    let launch = Launch::new(&home).env(SECOND_TOKEN, SECOND_SECRET).and(&path);
    (home, launch)
}

fn calls(records: &[Value]) -> Vec<(&str, &str)> {
    let questions = records.iter().filter(|record| record["kind"] == "question");
    questions
        .map(|record| (record["path"].as_str().unwrap_or_default(), record["verdict"].as_str().unwrap_or_default()))
        .collect()
}

#[test]
fn each_api_keeps_its_own_tools_rules_limits_credential_and_log() {
    let (one, two) = (Recorder::plain(), Recorder::start(|seen| Reply::json(seen.headers("authorization")[0])));
    let (home, launch) = launch(&policy::a(&one), &other(&two));
    let mut gate = launch.start();
    let tools = gate.request("tools/list", "{}").message;
    let names: Vec<_> = tools["result"]["tools"].as_array().expect("tools").iter().map(|tool| &tool["name"]).collect();
    assert_eq!(names, ["other_api_get", "other_read_more", "sample_api_get", "sample_read_more"]);

    let organization = json!({"path": "/api/v1/organization/1"});
    let report = json!({"path": "/api/v1/report"});
    assert!(gate.call("sample_api_get", &organization).is_success());
    assert_eq!(gate.call("other_api_get", &organization).code(), "denied", "its rules are its own");
    assert_eq!(gate.call("sample_api_get", &report).code(), "denied");
    let echoed = gate.call("other_api_get", &report);
    assert!(echoed.is_success() && !echoed.message.to_string().contains(SECOND_SECRET), "{echoed:?}");
    assert_eq!(gate.call("other_api_get", &report).code(), "throttled", "its one call of the day is spent");
    assert!(gate.call("sample_api_get", &organization).is_success(), "the other's limits are not its own");
    for name in ["api_get", "third_api_get", "sample-api_get", "sample_", "_api_get"] {
        assert_eq!(gate.call(name, &organization).rpc_error(), Some(-32602), "{name}");
    }
    assert_eq!(gate.call("sample_api_send", &json!({"method": "PUT", "path": "/a"})).code(), "denied");

    let bearer = |upstream: &Recorder| -> Vec<String> {
        upstream.seen().iter().map(|seen| seen.headers("authorization").concat()).collect()
    };
    assert_eq!(bearer(&one), vec![format!("Bearer {}", home.canary.secret()); 2]);
    assert_eq!(bearer(&two), [format!("Bearer {SECOND_SECRET}")]);
    gate.close_stdin();
    assert!(gate.exit().success());
    let logs = home.logs();
    let [of_other, of_sample] = &logs[..] else { panic!("one log each: {logs:?}") };
    assert!(of_other.starts_with(home.state().join("other")) && of_sample.starts_with(home.state().join("sample")));
    let (other, sample) = (super::common::gate::records(of_other), super::common::gate::records(of_sample));
    assert_eq!(
        calls(&other),
        [("/api/v1/organization/1", "deny"), ("/api/v1/report", "allow"), ("/api/v1/report", "refuse")]
    );
    assert_eq!(calls(&sample).len(), 4);
    for records in [&other, &sample] {
        let frames = records.iter().filter(|record| record["kind"] == "frame").count();
        assert_eq!(frames, 5, "nobody can say whose a call of an unknown tool is");
    }
    for api in ["other", "sample"] {
        assert!(home.verify_log(&home.state().join(api)).status.success(), "{api}");
    }
}

#[test]
fn one_wrong_file_stops_the_start_of_all() {
    let upstream = Recorder::plain();
    let good = policy::a(&upstream);
    for (second, status, words) in [
        (other(&upstream).replace("methods", "method"), 1, "other.toml:"),
        (other(&upstream).replace("\"other\"", "\"sample\""), 2, "are both called `sample`"),
        (other(&upstream).replace(SECOND_TOKEN, "PORTCULLIS_TEST_NO_SUCH"), 2, "other.toml"),
    ] {
        let (home, launch) = launch(&good, &second);
        let output = launch.refused();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{stderr}");
        assert!(stderr.contains(words), "{stderr}");
        drop(home);
    }
    assert_eq!(upstream.connections(), 0);
}

#[test]
fn with_one_api_its_tools_keep_their_names() {
    let upstream = Recorder::plain();
    let mut gate = Gate::start(&policy::a(&upstream));
    assert!(gate.get("/api/v1/organization/1").is_success());
    assert_eq!(gate.call("sample_api_get", &json!({"path": "/api/v1/organization/1"})).rpc_error(), Some(-32602));
}
