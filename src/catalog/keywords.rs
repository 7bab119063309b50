//! Single keywords of a schema: what they say in JSON Schema 2020-12, and which of them say nothing of a value.

use serde_json::{Map, Value, json};

use super::decimal::Decimal;
use super::members::Members;

/// The longest `type` and the longest number, in bytes.
const MAX_TYPE: usize = 200;
const MAX_NUMBER: usize = 80;

/// The types of JSON Schema.
const TYPES: [&str; 7] = ["array", "boolean", "integer", "null", "number", "object", "string"];

/// Keywords whose value is a count and is kept as it is.
const COUNTS: [&str; 6] = ["minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"];

/// Keywords that admit and bar nothing, beside those that begin with `x-`.
const ANNOTATIONS: [&str; 14] = [
    "title",
    "description",
    "summary",
    "default",
    "example",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "xml",
    "externalDocs",
    "discriminator",
    "$comment",
    "$defs",
];

/// Whether a keyword admits and bars nothing.
pub(super) fn is_annotation(keyword: &str) -> bool {
    keyword.starts_with("x-") || ANNOTATIONS.contains(&keyword)
}

/// A schema's type alone.
pub(super) fn bare(members: &Members<'_>) -> Value {
    kind(members).map_or_else(|| json!({}), |kind| json!({ "type": kind }))
}

/// `type`, where it says something that JSON Schema knows.
pub(super) fn kind(members: &Members<'_>) -> Option<Value> {
    let known = |kind: &str| TYPES.contains(&kind);
    if let Some(kind) = members.text("type") {
        return known(&kind).then(|| Value::from(kind));
    }
    let kinds: Vec<Value> = serde_json::from_str(members.get("type").filter(|kinds| kinds.len() <= MAX_TYPE)?).ok()?;
    let all_known =
        (1..=TYPES.len()).contains(&kinds.len()) && kinds.iter().all(|kind| kind.as_str().is_some_and(known));
    all_known.then_some(Value::Array(kinds))
}

/// Counts, bounds of numbers, `multipleOf` and `uniqueItems`.
pub(super) fn measures(members: &Members<'_>, schema: &mut Map<String, Value>) {
    let mut put = |keyword: &str, value: Value| drop(schema.insert(keyword.to_owned(), value));
    for keyword in COUNTS {
        if let Some(count) = count(members, keyword) {
            put(keyword, Value::from(count));
        }
    }
    // `exclusiveMinimum: true` is how 3.0 says that `minimum` itself is out.
    for (bound, exclusive) in [("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")] {
        if let Some(number) = number(members, bound) {
            put(if members.is_true(exclusive) { exclusive } else { bound }, number);
        }
        if let Some(number) = number(members, exclusive) {
            put(exclusive, number);
        }
    }
    let is_positive = |number: &Value| number.as_f64().is_some_and(|number| number > 0.0);
    if let Some(number) = number(members, "multipleOf").filter(is_positive) {
        put("multipleOf", number);
    }
    if members.is_true("uniqueItems") {
        put("uniqueItems", Value::Bool(true));
    }
}

/// A keyword that is a count.
pub(super) fn count(members: &Members<'_>, keyword: &str) -> Option<u64> {
    members.get(keyword)?.parse().ok()
}

/// A keyword that is a number, where it is kept to the last digit: one that is rounded could ask for more.
fn number(members: &Members<'_>, keyword: &str) -> Option<Value> {
    let raw = members.get(keyword).filter(|raw| raw.len() <= MAX_NUMBER)?;
    let number: serde_json::Number = serde_json::from_str(raw).ok()?;
    (Decimal::parse(raw)? == Decimal::of(&number)?).then_some(Value::Number(number))
}

/// The schema, with null besides what it admits.
pub(super) fn with_null(schema: Value) -> Value {
    let Value::Object(mut schema) = schema else {
        return schema;
    };
    if let Some(Value::Array(values)) = schema.get_mut("enum")
        && !values.contains(&Value::Null)
    {
        values.push(Value::Null);
    }
    // These may bar null, whatever the type says.
    let bars = ["allOf", "not", "if", "const"].iter().any(|keyword| schema.contains_key(*keyword));
    match schema.get_mut("type") {
        _ if bars => return json!({"anyOf": [Value::Object(schema), {"type": "null"}]}),
        Some(Value::Array(kinds)) => kinds.push(json!("null")),
        Some(kind) => *kind = json!([kind.take(), "null"]),
        None => {
            if let Some(Value::Array(parts)) = schema.get_mut("anyOf") {
                parts.push(json!({"type": "null"}));
            }
        }
    }
    Value::Object(schema)
}

/// The schema, without null.
pub(super) fn without_null(mut schema: Value) -> Value {
    if let Some(Value::Array(values)) = schema.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    if let Some(kind) = schema.get_mut("type")
        && let Value::Array(kinds) = kind
    {
        kinds.retain(|kind| kind != "null");
        if let [only] = kinds.as_mut_slice() {
            *kind = only.take();
        }
    }
    if let Some(Value::Array(parts)) = schema.get_mut("anyOf") {
        parts.retain(|part| *part != json!({"type": "null"}));
    }
    schema
}
