//! What a record says of a request.
//!
//! Promises: of the values in a query and a body no more than the rules let it say, and in clear none of a member that
//! the policy redacts. Names, the method, the canonical path, sizes and whether a body is an array are clear.

use std::borrow::Cow;

use super::digest::DigestKey;
use super::record::{Pair, Subject, SubjectBody};
use crate::answer::without;
use crate::policy::{FieldPath, Segment, Values};
use crate::request::Request;
use crate::request::body::Body;

/// In place of a value that is not told.
const REDACTED: &str = "[redacted]";

/// How the values of one request are told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Teller<'k> {
    pub(super) key: &'k DigestKey,
    pub(super) redact: &'k [FieldPath],
    pub(super) values: Values,
}

impl Teller<'_> {
    pub(super) fn subject<'a>(&self, request: &'a Request) -> Subject<'a> {
        Subject {
            method: request.method().as_str(),
            path: request.path().canonical(),
            query: request.query().pairs().iter().map(|(name, value)| self.pair(name, value)).collect(),
            headers: request.headers().iter().map(|(name, _)| name).collect(),
            body: request.body().map(|body| self.body(body)),
            digest: self.key.of_request(request),
            values: match self.values {
                Values::Digest => None,
                Values::Names => Some("names"),
                Values::Full => Some("full"),
            },
        }
    }

    fn pair<'a>(&self, name: &'a str, value: &'a str) -> Pair<'a> {
        match self.values {
            Values::Names => Pair::Name((name,)),
            Values::Digest => Pair::Value((name, self.key.of_query(name, value).into())),
            Values::Full if self.is_redacted(name) => Pair::Value((name, REDACTED.into())),
            Values::Full => Pair::Value((name, value.into())),
        }
    }

    fn body<'a>(&self, body: &'a Body) -> SubjectBody<'a> {
        let member = |(name, value): (&'a str, &[u8])| match self.values {
            Values::Names | Values::Full => Pair::Name((name,)),
            Values::Digest => Pair::Value((name, self.key.of(&[b"member", name.as_bytes(), value]).into())),
        };
        SubjectBody {
            bytes: body.bytes().len(),
            array: !body.is_object(),
            digest: (self.values != Values::Names).then(|| self.key.of(&[b"body", body.bytes()])),
            names: body.members().map(member).collect(),
            text: (self.values == Values::Full).then(|| self.text(body)),
        }
    }

    /// The body in clear, without white space between its tokens.
    fn text(&self, body: &Body) -> Cow<'static, str> {
        let text = std::str::from_utf8(body.bytes()).ok();
        text.and_then(|text| without(text, self.redact)).map_or(REDACTED.into(), Cow::Owned)
    }

    /// Whether a query's name is that of a member that is redacted wherever it stands.
    fn is_redacted(&self, name: &str) -> bool {
        self.redact.iter().any(|path| match path.segments() {
            [Segment::Name(one)] | [Segment::Any, Segment::Name(one)] => **one == *name,
            _ => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::agent::Agent;
    use crate::policy::{Grant, Policy, Verdict};
    use crate::request::RawRequest;
    use crate::request::body::DeleteBody;

    fn request() -> Request {
        let raw = |text: &'static str| serde_json::from_str(text).unwrap();
        Request::parse(&RawRequest {
            method: "POST",
            path: "/a/b",
            query: Some(raw(r#"{"q":"asked","email":"a@b.c"}"#)),
            headers: None,
            body: Some(raw(r#"{ "n": 1.50, "user": { "email": "a@b.c", "id": 7 } }"#)),
            delete_body: DeleteBody::Refused,
        })
        .unwrap()
    }

    fn told(values: Values) -> Value {
        let directory = tempfile::tempdir().unwrap();
        let key = DigestKey::load(directory.path()).unwrap();
        let redact = [FieldPath::anywhere("email").unwrap()];
        serde_json::to_value(Teller { key: &key, redact: &redact, values }.subject(&request())).unwrap()
    }

    #[test]
    fn values_are_told_as_the_rules_let_them() {
        let names = told(Values::Names);
        assert_eq!((&names["query"], &names["values"]), (&json!([["q"], ["email"]]), &json!("names")));
        assert_eq!(names["body"], json!({ "bytes": 52, "names": [["n"], ["user"]] }));
        let full = told(Values::Full);
        assert_eq!(full["query"], json!([["q", "asked"], ["email", "[redacted]"]]));
        assert_eq!(full["body"]["text"], r#"{"n":1.50,"user":{"email":"[redacted]","id":7}}"#);
        let digest = told(Values::Digest);
        assert_eq!((&digest["values"], &digest["body"]["text"]), (&Value::Null, &Value::Null));
        for clear in ["asked", "1.50", "a@b.c"] {
            assert!(!digest.to_string().contains(clear) && !names.to_string().contains(clear), "{clear}");
        }
        assert!(!full.to_string().contains("a@b.c"), "{full}");
    }

    #[test]
    fn an_array_is_told_from_an_object_however_little_else_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let key = DigestKey::load(directory.path()).unwrap();
        for values in [Values::Names, Values::Digest, Values::Full] {
            let array = |text: &str| {
                let body = Body::parse(text).unwrap();
                let told = serde_json::to_value(Teller { key: &key, redact: &[], values }.body(&body)).unwrap();
                told.get("array").cloned()
            };
            assert_eq!((array("[]"), array(" [{\"a\":1}]")), (Some(json!(true)), Some(json!(true))), "{values:?}");
            assert_eq!((array("{}"), array("{\"a\":[1]}")), (None, None), "{values:?}");
        }
    }

    fn granted(rules: &[&str]) -> Values {
        let rule = |(index, log): (usize, &&str)| {
            format!(
                "[[allow]]\nid = \"r{index}\"\nmethods = [\"POST\"]\npaths = [\"/a/*\"]\neffect = \"read\"\n{log}\n"
            )
        };
        let rules: String = rules.iter().enumerate().map(rule).collect();
        let text = format!("version = 1\nname = \"t\"\n[upstream]\nbase_url = \"https://api.example.test/\"\n{rules}");
        let policy = Policy::parse("t.toml", &text).policy.unwrap();
        let verdict = policy.authorize(&Agent::stdio(1), request());
        let Verdict::Allow(authorized) = verdict else { panic!("{verdict:?}") };
        Grant::values(authorized.grant())
    }

    #[test]
    fn of_several_rules_the_one_that_tells_least_counts() {
        let (full, names) = ("log = \"full\"", "log = \"names\"");
        assert_eq!(granted(&[""]), Values::Digest);
        assert_eq!(granted(&[full]), Values::Full);
        assert_eq!(granted(&[full, ""]), Values::Digest);
        assert_eq!(granted(&["", names, full]), Values::Names);
    }
}
