//! The real program, one process after the other on one state directory, each with a client of one version.

use std::{collections::BTreeMap, sync::Arc};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{Came, Ending, Said, World, edition};
use crate::common::{
    Dice,
    desk::{Desk, word},
    gate::{Answer, Gate, Home, Launch, MODERN, cancel},
    person::{ERAS, brought, labels, target, with_form},
    recorder::Recorder,
};

pub(super) struct Outside {
    upstream: Recorder,
    channel: &'static str,
    edition: u64,
    home: Arc<Home>,
    dice: Dice,
    gate: Option<Gate>,
    version: &'static str,
    calls: BTreeMap<u64, Call>,
    number: u64,
    /// Which call shows the question about an item, and the question's id.
    shown: BTreeMap<u64, (u64, Value)>,
    /// The last code and digest that the desk has seen of an item.
    codes: BTreeMap<u64, (String, String)>,
}

struct Call {
    item: u64,
    id: String,
}

fn result(said: Said) -> Value {
    match said {
        Said::Yes => json!({ "action": "accept", "content": { "confirm": true } }),
        Said::No => json!({ "action": "decline" }),
        Said::Dismissed => json!({ "action": "cancel" }),
        Said::Bare => json!({ "action": "accept", "content": {} }),
    }
}

fn is_question(message: &Value, item: u64) -> bool {
    message["method"] == "elicitation/create"
        && message["params"]["message"].as_str().is_some_and(|text| text.contains(&target(item)))
}

impl Outside {
    pub(super) fn new(channel: &'static str, seed: u64) -> Self {
        let upstream = Recorder::plain();
        let home = Home::new(&edition(&upstream, channel, 0));
        let mut outside = Self {
            upstream,
            channel,
            edition: 0,
            home,
            dice: Dice::seeded(seed + 1_000_000),
            gate: None,
            version: MODERN,
            calls: BTreeMap::new(),
            number: 0,
            shown: BTreeMap::new(),
            codes: BTreeMap::new(),
        };
        outside.begin();
        outside
    }

    fn begin(&mut self) {
        self.version = ERAS[usize::try_from(self.dice.below(3)).expect("an index")];
        let mut gate = Launch::new(&self.home).start();
        gate.introduce(&with_form(self.version));
        self.gate = Some(gate);
        self.calls.clear();
        self.shown.clear();
        self.codes.clear();
    }

    fn gate(&mut self) -> &mut Gate {
        self.gate.as_mut().expect("a gate lives")
    }

    /// Whatever was sent before has been taken up once a later call is answered.
    fn settle(&mut self) {
        assert!(self.gate().get("/api/v1/organization/1").is_success());
    }

    /// Every call for the item has come to its end.
    fn all_end(&mut self, item: u64) {
        let ended: Vec<_> = self.calls.iter().filter(|(_, call)| call.item == item).map(|(id, _)| *id).collect();
        for call in ended {
            let Call { id, .. } = self.calls.remove(&call).expect("a call");
            self.gate().answer(&id);
        }
        self.shown.remove(&item);
    }
}

impl World for Outside {
    fn is_modern(&self, _: bool) -> bool {
        self.version == MODERN
    }

    fn ask(&mut self, item: u64, modern: bool) -> Came {
        let id = self.gate().begin("api_send", &labels(item));
        self.number += 1;
        let call = self.number;
        if !modern && self.shown.contains_key(&item) {
            self.settle();
            let gate = self.gate();
            if let Some(answer) = gate.so_far().into_iter().find(|message| message["id"] == id) {
                assert_eq!(Answer { message: answer }.code(), "throttled");
                return Came::Ended;
            }
            self.calls.insert(call, Call { item, id });
            return Came::Waits(call);
        }
        let wanted = |message: &Value| message["id"] == id || is_question(message, item);
        let Answer { message } = self.gate().first("the question or the answer", wanted);
        if is_question(&message, item) {
            self.shown.insert(item, (call, message["id"].clone()));
            self.calls.insert(call, Call { item, id });
            return Came::Waits(call);
        }
        match message["result"]["requestState"].as_str() {
            Some(state) => Came::State(state.to_owned()),
            None => Came::Ended,
        }
    }

    fn reply(&mut self, item: u64, said: Said) -> bool {
        let Some((_, id)) = self.shown.get(&item).cloned() else { return false };
        self.gate().send(&json!({ "jsonrpc": "2.0", "id": id, "result": result(said) }).to_string());
        self.all_end(item);
        true
    }

    fn retry(&mut self, item: u64, state: &str, said: Said) {
        let gate = self.gate();
        let id = gate.id();
        let (arguments, more) = (labels(item), brought(state, &result(said)));
        gate.send(&gate.line(&id, "tools/call", &format!(r#"{{"name":"api_send","arguments":{arguments}{more}}}"#)));
        gate.answer(&id);
    }

    fn say(&mut self, item: u64, yes: bool) -> bool {
        let desk = Desk::of(&self.home);
        if let Some(question) = desk.questions().into_iter().find(|question| question["target"] == target(item)) {
            self.codes.insert(item, (word(&question["code"]), word(&question["digest"])));
        }
        // What was answered is listed no more, but a no may still take a yes back.
        let Some((code, digest)) = self.codes.get(&item).cloned() else { return false };
        let yes_words = ["approve", &code, "--yes", "--digest", &digest];
        let words = if yes { &yes_words[..] } else { &["decline", &code] };
        if !desk.run(words).status.success() {
            return false;
        }
        self.all_end(item);
        true
    }

    fn cancel(&mut self, call: u64) -> bool {
        let Some(Call { item, id }) = self.calls.remove(&call) else { return false };
        self.gate().send(&cancel(&id));
        if self.shown.get(&item).is_some_and(|(shower, _)| *shower == call) {
            let (_, question) = self.shown.remove(&item).expect("it is shown");
            self.gate().first("the question is taken back", |message| {
                message["method"] == "notifications/cancelled" && message["params"]["requestId"] == question
            });
            // Another one that waited shows the question now; which of them, nothing tells apart.
            if let Some(next) = self.calls.iter().find(|(_, call)| call.item == item).map(|(call, _)| *call) {
                let Answer { message } = self.gate().first("the question", |message| is_question(message, item));
                self.shown.insert(item, (next, message["id"].clone()));
            }
        } else {
            self.settle();
        }
        true
    }

    fn restart(&mut self, ending: Ending) {
        let mut gate = self.gate.take().expect("a gate lives");
        match ending {
            Ending::Kill => {
                gate.signal(Signal::KILL);
                gate.expect_killed();
                drop(gate);
            }
            Ending::HangUp | Ending::Change => {
                gate.finish();
            }
        }
        if let Ending::Change = ending {
            self.edition += 1;
            self.home.rewrite(&edition(&self.upstream, self.channel, self.edition));
        }
        self.begin();
    }

    fn pass(&mut self, _: u64) -> bool {
        false
    }

    fn sent(&self) -> usize {
        self.upstream.seen().iter().filter(|seen| seen.method() == "PATCH").count()
    }
}
