//! Small documents that lead to much, and large ones: what they cost ends, and the warnings say where.

use serde_json::{Value, json};

use super::*;

fn read(document: &Value) -> (Catalog, Vec<String>) {
    let (catalog, warnings) = Catalog::read(document.to_string()).unwrap();
    (catalog, warnings.iter().map(ToString::to_string).collect())
}

/// Six operations at each of so many paths, all of them this one.
fn operations(paths: usize, operation: &Value) -> Value {
    let methods = ["get", "put", "post", "delete", "patch", "head"];
    let item: Value = methods.iter().map(|method| ((*method).to_owned(), operation.clone())).collect();
    (0..paths).map(|path| (format!("/{path}"), item.clone())).collect()
}

fn bodies(paths: usize, schema: &Value) -> Value {
    operations(paths, &json!({"requestBody": {"content": {"application/json": {"schema": schema}}}}))
}

#[test]
fn parameters_that_many_operations_share_end_with_one_warning() {
    let list: Vec<Value> = (0..128).map(|n| json!({"$ref": format!("#/x/{n}")})).collect();
    let parameters: Vec<Value> = (0..128).map(|n| json!({"name": format!("p{n}"), "in": "query"})).collect();
    let shared = json!({"parameters": list, "get": {}, "put": {}, "post": {}, "delete": {}, "head": {}});
    let paths: Value = (0..1_900).map(|path| (format!("/{path}"), json!({"$ref": "#/shared"}))).collect();
    let (catalog, warnings) = read(&json!({"openapi": "3.1.0", "x": parameters, "shared": shared, "paths": paths}));
    let kept = catalog.operations().len() * 128;
    assert!((10_000..200_000).contains(&kept), "{kept}");
    let rest = warnings.iter().filter(|warning| warning.starts_with("/paths: the paths behind")).count();
    assert!(rest == 1 && warnings.len() <= 6, "{warnings:?}");
}

#[test]
fn a_text_that_schemas_lead_to_is_looked_at_so_often_and_no_more() {
    let schemas = json!({"large": {"type": "string", "title": "v".repeat(5 << 20)}});
    let schema = json!({"properties": {"a": {"type": "integer"}, "b": {"$ref": "#/components/schemas/large"}}});
    let document = json!({"openapi": "3.1.0", "paths": bodies(1, &schema), "components": {"schemas": schemas}});
    let (catalog, _) = read(&document);
    let described = |operation: &Operation| json!(**operation.input_schema())["properties"].clone();
    let [first, .., last] = catalog.operations() else { panic!("operations") };
    let expected = json!({"a": {"type": "integer"}, "b": {}, "answer": {"type": "string"}});
    assert_eq!(described(first), expected, "the text is within what one operation may cost once, not twice");
    // All others together took what is left.
    let pool = &last.document.pool;
    while !pool.lend().is_spent() {}
    assert_eq!(described(last)["body"], json!({"type": ["object", "array"]}));
    for operation in [first, last] {
        let notes: Vec<String> = operation.schema_warnings().iter().map(ToString::to_string).collect();
        assert!(notes.iter().any(|note| note.contains("leads to too much text")), "{notes:?}");
    }
}

#[test]
fn schemas_weigh_so_much_and_no_more_however_many_tools_there_are() {
    let member = json!({"type": ["string", "null", "integer"]});
    let properties: Value = (0..60).map(|n| (format!("p{n}"), member.clone())).collect();
    let schemas = json!({"a": {"properties": properties}});
    let document = json!({"openapi": "3.1.0", "paths": bodies(1_600, &json!({"$ref": "#/components/schemas/a"})),
        "components": {"schemas": schemas}});
    let (catalog, _) = read(&document);
    let listed: usize =
        catalog.operations().iter().map(|operation| json!(**operation.input_schema()).to_string().len()).sum();
    assert!(catalog.operations().len() > 7_000 && listed < 6 << 20, "{listed}");
    let last = catalog.operations().last().unwrap();
    assert_eq!(last.input_schema()["properties"]["body"], json!({"type": ["object", "array"]}));
    assert!(last.request(r#"{"body":{"p1":"any"}}"#).is_ok());
    assert!(notes(&catalog).iter().any(|note| note.to_string().contains("take too much memory")));
}

#[test]
fn of_many_patterns_so_many_are_compiled_and_the_rest_is_noted() {
    let properties = |from: usize| -> Value {
        (0..40).map(|n| (format!("p{n}"), json!({"pattern": format!("^x{}$", from + n)}))).collect()
    };
    let paths: Value = (0..40)
        .map(|path| {
            let schema = json!({"properties": properties(40 * path)});
            (
                format!("/{path}"),
                json!({"post": {"requestBody": {"content": {"application/json": {"schema": schema}}}}}),
            )
        })
        .collect();
    let (catalog, _) = read(&json!({"openapi": "3.1.0", "paths": paths}));
    let listed = |operation: &Operation| json!(**operation.input_schema()).to_string().matches("pattern").count();
    assert_eq!(catalog.operations().iter().map(listed).sum::<usize>(), 500);
    assert!(notes(&catalog).iter().any(|note| note.to_string().contains("or there are too many")));
}

#[test]
fn more_names_than_are_kept_are_one_error() {
    let many = |n: usize| -> String { (0..n).map(|n| format!("\"x-{n}\":1,")).collect() };
    let sections: String = (0..30).map(|n| format!("\"s{n}\":{{{}\"x\":1}},", many(4_000))).collect();
    for text in [
        document(&format!("{{{}\"x-\":1}}", many(100_000))),
        format!("{{\"openapi\":\"3.1.0\",\"paths\":{{}},{}\"x\":1}}", many(100_000)),
        format!("{{\"openapi\":\"3.1.0\",\"paths\":{{}},\"components\":{{{sections}\"x\":1}}}}"),
    ] {
        assert_eq!(Catalog::read(text).map(|_| ()), Err(DocumentError::TooManyNames));
    }
    assert!(Catalog::read(document(&format!("{{{}\"/\":{{}}}}", many(90_000)))).is_ok());
    let item = format!("{{\"/a\":{{{}\"get\":{{}}}}}}", many(10_000));
    let (catalog, warnings) = Catalog::read(document(&item)).unwrap();
    assert!(catalog.operations().is_empty() && warnings.len() == 1, "{warnings:?}");
}

#[test]
fn a_path_as_long_as_a_document_is_one_short_warning_for_each_method() {
    let path = format!("/{}", "a~/".repeat(1 << 20));
    let (catalog, warnings) = read(&json!({"openapi": "3.1.0", "paths": {path: {"get": {}, "put": {}, "post": {}}}}));
    assert!(catalog.operations().is_empty());
    assert!(warnings.len() == 3 && warnings.iter().all(|warning| warning.len() < 600), "{warnings:?}");
    assert!(warnings[0].starts_with("/paths/~1a~0~1a~0~1") && warnings[0].contains(".../get: "), "{warnings:?}");
}
