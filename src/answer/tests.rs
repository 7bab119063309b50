//! Answers of every kind, shaped as the gateway shapes them.

mod cost;

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::clock::ManualClock;

const SECRET: &str = "ann@example.test";

struct Case {
    response: ResponseSpec,
    ask: Ask,
    store: Store,
}

impl Case {
    fn new(format: Format, max_bytes: u64, redact: &[&str], ask: &str) -> Self {
        let redact = redact.iter().map(|path| FieldPath::anywhere(path).unwrap()).collect();
        Self {
            response: ResponseSpec { read_max_bytes: 8 << 20, max_bytes, format, redact },
            ask: Ask::parse(ask).unwrap(),
            store: Store::new(Arc::new(ManualClock::default())),
        }
    }

    fn answer(&self, status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> (Shaped, Option<Refusal>) {
        let headers = vec![("content-type".to_owned(), content_type.to_owned())];
        let facts = Facts { status, headers, location: None, retry_after: None };
        let agent = Agent::stdio(1);
        let Self { response, ask, store } = self;
        shape(facts, body.into(), &View { response, ask, store, agent: &agent, call: "c1" })
    }

    fn blocks(&self, content_type: &str, body: impl Into<Vec<u8>>) -> Vec<String> {
        let (shaped, refusal) = self.answer(200, content_type, body);
        assert!(refusal.is_none() && !shaped.is_error, "{shaped:?}");
        shaped.blocks
    }

    fn error(&self, status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Value {
        let (shaped, refusal) = self.answer(status, content_type, body);
        assert!(refusal.is_some_and(|refusal| refusal.code == Code::UpstreamError) && shaped.is_error, "{shaped:?}");
        serde_json::from_str::<Value>(&shaped.blocks[0]).unwrap()["error"].take()
    }
}

fn plain() -> Case {
    Case::new(Format::Json, 256 << 10, &[], "")
}

fn redacting() -> Case {
    Case::new(Format::Json, 256 << 10, &["email"], "")
}

/// Rows as issue trackers give them.
fn issues(count: usize) -> Value {
    let issue = |id: usize| {
        json!({
            "id": 48_210_000 + id,
            "url": format!("https://api.example.test/repos/portcullis/gate/issues/{id}"),
            "number": id,
            "title": format!("The gate answers call {id} too slowly"),
            "state": if id.is_multiple_of(3) { "closed" } else { "open" },
            "comments": id % 7,
            "created_at": "2026-03-01T09:30:00Z",
            "closed_at": null,
            "user": {"login": "ann", "id": 17, "email": SECRET, "site_admin": false},
            "labels": ["bug", "speed"],
        })
    };
    (0..count).map(issue).collect()
}

#[test]
fn json_is_compact_and_everything_else_as_it_came() {
    for (kind, body, shown) in [
        ("application/json", "{ \"a\" : [ 1.0 , 2 ] }\n", r#"{"a":[1.0,2]}"#),
        ("application/problem+json", "[ ]", "[]"),
        ("text/plain", "{ \"a\": 1 }", r#"{"a":1}"#),
        ("application/json", "{ not json", "{ not json"),
        ("application/json", "  ", "  "),
        ("text/csv", "email, name\na@b, Ann\n", "email, name\na@b, Ann\n"),
        ("text/plain", "[INFO] { \"a\": 1 }", "[INFO] { \"a\": 1 }"),
        ("", "plain  text", "plain  text"),
    ] {
        assert_eq!(plain().blocks(kind, body), [shown], "{kind}");
    }
}

#[test]
fn an_empty_answer_is_a_success_that_tells_its_status() {
    for status in [200, 204, 304] {
        let (shaped, refusal) = redacting().answer(status, "", "");
        assert!(refusal.is_none() && !shaped.is_error);
        assert!(shaped.blocks.concat().contains(&format!("\"status\":{status}")), "{shaped:?}");
    }
}

#[test]
fn binary_answers_and_strange_charsets_are_told_and_not_shown() {
    for (kind, body, told) in [
        ("image/png", &b"\x89PNG"[..], "image/png, 4 bytes"),
        ("application/octet-stream", b"text", "application/octet-stream, 4 bytes"),
        ("text/plain; charset=shift_jis", b"abc", "charset shift_jis"),
        ("application/json", b"\"\xff\"", "not UTF-8"),
    ] {
        for status in [200, 500] {
            let error = plain().error(status, kind, body);
            assert!(error.to_string().contains(told), "{status} {kind}: {error}");
            assert!(error.get("body").is_none(), "{error}");
            assert_eq!(error["status"], status);
        }
    }
}

#[test]
fn a_redacted_value_is_in_no_answer_whatever_it_comes_as() {
    let body = json!({"user": {"email": SECRET}, "name": "Ann"}).to_string();
    let (first, rest) = body.split_at(1);
    let western = "application/json; charset=iso-8859-1";
    for (kind, body) in [
        ("application/json", body.clone()),
        ("text/plain", body.clone()),
        ("text/html", format!("  {body}")),
        ("", format!("\u{feff}{body}")),
        ("application/x-ndjson", format!("{body}\n{body}\n")),
        ("application/json-seq", format!("\u{1e}{body}\n\u{1e}{body}\n")),
        ("text/plain", format!("[{body}]")),
        (western, body.clone()),
        ("application/json", format!("{first}\"email\":\"x\",\"email\":[\"{SECRET}\"],{rest}")),
    ] {
        for status in [200, 404] {
            let (shaped, _) = redacting().answer(status, kind, body.clone());
            let shown = shaped.blocks.concat();
            assert!(!shown.contains(SECRET), "{status} {kind}: {shown}");
            assert!(shown.contains("[redacted]") && shown.contains("Ann"), "{status} {kind}: {shown}");
        }
    }
}

#[test]
fn a_body_that_claims_to_be_json_and_is_none_is_withheld_when_something_is_redacted() {
    let broken = format!("{{\"email\": \"{SECRET}\"");
    let deep = format!("{}{}{}", "[".repeat(200), "{\"email\":1}", "]".repeat(200));
    let event = format!("data: {{\"email\":\"{SECRET}\"}}\n\n");
    for (kind, body) in [
        ("application/json", broken.as_str()),
        ("text/plain", &broken),
        ("application/json", "no json"),
        ("application/json", &deep),
        ("text/event-stream", &event),
        ("application/javascript", "call({})"),
    ] {
        for status in [200, 500] {
            let error = redacting().error(status, kind, body);
            assert!(error.to_string().contains("nothing could be redacted"), "{kind}: {error}");
            assert!(!error.to_string().contains(SECRET) && error.get("body").is_none(), "{error}");
        }
        assert_eq!(plain().blocks(kind, body), [body], "without redaction it is shown");
    }
    assert_eq!(redacting().blocks("text/plain", "no json: email"), ["no json: email"]);
}

#[test]
fn a_redacted_member_is_not_shown_behind_or_amid_other_text() {
    let body = json!({"user": {"email": SECRET}}).to_string();
    for (before, after) in [
        (")]}',\n", ""),
        ("while(1);", ""),
        ("for(;;);", ""),
        ("/* never */ ", ""),
        ("// never\n", ""),
        ("# never\n", ""),
        ("2026-03-01 INFO ", "\n"),
        ("<script>var x = ", ";</script>"),
        ("\u{feff}\u{feff}", ""),
        ("\u{200b}", ""),
        ("\u{1}", ""),
        ("callback(", ")"),
        ("[INFO] ", ""),
        ("[1] ", " tail"),
        ("a,b\n1,", "\n"),
    ] {
        for kind in ["text/plain", "text/html", "application/xml", "text/csv", ""] {
            for status in [200, 502] {
                let error = redacting().error(status, kind, format!("{before}{body}{after}"));
                assert!(!error.to_string().contains(SECRET), "{before}: {error}");
                assert!(error.to_string().contains("could be redacted"), "{before}: {error}");
            }
            assert!(
                plain().blocks(kind, format!("{before}{body}{after}"))[0].contains(SECRET),
                "nothing is to be redacted"
            );
        }
    }
    for before in ["5\n", "\"begin\"\n", "null ", "true\r\n-1e5 ", "\u{1e}7\n"] {
        let shown = redacting().blocks("text/plain", format!("{before}{body}")).concat();
        assert!(shown.contains("[redacted]") && !shown.contains(SECRET), "{before}: {shown}");
    }
}

#[test]
fn text_without_a_redacted_member_is_shown_as_it_is() {
    for text in [
        "Dear email: {\"ann\"} wrote \"email\", 'email' and email.\n",
        "\"name\",\"email\"\n\"Ann\",\"ann@example.test\"\n",
        "<style>p { color: red }</style><input name=\"email\" type='email'>",
        ")]}',\n{\"mail\":1}",
        "5 {\"emails\": [1]}",
    ] {
        assert_eq!(redacting().blocks("text/plain", text), [text]);
    }
}

proptest! {
    #[test]
    fn whatever_stands_before_and_behind_an_object_its_redacted_member_is_not_shown(
        before in "[\\[{}\\]\"':,/*#\\\\ \n\u{feff}\u{0}a1]{0,8}",
        inside in "[ \n\u{feff}\u{200b}]{0,2}",
        after in "[\\[{}\\]\",/ a1]{0,4}",
        kind in prop::sample::select(vec!["text/plain", "application/json", "text/html", "text/csv", "application/x-ndjson"]),
    ) {
        let body = format!("{before}{{{inside}\"email\"{inside}:\"{SECRET}\"}}{after}");
        let (shaped, _) = redacting().answer(200, kind, body.clone());
        prop_assert!(!shaped.blocks.concat().contains(SECRET), "{}", body);
    }
}

#[test]
fn what_the_store_holds_and_what_is_cut_is_redacted() {
    let case = Case::new(Format::Json, 2_000, &["email"], "");
    let mut blocks = case.blocks("application/json", issues(200).to_string());
    let mut seen = 0;
    loop {
        assert!(!blocks.concat().contains(SECRET) && blocks[0].len() <= 2_000);
        seen += serde_json::from_str::<Vec<Value>>(&blocks[0]).unwrap().len();
        let notes: Value = serde_json::from_str(&blocks[1]).unwrap();
        let Some(handle) = notes["cut"]["next"].as_str() else { break };
        assert_eq!(notes["cut"]["resume"], format!("from={seen}"), "{notes}");
        blocks = case.store.take(&Agent::stdio(1), handle).unwrap().shape(2_000).blocks;
    }
    assert_eq!(seen, 200);
    let error = case.error(500, "application/json", issues(200).to_string());
    let shown: Vec<Value> = serde_json::from_str(error["body"].as_str().unwrap()).unwrap();
    assert!(!shown.is_empty() && !error.to_string().contains(SECRET));
    assert_eq!(error["body_cut"], json!({"at": "", "shown": shown.len(), "of": 200}), "nothing to go on with");
}

#[test]
fn a_cut_answer_goes_on_at_the_element_that_its_note_names() {
    let body = json!({"count": 300, "results": issues(300)}).to_string();
    let first = Case::new(Format::Json, 20_000, &[], "").blocks("application/json", body.clone());
    let cut = serde_json::from_str::<Value>(&first[1]).unwrap()["cut"].take();
    assert_eq!((&cut["at"], &cut["of"]), (&json!("/results"), &json!(300)), "{cut}");
    let ask = cut["resume"].as_str().unwrap();
    let second = Case::new(Format::Json, 20_000, &[], ask).blocks("application/json", body);
    let rows: Vec<Value> = serde_json::from_str(&second[0]).unwrap();
    assert_eq!(rows[0]["number"], cut["shown"]);
    assert_eq!(serde_json::from_str::<Value>(&second[1]).unwrap()["cut"]["from"], cut["shown"]);
}

#[test]
fn a_hundred_rows_take_a_quarter_of_pretty_json() {
    let pretty = serde_json::to_string_pretty(&issues(100)).unwrap();
    let size =
        |ask: &str| Case::new(Format::Json, 256 << 10, &[], ask).blocks("application/json", pretty.as_str())[0].len();
    for ask in ["fields=number,title,state,user.login", "fields=number,title,state,user.login;as=toon"] {
        println!("{ask}: {} of {}", size(ask), pretty.len());
        assert!(size(ask) * 4 <= pretty.len(), "{ask}: {} of {}", size(ask), pretty.len());
    }
    println!("as=toon: {} of {}; compact: {}", size("as=toon"), pretty.len(), size(""));
    assert!(size("as=toon") * 2 <= pretty.len());
    let flat: Value = (0..100)
        .map(|id| json!({"id": id, "identifier": format!("K{id}"), "team_name": "core", "is_active": true, "cycle_time_days": id % 9, "service_item_type": "bug", "priority": "high", "assignee_count": 2}))
        .collect();
    let pretty = serde_json::to_string_pretty(&flat).unwrap();
    let toon = Case::new(Format::Toon, 256 << 10, &[], "").blocks("application/json", pretty.as_str())[0].len();
    println!("flat rows as toon: {toon} of {}", pretty.len());
    assert!(toon * 4 <= pretty.len(), "{toon} of {}", pretty.len());
}

#[test]
fn fields_that_are_not_there_are_told() {
    let blocks =
        Case::new(Format::Json, 1_024, &[], "fields=id").blocks("application/json", r#"{"results":[{"id":1}]}"#);
    assert_eq!(blocks[0], "{}");
    assert!(blocks[1].contains("nothing that `fields` names"), "{blocks:?}");
    let found = Case::new(Format::Json, 1_024, &[], "fields=results.id");
    assert_eq!(
        found.blocks("application/json", r#"{"results":[{"id":1,"x":2}],"n":1}"#),
        [r#"{"results":[{"id":1}]}"#]
    );
}

#[test]
fn an_object_is_structured_content_where_the_policy_says_so_and_nobody_reads_it_otherwise() {
    for (body, ask, structured) in [
        (r#"{"a": 1}"#, "", true),
        (r#"{"a": 1}"#, "as=json", false),
        ("[1]", "", false),
        (r#"{"a":1,"a":2}"#, "", false),
        (r#"{"a":12345678901234567890123}"#, "", false),
        ("{\"a\":1}\n{\"a\":2}", "", false),
        ("text", "", false),
    ] {
        let (shaped, _) = Case::new(Format::Structured, 1_024, &[], ask).answer(200, "application/json", body);
        assert_eq!(shaped.structured.is_some(), structured, "{body}");
        assert_eq!(shaped.blocks.is_empty(), structured, "{body}: one of both");
    }
}

#[test]
fn a_large_answer_is_shaped_whole() {
    let body = serde_json::to_string_pretty(&issues(12_000)).unwrap();
    assert!(body.len() > 5_000_000, "{}", body.len());
    let case = Case::new(Format::Json, 64 << 20, &["email", "**.user.login"], "");
    let shown = case.blocks("application/json", body).concat();
    assert_eq!(shown.matches("[redacted]").count(), 24_000);
}
