//! What the sample API holds: a handful of real Allstacks paths with made-up data.
//!
//! Promises: every path that the walk asks for, and the ones it must never reach, so that a request which slipped
//! through would succeed and be seen.

use std::time::Duration;

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
            401 => "Unauthorized",
            404 => "Not Found",
            503 => "Service Unavailable",
            _ => "Other",
        }
    }
}

/// The answer to a request that carries the credential `token`.
pub(super) fn answer(method: &str, target: &str, token: &str) -> Reply {
    let path = target.split('?').next().unwrap_or(target);
    match (method, path.strip_prefix(BASE).unwrap_or_default()) {
        ("GET", "project/7/service/") => {
            // Real services log and return what they were sent; the gate has to expect it.
            ok(&format!("{{\"name\":\"tracker\",\"last_request\":{{\"authorization\":\"Bearer {token}\"}}}}"))
        }
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

fn ok(body: &str) -> Reply {
    Reply { status: 200, headers: &[], body: body.to_owned(), delay: Duration::ZERO }
}

fn stored(path: &str) -> Option<&'static str> {
    Some(match path {
        "organization/" => r#"{"count":1,"results":[{"id":1,"name":"Example Organization"}]}"#,
        "organization/1/" => r#"{"id":1,"name":"Example Organization","plan":"sample"}"#,
        "organization/1/projects/" => {
            r#"{"count":2,"results":[{"id":7,"name":"Harbour","open_items":41},{"id":8,"name":"Lantern","open_items":12}]}"#
        }
        "organization/1/dashboards/" => r#"{"count":1,"results":[{"id":3,"name":"Delivery"}]}"#,
        "organization/1/dashboards/3/" => r#"{"id":3,"name":"Delivery","widgets":[11,12]}"#,
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
            let reply = answer("GET", &format!("{BASE}{path}"), "t");
            assert_eq!(reply.status, 200, "{path}");
            serde_json::from_str::<serde_json::Value>(&reply.body).unwrap();
        }
    }

    #[test]
    fn the_paths_that_must_never_be_reached_would_answer() {
        assert_eq!(answer("GET", "/api/v1/organization/1/personal_access_tokens/", "t").status, 200);
        assert_eq!(answer("DELETE", "/api/v1/organization/1/dashboards/3/", "t").status, 204);
    }
}
