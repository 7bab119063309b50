//! The steps of the walk: what the agent asks, what must come back, and what the API must receive.

use serde_json::{Value, json};

/// One scene of the walk.
pub(super) struct Step {
    /// Its heading; errors name it.
    pub(super) title: &'static str,
    /// Why it is shown, in plain words.
    pub(super) why: &'static str,
    /// The calls, in order.
    pub(super) calls: Vec<Call>,
}

/// One tool call and how it must end.
pub(super) struct Call {
    pub(super) tool: &'static str,
    pub(super) arguments: Value,
    /// What the person says; `None`: nobody may be asked.
    pub(super) person: Option<Person>,
    pub(super) ends: Ends,
    /// `METHOD target` of what must arrive at the API; `None`: nothing.
    pub(super) arrives: Option<&'static str>,
}

/// How the person, whom the demo plays, answers the question about a call.
#[derive(Clone, Copy)]
pub(super) enum Person {
    /// Accepts it in the client.
    Accepts,
    /// Declines it in the client.
    Declines,
    /// Does not look at the client and approves it from another terminal.
    AtDesk,
}

/// How a call must end for the agent.
#[derive(Clone, Copy)]
pub(super) enum Ends {
    /// With the API's answer, which holds this text.
    Answer(&'static str),
    /// With an error of this code.
    Refusal(&'static str),
    /// With an error of this code, and a number of seconds to wait.
    Wait(&'static str),
}

/// All steps, in the order of telling. The one that closes the API for some seconds comes last.
pub(super) fn all() -> Vec<Step> {
    let mut steps = reads();
    steps.extend(refusals());
    steps.extend(writes());
    steps.extend(troubles());
    steps
}

fn reads() -> Vec<Step> {
    vec![
        Step {
            title: "A read that the policy names",
            why: "By the tool of its operation, and by its path: either way the same rule decides.",
            calls: vec![
                Call {
                    tool: "list_projects",
                    arguments: json!({ "org_id": 1 }),
                    person: None,
                    ends: Ends::Answer("Harbour"),
                    arrives: Some("GET /api/v1/organization/1/projects/?limit=100&offset=0"),
                },
                get("/project/7/", Ends::Answer("Harbour"), Some("GET /api/v1/project/7/")),
            ],
        },
        Step {
            title: "A POST that the policy calls a read",
            why: "Allstacks computes charts by POST. The rule says that this one changes nothing, so \
                  nobody is asked.",
            calls: vec![metrics(Ends::Answer("cycle_time"), Some(METRICS))],
        },
        Step {
            title: "An answer that repeats the credential",
            why: "Some services return what they were sent. The agent must not see it.",
            calls: vec![get(
                "/project/7/service/",
                Ends::Answer("last_request"),
                Some("GET /api/v1/project/7/service/"),
            )],
        },
    ]
}

fn refusals() -> Vec<Step> {
    vec![
        Step {
            title: "A write that no rule opens",
            why: "",
            calls: vec![send("DELETE", "/organization/1/dashboards/3/", Ends::Refusal("denied"))],
        },
        Step {
            title: "A path that hands out access tokens",
            why: "Rule reads would allow it, but a deny always wins, and it covers other spellings of its path.",
            calls: vec![
                get("/organization/1/personal_access_tokens/", Ends::Refusal("denied"), None),
                get("/organization/1/Personal_Access_Tokens", Ends::Refusal("denied"), None),
            ],
        },
        Step {
            title: "The way around: traversal",
            why: "A path is refused, never repaired: what the rules judge is what goes on the wire.",
            calls: vec![
                get("/project/7/../../organization/1/personal_access_tokens/", Ends::Refusal("bad_request"), None),
                get("/organization/1/dashboards/%2e%2e/personal_access_tokens/", Ends::Refusal("bad_request"), None),
            ],
        },
    ]
}

fn writes() -> Vec<Step> {
    vec![
        Step {
            title: "A write that a person approves",
            why: "Rule rename opens one kind of write, and a person has to approve each. The gate asks in the client. \
                  Here the demo is the client and plays the person too; in a client of your own you are asked.",
            calls: vec![
                rename("Delivery and risks", Person::Accepts, Ends::Answer("Delivery and risks"), Some(RENAME)),
                get(DASHBOARD, Ends::Answer("Delivery and risks"), Some(READ_DASHBOARD)),
            ],
        },
        Step {
            title: "The same write again",
            why: "One answer lets one call through, so the person is asked again. This time they say no.",
            calls: vec![rename("Delivery and risks", Person::Declines, Ends::Refusal("declined"), None)],
        },
        Step {
            title: "An answer from another terminal",
            why: "Many clients cannot ask, so the question can be answered in a terminal too; whoever answers first \
                  counts. Here nobody looks at the client. `portcullis approve` shows the request and waits for a typed \
                  `yes`; the demo may have no terminal, so it gives `--yes` and the digest of what was shown.",
            calls: vec![rename("Delivery 2027", Person::AtDesk, Ends::Answer("Delivery 2027"), Some(RENAME))],
        },
    ]
}

fn troubles() -> Vec<Step> {
    vec![
        Step {
            title: "Too often",
            why: "The rule for metrics allows 2 calls a minute; one was made above. The refusal says when to come back.",
            calls: vec![metrics(Ends::Answer("cycle_time"), Some(METRICS)), metrics(Ends::Wait("throttled"), None)],
        },
        Step {
            title: "An API that hangs",
            why: "The policy gives a call one second.",
            calls: vec![get(
                "/forecasting/7/v3/",
                Ends::Refusal("upstream_timeout"),
                Some("GET /api/v1/forecasting/7/v3/"),
            )],
        },
        Step {
            title: "An API in trouble",
            why: "It answers 503 and asks for five seconds. The agent is told so.",
            calls: vec![get(
                "/organization/1/risks/summary/",
                Ends::Wait("upstream_error"),
                Some("GET /api/v1/organization/1/risks/summary/"),
            )],
        },
    ]
}

const METRICS: &str = "POST /api/v1/project/7/metrics_v2/metrics";
const DASHBOARD: &str = "/organization/1/dashboards/3/";
const READ_DASHBOARD: &str = "GET /api/v1/organization/1/dashboards/3/";
const RENAME: &str = "PATCH /api/v1/organization/1/dashboards/3/";

fn get(path: &str, ends: Ends, arrives: Option<&'static str>) -> Call {
    Call { tool: "api_get", arguments: json!({ "path": path }), person: None, ends, arrives }
}

fn send(method: &str, path: &str, ends: Ends) -> Call {
    let arguments = json!({ "method": method, "path": path });
    Call { tool: "api_send", arguments, person: None, ends, arrives: None }
}

fn rename(name: &str, person: Person, ends: Ends, arrives: Option<&'static str>) -> Call {
    let arguments = json!({ "method": "PATCH", "path": DASHBOARD, "body": { "name": name } });
    Call { tool: "api_send", arguments, person: Some(person), ends, arrives }
}

fn metrics(ends: Ends, arrives: Option<&'static str>) -> Call {
    let body = json!({ "config": { "metric": "cycle_time" } });
    let arguments = json!({ "method": "POST", "path": "/project/7/metrics_v2/metrics", "body": body });
    Call { tool: "api_send", arguments, person: None, ends, arrives }
}
