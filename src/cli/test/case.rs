//! One case: a request, and what is expected of it.

use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use toml::{Spanned, Value};

use crate::agent::Agent;
use crate::cli::call::Call;
use crate::policy::{Policy, Verdict};

/// A case as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: Option<String>,
    #[serde(default = "get")]
    method: String,
    path: String,
    query: Option<Value>,
    headers: Option<Value>,
    body: Option<Value>,
    expect: Expect,
    rule: Option<String>,
    code: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    case: Vec<Spanned<Written>>,
}

/// A verdict, by the word of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Expect {
    /// Let through.
    Allow,
    /// A person is asked.
    Hold,
    /// The policy refuses it.
    Deny,
    /// It is no request under any policy.
    Refuse,
}

impl Expect {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Hold => "hold",
            Self::Deny => "deny",
            Self::Refuse => "refuse",
        }
    }
}

/// A case that can be judged.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) line: usize,
    pub(super) name: String,
    pub(super) expect: Expect,
    /// The rule that has to decide, where the case says one.
    pub(super) rule: Option<String>,
    /// The reason of a refusal, where the case says one.
    pub(super) code: Option<String>,
    written: Written,
}

/// What the policy says of a case.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) verdict: Expect,
    /// The rules that the verdict names: of a held request the one that grants it and the one that asks.
    pub(super) rules: Vec<String>,
    /// Why it is refused: the reason's name, or the rule of the language (`R2.3`).
    pub(super) code: Option<String>,
}

/// Why a case is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum CaseError {
    /// A date in a query or a body.
    #[error("`{key}` holds a date, which JSON does not know; write it in quotes")]
    Date {
        /// Which part.
        key: &'static str,
    },
    /// `nan` or `inf`.
    #[error("`{key}` holds a number that JSON does not know")]
    Number {
        /// Which part.
        key: &'static str,
    },
    /// A string that is not JSON.
    #[error("`{key}` cannot be written as JSON: {source}")]
    Json {
        /// Which part.
        key: &'static str,
        /// Why.
        source: serde_json::Error,
    },
    /// No such rule, so that no verdict could name it.
    #[error("the policy has no rule `{id}`")]
    NoRule {
        /// What the case says.
        id: String,
    },
}

impl Case {
    /// The cases of a file.
    ///
    /// # Errors
    /// The first thing that is no case, with its line.
    pub(super) fn read(text: &str) -> Result<Vec<Self>, toml::de::Error> {
        let File { case } = toml::from_str(text)?;
        let line = |at: usize| text.get(..at).map_or(0, |before| before.matches('\n').count()) + 1;
        let cases = case.into_iter().map(|written| {
            let at = line(written.span().start);
            let written = written.into_inner();
            let route = format!("{} {}", written.method, written.path);
            let name = written.name.as_ref().map_or(route.clone(), |name| format!("{name} ({route})"));
            let (rule, code) = (written.rule.clone(), written.code.clone());
            Self { line: at, name, expect: written.expect, rule, code, written }
        });
        Ok(cases.collect())
    }

    /// What the policy says of it.
    ///
    /// # Errors
    /// [`CaseError`].
    pub(super) fn judge(&self, policy: &Policy) -> Result<Said, CaseError> {
        if let Some(id) = self.rule.as_ref().filter(|id| !policy.rules().iter().any(|rule| rule.id() == **id)) {
            return Err(CaseError::NoRule { id: id.clone() });
        }
        let call = Call {
            method: self.written.method.clone(),
            path: self.written.path.clone(),
            query: self.written.query.as_ref().map(|value| json("query", value)).transpose()?,
            headers: self.written.headers.as_ref().map(|value| json("headers", value)).transpose()?,
            body: self.written.body.as_ref().map(body).transpose()?,
        };
        let request = match call.request() {
            Ok(request) => request,
            Err(error) => {
                let code = Some(error.rule().to_owned());
                return Ok(Said { verdict: Expect::Refuse, rules: Vec::new(), code });
            }
        };
        Ok(match policy.authorize(&Agent::stdio(0), request) {
            Verdict::Allow(authorized) => {
                let rules = vec![authorized.grant().rule().id().to_owned()];
                Said { verdict: Expect::Allow, rules, code: None }
            }
            Verdict::Hold(held) => {
                let mut rules = vec![held.grant().rule().id().to_owned(), held.rule().id().to_owned()];
                rules.dedup();
                Said { verdict: Expect::Hold, rules, code: None }
            }
            Verdict::Deny(denial) => Said {
                verdict: Expect::Deny,
                rules: denial.rule().iter().map(|rule| rule.id().to_owned()).collect(),
                code: Some(denial.reason().code().to_owned()),
            },
        })
    }

    /// Whether it gets what it expects.
    pub(super) fn is_met(&self, said: &Said) -> bool {
        let rule = self.rule.as_ref().is_none_or(|rule| said.rules.contains(rule));
        let code = self.code.as_ref().is_none_or(|code| said.code.as_ref() == Some(code));
        self.expect == said.verdict && rule && code
    }
}

fn get() -> String {
    "GET".to_owned()
}

