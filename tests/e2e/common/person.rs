//! The person behind the client: how a held write's question reaches them in either era, and what they say.

use serde_json::{Value, json};

use super::gate::{Answer, Client, Gate, MODERN};

/// The versions in which a client can be asked.
pub(crate) const ERAS: [&str; 3] = ["2025-06-18", "2025-11-25", MODERN];

/// A client of `version` that shows forms, as each version has it written.
pub(crate) fn with_form(version: &'static str) -> Client {
    let elicitation = if version == "2025-06-18" { json!({}) } else { json!({ "form": {} }) };
    client(version, json!({ "elicitation": elicitation }))
}

pub(crate) fn client(version: &'static str, capabilities: Value) -> Client {
    Client { version, name: "t".to_owned(), capabilities }
}

/// The arguments of a write that policy B holds: the labels of one item.
pub(crate) fn labels(item: impl std::fmt::Display) -> String {
    format!(r#"{{"method":"PATCH","path":"{}","body":{{"labels":["a"]}}}}"#, target(item))
}

/// Where [`labels`] arrives.
pub(crate) fn target(item: impl std::fmt::Display) -> String {
    format!("/api/v1/service_item/{item}/labels/")
}

/// What a held call came to before anybody spoke.
#[derive(Debug, Clone)]
pub(crate) enum Held {
    /// The client was given a question.
    Asked(Question),
    /// Nobody was asked through the client.
    Ended(Answer),
}

/// A question as it reached the client.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    /// The id of the call that it is about.
    pub(crate) call: String,
    arguments: String,
    /// The parameters of `elicitation/create`.
    pub(crate) form: Value,
    pub(crate) way: Way,
}

/// How the answer goes back.
#[derive(Debug, Clone)]
pub(crate) enum Way {
    /// As the response to the request with this id, while the call is open.
    Open(Value),
    /// With the call, made again with this state.
    Retry(String),
}

impl Question {
    /// What a person who reads the form and agrees gives back.
    pub(crate) fn yes(&self) -> Value {
        let field = &self.form["requestedSchema"]["properties"]["confirm"];
        let content = match field["type"].as_str() {
            Some("boolean") => json!(true),
            Some("string") => {
                let title = field["title"].as_str().expect("a title");
                json!(title.strip_prefix("To send this request, type ").expect("the word is named"))
            }
            Some(_) | None => panic!("no field to fill in: {:?}", self.form),
        };
        json!({ "action": "accept", "content": { "confirm": content } })
    }

    /// The id of the request that asked while the call was open.
    pub(crate) fn way_id(&self) -> &Value {
        match &self.way {
            Way::Open(id) => id,
            Way::Retry(_) => panic!("nothing is asked while a call of that version is open"),
        }
    }

    pub(crate) fn state(&self) -> &str {
        match &self.way {
            Way::Retry(state) => state,
            Way::Open(_) => panic!("a client of that version carries no state"),
        }
    }

    /// The repeated call of a modern client, with these members beside its arguments.
    pub(crate) fn repeated(&self, gate: &Gate, id: &str, more: &str) -> String {
        let Self { arguments, .. } = self;
        gate.line(id, "tools/call", &format!(r#"{{"name":"api_send","arguments":{arguments}{more}}}"#))
    }
}

/// `requestState` and the answer, as members of a call's parameters.
pub(crate) fn brought(state: &str, result: &Value) -> String {
    format!(r#","requestState":{},"inputResponses":{{"confirm":{result}}}"#, json!(state))
}

impl Gate {
    /// Makes a call of `api_send` and waits for its question or its end.
    pub(crate) fn write(&mut self, arguments: &str) -> Held {
        let id = self.begin("api_send", arguments);
        self.held(&id, arguments)
    }

    /// What the call `id` came to.
    pub(crate) fn held(&mut self, id: &str, arguments: &str) -> Held {
        let answer = self.first(&format!("the question or the answer of `{id}`"), |message| {
            message["method"] == "elicitation/create" || message["id"] == id
        });
        let message = &answer.message;
        let (form, way) = if message["method"] == "elicitation/create" {
            (message["params"].clone(), Way::Open(message["id"].clone()))
        } else if message["result"]["resultType"] == "input_required" {
            let result = &message["result"];
            let request = &result["inputRequests"]["confirm"];
            assert_eq!(request["method"], "elicitation/create", "{message}");
            (request["params"].clone(), Way::Retry(result["requestState"].as_str().expect("a state").to_owned()))
        } else {
            return Held::Ended(answer);
        };
        Held::Asked(Question { call: id.to_owned(), arguments: arguments.to_owned(), form, way })
    }

    /// The question of a call that must lead to one.
    pub(crate) fn ask(&mut self, arguments: &str) -> Question {
        match self.write(arguments) {
            Held::Asked(question) => question,
            Held::Ended(answer) => panic!("nobody was asked: {answer:?}"),
        }
    }

    /// The end of a call that nobody is asked about through the client.
    pub(crate) fn unasked(&mut self, arguments: &str) -> Answer {
        match self.write(arguments) {
            Held::Ended(answer) => answer,
            Held::Asked(question) => panic!("somebody was asked: {question:?}"),
        }
    }

    /// Brings an elicitation's result back: the id under which the call's answer comes.
    pub(crate) fn say(&mut self, question: &Question, result: &Value) -> String {
        match &question.way {
            Way::Open(id) => {
                self.send(&json!({ "jsonrpc": "2.0", "id": id, "result": result }).to_string());
                question.call.clone()
            }
            Way::Retry(state) => {
                let id = self.id();
                let line = question.repeated(self, &id, &brought(state, result));
                self.send(&line);
                id
            }
        }
    }

    /// Brings an elicitation's result back, and waits for what becomes of the call.
    pub(crate) fn reply(&mut self, question: &Question, result: &Value) -> Answer {
        let id = self.say(question, result);
        self.answer(&id)
    }
}
