//! How a rule lets the log tell values, in the log of a real gate.

use std::sync::Arc;

use serde_json::{Value, json};

use super::common::{
    gate::Gate,
    policy,
    recorder::{Recorder, Reply},
};

/// The question about a write under a rule with this `log`, which is sent as it is in every case.
fn question(log: &str) -> Value {
    let upstream = Recorder::start(|_| Reply::json("{}"));
    let rule = format!("confirm = \"never\"\nlog = \"{log}\"\n[response]\nredact = [\"owner\"]");
    let mut gate = Gate::start(&policy::b(&upstream, &rule));
    let home = Arc::clone(&gate.home);
    let body = json!({ "label": "blue-label", "owner": "the-owner" });
    let write = json!({ "method": "PATCH", "path": "/api/v1/service_item/42/labels/", "body": body });
    assert!(gate.call("api_send", &write).is_success());
    gate.finish();
    let mut questions = home.records();
    questions.retain(|record| record["kind"] == "question");
    let [question] = <[Value; 1]>::try_from(questions).expect("one question");
    question
}

#[test]
fn a_rule_says_whether_values_stand_in_the_log_in_clear_as_digests_or_not_at_all() {
    let full = question("full");
    assert_eq!(full["body"]["text"], r#"{"label":"blue-label","owner":"[redacted]"}"#, "{full}");
    let names = question("names");
    assert_eq!(
        (&names["body"]["names"], &names["values"]),
        (&json!([["label"], ["owner"]]), &json!("names")),
        "{names}"
    );
    assert!(names["body"]["digest"].is_null(), "{names}");
    let digest = question("digest");
    assert_eq!((&digest["body"]["names"][0][0], &digest["values"]), (&json!("label"), &Value::Null), "{digest}");
    for question in [&names, &digest] {
        assert!(!question.to_string().contains("blue-label"), "{question}");
    }
    assert!([&full, &names, &digest].iter().all(|question| !question.to_string().contains("the-owner")));
}
