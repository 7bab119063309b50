//! The small shapes that logs and metrics share (`opentelemetry.proto.common.v1` and `resource.v1`), in OTLP's JSON encoding.

use serde::Serialize;

use crate::audit::beside::stem;

/// A value of an attribute: 64-bit numbers are text in JSON.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Value {
    StringValue(String),
    IntValue(String),
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct Attribute {
    key: &'static str,
    value: Value,
}

#[derive(Debug, Serialize)]
pub(super) struct Resource {
    attributes: Vec<Attribute>,
}

#[derive(Debug, Serialize)]
pub(super) struct Scope {
    name: &'static str,
    version: &'static str,
}

pub(super) const SCOPE: Scope = Scope { name: "portcullis.audit", version: env!("CARGO_PKG_VERSION") };

pub(super) fn text(key: &'static str, value: impl Into<String>) -> Attribute {
    Attribute { key, value: Value::StringValue(value.into()) }
}

pub(super) fn number(key: &'static str, value: u64) -> Attribute {
    Attribute { key, value: Value::IntValue(value.to_string()) }
}

/// This program, as one process's log knows it.
pub(super) fn resource(log: &str) -> Resource {
    Resource {
        attributes: vec![
            text("service.name", "portcullis"),
            text("service.version", env!("CARGO_PKG_VERSION")),
            text("service.instance.id", stem(log)),
        ],
    }
}
