//! What is listed and described.

use serde_json::{Value, json};

use super::*;

fn schema_of(schema: &str, components: &str) -> Value {
    let text = format!(
        r#"{{"openapi":"3.0.3","paths":{{"/a":{{"post":{{"requestBody":{{"content":{{"application/json":{{"schema":{{
        "properties":{{"v":{schema}}}}}}}}}}}}}}}}},"components":{{"schemas":{components}}}}}"#
    );
    let (catalog, _) = Catalog::read(text).unwrap();
    catalog.operations()[0].input_schema()["properties"]["v"].clone()
}

#[test]
fn a_schema_is_translated_into_plain_json_schema() {
    let cases = [
        (r#"{"type":"string","nullable":true,"enum":["a"]}"#, json!({"type": ["string", "null"], "enum": ["a", null]})),
        (
            r#"{"type":"integer","minimum":1,"exclusiveMinimum":true}"#,
            json!({"type": "integer", "exclusiveMinimum": 1}),
        ),
        (r#"{"type":"integer","exclusiveMaximum":9}"#, json!({"type": "integer", "exclusiveMaximum": 9})),
        (r#"{"type":"file","xml":{},"example":1,"examples":[],"x-a":1,"discriminator":{},"title":"t"}"#, json!({})),
        (
            r#"{"type":["string","null"],"description":"One. Two."}"#,
            json!({"type": ["string", "null"], "description": "One"}),
        ),
        (r##"{"$ref":"#/components/schemas/id"}"##, json!({"type": "integer"})),
        (r##"{"allOf":[{"$ref":"#/components/schemas/id"}],"nullable":true}"##, json!({"type": ["integer", "null"]})),
        (
            r#"{"oneOf":[{"type":"string"},{"type":"integer"}]}"#,
            json!({"anyOf": [{"type": "string"}, {"type": "integer"}]}),
        ),
        (
            r##"{"$ref":"#/components/schemas/tree"}"##,
            json!({"type": "object", "properties": {"sub": {"type": "array", "items": {"type": "object"}}}}),
        ),
        (r##"{"$ref":"#/components/schemas/none"}"##, json!({})),
        (r#"{"type":"string","pattern":"^(?=a)"}"#, json!({"type": "string"})),
        (r#"{"type":"string","pattern":"^a"}"#, json!({"type": "string", "pattern": "^a"})),
        (r#"{"additionalProperties":{"type":"string"}}"#, json!({"additionalProperties": {"type": "string"}})),
        (
            r#"{"properties":{"a":{"readOnly":true},"b":{}},"required":["a","b"]}"#,
            json!({"properties": {"b": {}}, "required": ["b"]}),
        ),
        (r#"{"type":"string","format":"email"}"#, json!({"type": "string", "format": "email"})),
        ("true", json!({})),
        ("7", json!({})),
    ];
    let components = r##"{"id":{"type":"integer","format":"int64"},"tree":{"type":"object","properties":{"sub":{"type":"array","items":{"$ref":"#/components/schemas/tree"}}}}}"##;
    for (schema, expected) in cases {
        assert_eq!(schema_of(schema, components), expected, "{schema}");
    }
}

#[test]
fn what_would_be_shown_with_something_invisible_in_it_is_not_shown_and_noted() {
    let cases = [
        (r#"{"enum":["a","b\u200b"]}"#, json!({}), "`enum` of a schema is not shown or checked"),
        (r#"{"enum":[{"a":["\ufe0f"]}]}"#, json!({}), "holds the invisible character `\\u{fe0f}`"),
        (r#"{"enum":[{"\u202e":1}]}"#, json!({}), "`enum`"),
        (r#"{"const":"\udb40\udc41"}"#, json!({}), "`const`"),
        (r#"{"default":"\u00a0"}"#, json!({}), "`default`"),
        (r#"{"pattern":"^[\u200b]"}"#, json!({}), "`pattern`"),
        (
            r#"{"properties":{"a\u00ad":{},"b":{}},"required":["a\u00ad","b"],"additionalProperties":false}"#,
            json!({"properties": {"b": {}}, "required": ["b"]}),
            "`properties`",
        ),
        (r#"{"description":"a\u200bb\u202ec. d"}"#, json!({"description": "abc"}), ""),
        (r#"{"enum":["\t",",","a b"],"pattern":"\n"}"#, json!({"enum": ["\t", ",", "a b"], "pattern": "\n"}), ""),
    ];
    for (schema, expected, note) in cases {
        assert_eq!(schema_of(schema, "{}"), expected, "{schema}");
        let text = document(&format!(
            r#"{{"/a":{{"post":{{"requestBody":{{"content":{{"application/json":{{"schema":{{"properties":{{"v":{schema}}}}}}}}}}}}}}}}}"#
        ));
        let notes: Vec<String> = notes(&only(&text)).iter().map(ToString::to_string).collect();
        assert!(notes.len() == usize::from(!note.is_empty()) && notes.concat().contains(note), "{schema}: {notes:?}");
    }
}

#[test]
fn a_schema_stays_small_however_it_is_written() {
    let wide: Vec<String> = (0..300).map(|n| format!(r##""p{n}":{{"$ref":"#/components/schemas/a"}}"##)).collect();
    let components = format!(
        r#"{{"a":{{"type":"object","properties":{{{}}}}}}}"#,
        wide.join(",").replace("/a\"", "/b\"")
    )
    .replacen('{', &format!(r#"{{"b":{{"type":"object","properties":{{{}}}}},"#, wide.join(",")), 1);
    let schema = schema_of(r##"{"$ref":"#/components/schemas/a"}"##, &components).to_string();
    assert!(schema.len() < 40_000, "{}", schema.len());
    let many = format!(r#"{{"anyOf":[{}{{}}]}}"#, r#"{"type":"string"},"#.repeat(5_000));
    assert_eq!(schema_of(&many, "{}"), json!({}));
    let long = format!(r#"{{"type":"string","pattern":"{}"}}"#, "a".repeat(5_000));
    assert_eq!(schema_of(&long, "{}"), json!({"type": "string"}));
    let deep = format!("{}{{}}{}", r#"{"items":"#.repeat(60), "}".repeat(60));
    assert!(schema_of(&deep, "{}").to_string().len() < 200);
}

#[test]
fn a_tool_says_what_it_does_and_takes() {
    let text = document(
        r#"{"/r/{id}":{"get":{"operationId":"r/get","summary":"Get one.","description":"Long.","tags":["r"],"parameters":[
        {"name":"id","in":"path","required":true,"schema":{"type":"integer"}},
        {"name":"ids[]","in":"query","description":"Which. More.","schema":{"type":"array","items":{"type":"string"}}}]}}}"#,
    );
    let catalog = only(&text);
    let operation = catalog.named("r_get").unwrap();
    assert_eq!(operation.description(), "Get one. GET /r/{id}");
    assert_eq!(
        (operation.summary(), operation.tags(), operation.template()),
        ("Get one", ["r".to_owned()].as_slice(), "/r/{id}")
    );
    let expected = json!({"type": "object", "properties": {"id": {"type": "integer"},
        "ids": {"type": "array", "items": {"type": "string"}, "description": "Which"},
        "answer": {"type": "string"}}, "required": ["id"], "additionalProperties": false});
    assert_eq!(json!(**operation.input_schema()), expected);
}

#[test]
fn yaml_and_json_give_the_same_tools() {
    let yaml = "openapi: 3.1.0\npaths:\n  /a/{id}:\n    get:\n      operationId: x\n      parameters:\n        - &id {name: id, in: path, required: true, schema: {type: integer}}\n    delete:\n      operationId: y\n      parameters: [*id]\n";
    let (catalog, warnings) = Catalog::read(yaml).unwrap();
    assert_eq!((catalog.operations().len(), warnings.len()), (2, 0));
    assert_eq!(catalog.named("x").unwrap().input_schema(), catalog.named("y").unwrap().input_schema());
}
