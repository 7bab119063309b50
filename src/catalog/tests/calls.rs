//! Arguments into requests: styles, bodies, names, paths.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// An operation with one query parameter.
fn query(parameter: &str) -> String {
    document(&format!(r#"{{"/a":{{"get":{{"parameters":[{{"in":"query",{parameter}}}]}}}}}}"#))
}

/// An operation of this method with this body.
fn body(method: &str, body: &str) -> String {
    document(&format!(
        r#"{{"/a/{{id}}":{{"parameters":[{{"name":"id","in":"path"}}],"{method}":{{"requestBody":{body}}}}}}}"#
    ))
}

#[test]
fn each_style_of_a_query_is_written_as_its_standard_says() {
    let ids = r#""name":"ids","schema":{"type":"array"}"#;
    let cases = [
        (ids.to_owned(), r#"{"ids":["a b",1,true]}"#, "GET /a?ids=a%20b&ids=1&ids=true"),
        (format!(r#"{ids},"explode":false"#), r#"{"ids":["a",1]}"#, "GET /a?ids=a%2C1"),
        (format!(r#"{ids},"style":"spaceDelimited""#), r#"{"ids":["a",1]}"#, "GET /a?ids=a%201"),
        (format!(r#"{ids},"style":"pipeDelimited""#), r#"{"ids":["a",1]}"#, "GET /a?ids=a%7C1"),
        (r#""name":"ids[]""#.to_owned(), r#"{"ids":["a","b"]}"#, "GET /a?ids%5B%5D=a&ids%5B%5D=b"),
        (
            r#""name":"f","style":"deepObject""#.to_owned(),
            r#"{"f":{"a":1,"b":["x","y"]}}"#,
            "GET /a?f%5Ba%5D=1&f%5Bb%5D=x&f%5Bb%5D=y",
        ),
        (r#""name":"f""#.to_owned(), r#"{"f":{"a":1,"b":"x"}}"#, "GET /a?a=1&b=x"),
        (r#""name":"f","explode":false"#.to_owned(), r#"{"f":{"a":1,"b":"x"}}"#, "GET /a?f=a%2C1%2Cb%2Cx"),
        (
            r#""name":"f","content":{"application/json":{}}"#.to_owned(),
            "{\"f\": {\"a\" :\n1.50} }",
            "GET /a?f=%7B%22a%22%3A1.50%7D",
        ),
        (r#""name":"n""#.to_owned(), r#"{"n":1.50}"#, "GET /a?n=1.50"),
        (r#""name":"n""#.to_owned(), r#"{"n":9007199254740993}"#, "GET /a?n=9007199254740993"),
        (r#""name":"n""#.to_owned(), r#"{"n":false}"#, "GET /a?n=false"),
        (r#""name":"n""#.to_owned(), r#"{"n":0}"#, "GET /a?n=0"),
        (r#""name":"n""#.to_owned(), r#"{"n":""}"#, "GET /a?n="),
        (r#""name":"n""#.to_owned(), "{}", "GET /a"),
        (r#""name":"n","required":true,"schema":{"const":true}"#.to_owned(), "{}", "GET /a?n=true"),
        (r#""name":"n","required":true,"schema":{"enum":["v1"]}"#.to_owned(), "{}", "GET /a?n=v1"),
        (r#""name":"n","schema":{"default":7}"#.to_owned(), "{}", "GET /a"),
        (r#""name":"n","schema":{"default":7,"x-send-default":true}"#.to_owned(), "{}", "GET /a?n=7"),
        (r#""name":"n","schema":{"default":7,"x-send-default":true}"#.to_owned(), r#"{"n":8}"#, "GET /a?n=8"),
    ];
    for (parameter, arguments, expected) in cases {
        assert_eq!(sent(&query(&parameter), arguments).as_deref(), Ok(expected), "{parameter}");
    }
}

#[test]
fn a_value_that_is_not_shown_is_taken_and_sent_as_it_is() {
    let joined = "\u{645}\u{6cc}\u{200c}\u{634}\u{648}\u{62f}";
    let sends = format!("GET /a?n={}", "%D9%85%DB%8C%E2%80%8C%D8%B4%D9%88%D8%AF");
    for (parameter, arguments) in [
        (format!(r#""name":"n","schema":{{"enum":["a","{joined}"]}}"#), format!(r#"{{"n":"{joined}"}}"#)),
        (format!(r#""name":"n","schema":{{"enum":["{joined}"]}}"#), format!(r#"{{"n":"{joined}"}}"#)),
        (format!(r#""name":"n","required":true,"schema":{{"const":"{joined}"}}"#), "{}".to_owned()),
        (format!(r#""name":"n","schema":{{"default":"{joined}","x-send-default":true}}"#), "{}".to_owned()),
    ] {
        assert_eq!(sent(&query(&parameter), &arguments), Ok(sends.clone()), "{parameter}");
    }
    let content = format!(
        r#"{{"content":{{"application/json":{{"schema":{{"properties":{{"v":{{"properties":{{"{joined}":{{"type":"string"}}}},"additionalProperties":false}}}}}}}}}}}}"#
    );
    let arguments = format!(r#"{{"id":"1","v":{{"{joined}":1}}}}"#);
    assert_eq!(sent(&body("post", &content), &arguments), Ok(format!(r#"POST /a/1 {{"v":{{"{joined}":1}}}}"#)));
}

#[test]
fn a_value_that_cannot_be_said_is_refused_by_the_arguments_name() {
    let cases = [
        (
            r#""name":"n""#,
            r#"{"n":null}"#,
            "the argument `n` must be a string, a number, a boolean or an array of those",
        ),
        (r#""name":"n""#, r#"{"n":[]}"#, "the argument `n` is empty and would not be sent: leave it out"),
        (
            r#""name":"n""#,
            r#"{"n":[[1]]}"#,
            "the argument `n` must be a string, a number, a boolean or an array of those",
        ),
        (
            r#""name":"n","explode":false"#,
            r#"{"n":["a,b"]}"#,
            "an element of the argument `n` holds `,`, which parts the elements",
        ),
        (r#""name":"n","required":true"#, "{}", "the argument `n` is missing"),
        (r#""name":"n""#, r#"{"m":1}"#, "unknown argument `m`; this tool takes `n`, `answer`"),
        (r#""name":"n""#, "[]", "the arguments must be one JSON object"),
        (r#""name":"n""#, r#"{"n":1,"n":2}"#, "the arguments must be one JSON object"),
        (
            r#""name":"n","schema":{"type":"integer"}"#,
            r#"{"n":"x\ny"}"#,
            r#"the argument `n` must be of type integer, and is `"x\ny"`"#,
        ),
        (
            r#""name":"n","schema":{"type":"string","nullable":true}"#,
            r#"{"n":null}"#,
            "the argument `n` must be of type string, and is `null`",
        ),
    ];
    for (parameter, arguments, expected) in cases {
        assert_eq!(sent(&query(parameter), arguments), Err(expected.to_owned()), "{parameter} {arguments}");
    }
}

#[test]
fn what_a_patch_cannot_do_without_is_required() {
    let spread = r#"{"content":{"application/json":{"schema":{"required":["a"],"properties":{"a":{},"b":{}}}}}}"#;
    let colliding = r#"{"content":{"application/json":{"schema":{"properties":{"id":{}}}}}}"#;
    for (method, declared, required) in [
        ("patch", spread, &["id", "a"][..]),
        ("patch", colliding, &["id", "body"]),
        ("post", spread, &["id"]),
        ("post", colliding, &["id"]),
    ] {
        let catalog = only(&body(method, declared));
        let schema = catalog.operations()[0].input_schema();
        assert_eq!(schema.get("required"), Some(&json!(required)), "{method} {declared}");
    }
}

#[test]
fn the_body_is_made_of_the_bytes_that_were_given() {
    let spread = r#"{"required":true,"content":{"application/json":{"schema":{"type":"object","required":["a"],
        "properties":{"a":{},"b":{"type":["string","null"]},"c":{"default":1,"x-send-default":true},"d":{"readOnly":true}}}}}}"#;
    let optional = spread.replacen("true", "false", 1);
    let whole = r#"{"required":true,"content":{"application/json":{"schema":{"type":"object"}}}}"#;
    let colliding = r#"{"content":{"application/json":{"schema":{"type":"object","properties":{"id":{}}}}}}"#;
    let either = r#"{"content":{"application/vnd.x+json":{"schema":{"anyOf":[{"type":"object"},{"type":"array"}]}}}}"#;
    let cases = [
        ("post", spread, r#"{"id":1,"a": 1.50e1 }"#, r#"POST /a/1 {"a":1.50e1,"c":1}"#),
        ("post", spread, r#"{"id":1,"b":null,"a":{"x" : [ ]}}"#, r#"POST /a/1 {"a":{"x" : [ ]},"b":null,"c":1}"#),
        ("post", spread, r#"{"id":1,"a":false,"b":"","c":0}"#, r#"POST /a/1 {"a":false,"b":"","c":0}"#),
        ("post", &optional, r#"{"id":1}"#, "POST /a/1"),
        ("patch", &optional, r#"{"id":1,"a":2}"#, r#"PATCH /a/1 {"a":2,"c":1}"#),
        (
            "put",
            whole,
            r#"{"id":1,"body":{ "a" : 1.50, "\u0062":9007199254740993 }}"#,
            r#"PUT /a/1 { "a" : 1.50, "\u0062":9007199254740993 }"#,
        ),
        ("put", colliding, r#"{"id":1,"body":{"id":2}}"#, r#"PUT /a/1 {"id":2}"#),
        ("put", colliding, r#"{"id":1}"#, "PUT /a/1"),
        ("delete", spread, r#"{"id":1,"a":2}"#, r#"DELETE /a/1 {"a":2,"c":1}"#),
        ("delete", &optional, r#"{"id":1}"#, "DELETE /a/1"),
        ("post", either, r#"{"id":1,"body":[1]}"#, "POST /a/1 [1]"),
    ];
    for (method, declared, arguments, expected) in cases {
        assert_eq!(sent(&body(method, declared), arguments).as_deref(), Ok(expected), "{method} {arguments}");
    }
    let refused = [
        ("post", spread, r#"{"id":1}"#, "the argument `a` is missing"),
        ("post", &optional, r#"{"id":1,"b":"x"}"#, "the argument `a` is missing"),
        (
            "post",
            spread,
            r#"{"id":1,"a":1,"d":2}"#,
            "unknown argument `d`; this tool takes `id`, `a`, `b`, `c`, `answer`",
        ),
        ("put", whole, r#"{"id":1}"#, "the argument `body` is missing"),
        ("put", whole, r#"{"id":1,"body":[1]}"#, "the argument `body` must be of type object, and is `[1]`"),
        ("patch", colliding, r#"{"id":1}"#, "the argument `body` is missing"),
    ];
    for (method, declared, arguments, expected) in refused {
        assert_eq!(sent(&body(method, declared), arguments), Err(expected.to_owned()), "{method} {arguments}");
    }
}

#[test]
fn parameters_of_one_name_are_told_apart_by_their_place() {
    let text = document(
        r#"{"/a/{id}":{"parameters":[{"name":"id","in":"query"},{"name":"page","in":"query","schema":{"type":"string"}}],
        "post":{"parameters":[{"name":"id","in":"path","required":true},{"name":"page","in":"query","schema":{"type":"integer"}},
        {"name":"If-None-Match","in":"header"},{"name":"body","in":"query"}],
        "requestBody":{"content":{"application/json":{"schema":{}}}}}}}"#,
    );
    let arguments = r#"{"id":"x","id_query":"y","page":2,"If-None-Match":"\"e\"","body":"q","body_body":{"z":1}}"#;
    assert_eq!(sent(&text, arguments).as_deref(), Ok(r#"POST /a/x?id=y&page=2&body=q {"z":1}"#));
    let catalog = only(&text);
    let parts = catalog.operations()[0].request(arguments).unwrap();
    let request = Request::parse(&parts.raw()).unwrap();
    assert_eq!(request.headers().iter().collect::<Vec<_>>(), [("if-none-match", "\"e\"")]);
}

const TEMPLATES: [&str; 6] = ["/a/{x}", "/a/{x}/", "/{x}/b/{y}", "/a/{x}.json", "/a/{x}:{y}/c", "/{x}{y}"];

fn templated(template: &str) -> String {
    let parameter = |name: &str| json!({"name": name, "in": "path", "required": true});
    let names = ["x", "y"].into_iter().filter(|name| template.contains(&format!("{{{name}}}")));
    document(&json!({template: {"get": {"parameters": names.map(parameter).collect::<Vec<_>>()}}}).to_string())
}

#[test]
fn a_path_argument_that_leaves_its_segment_is_refused() {
    for value in ["", ".", "..", "...", "a/b", "/", "a\\b", "a?b", "a#b", "%2e%2e", "%2F", "a%b", "a;b", "a\nb", "\0"] {
        for template in TEMPLATES {
            let arguments = json!({"x": value, "y": "y"});
            let arguments = if template.contains("{y}") { arguments } else { json!({"x": value}) };
            let error = sent(&templated(template), &arguments.to_string()).unwrap_err();
            assert!(error.contains("`x`"), "{template} {value:?}: {error}");
        }
    }
    assert_eq!(sent(&templated("/a/{x}"), r#"{"x":"a b é"}"#).as_deref(), Ok("GET /a/a%20b%20%C3%A9"));
    assert_eq!(sent(&templated("/a/{x}.json"), r#"{"x":true}"#).as_deref(), Ok("GET /a/true.json"));
    assert_eq!(sent(&templated("/a/{x}"), r#"{"x":[1,"b"]}"#).as_deref(), Ok("GET /a/1,b"));
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => "[./\\\\%?#;a2eF\u{2024}\u{ff0e}\u{200b} ]{0,6}".prop_map(Value::from),
        4 => any::<String>().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => prop::collection::vec(any::<String>(), 0..3).prop_map(Value::from),
        1 => Just(json!({"a": "b"})),
        1 => Just(Value::Null),
    ]
}

proptest! {
    #[test]
    fn any_arguments_keep_the_shape_of_the_path_or_are_refused(
        template in prop::sample::select(TEMPLATES.to_vec()), x in any_value(), y in any_value(),
    ) {
        let text = templated(template);
        let (catalog, _) = Catalog::read(text).unwrap();
        let arguments = if template.contains("{y}") { json!({"x": x, "y": y}) } else { json!({"x": x}) };
        if let Ok(parts) = catalog.operations()[0].request(&arguments.to_string()) {
            let segments: Vec<&str> = parts.path.split('/').collect();
            let wanted: Vec<&str> = template.split('/').collect();
            prop_assert_eq!(segments.len(), wanted.len());
            for (segment, wanted) in segments.iter().zip(wanted) {
                let variable = wanted.contains('{');
                prop_assert!(variable || *segment == wanted);
                prop_assert_eq!(segment.is_empty(), wanted.is_empty());
            }
            if let Ok(request) = Request::parse(&parts.raw()) {
                prop_assert_eq!(request.path().segments().count() + 1, segments.len());
                prop_assert!(request.path().encoded().is_empty());
            }
        }
    }

    #[test]
    fn any_arguments_make_parts_that_are_parsed_or_refused(arguments in any::<String>(), value in any_value()) {
        for text in [query(r#""name":"n""#), query(r#""name":"n","style":"deepObject""#), query(r#""name":"n","explode":false"#)] {
            let (catalog, _) = Catalog::read(text).unwrap();
            for arguments in [&arguments, &json!({"n": value}).to_string(), &json!({"n": [value]}).to_string()] {
                match catalog.operations()[0].request(arguments) {
                    Ok(parts) => drop(Request::parse(&parts.raw())),
                    Err(error) => prop_assert!(!error.to_string().contains('\n')),
                }
            }
        }
    }
}
