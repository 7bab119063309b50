//! What `tools/list` says: names, schemas and hints of the tools that the policy could ever let through.

use std::sync::Arc;

use rmcp::model::{JsonObject, Tool as ToolEntry, ToolAnnotations};
use serde_json::{Value, json};

use crate::catalog::Tool;
use crate::gateway::Gateway;
use crate::request::method::Method;

/// The tools of one gateway, sorted by name.
pub(super) fn list(gateway: &Gateway) -> Vec<ToolEntry> {
    let policy = gateway.policy();
    Tool::ALL
        .into_iter()
        .filter(|tool| match tool {
            Tool::Get => true,
            // It always exists; it is worth a place in the model's context only where it could pass.
            Tool::Send => Method::ALL.into_iter().any(|method| method != Method::Get && policy.could_send(method)),
        })
        .map(entry)
        .collect()
}

fn entry(tool: Tool) -> ToolEntry {
    let (description, read_only) = match tool {
        Tool::Get => ("GET a path of the API. The policy decides which paths are open.", true),
        Tool::Send => {
            ("Send a request to the API. The policy decides which are open; writes may need a human's approval.", false)
        }
    };
    let annotations =
        ToolAnnotations::new().read_only(read_only).destructive(!read_only).idempotent(read_only).open_world(true);
    ToolEntry::new(tool.name(), description, Arc::new(schema(tool))).with_annotations(annotations)
}

fn schema(tool: Tool) -> JsonObject {
    let mut properties = json!({
        "path": {"type": "string", "description": "Begins with /, relative to the API's base URL; percent-encode what is not plain"},
        "query": {"type": "object", "description": "Names and values; an array repeats its name"},
        "headers": {"type": "object", "description": "accept, accept-language, if-none-match, if-modified-since only"},
        "answer": {"type": "string"},
    });
    let required = match tool {
        Tool::Get => json!(["path"]),
        Tool::Send => {
            let more = [
                ("method", json!({"type": "string", "enum": Method::ALL.map(Method::as_str)})),
                ("body", json!({"type": ["object", "array"], "description": "The JSON body"})),
            ];
            if let Value::Object(map) = &mut properties {
                map.extend(more.map(|(name, schema)| (name.to_owned(), schema)));
            }
            json!(["method", "path"])
        }
    };
    let whole =
        json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false});
    match whole {
        Value::Object(map) => map,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => JsonObject::new(),
    }
}
