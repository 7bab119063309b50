//! A held write and the person who is asked about it: in every version that can ask, on every channel, whatever comes
//! back, the request is sent exactly when a person said yes as the form demands. The upstream's own count is the judge.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::common::{
    gate::{Answer, Client, Gate, Home, Launch, MODERN, cancel, ended},
    person::{ERAS, Question, Way, client, labels, target, with_form},
    policy,
    recorder::Recorder,
};

/// The least that a question may live.
const TTL: Duration = Duration::from_secs(5);

/// Where a question may be answered, and how: one cell of the matrix.
#[derive(Debug, Clone, Copy)]
struct Cell {
    version: &'static str,
    channel: &'static str,
    confirm: &'static str,
}

/// What becomes of a question in the client.
#[derive(Debug, Clone)]
enum Act {
    Accept,
    /// Accepts without the field.
    Bare,
    /// Accepts with this in the field.
    With(Value),
    Decline,
    Dismiss,
    /// Answers with an error in place of a result.
    Fail,
}

/// What becomes of the call.
#[derive(Debug, Clone, Copy)]
enum End {
    Sent,
    /// A refusal of this code, whose sentence holds these words.
    Refused(&'static str, &'static str),
    /// A JSON-RPC error.
    Error(i64),
}

const AT_DESK: End = End::Refused("approval_required", "`portcullis approve ");
const UNABLE: End = End::Refused("approval_required", "this client cannot ask");
const BAD_STATE: End = End::Error(-32602);

impl Cell {
    fn each(channels: &[&'static str]) -> Vec<Self> {
        let confirms = ["each", "typed"];
        let pair = |version| {
            channels.iter().flat_map(move |channel| confirms.map(move |confirm| (version, *channel, confirm)))
        };
        let cells = ERAS.into_iter().flat_map(pair);
        cells.map(|(version, channel, confirm)| Self { version, channel, confirm }).collect()
    }

    fn policy(self, upstream: &Recorder) -> String {
        let rule = format!("confirm = \"{}\"\nchannel = \"{}\"", self.confirm, self.channel);
        policy::held(upstream, "ttl = \"5s\"\nwait = \"0ms\"", &rule)
    }

    fn gate(self, upstream: &Recorder, client: &Client) -> Gate {
        let mut gate = Launch::new(&Home::new(&self.policy(upstream))).start();
        gate.introduce(client);
        gate
    }

    fn is_modern(self) -> bool {
        self.version == MODERN
    }

    /// Everything that can come back at once.
    fn acts(self) -> Vec<Act> {
        let wrong = match self.confirm {
            "each" => [json!(false), json!("true"), json!(1), json!([true]), Value::Null],
            _ => [json!(true), json!(""), json!("LABELS"), json!("labels/"), json!({ "word": "labels" })],
        };
        let others = wrong.map(Act::With);
        [Act::Accept, Act::Bare, Act::Decline, Act::Dismiss, Act::Fail].into_iter().chain(others).collect()
    }

    fn end(self, act: &Act) -> End {
        match (act, self.is_modern(), self.channel) {
            (Act::Accept, ..) => End::Sent,
            (Act::Bare | Act::With(_), ..) => End::Refused("declined", "not confirmed"),
            (Act::Decline, ..) => End::Refused("declined", "declined by the user"),
            (Act::Dismiss, ..) => End::Refused("declined", "cancelled"),
            (Act::Fail, true, _) => BAD_STATE,
            (Act::Fail, false, "any") => AT_DESK,
            (Act::Fail, false, _) => UNABLE,
        }
    }
}

impl Act {
    /// Does it to a question, and waits for what becomes of the call.
    fn perform(&self, gate: &mut Gate, question: &Question) -> Answer {
        let result = match self {
            Self::Accept => question.yes(),
            Self::Bare => json!({ "action": "accept" }),
            Self::With(value) => json!({ "action": "accept", "content": { "confirm": value } }),
            Self::Decline => json!({ "action": "decline" }),
            Self::Dismiss => json!({ "action": "cancel" }),
            Self::Fail => return fail(gate, question),
        };
        gate.reply(question, &result)
    }