/// A body is written as TOML, or as the JSON text that the agent sends.
fn body(value: &Value) -> Result<Box<RawValue>, CaseError> {
    match value.as_str() {
        Some(text) => RawValue::from_string(text.to_owned()).map_err(|source| CaseError::Json { key: "body", source }),
        None => json("body", value),
    }
}

fn json(key: &'static str, value: &Value) -> Result<Box<RawValue>, CaseError> {
    if has(value, |value| value.is_datetime()) {
        return Err(CaseError::Date { key });
    }
    if has(value, |value| value.as_float().is_some_and(|number| !number.is_finite())) {
        return Err(CaseError::Number { key });
    }
    to_raw_value(value).map_err(|source| CaseError::Json { key, source })
}

/// Whether it is such a value, or one is somewhere in it.
fn has(value: &Value, is: fn(&Value) -> bool) -> bool {
    let inside = match value {
        Value::Array(values) => values.iter().any(|value| has(value, is)),
        Value::Table(table) => table.values().any(|value| has(value, is)),
        Value::String(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => false,
    };
    inside || is(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = "version = 1\nname = \"t\"\n[upstream]\nbase_url = \"https://api.example.test/\"\n\
        [access]\nwrites = true\n\
        [[allow]]\nid = \"read\"\nmethods = [\"GET\"]\npaths = [\"/a/*\"]\nquery = { only = [\"q\"] }\n\
        [[allow]]\nid = \"write\"\nmethods = [\"POST\"]\npaths = [\"/a/*\"]\nbody = { only = [\"n\"] }\n\
        [[deny]]\nid = \"no\"\npaths = [\"/a/x\"]\n";

    /// What a case with these lines gets.
    fn run(lines: &str) -> (bool, Said) {
        let policy = Policy::parse("t.toml", POLICY).policy.unwrap();
        let case = Case::read(&format!("[[case]]\n{lines}\n")).unwrap().pop().unwrap();
        let said = case.judge(&policy).unwrap();
        (case.is_met(&said), said)
    }

    #[test]
    fn a_case_is_met_by_its_verdict_its_rule_and_its_code() {
        for (lines, met) in [
            ("path = '/a/1'\nexpect = 'allow'", true),
            ("path = '/a/1'\nexpect = 'allow'\nrule = 'read'", true),
            ("path = '/a/1'\nexpect = 'allow'\nrule = 'no'", false),
            ("path = '/a/1'\nexpect = 'deny'", false),
            ("path = '/a/1'\nquery = { q = 1, }\nexpect = 'allow'", true),
            ("path = '/a/1'\nquery = { q = ['a', 'b'] }\nexpect = 'allow'", true),
            ("path = '/a/1'\nquery = { r = 1 }\nexpect = 'deny'\ncode = 'query_name'\nrule = 'read'", true),
            ("path = '/a/1'\nquery = { r = 1 }\nexpect = 'deny'\ncode = 'no_rule'", false),
            ("path = '/a/x'\nexpect = 'deny'\ncode = 'deny_rule'\nrule = 'no'", true),
            ("path = '/b'\nexpect = 'deny'\ncode = 'no_rule'", true),
            ("method = 'POST'\npath = '/a/1'\nbody = { n = 1 }\nexpect = 'hold'\nrule = 'write'", true),
            ("method = 'POST'\npath = '/a/1'\nbody = '{\"n\":1}'\nexpect = 'hold'", true),
            ("method = 'POST'\npath = '/a/1'\nbody = '{\"n\":1,\"n\":2}'\nexpect = 'refuse'", true),
            ("method = 'POST'\npath = '/a/1'\nbody = { m = 1 }\nexpect = 'deny'\ncode = 'body_member'", true),
            ("path = '/a/../b'\nexpect = 'refuse'\ncode = 'R2.7'", true),
            ("path = '/a/1'\nheaders = { cookie = 'a' }\nexpect = 'refuse'\ncode = 'R7'", true),
        ] {
            let (is_met, said) = run(lines);
            assert_eq!(is_met, met, "{lines}: {said:?}");
        }
    }

    #[test]
    fn what_is_no_case_is_told_and_never_left_out() {
        for (text, told) in [
            ("[[case]]\npath = '/a'\n", "missing field `expect`"),
            ("[[case]]\npath = '/a'\nexpect = 'maybe'\n", "unknown variant `maybe`"),
            ("[[case]]\npath = '/a'\nexpect = 'allow'\nrules = 'x'\n", "unknown field `rules`"),
            ("[[cases]]\npath = '/a'\nexpect = 'allow'\n", "unknown field `cases`"),
        ] {
            let error = Case::read(text).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
        let policy = Policy::parse("t.toml", POLICY).policy.unwrap();
        for (lines, told) in [
            ("query = { q = 2026-01-31 }", "`query` holds a date"),
            ("body = { n = nan }", "`body` holds a number that JSON"),
            ("body = 'n'", "`body` cannot be written as JSON"),
            ("rule = 'raed'", "no rule `raed`"),
        ] {
            let text = format!("\n\n[[case]]\npath = '/a/1'\nexpect = 'allow'\n{lines}\n");
            let case = Case::read(&text).unwrap().pop().unwrap();
            assert_eq!(case.line, 3);
            let error = case.judge(&policy).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
    }
}
