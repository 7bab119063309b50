//! Policies that the tests run under.

use super::recorder::Recorder;

/// The variable that holds the credential of every gate a test starts.
pub(crate) const TOKEN: &str = "PORTCULLIS_TEST_TOKEN";

/// Limits so wide that no test meets them by accident.
pub(crate) const OPEN_LIMITS: &str = r#"
[limits]
rate = "1000000/s"
burst = 1000
writes = "1000000/s"
denials = "1000000/s"
prompts = "1000000/s"
concurrency = 64
daily = "unlimited"
"#;

/// The head of a policy: this upstream, with the bearer credential of the test.
pub(crate) fn head(upstream: &Recorder) -> String {
    format!(
        r#"version = 1
name = "sample"

[upstream]
base_url = "{}"
allow_http = true
timeout = "20s"

[upstream.credential]
bearer = {{ env = "{TOKEN}" }}
"#,
        upstream.base_url()
    )
}

const READS: &str = r#"
[[allow]]
id = "organizations"
methods = ["GET"]
paths = ["/api/v1/organization/**"]

[[allow]]
id = "metrics"
methods = ["GET"]
paths = ["/api/v1/project/*/metrics_v2/**"]

[[deny]]
id = "tokens"
paths = ["/api/v1/organization/*/personal_access_tokens/**"]
"#;

/// Policy A of the corpus: read only.
pub(crate) fn a(upstream: &Recorder) -> String {
    format!("{}{OPEN_LIMITS}{READS}", head(upstream))
}

/// Policy B of the corpus: writes on, one PATCH; `confirm` is the line of that rule, or nothing
/// for the default.
pub(crate) fn b(upstream: &Recorder, confirm: &str) -> String {
    held(upstream, r#"wait = "0ms""#, confirm)
}

/// The same, with these lines under `[confirm]`.
pub(crate) fn held(upstream: &Recorder, times: &str, rule: &str) -> String {
    format!(
        r#"{}{OPEN_LIMITS}{READS}
[access]
writes = true

[confirm]
{times}

[[allow]]
id = "labels"
methods = ["PATCH"]
paths = ["/api/v1/service_item/*/labels/"]
{rule}
"#,
        head(upstream)
    )
}

/// What policy B says where nobody is asked.
pub(crate) const NEVER: &str = r#"confirm = "never""#;
