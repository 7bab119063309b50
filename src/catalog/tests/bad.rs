//! Bad documents: one clear finding each.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

#[test]
fn a_text_that_is_no_openapi_document_is_one_error() {
    let cases = [
        ("", "not an OpenAPI description: its top is not an object"),
        ("[]", "not an OpenAPI description: its top is not an object"),
        ("hello", "its top is not an object"),
        ("{}", "`/openapi` is missing"),
        ("{", "not JSON at line 1"),
        (r#"{"swagger":"2.0","paths":{}}"#, "`/swagger`: the document is Swagger 2.0"),
        (r#"{"openapi":"4.0.0","paths":{}}"#, "`/openapi`: version 4.0.0 is not read"),
        (r#"{"openapi":"3.10.0","paths":{}}"#, "`/openapi`: version 3.10.0 is not read"),
        (r#"{"openapi":3,"paths":{}}"#, "`/openapi`: version 3 is not read"),
        (r#"{"openapi":"3.0.0"}"#, "`/paths` is not an object"),
        (r#"{"openapi":"3.0.0","paths":[]}"#, "`/paths` is not an object"),
        (r#"{"openapi":"3.0.0","paths":"x"}"#, "`/paths` is not an object"),
        ("openapi: 3.0.0\npaths: [\n", "not YAML at line"),
        ("a: &a [*a]\n", "not YAML at line 1"),
    ];
    for (text, expected) in cases {
        let error = Catalog::read(text).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(expected) && !error.contains('\n'), "{text}: {error}");
    }
    let long = format!("{}{}", document("{}"), " ".repeat(MAX_DOCUMENT));
    assert_eq!(Catalog::read(long).map(|_| ()), Err(DocumentError::TooLong));
    let many: String = (0..2_001)
        .map(|n| format!(r#""/a{n}":{{"get":{{}},"put":{{}},"post":{{}},"head":{{}},"delete":{{}}}},"#))
        .collect();
    let many = document(&format!("{{{}}}", many.trim_end_matches(',')));
    assert_eq!(Catalog::read(many).map(|_| ()), Err(DocumentError::TooManyOperations));
}

#[test]
fn an_operation_that_no_call_can_express_is_left_out_with_one_warning() {
    let operation = |operation: &str| format!(r#"{{"/a":{{"get":{operation}}}}}"#);
    let parameter = |parameter: &str| operation(&format!(r#"{{"parameters":[{parameter}]}}"#));
    let body = |body: &str| format!(r#"{{"/a":{{"post":{{"requestBody":{body}}}}}}}"#);
    let path = |path: &str| json!({path: {"get": {"parameters": [{"name": "a", "in": "path"}]}}}).to_string();
    let cases = [
        (r#"{"/a":[]}"#.to_owned(), "/paths/~1a: the path is left out: it is not an object"),
        (r##"{"/a":{"$ref":"x.yaml#/a"}}"##.to_owned(), "/paths/~1a: the path is left out: its reference leads out"),
        (operation("[]"), "/paths/~1a/get: the operation is left out: it is not an object"),
        (operation(r#"{"summary":1,"summary":2}"#), "it is not an object with each key once"),
        (operation(r#"{"parameters":"x"}"#), "`parameters` is not an array"),
        (parameter("7"), "it is not an object with `name` and `in`"),
        (parameter(r#"{"name":7,"in":"query"}"#), "it is not an object with `name` and `in`"),
        (parameter(r##"{"$ref":"#/components/parameters/x"}"##), "its reference leads nowhere"),
        (parameter(r##"{"$ref":"#/paths/~1a/get/parameters/0"}"##), "its references lead in a circle"),
        (parameter(r#"{"$ref":"https://example.test/x"}"#), "its reference leads out of the document"),
        (parameter(r#"{"name":"x","in":"cookie","required":true}"#), "a call sends no cookies"),
        (parameter(r#"{"name":"X-A","in":"header","required":true}"#), "a call sets no such header"),
        (parameter(r#"{"name":"x","in":"form","required":true}"#), "none of path, query, header"),
        (
            parameter(r#"{"name":"api_key","in":"query","required":true}"#),
            "a query of that name is never sent: it could carry a credential or another method",
        ),
        (parameter(r#"{"name":"x","in":"query","required":true,"style":"matrix"}"#), "its style is not supported"),
        (
            parameter(r#"{"name":"x","in":"query","required":true,"content":{"text/xml":{}}}"#),
            "its content is not JSON",
        ),
        (operation(&format!(r#"{{"parameters":[{}1]}}"#, "1,".repeat(200))), "it has more than 128 parameters"),
        (path("/b/{b}"), "the variable `b` of its path has no parameter"),
        (path("/{a}{a}"), "it holds a variable twice"),
        (path("/a//{a}"), "its path is no template"),
        (path("/{"), "its braces do not pair"),
        (path("/a/../{a}"), "its path is no template"),
        (path("a"), "its path is no template"),
        (path("/a?x={a}"), "its path is no template"),
        (
            r#"{"/{a}":{"get":{"parameters":[{"name":"a","in":"path","style":"label"}]}}}"#.to_owned(),
            "its style is not supported",
        ),
        (r#"{"/a":{"patch":{}}}"#.to_owned(), "it is a PATCH without a JSON body"),
        (body(r#"{"required":true,"content":{"multipart/form-data":{}}}"#), "its body is needed, and it is not JSON"),
        (body(r#"{"required":true,"content":[]}"#), "it is not an object with `content`"),
        (body("[]"), "it is not an object with `content`"),
        (body(r##"{"$ref":"#/components/requestBodies/x"}"##), "its reference leads nowhere"),
    ];
    for (paths, expected) in cases {
        let (catalog, warnings) = Catalog::read(document(&paths)).unwrap();
        let warnings: Vec<String> =
            warnings.iter().map(ToString::to_string).filter(|w| w.contains("left out: ")).collect();
        let left_out: Vec<&String> = warnings.iter().filter(|w| !w.contains("the parameter")).collect();
        assert!(catalog.operations().is_empty(), "{paths}");
        assert!(left_out.len() == 1 && left_out[0].contains(expected), "{paths}: {warnings:?}");
    }
}

#[test]
fn what_can_be_spared_is_left_out_alone() {
    let parameter = |parameter: &str| format!(r#"{{"/a":{{"get":{{"parameters":[{parameter}]}}}}}}"#);
    let cases = [
        (parameter(r#"{"name":"x","in":"cookie"}"#), "the parameter `x` is left out: a call sends no cookies"),
        (parameter(r#"{"name":"Authorization","in":"header","required":true}"#), "a call sets no such header"),
        (parameter(r#"{"name":"api_key","in":"query"}"#), "a query of that name is never sent"),
        (parameter(r#"{"name":"x","in":"path"}"#), "the path does not hold it"),
        (parameter(r#"{"name":"x","in":"query"},{"name":"x","in":"query"}"#), "it stands there twice"),
        (
            r#"{"/a":{"get":{"requestBody":{"required":true,"content":{}}}}}"#.to_owned(),
            "the body is left out: the method has none",
        ),
        (
            r#"{"/a":{"post":{"requestBody":{"content":{"text/plain":{}}}}}}"#.to_owned(),
            "the body is left out: it is not JSON",
        ),
        (r#"{"/a":{"servers":[],"get":{}}}"#.to_owned(), "its own `servers` are not used"),
        (r#"{"/a":{"get":{}},"/a":{"get":{}}}"#.to_owned(), "the path stands there twice"),
    ];
    for (paths, expected) in cases {
        let (catalog, warnings) = Catalog::read(document(&paths)).unwrap();
        assert_eq!(catalog.operations().len(), 1, "{paths}");
        assert!(warnings.len() == 1 && warnings[0].to_string().contains(expected), "{paths}: {warnings:?}");
    }
    let text = document("{}").replacen('{', r#"{"servers":[],"security":[],"#, 1);
    let (_, warnings) = Catalog::read(text).unwrap();
    assert_eq!(warnings.iter().map(Warning::note).collect::<Vec<_>>(), [&warning::Note::PolicyOwns]);
}

#[test]
fn two_operations_of_one_id_both_stay() {
    let (catalog, _) = Catalog::read(document(
        r#"{"/a":{"get":{"operationId":"x"}},"/b":{"get":{"operationId":"x"}},"/c":{"get":{"operationId":"api_get"}}}"#,
    ))
    .unwrap();
    let names: Vec<&str> = catalog.operations().iter().map(operation::Operation::name).collect();
    assert!(
        names.len() == 3
            && names[0].starts_with("api_get_")
            && names[1].starts_with("x_")
            && names[2].starts_with("x_")
    );
    assert!(names.iter().all(|name| catalog.named(name).is_some()) && catalog.named("x").is_none());
}

#[test]
fn a_small_document_that_leads_to_much_text_ends() {
    let large = format!(r#"{{"name":"x","in":"query","description":"{}"}}"#, "x".repeat(4 << 20));
    let list = vec![r##"{"$ref":"#/components/parameters/x"}"##; 100].join(",");
    let text = document(&format!(r#"{{"/a":{{"get":{{"parameters":[{list}]}}}}}}"#)).replacen(
        '{',
        &format!(r#"{{"components":{{"parameters":{{"x":{large}}}}},"#),
        1,
    );
    let (catalog, warnings) = Catalog::read(text).unwrap();
    assert!(catalog.operations().is_empty());
    assert!(warnings.iter().any(|warning| warning.to_string().contains("too much text")));
}

/// A place in a JSON value, chosen by numbers.
fn mutate(value: &mut Value, choices: &[usize], new: &Value) {
    let Some((&choice, rest)) = choices.split_first() else {
        *value = new.clone();
        return;
    };
    match value {
        Value::Array(items) if !items.is_empty() => {
            let index = choice % items.len();
            mutate(&mut items[index], rest, new);
        }
        Value::Object(members) if !members.is_empty() => {
            let index = choice % members.len();
            mutate(members.values_mut().nth(index).unwrap(), rest, new);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            *value = new.clone();
        }
    }
}

fn sample() -> Value {
    json!({"openapi": "3.1.0", "paths": {"/a/{id}": {
        "parameters": [{"$ref": "#/components/parameters/id"}],
        "get": {"operationId": "one", "parameters": [{"name": "q", "in": "query", "schema": {"$ref": "#/components/schemas/s"}}]},
        "post": {"requestBody": {"content": {"application/json": {"schema": {"type": "object", "required": ["n"],
            "properties": {"n": {"type": "integer", "nullable": true, "exclusiveMinimum": true, "minimum": 0},
            "t": {"$ref": "#/components/schemas/s"}}}}}}}}},
        "components": {"parameters": {"id": {"name": "id", "in": "path", "required": true, "schema": {"type": "string", "pattern": "^a+$"}}},
        "schemas": {"s": {"type": "object", "allOf": [{"$ref": "#/components/schemas/t"}], "properties": {"self": {"$ref": "#/components/schemas/s"}}},
        "t": {"enum": ["x", "y"], "oneOf": [{"items": {"$ref": "#/components/schemas/s"}}]}}}})
}

proptest! {
    #[test]
    fn no_change_of_a_document_makes_its_reader_panic(
        changes in prop::collection::vec((prop::collection::vec(0_usize..8, 0..9), prop::sample::select(vec![
            json!(null), json!([]), json!({}), json!(1), json!(true), json!("x"), json!("#/components/schemas/s"), json!([[]]),
            json!({"$ref": "#/components/schemas/s"}), json!({"$ref": "#/paths"}), json!("{"), json!(1e300), json!("a[](){}"),
        ])), 1..4),
        arguments in prop::sample::select(vec!["{}", r#"{"id":"aa"}"#, r#"{"id":"aa","n":1,"q":{"self":{}}}"#, r#"{"body":[]}"#]),
    ) {
        let mut document = sample();
        for (place, new) in &changes {
            mutate(&mut document, place, new);
        }
        if let Ok((catalog, warnings)) = Catalog::read(document.to_string()) {
            prop_assert!(warnings.iter().all(|warning| !warning.to_string().contains('\n')));
            for operation in catalog.operations() {
                prop_assert!(operation.description().len() < 600);
                if let Ok(parts) = operation.request(arguments) {
                    drop(Request::parse(&parts.raw()));
                }
            }
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "[-\\[\\]{}:,&*!'\"a\\n 0#|>?]{0,40}") {
        drop(Catalog::read(text.clone()));
        drop(Catalog::read(format!("openapi: 3.0.0\npaths:\n  /a: {text}\n")));
    }
}
