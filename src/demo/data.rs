//! What the sample API holds: a handful of real Allstacks paths with made-up data.
//!
//! Promises: every path that the walk asks for, and the ones it must never reach, so that a request which slipped
//! through would succeed and be seen. A write that arrives changes what later reads show.

use std::fmt::Display;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

/// The path under which the API lives.
pub(super) const BASE: &str = "/api/v1/";

/// One answer of the sample.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: &'static [(&'static str, &'static str)],
    pub(super) body: String,
    /// How long the API takes to answer.
    pub(super) delay: Duration,
}

impl Reply {
    /// The reason phrase of the status line (RFC 9110 section 15).
    pub(super) fn phrase(&self) -> &'static str {
        match self.status {
            200 => "OK",
            204 => "No Content",
            400 => "Bad Request",
            401 => "Unauthorized",
            404 => "Not Found",
            503 => "Service Unavailable",
            _ => "Other",
        }
    }
}

/// The API's memory: what a write can change.
pub(super) struct Data {
    token: String,
    /// The name of the one dashboard.
    dashboard: Mutex<String>,
}

impl Data {
    /// As every run begins; requests have to carry the credential `token`.
    pub(super) fn new(token: &str) -> Self {
        Self { token: token.to_owned(), dashboard: Mutex::new("Delivery".to_owned()) }
    }

    /// The credential that requests have to carry.
    pub(super) fn token(&self) -> &str {
        &self.token
    }

    /// The answer to a request that carries it.
    pub(super) fn answer(&self, method: &str, target: &str, body: &[u8]) -> Reply {
        let path = target.split('?').next().unwrap_or(target);
        match (method, path.strip_prefix(BASE).unwrap_or_default()) {
            ("GET", "organization/1/dashboards/") => ok(&json!({ "count": 1, "results": [self.dashboard(None)] })),
            ("GET", "organization/1/dashboards/3/") => ok(&self.dashboard(None)),
            ("PATCH", "organization/1/dashboards/3/") => match new_name(body) {
                Some(name) => ok(&self.dashboard(Some(name))),
                None => Reply { status: 400, ..ok("{\"detail\":\"`name` must be a string.\"}") },
            },
            ("GET", "project/7/service/") => {
                // Real services log and return what they were sent; the gate has to expect it.
                let sent = format!("Bearer {}", self.token);
                ok(&json!({ "name": "tracker", "last_request": { "authorization": sent } }))
            }
            _ => fixed(method, path.strip_prefix(BASE).unwrap_or_default()),
        }
    }

    /// The dashboard as it is, after it was renamed where there is a new name.
    fn dashboard(&self, renamed: Option<String>) -> Value {
        let mut name = self.dashboard.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(renamed) = renamed {
            *name = renamed;
        }
        json!({ "id": 3, "name": *name, "widgets": [11, 12] })
    }
}

fn new_name(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    Some(body.get("name")?.as_str()?.to_owned())
}

/// What no write changes.
fn fixed(method: &str, path: &str) -> Reply {
    match (method, path) {
        ("GET", "forecasting/7/v3/") => Reply { delay: Duration::from_secs(20), ..ok("{\"p85\":\"2026-11-30\"}") },
        ("GET", "organization/1/risks/summary/") => Reply {
            status: 503,
            headers: &[("retry-after", "5")],
            ..ok("{\"detail\":\"risk scores are being recomputed\"}")
        },
        ("DELETE", _) => Reply { status: 204, ..ok("") },
        ("GET" | "POST", known) => match stored(known) {
            Some(body) => ok(body),
            None => Reply { status: 404, ..ok("{\"detail\":\"Not found.\"}") },
        },
        _ => Reply { status: 404, ..ok("{\"detail\":\"Not found.\"}") },
    }
}

/// The answer to a request without the credential.
pub(super) fn unauthorized() -> Reply {
    Reply { status: 401, ..ok("{\"detail\":\"Authentication credentials were not provided.\"}") }
}

fn ok(body: &(impl Display + ?Sized)) -> Reply {
    Reply { status: 200, headers: &[], body: body.to_string(), delay: Duration::ZERO }
}

fn stored(path: &str) -> Option<&'static str> {
    Some(match path {
        "organization/" => r#"{"count":1,"results":[{"id":1,"name":"Example Organization"}]}"#,
        "organization/1/" => r#"{"id":1,"name":"Example Organization","plan":"sample"}"#,
        "organization/1/projects/" => {
            r#"{"count":2,"results":[{"id":7,"name":"Harbour","open_items":41},{"id":8,"name":"Lantern","open_items":12}]}"#
        }
        "organization/1/personal_access_tokens/" => {
            r#"{"count":1,"results":[{"id":5,"name":"ci","token":"a-secret-that-must-stay-here"}]}"#
        }
        "organization/1/users/" => r#"{"count":1,"results":[{"id":2,"email":"user@example.test"}]}"#,
        "project/7/" => r#"{"id":7,"name":"Harbour","state":"active"}"#,
        "project/7/slots/" => r#"{"slots":["planning","delivery"]}"#,
        "project/7/metrics_v2/metrics" => r#"{"metric":"cycle_time","unit":"days","series":[4.5,4.1,3.8]}"#,
        "service_items/service_item/" => {
            r#"{"count":2,"results":[{"id":101,"title":"Rotate the pump logs"},{"id":102,"title":"Paint the gate"}]}"#
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stored_answer_is_json() {
        for path in ["organization/", "organization/1/projects/", "project/7/metrics_v2/metrics", "project/7/service/"]
        {
            let reply = Data::new("t").answer("GET", &format!("{BASE}{path}"), b"");
            assert_eq!(reply.status, 200, "{path}");
            serde_json::from_str::<serde_json::Value>(&reply.body).unwrap();
        }
    }

    #[test]
    fn the_paths_that_must_never_be_reached_would_answer() {
        let data = Data::new("t");
        assert_eq!(data.answer("GET", "/api/v1/organization/1/personal_access_tokens/", b"").status, 200);
        assert_eq!(data.answer("DELETE", "/api/v1/organization/1/dashboards/3/", b"").status, 204);
    }

    #[test]
    fn a_write_changes_what_a_later_read_shows() {
        let data = Data::new("t");
        let target = "/api/v1/organization/1/dashboards/3/";
        let read = || data.answer("GET", target, b"").body;
        let before = read();
        assert_eq!(data.answer("PATCH", target, b"{\"name\":3}").status, 400);
        assert_eq!(read(), before);
        assert_eq!(data.answer("PATCH", target, b"{\"name\":\"a \\\" b\"}").body, read());
        assert!(read().contains(r#""name":"a \" b""#), "{}", read());
        assert!(data.answer("GET", "/api/v1/organization/1/dashboards/", b"").body.contains(&read()));
    }
}
