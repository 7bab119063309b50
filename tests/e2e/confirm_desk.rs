//! The client and the desk beside each other: whatever the client does with a question, in every version, what the desk says
//! of it counts where the client has not answered, and is too late where it has.

use std::time::Duration;

use serde_json::{Value, json};

use super::common::{
    desk::{Desk, held_code},
    gate::{Gate, Home, Launch, MODERN},
    person::{ERAS, Held, Question, Way, client, labels, target, with_form},
    policy,
    recorder::Recorder,
};

/// The least that a question may live in a client.
const TTL: Duration = Duration::from_secs(5);

/// What the client does before the desk says anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    /// Brings an answer.
    Accepts,
    AcceptsBare,
    Declines,
    Dismisses,
    /// Still shows the question.
    Shows,
    /// Says nothing until its time is over.
    Keeps,
    /// Answers with an error.
    Drops,
    /// Shows no forms, or none but links.
    HasNone,
    HasLinks,
}

use Before::{Accepts, AcceptsBare, Declines, Dismisses, Drops, HasLinks, HasNone, Keeps, Shows};

impl Before {
    const ALL: [Self; 9] = [Accepts, AcceptsBare, Declines, Dismisses, Shows, Keeps, Drops, HasNone, HasLinks];

    fn result(self, question: &Question) -> Option<Value> {
        match self {
            Accepts => Some(question.yes()),
            AcceptsBare => Some(json!({ "action": "accept" })),
            Declines => Some(json!({ "action": "decline" })),
            Dismisses => Some(json!({ "action": "cancel" })),
            Shows | Keeps | Drops | HasNone | HasLinks => None,
        }
    }
}

/// Makes the call and lets the client do its part: the question, where it was given one.
fn begin(gate: &mut Gate, version: &'static str, before: Before) -> Option<Question> {
    let capabilities = match before {
        HasNone => Some(json!({ "sampling": {} })),
        HasLinks => Some(json!({ "elicitation": { "url": {} } })),
        Accepts | AcceptsBare | Declines | Dismisses | Shows | Keeps | Drops => None,
    };
    gate.introduce(&capabilities.map_or_else(|| with_form(version), |given| client(version, given)));
    let question = match gate.write(&labels(1)) {
        Held::Asked(question) => question,
        Held::Ended(answer) => {
            assert!(matches!(before, HasNone | HasLinks), "{version} {before:?}: nobody was asked: {answer:?}");
            held_code(&answer);
            return None;
        }
    };
    match (before, question.way.clone()) {
        (Keeps, Way::Open(_)) => drop(held_code(&gate.answer(&question.call))),
        (Keeps, Way::Retry(_)) => std::thread::sleep(TTL + Duration::from_millis(200)),
        (Drops, Way::Open(id)) => {
            let error = json!({ "code": -32603, "message": "no window" });
            gate.send(&json!({ "jsonrpc": "2.0", "id": id, "error": error }).to_string());
            held_code(&gate.answer(&question.call));
        }
        (Drops, Way::Retry(_)) => {
            assert_eq!(gate.reply(&question, &json!({ "error": {} })).rpc_error(), Some(-32602), "{version}");
        }
        (Accepts | AcceptsBare | Declines | Dismisses | Shows | HasNone | HasLinks, _) => {}
    }
    Some(question)
}

fn writes(upstream: &Recorder) -> Vec<String> {
    upstream.seen().iter().map(|seen| seen.target().to_owned()).collect()
}

/// One cell: what the client does, then what the desk says.
fn run(version: &'static str, before: Before, approve: bool) {
    let what = format!("{version} {before:?}, the desk approves: {approve}");
    let upstream = Recorder::plain();
    let home = Home::new(&policy::held(&upstream, "ttl = \"5s\"\nwait = \"0ms\"\nclient_wait = \"3s\"", ""));
    let (mut gate, desk) = (Launch::new(&home).start(), Desk::of(&home));
    let question = begin(&mut gate, version, before);
    let code = desk.codes(1).remove(0);
    if let Some((question, result)) = question.as_ref().and_then(|question| Some((question, before.result(question)?)))
    {
        assert_eq!(gate.reply(question, &result).is_success(), before == Accepts, "{what}");
        let words = if approve { "approve" } else { "decline" };
        assert_eq!(desk.run(&[words, &code]).status.code(), Some(1), "{what}: too late");
        assert_eq!(writes(&upstream), vec![target(1); usize::from(before == Accepts)], "{what}");
        gate.finish();
        return;
    }
    if approve {
        desk.approve(&code);
    } else {
        assert!(desk.run(&["decline", &code]).status.success(), "{what}");
    }
    let answer = match (&question, before) {
        // The call goes on by itself.
        (Some(Question { way: Way::Open(_), call, .. }), Shows) => gate.answer(call),
        // Whatever the client brings, the desk was first.
        (Some(question), Shows) => gate.reply(question, &question.yes()),
        (Some(_) | None, _) => gate.unasked(&labels(1)),
    };
    match approve {
        true => assert!(answer.is_success(), "{what}: {answer:?}"),
        false => assert_eq!(answer.code(), "declined", "{what}"),
    }
    if let (Some(question), Shows, MODERN) = (&question, before, version) {
        assert_eq!(gate.reply(question, &question.yes()).code(), "declined", "{what}: it was used");
    }
    let again = gate.write(&labels(1));
    assert!(
        matches!(&again, Held::Asked(_)) || matches!(&again, Held::Ended(end) if !end.is_success()),
        "{what}: {again:?}"
    );
    assert_eq!(writes(&upstream), vec![target(1); usize::from(approve)], "{what}");
    gate.finish();
}

#[test]
fn what_the_desk_says_counts_where_the_client_has_not_answered_and_is_too_late_where_it_has() {
    let cells = ERAS.into_iter().flat_map(|version| Before::ALL.map(|before| (version, before)));
    let cells: Vec<_> = cells.flat_map(|(version, before)| [true, false].map(|yes| (version, before, yes))).collect();
    // A few at a time: each is a gate and up to three commands.
    for some in cells.chunks(9) {
        std::thread::scope(|scope| {
            for (version, before, yes) in some.iter().copied() {
                scope.spawn(move || run(version, before, yes));
            }
        });
    }
}
