//! How a tool looks in `tools/list`: its name, a short description, the schema of its arguments, and what it may do.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::Schema;
use crate::catalog::Tool as Generic;
use crate::catalog::operation::Operation;
use crate::policy::Passage;
use crate::request::method::Method;

/// What a tool's annotations and the JSON around its parts take in a list, about.
const AROUND: u64 = 170;

/// One tool as the agent sees it.
#[derive(Debug, Clone)]
pub struct Face {
    /// 1 to 64 of `[A-Za-z0-9_-]`.
    pub name: String,
    /// A sentence or two.
    pub description: String,
    /// JSON Schema 2020-12 of the arguments.
    pub schema: Schema,
    /// What a call may do.
    pub hints: Hints,
}

/// MCP's tool annotations. `openWorldHint` is true of all: an API is another system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hints {
    /// It changes nothing.
    pub read_only: bool,
    /// It may delete or overwrite.
    pub destructive: bool,
    /// To repeat it changes nothing more.
    pub idempotent: bool,
}

impl Hints {
    const READ: Self = Self { read_only: true, destructive: false, idempotent: true };
    const WRITE: Self = Self { read_only: false, destructive: true, idempotent: false };

    fn of(method: Method, passage: Passage) -> Self {
        match (passage, method) {
            (Passage::Read | Passage::Never, _) => Self::READ,
            (Passage::Write, Method::Put | Method::Delete) => Self { idempotent: true, ..Self::WRITE },
            (Passage::Write, Method::Get | Method::Head | Method::Post | Method::Patch) => Self::WRITE,
        }
    }
}

impl Face {
    /// About how many bytes of JSON it takes in a list.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let schema = serde_json::to_string(&*self.schema).map_or(0, |text| text.len());
        u64::try_from(self.name.len() + self.description.len() + schema).unwrap_or(u64::MAX).saturating_add(AROUND)
    }

    pub(super) fn of_operation(operation: &Operation, passage: Passage) -> Self {
        Self {
            name: operation.name().to_owned(),
            description: operation.description(),
            schema: Arc::clone(operation.input_schema()),
            hints: Hints::of(operation.method(), passage),
        }
    }

    /// `api_get`, which only reads unless some rule calls a GET a write.
    pub(super) fn of_get(writes: bool) -> Self {
        let description = "GET a path of the API. The policy decides which paths are open.";
        let hints = if writes { Hints::WRITE } else { Hints::READ };
        Self {
            name: Generic::Get.name().to_owned(),
            description: description.to_owned(),
            schema: generic(Generic::Get),
            hints,
        }
    }

    pub(super) fn of_send() -> Self {
        let description =
            "Send a request to the API. The policy decides which are open; writes may need a human's approval.";
        let (tool, hints) = (Generic::Send, Hints::WRITE);
        Self { name: tool.name().to_owned(), description: description.to_owned(), schema: generic(tool), hints }
    }

    pub(super) fn read_more() -> Self {
        let properties = json!({"handle": {"type": "string"}});
        let description = "The next part of an answer that was cut, by the handle that came with it.";
        Self::new("read_more", description.to_owned(), properties, &["handle"], Hints::READ)
    }

    pub(super) fn of_search(operations: usize, writes: bool) -> Vec<Self> {
        let text = json!({"type": "string"});
        let call = json!({"name": text, "arguments": {"type": "object"}});
        let find =
            format!("Find one of {operations} operations by a few words, such as `list issues of a repository`.");
        let mut faces = vec![
            Self::new("find_operations", find, json!({"query": text}), &["query"], Hints::READ),
            Self::new(
                "describe_operation",
                "The arguments that an operation takes, and which tool calls it.".to_owned(),
                json!({"name": text}),
                &["name"],
                Hints::READ,
            ),
            Self::new("call_read", "Call an operation that reads.".to_owned(), call.clone(), &["name"], Hints::READ),
        ];
        if writes {
            let description = "Call an operation that changes something; a human may have to approve it.".to_owned();
            faces.push(Self::new("call_write", description, call, &["name"], Hints::WRITE));
        }
        faces
    }

    fn new(name: &str, description: String, properties: Value, required: &[&str], hints: Hints) -> Self {
        Self { name: name.to_owned(), description, schema: object(properties, required), hints }
    }
}

fn generic(tool: Generic) -> Schema {
    let mut properties = json!({
        "path": {"type": "string", "description": "Begins with /, relative to the API's base URL; percent-encode what is not plain"},
        "query": {"type": "object", "description": "Names and values; an array repeats its name"},
        "headers": {"type": "object", "description": "accept, accept-language, if-none-match, if-modified-since only"},
        "answer": {"type": "string"},
    });
    match tool {
        Generic::Get => object(properties, &["path"]),
        Generic::Send => {
            let more = [
                ("method", json!({"type": "string", "enum": Method::ALL.map(Method::as_str)})),
                ("body", json!({"type": ["object", "array"], "description": "The JSON body"})),
            ];
            if let Value::Object(map) = &mut properties {
                map.extend(more.map(|(name, schema)| (name.to_owned(), schema)));
            }
            object(properties, &["method", "path"])
        }
    }
}

fn object(properties: Value, required: &[&str]) -> Schema {
    let mut schema = Map::new();
    schema.insert("type".to_owned(), json!("object"));
    schema.insert("properties".to_owned(), properties);
    schema.insert("required".to_owned(), json!(required));
    schema.insert("additionalProperties".to_owned(), json!(false));
    Arc::new(schema)
}
