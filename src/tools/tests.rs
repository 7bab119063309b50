//! What can be read of a document under a policy, whatever stands in the document.

use serde_json::{Value, json};

use super::*;

const POLICY: &str = r#"
    version = 1
    name = "test"
    upstream = { base_url = "http://127.0.0.1:9/", allow_http = true }
    access = { writes = true }
    [[allow]]
    id = "all"
    methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    paths = ["/**"]
    confirm = "never"
    [tools]
    mode = "MODE"
"#;

fn policies() -> [Policy; 2] {
    ["typed", "search"].map(|mode| Policy::parse("test.toml", &POLICY.replace("MODE", mode)).policy.unwrap())
}

/// Everything that an agent or the operator can be shown of a document.
fn shown(policy: &Policy, text: &str) -> Vec<String> {
    let (catalog, warnings) = match Catalog::read(text.to_owned()) {
        Ok(read) => read,
        Err(error) => return vec![error.to_string()],
    };
    let toolbox = Toolbox::new(policy, Some(catalog));
    let notes: Vec<_> = toolbox.notes().collect();
    let mut shown: Vec<String> = warnings.iter().chain(&notes).map(ToString::to_string).collect();
    for face in toolbox.faces() {
        shown.extend([face.name, face.description, json!(*face.schema).to_string()]);
    }
    shown.extend(toolbox.resources().into_iter().flat_map(|shown| [shown.uri, shown.name, shown.description]));
    let mut say = |tool: Tool, arguments: Value| match toolbox.resolve(tool, &arguments.to_string()).1 {
        Ok(Resolved::Tell(shaped)) => shown.extend(shaped.blocks),
        Ok(Resolved::Ask(..) | Resolved::More(_)) => {}
        Err(refusal) => shown.extend([refusal.message, refusal.cause]),
    };
    say(Tool::Policy, json!({}));
    say(Tool::Operations, json!({}));
    say(Tool::Find, json!({"query": "list items of the tag, summary"}));
    for (place, (operation, _)) in toolbox.operations().enumerate() {
        say(Tool::Describe, json!({"name": operation.name()}));
        let arguments = operation.input_schema()["properties"].as_object().unwrap();
        for name in arguments.keys() {
            say(Tool::Operation(place), json!({name: [[1.5, {"x": "\u{1}"}]]}));
        }
        say(Tool::Operation(place), json!({"none": 1}));
        say(Tool::Operation(place), json!({"body": {"own": "wrong", "kind": 1, "deep": {"mode": ""}}, "mode": "?"}));
    }
    shown
}

/// A document with text in every place that is read.
fn sample() -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {"title": "a title", "version": "1", "description": "about"},
        "servers": [{"url": "/", "description": "a server"}],
        "tags": [{"name": "items", "description": "a tag"}],
        "paths": {
            "/items/{item}/parts": {
                "summary": "an item",
                "parameters": [{"$ref": "#/components/parameters/item"}],
                "get": {
                    "operationId": "items/list", "summary": "List items", "description": "It lists.", "tags": ["items"],
                    "parameters": [
                        {"name": "mode", "in": "query", "description": "Which mode", "schema": {"$ref": "#/components/schemas/mode"}},
                        {"name": "ids[]", "in": "query", "schema": {"type": "array", "items": {"type": "string", "title": "an id"}}},
                        {"name": "filter", "in": "query", "style": "deepObject", "schema": {"properties": {"from": {"type": "string", "pattern": "^x", "format": "date"}}}},
                        {"name": "accept", "in": "header", "schema": {"type": "string", "default": "text"}},
                        {"name": "cookie", "in": "cookie"},
                    ],
                },
                "post": {
                    "summary": "Add a part", "deprecated": true,
                    "requestBody": {"description": "the part", "required": true, "content": {"application/json": {"schema": {
                        "title": "part", "type": "object", "required": ["mode"],
                        "properties": {
                            "mode": {"$ref": "#/components/schemas/mode", "description": "the mode"},
                            "text": {"type": "string", "description": "a text", "pattern": "^[a-z]+$", "default": "some", "example": "say"},
                            "only": {"const": "only"},
                            "deep": {"type": "object", "description": "deep", "properties": {"in": {"enum": [{"k": "v"}, ["w"]], "x-note": "n"}}, "required": ["in"]},
                        },
                    }}}},
                },
                "put": {"requestBody": {"content": {"application/json": {"schema": {"oneOf": [
                    {"$ref": "#/components/schemas/whole"}, {"type": ["string", "null"], "pattern": "(?=look)"},
                ]}}}}},
            },
        },
        "components": {
            "parameters": {"item": {"name": "item", "in": "path", "required": true, "description": "The item", "schema": {"type": "string"}}},
            "schemas": {
                "mode": {"type": "string", "title": "mode", "description": "A mode", "enum": ["fast", "slow"], "default": "fast"},
                "whole": {"allOf": [{"$ref": "#/components/schemas/base"}], "properties": {"own": {"const": "own"}, "kind": {"enum": ["one"]}},
                    "required": ["own", "kind"], "additionalProperties": {"type": "string", "description": "more"}},
                "base": {"type": "object", "properties": {"name": {"type": "string", "description": "its name"}}, "required": ["name"], "patternProperties": {"^x": {}}},
            },
        },
    })
}

/// One of each kind that no reader sees, or that makes it see another text; `request::fold` knows the rest.
const HIDDEN: [char; 8] = ['\u{1b}', '\u{9b}', '\u{a0}', '\u{200b}', '\u{202e}', '\u{fe0f}', '\u{e000}', '\u{e0041}'];

/// How many texts, names among them, stand in a value.
fn texts(value: &Value) -> usize {
    match value {
        Value::String(_) => 1,
        Value::Array(items) => items.iter().map(texts).sum(),
        Value::Object(members) => members.values().map(|member| 1 + texts(member)).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

/// The value with one of its texts, counted from 0, changed.
fn changed(value: &Value, left: &mut usize, change: &dyn Fn(&str) -> String) -> Value {
    let text = |text: &str, left: &mut usize| {
        let meant = *left == 0;
        *left = left.wrapping_sub(1);
        if meant { change(text) } else { text.to_owned() }
    };
    match value {
        Value::String(string) => Value::String(text(string, left)),
        Value::Array(items) => items.iter().map(|item| changed(item, left, change)).collect(),
        Value::Object(members) => {
            let member = |(name, member): (&String, &Value)| (text(name, left), changed(member, left, change));
            members.iter().map(member).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

#[test]
fn nothing_invisible_in_a_document_is_shown_wherever_it_stands() {
    let policies = policies();
    let sample = sample();
    let mut reached = 0;
    for place in 0..texts(&sample) {
        for (number, hidden) in HIDDEN.into_iter().enumerate() {
            // At the end or behind the first character, which is a slash in a path or a reference.
            let change = |text: &str| {
                let mut changed: Vec<char> = text.chars().collect();
                changed.insert(if number % 2 == 0 { changed.len().min(1) } else { changed.len() }, hidden);
                changed.into_iter().collect()
            };
            let document = changed(&sample, &mut place.clone(), &change).to_string();
            for text in shown(&policies[(place + number / 2) % 2], &document) {
                let found = text.chars().find(|c| HIDDEN.contains(c));
                assert!(found.is_none(), "{} of\n{document}\nin\n{text}", found.unwrap().escape_unicode());
                reached += 1;
            }
        }
    }
    assert!(reached > 20_000, "only {reached} texts were read");
}