    /// What the log says that the person said.
    fn said(&self) -> Option<&'static str> {
        match self {
            Self::Accept => Some("approved"),
            Self::Bare | Self::With(_) => Some("unconfirmed"),
            Self::Decline => Some("declined"),
            Self::Dismiss => Some("dismissed"),
            Self::Fail => None,
        }
    }
}

/// A client that cannot show the form after all.
fn fail(gate: &mut Gate, question: &Question) -> Answer {
    let error = json!({ "code": -32603, "message": "no window" });
    match &question.way {
        Way::Open(id) => {
            gate.send(&json!({ "jsonrpc": "2.0", "id": id, "error": error }).to_string());
            gate.answer(&question.call)
        }
        // Where no response goes back, an error is no result of an elicitation.
        Way::Retry(_) => gate.reply(question, &json!({ "error": error })),
    }
}

fn assert_end(what: &str, answer: &Answer, end: End) {
    match end {
        End::Sent => assert_eq!(answer.texts(), [r#"{"ok":true}"#], "{what}: {answer:?}"),
        End::Refused(code, words) => {
            let refusal = answer.refusal();
            let sentence = refusal["message"].as_str().expect("a sentence");
            assert!(refusal["code"] == code && sentence.contains(words), "{what}: {code}, {words}: {refusal}");
            assert!(!sentence.contains('\n') && !sentence.ends_with('.'), "{what}: one sentence: {sentence}");
        }
        End::Error(code) => assert_eq!(answer.rpc_error(), Some(code), "{what}: {answer:?}"),
    }
}

/// The targets that arrived, in order.
fn arrived(upstream: &Recorder) -> Vec<String> {
    upstream.seen().iter().map(|seen| seen.target().to_owned()).collect()
}

/// The records of the write to `item`.
fn of_item(records: &[Value], item: usize) -> Vec<&Value> {
    let calls: Vec<_> =
        records.iter().filter(|record| record["path"] == target(item)).map(|record| &record["call"]).collect();
    records.iter().filter(|record| calls.contains(&&record["call"])).collect()
}

/// Who was asked stands before what they said, and what they said stands with the verdict.
fn assert_recorded(cell: Cell, act: &Act, records: &[&Value]) {
    let kinds: Vec<_> = records.iter().map(|record| record["kind"].as_str().expect("a kind")).collect();
    let [asked, rest @ ..] = &kinds[..] else { panic!("{cell:?} {act:?}: nothing in the log") };
    assert_eq!(*asked, "ask", "{cell:?} {act:?}: {kinds:?}");
    let channels = if cell.channel == "any" { json!(["client", "desk"]) } else { json!(["client"]) };
    let ask = records.first().expect("it is there");
    assert_eq!((&ask["channels"], &ask["client"]), (&channels, &json!("t 1")), "{ask}");
    let rounds = if cell.is_modern() && act.said().is_some() { 2 } else { 1 };
    assert_eq!(rest, ["question", "answer"].repeat(rounds), "{cell:?} {act:?}");
    let question = records[records.len() - 2];
    let Some(said) = act.said() else {
        assert!(question["person"].is_null(), "nobody said anything: {question}");
        return;
    };
    let person = &question["person"];
    assert_eq!(
        (&person["said"], &person["channel"], &person["client"]),
        (&json!(said), &json!("client"), &json!("t 1"))
    );
    assert!(person["took_ms"].as_u64().is_some_and(|took| took < 60_000) && person["uid"].is_null(), "{person}");
    let verdict = if said == "approved" { "allow" } else { "hold" };
    assert_eq!((&question["verdict"], &question["rule"]), (&json!(verdict), &json!("labels")), "{question}");
}

/// All acts on one gate, each on an item of its own.
fn run(cell: Cell) {
    let upstream = Recorder::plain();
    let mut gate = cell.gate(&upstream, &with_form(cell.version));
    let home = Arc::clone(&gate.home);
    let acts: Vec<_> = cell.acts().into_iter().flat_map(|act| [act, Act::Accept]).collect();
    let mut sent = Vec::new();
    for (item, act) in acts.iter().enumerate() {
        let question = gate.ask(&labels(item));
        assert_eq!(arrived(&upstream), sent, "{cell:?} {act:?}: nothing is sent before an answer");
        let answer = act.perform(&mut gate, &question);
        let end = cell.end(act);
        assert_end(&format!("{cell:?} {act:?}"), &answer, end);
        if matches!(end, End::Sent) {
            sent.push(target(item));
        }
        assert_eq!(arrived(&upstream), sent, "{cell:?} {act:?}");
    }
    gate.finish();
    let records = home.records();
    for (item, act) in acts.iter().enumerate() {
        assert_recorded(cell, act, &of_item(&records, item));
    }
}

/// Runs `test` for each cell, all at once.
fn side_by_side(cells: Vec<Cell>, test: impl Fn(Cell) + Sync) {
    let test = &test;
    std::thread::scope(|scope| {
        for cell in cells {
            scope.spawn(move || test(cell));
        }
    });
}

#[test]
fn a_held_write_is_sent_exactly_when_its_person_accepts_as_the_form_asks() {
    Cell::each(&["client", "any"]).into_iter().for_each(run);
}

#[test]
fn where_the_desk_alone_may_answer_the_client_is_not_asked_and_nothing_is_sent() {
    for cell in Cell::each(&["desk"]) {
        let upstream = Recorder::plain();
        let mut gate = cell.gate(&upstream, &with_form(cell.version));
        let answer = gate.unasked(&labels(1));
        assert_end(&format!("{cell:?}"), &answer, AT_DESK);
        assert_eq!(gate.finish(), Vec::<Value>::new(), "{cell:?}: no question on the way");
        assert_eq!(upstream.count(), 0, "{cell:?}");
    }
}

#[test]
fn a_client_that_shows_no_form_is_never_asked_and_nothing_is_sent() {
    for cell in Cell::each(&["client", "any", "desk"]) {
        for capabilities in [json!({ "sampling": {} }), json!({ "elicitation": { "url": {} } })] {
            let upstream = Recorder::plain();
            let mut gate = cell.gate(&upstream, &client(cell.version, capabilities.clone()));
            let end = match (cell.channel, cell.is_modern()) {
                ("client", true) => End::Error(-32021),
                ("client", false) => UNABLE,
                (_, _) => AT_DESK,
            };
            let answer = gate.unasked(&labels(1));
            assert_end(&format!("{cell:?} {capabilities}"), &answer, end);
            assert_eq!(gate.finish(), Vec::<Value>::new(), "{cell:?} {capabilities}: no question on the way");
            assert_eq!(upstream.count(), 0, "{cell:?} {capabilities}");
        }
    }
}

#[test]
fn a_call_that_could_not_be_asked_about_leaves_the_question_of_another_as_it_is() {
    let cell = Cell { version: MODERN, channel: "client", confirm: "each" };
    let upstream = Recorder::plain();
    let mut gate = cell.gate(&upstream, &with_form(MODERN));
    let question = gate.ask(&labels(1));
    // Each request says for itself what its client can do.
    gate.introduce(&client(MODERN, json!({})));
    assert_end("without a form", &gate.unasked(&labels(1)), End::Error(-32021));
    gate.introduce(&with_form(MODERN));
    assert_end("the question still stands", &gate.reply(&question, &question.yes()), End::Sent);
    gate.finish();
    assert_eq!(upstream.count(), 1);
}

#[test]
fn a_question_that_nobody_answers_ends_and_nothing_is_sent() {
    side_by_side(Cell::each(&["client", "any"]), |cell| {
        let upstream = Recorder::plain();
        let mut gate = cell.gate(&upstream, &with_form(cell.version));
        let question = gate.ask(&labels(1));
        if cell.is_modern() {
            // The gate holds no call: the question ends by itself, and so does what the client carries.
            std::thread::sleep(TTL + Duration::from_millis(200));
            let late = gate.reply(&question, &question.yes());
            assert_end(&format!("{cell:?}"), &late, BAD_STATE);
        } else {
            let silent = gate.answer(&question.call);
            let end = match cell.channel {
                "any" => AT_DESK,
                _ => End::Refused("approval_expired", "nobody answered in time"),
            };
            assert_end(&format!("{cell:?}"), &silent, end);
            let Way::Open(id) = &question.way else { panic!("asked while the call is open") };
            let closed = |message: &Value| message["method"] == "notifications/cancelled";
            let notice = gate.first("the question is taken back", closed);
            assert_eq!(notice.message["params"]["requestId"], *id, "{cell:?}: {notice:?}");
            // Too late: there is no call to let go any more.
            gate.send(&json!({ "jsonrpc": "2.0", "id": id, "result": question.yes() }).to_string());
        }
        assert!(gate.get("/api/v1/organization/1").is_success(), "{cell:?}: it goes on");
        gate.finish();
        assert_eq!(arrived(&upstream), ["/api/v1/organization/1"], "{cell:?}");
    });
}

#[test]
fn a_write_whose_call_is_taken_back_while_a_person_is_asked_is_never_sent() {
    for cell in Cell::each(&["client", "any"]) {
        let upstream = Recorder::plain();
        let mut gate = cell.gate(&upstream, &with_form(cell.version));
        let home = Arc::clone(&gate.home);
        let question = gate.ask(&labels(1));
        match question.way.clone() {
            Way::Open(id) => {
                gate.send(&cancel(&question.call));
                gate.first("the question is taken back", |message| message["method"] == "notifications/cancelled");
                gate.send(&json!({ "jsonrpc": "2.0", "id": id, "result": question.yes() }).to_string());
            }
            // That call was answered with the question: there is nothing to take back.
            Way::Retry(_) => gate.send(&cancel(&question.call)),
        }
        let again = gate.ask(&labels(1));
        assert_end("a later yes counts", &gate.reply(&again, &again.yes()), End::Sent);
        gate.finish();
        assert_eq!(arrived(&upstream), [target(1)], "{cell:?}: once, for the second question");
        let records = home.records();
        let cancelled = records.iter().filter(|record| record["code"] == "cancelled" && record["kind"] == "answer");
        assert_eq!(cancelled.count(), usize::from(!cell.is_modern()), "{cell:?}: {records:#?}");
    }
}

#[test]
fn a_write_whose_client_hangs_up_while_a_person_is_asked_is_never_sent() {
    for cell in Cell::each(&["client", "any"]) {
        let upstream = Recorder::plain();
        let mut gate = cell.gate(&upstream, &with_form(cell.version));
        let home = Arc::clone(&gate.home);
        gate.ask(&labels(1));
        // Long before the question ends.
        gate.finish();
        assert_eq!(upstream.count(), 0, "{cell:?}");
        let records = home.records();
        let last = of_item(&records, 1).last().map(|record| record["code"].clone());
        let code = if cell.is_modern() { "approval_required" } else { "cancelled" };
        assert_eq!(last, Some(json!(code)), "{cell:?}: {records:#?}");
        assert!(ended(&records), "{cell:?}: in good order");
    }
}

#[test]
fn the_form_holds_the_whole_request_and_one_required_field() {
    for cell in Cell::each(&["client"]) {
        let upstream = Recorder::plain();
        let mut gate = cell.gate(&upstream, &with_form(cell.version));
        let question = gate.ask(&labels(42));
        let message = question.form["message"].as_str().expect("a message");
        for part in ["PATCH", &target(42), r#""labels""#, &format!("127.0.0.1:{}", upstream.port()), "labels"] {
            assert!(message.contains(part), "{cell:?}: `{part}` is not in {message}");
        }
        let schema = &question.form["requestedSchema"];
        assert_eq!(schema["required"], json!(["confirm"]), "{cell:?}");
        assert_eq!(schema["properties"].as_object().map(serde_json::Map::len), Some(1), "{cell:?}");
        let kind = if cell.confirm == "typed" { "string" } else { "boolean" };
        assert_eq!(schema["properties"]["confirm"]["type"], kind, "{cell:?}");
        gate.finish();
    }
}
