//! What holds of any text that is read as an API's description.

use std::sync::LazyLock;

use portcullis::catalog::Catalog;
use portcullis::policy::Policy;
use portcullis::request::fold::is_invisible;
use portcullis::tools::{Resolved, Tool, Toolbox};
use serde_json::{Map, Value, json};

/// Under this policy every operation is a tool.
static OPEN: LazyLock<Policy> = LazyLock::new(|| {
    let text = r#"
        version = 1
        name = "fuzz"
        upstream = { base_url = "http://127.0.0.1:9/", allow_http = true }
        access = { writes = true }
        tools = { mode = "typed" }
        [[allow]]
        id = "all"
        methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
        paths = ["/**"]
        confirm = "never"
    "#;
    Policy::parse("fuzz.toml", text).policy.expect("the policy is one")
});

/// Reads a description, lists and describes its tools, and calls them; whether it is one.
pub(crate) fn hold(text: &str) -> bool {
    let (catalog, warnings) = match Catalog::read(text.to_owned()) {
        Ok(read) => read,
        Err(error) => {
            shown(&error.to_string());
            return false;
        }
    };
    let toolbox = Toolbox::new(&OPEN, Some(catalog));
    let notes = toolbox.notes().collect::<Vec<_>>();
    for warning in warnings.iter().chain(&notes) {
        shown(&warning.to_string());
    }
    let mut names = Vec::new();
    for face in toolbox.faces() {
        assert!(face.name.len() <= 64 && face.name.bytes().all(|c| c.is_ascii_alphanumeric() || b"_-".contains(&c)));
        assert!(face.description.chars().count() < 9_000, "{}", face.description);
        shown(&face.description);
        listed(&face.schema);
        let tool = toolbox.named(&face.name).expect("what is listed can be called");
        call(&toolbox, tool, &face.schema);
        names.push(face.name);
    }
    assert!(names.is_sorted() && names.windows(2).all(|two| two[0] != two[1]), "{names:?}");
    true
}

/// A text for a person and an agent: one line, of which both see the same.
fn shown(text: &str) {
    let hidden = text.chars().find(|c| is_invisible(*c));
    assert_eq!(hidden, None, "{text:?}");
}

/// A schema in a list: an object's, small, of names that every client takes, without references.
fn listed(schema: &Map<String, Value>) {
    let text = json!(schema).to_string();
    assert!(text.len() < 128 << 10, "a schema of {} bytes", text.len());
    // JSON writes the ends of lines and tabs as escapes.
    shown(&text);
    assert_eq!(schema["type"], "object");
    let properties = schema["properties"].as_object().expect("properties");
    for name in properties.keys() {
        let allowed = |c: u8| c.is_ascii_alphanumeric() || b"_.-".contains(&c);
        assert!((1..=64).contains(&name.len()) && name.bytes().all(allowed), "{name:?}");
    }
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    assert!(required.clone().all(|name| properties.contains_key(name.as_str().expect("a name"))), "{text}");
    properties.values().for_each(without_references);
}

/// A schema leads nowhere.
fn without_references(schema: &Value) {
    match schema {
        Value::Object(members) => {
            assert!(!members.contains_key("$ref"), "{schema}");
            for (keyword, rule) in members {
                match (keyword.as_str(), rule) {
                    ("enum" | "const" | "default" | "required" | "dependentRequired", _) => {}
                    ("properties", Value::Object(members)) => members.values().for_each(without_references),
                    (_, rule) => without_references(rule),
                }
            }
        }
        Value::Array(parts) => parts.iter().for_each(without_references),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Calls with nothing, with what the schema says, and with what it does not say.
fn call(toolbox: &Toolbox, tool: Tool, schema: &Map<String, Value>) {
    let properties = schema["properties"].as_object().expect("properties");
    let all = |value: &dyn Fn(&Value) -> Value| -> Value {
        properties
            .iter()
            .filter(|(name, _)| *name != "answer")
            .map(|(name, schema)| (name.clone(), value(schema)))
            .collect()
    };
    let fits = |schema: &Value| -> Value {
        let first = schema.get("enum").and_then(|values| values.get(0));
        match first.or(schema.get("const")).or(schema.get("default")) {
            Some(value) => value.clone(),
            None => match schema.get("type").and_then(Value::as_str) {
                Some("integer" | "number") => json!(7),
                Some("boolean") => json!(true),
                Some("array") => json!(["x"]),
                Some("object") => json!({"x": 1}),
                _ => json!("x"),
            },
        }
    };
    let odd = |_: &Value| json!([{"a": [1.5, null, "../\u{202e}"]}, "a"]);
    for arguments in [json!({}), json!({"none": 1}), all(&fits), all(&odd), all(&|_| json!("a/b"))] {
        match toolbox.resolve(tool, &arguments.to_string()) {
            (_, Ok(Resolved::Ask(request, _))) => assert!(request.path().canonical().starts_with('/')),
            (_, Ok(Resolved::Tell(_) | Resolved::More(_))) => {}
            (_, Err(refusal)) => shown(&refusal.message),
        }
    }
}
