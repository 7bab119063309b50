//! What schemas ask for: keyword by keyword, and against a plain reading of JSON Schema.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::arguments::ArgumentError;
use super::*;

/// The one operation of a document with a body that has the member `v` of this schema.
fn catalog(schema: &Value) -> Catalog {
    let content = json!({"application/json": {"schema": {"properties": {"v": schema}}}});
    only(&document(&json!({"/a": {"post": {"requestBody": {"content": content}}}}).to_string()))
}

/// What becomes of a value under a schema of a document: `Ok`, or what was expected.
fn check(catalog: &Catalog, value: &Value) -> Result<(), String> {
    match catalog.operations()[0].request(&format!("{{\"v\":{value}}}")) {
        Ok(_) => Ok(()),
        Err(ArgumentError::Mismatch(mismatch)) => Err(mismatch.to_string()),
        Err(other) => panic!("{value}: {other}"),
    }
}

fn reduced(schema: &Value) -> Value {
    catalog(schema).operations()[0].input_schema()["properties"]["v"].clone()
}

/// Holds that each schema lists its keywords, takes the good values and refuses the bad.
fn hold(cases: &[(Value, Value, Value)]) {
    for (schema, good, bad) in cases {
        let catalog = catalog(schema);
        let shown = reduced(schema);
        for keyword in schema.as_object().unwrap().keys().filter(|keyword| *keyword != "allOf") {
            assert!(shown.get(keyword).is_some(), "{keyword} of {schema} is not in {shown}");
        }
        for good in good.as_array().unwrap() {
            assert_eq!(check(&catalog, good), Ok(()), "{schema} {good}");
        }
        for bad in bad.as_array().unwrap() {
            assert!(check(&catalog, bad).is_err(), "{schema} {bad}");
        }
    }
}

#[test]
fn keywords_of_one_value_are_listed_and_checked() {
    let cases = [
        (json!({"multipleOf": 0.01}), json!([19.99, 0, -3, "x", 1e300]), json!([19.995, 0.001])),
        (json!({"multipleOf": 3}), json!([9_007_199_254_740_993_u64, 3.0]), json!([9_007_199_254_740_994_u64, 1])),
        (
            json!({"minimum": 9_007_199_254_740_993_u64}),
            json!([9_007_199_254_740_993_u64]),
            json!([9_007_199_254_740_992_u64]),
        ),
        (json!({"exclusiveMaximum": 0.3}), json!([0.2, -1]), json!([0.3, 0.31])),
        (json!({"const": 1}), json!([1, 1.0]), json!([true, "1", 2])),
        (json!({"const": {"a": [1.0]}}), json!([{"a": [1]}]), json!([{"a": [1, 1]}, {"a": 1}, {}])),
        (
            json!({"uniqueItems": true}),
            json!([[], [1, "1", [1], {"a": 1}], "aa"]),
            json!([[1, 1.0], [{"a": 1, "b": 2}, {"b": 2, "a": 1.0}]]),
        ),
        (
            json!({"minProperties": 1, "maxProperties": 2}),
            json!([{"a": 1}, [], 1]),
            json!([{}, {"a": 1, "b": 1, "c": 1}]),
        ),
        (json!({"contains": {"type": "integer"}}), json!([["x", 1], {}]), json!([[], ["x", 1.5]])),
        (
            json!({"contains": {"type": "integer"}, "minContains": 2, "maxContains": 3}),
            json!([[1, 2], [1, "x", 2, 3]]),
            json!([[1], [1, 2, 3, 4]]),
        ),
        (json!({"contains": {"type": "integer"}, "minContains": 0}), json!([[], ["x"]]), json!([])),
    ];
    hold(&cases);
}

#[test]
fn keywords_of_members_and_of_other_schemas_are_listed_and_checked() {
    let cases = [
        (
            json!({"dependentRequired": {"a": ["b"]}, "properties": {"a": {}, "b": {}}}),
            json!([{"b": 1}, {"a": 1, "b": 1}, 7]),
            json!([{"a": 1}]),
        ),
        (json!({"not": {"type": "string"}}), json!([1, null]), json!(["x"])),
        (json!({"not": {"required": ["a", "b"]}}), json!([{"a": 1}, {"b": 1}]), json!([{"a": 1, "b": 1}, 7])),
        (json!({"not": {"pattern": "^a\\.b$"}}), json!(["x"]), json!(["a.b", 1])),
        (
            json!({"properties": {"kind": {}, "x": {}}, "if": {"properties": {"kind": {"const": "a"}}, "required": ["kind"]}, "then": {"required": ["x"]}, "else": {"maxProperties": 1}}),
            json!([{"kind": "a", "x": 1}, {"kind": "b"}, {}]),
            json!([{"kind": "a"}, {"kind": "b", "x": 1}]),
        ),
        (json!({"if": {"type": "string"}, "then": {"minLength": 2}}), json!(["ab", 1]), json!(["a"])),
        (json!({"if": {"type": "string"}, "else": {"minimum": 2}}), json!(["a", 2]), json!([1])),
        (
            json!({"properties": {"a": {}, "b": {}}, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]}),
            json!([{"a": 1}, {"b": 1}]),
            json!([{}]),
        ),
        (
            json!({"allOf": [{"properties": {"a": {"type": "integer"}}}, {"properties": {"b": {}}}], "required": ["a", "b"]}),
            json!([{"a": 1, "b": 1}]),
            json!([{"a": 1}, {"b": 1}, {"a": "x", "b": 1}]),
        ),
    ];
    hold(&cases);
}

#[test]
fn what_is_wrong_is_said_in_words() {
    let cases = [
        (json!({"multipleOf": 0.1}), json!(0.25), "must be a multiple of 0.1, and is `0.25`"),
        (json!({"uniqueItems": true}), json!([1, 1]), "must hold no element twice, and is `[1,1]`"),
        (json!({"minProperties": 1}), json!({}), "must hold at least 1 characters, elements or members, and is `{}`"),
        (
            json!({"contains": {"const": 1}}),
            json!([2]),
            "must hold at least 1 elements of the form in the schema, and is `[2]`",
        ),
        (
            json!({"contains": {"const": 1}, "maxContains": 1}),
            json!([1, 1]),
            "must hold at most 1 elements of the form",
        ),
        (
            json!({"dependentRequired": {"a": ["b"]}, "properties": {"b": {}}}),
            json!({"a": 1}),
            "must hold the member b beside a, and is `an object`",
        ),
        (json!({"not": {"const": 1}}), json!(1), "must not be of the form that the schema bars, and is `1`"),
        (json!({"if": {"const": 1}, "then": false}), json!(1), "must be absent, and is `1`"),
    ];
    for (schema, value, words) in cases {
        let message = check(&catalog(&schema), &value).unwrap_err();
        assert!(message.starts_with("the argument `v` ") && message.contains(words), "{schema}: {message}");
    }
}

#[test]
fn a_schema_that_is_not_kept_to_the_letter_bars_nothing() {
    let odd = [
        json!({"pattern": "(?=a)"}),
        json!({"type": "string", "format": "date"}),
        json!({"enum": ["a\u{200b}"]}),
        json!({"type": "file"}),
        json!({"oneOf": [{"type": "string"}, {"minLength": 1}]}),
        json!({"patternProperties": {"^a": {}}}),
        json!({"properties": {"a": {"readOnly": true}}}),
        json!({"propertyNames": {"maxLength": 1}}),
        json!({"items": {"unevaluatedItems": false}}),
        json!({"$ref": "#/nowhere"}),
        json!({"type": "string", "nullable": true}),
        json!({"allOf": [{"not": {"format": "date"}}]}),
        json!({"required": vec!["x"; 1_001]}),
    ];
    for odd in odd {
        assert_eq!(reduced(&json!({"not": odd})), json!({}), "{odd}");
        assert_eq!(reduced(&json!({"if": odd, "then": {"type": "string"}, "else": false})), json!({}), "{odd}");
        assert_eq!(reduced(&json!({"contains": odd, "maxContains": 1})), json!({}), "{odd}");
        assert_eq!(reduced(&json!({"allOf": [{"type": "string"}, {"not": odd}]}))["allOf"][1], json!({}), "{odd}");
    }
    let kept = json!({"not": {"title": "t", "description": "d", "x-a": 1, "type": ["string"], "required": ["a"]}});
    let expected = json!({"not": {"description": "d", "type": ["string"], "required": ["a"]}});
    assert_eq!(reduced(&kept), expected);
    for rounded in ["multipleOf", "minimum", "exclusiveMaximum"] {
        let text = format!("{{\"{rounded}\":0.12345678901234567890123}}");
        let schema: &str = &document(&format!(
            r#"{{"/a":{{"post":{{"requestBody":{{"content":{{"application/json":{{"schema":{{"properties":{{"v":{text}}}}}}}}}}}}}}}}}"#
        ));
        assert_eq!(only(schema).operations()[0].input_schema()["properties"]["v"], json!({}), "{rounded}");
    }
    assert_eq!(reduced(&json!({"multipleOf": 0})), json!({}));
    assert_eq!(reduced(&json!({"prefixItems": [{"type": "string"}], "items": {"type": "integer"}})), json!({}));
}

#[test]
fn what_was_not_searched_bars_nothing() {
    let long = Value::from("b".repeat(5_000));
    for schema in [
        json!({"pattern": "^a"}),
        json!({"not": {"pattern": "^b"}}),
        json!({"not": {"not": {"pattern": "^a"}}}),
        json!({"if": {"pattern": "^b"}, "then": {"type": "null"}}),
        json!({"if": {"pattern": "^a"}, "then": {"type": "null"}, "else": {"type": "null"}}),
    ] {
        assert_eq!(check(&catalog(&schema), &long), Ok(()), "{schema}");
    }
    let contains = catalog(&json!({"contains": {"pattern": "^b"}, "maxContains": 1}));
    assert_eq!(check(&contains, &json!([long, long])), Ok(()));
    // A call has so much text searched, in all.
    let many = catalog(&json!({"items": {"pattern": "^a"}}));
    assert!(check(&many, &json!(vec!["b".repeat(4_000); 2])).is_err());
    let mut texts = vec!["a".repeat(4_000); 20];
    texts.push("b".to_owned());
    assert!(check(&many, &json!(texts)).is_err(), "a short one still has room");
    texts.insert(16, "a".repeat(1_536));
    assert_eq!(check(&many, &json!(texts)), Ok(()));
}

#[test]
fn a_value_that_takes_too_much_work_is_refused() {
    let forms: Vec<Value> = (0..30).map(|n| json!({"type": "integer", "minimum": n, "maximum": n})).collect();
    for schema in [
        json!({"items": {"anyOf": forms}}),
        json!({"not": {"items": {"anyOf": forms}}}),
        json!({"anyOf": [{"items": {"anyOf": forms}}, {"type": "array"}]}),
    ] {
        let catalog = catalog(&schema);
        let few = check(&catalog, &json!(vec![29; 1_000]));
        assert!(few.is_ok() || schema.get("not").is_some(), "{few:?}");
        let message = check(&catalog, &json!(vec![29; 100_000])).unwrap_err();
        assert!(message.contains("`v") && message.contains("too much work"), "{schema}: {message}");
    }
    let unique = catalog(&json!({"uniqueItems": true}));
    assert_eq!(check(&unique, &json!((0..100_000).collect::<Vec<_>>())), Ok(()));
}

/// JSON Schema 2020-12 as one reads it, for the keywords that are generated here.
fn valid(schema: &Value, value: &Value) -> bool {
    let Some(schema) = schema.as_object() else { return schema != &json!(false) };
    let equal =
        |one: &Value, other: &Value| one == other || one.as_f64().is_some_and(|number| other.as_f64() == Some(number));
    let list = |rule: &Value| rule.as_array().unwrap().clone();
    let count = |keyword: &str| schema.get(keyword).and_then(Value::as_u64);
    schema.iter().all(|(keyword, rule)| match (keyword.as_str(), value) {
        ("type", _) => match (rule.as_str().unwrap(), value) {
            ("integer", Value::Number(number)) => number.as_f64().unwrap().fract() == 0.0,
            (kind, Value::Number(_)) => kind == "number",
            (kind, Value::String(_)) => kind == "string",
            (kind, Value::Bool(_)) => kind == "boolean",
            (kind, Value::Null) => kind == "null",
            (kind, Value::Array(_)) => kind == "array",
            (kind, Value::Object(_)) => kind == "object",
        },
        ("enum", _) => list(rule).iter().any(|one| equal(one, value)),
        ("const", _) => equal(rule, value),
        ("minimum", Value::Number(number)) => number.as_f64() >= rule.as_f64(),
        ("exclusiveMaximum", Value::Number(number)) => number.as_f64() < rule.as_f64(),
        ("multipleOf", Value::Number(number)) => (number.as_f64().unwrap() / rule.as_f64().unwrap()).fract() == 0.0,
        ("minLength", Value::String(text)) => text.len() as u64 >= rule.as_u64().unwrap(),
        ("pattern", Value::String(text)) => text.starts_with('a'),
        ("maxItems", Value::Array(items)) => items.len() as u64 <= rule.as_u64().unwrap(),
        ("uniqueItems", Value::Array(items)) => {
            items.iter().enumerate().all(|(at, one)| items[..at].iter().all(|other| !equal(one, other)))
        }
        ("items", Value::Array(items)) => items.iter().all(|item| valid(rule, item)),
        ("contains", Value::Array(items)) => {
            let found = items.iter().filter(|item| valid(rule, item)).count() as u64;
            found >= count("minContains").unwrap_or(1) && found <= count("maxContains").unwrap_or(u64::MAX)
        }
        ("minProperties", Value::Object(members)) => members.len() as u64 >= rule.as_u64().unwrap(),
        ("properties", Value::Object(members)) => {
            members.iter().all(|(name, member)| rule.get(name).is_none_or(|rule| valid(rule, member)))
        }
        ("additionalProperties", Value::Object(members)) => members
            .iter()
            .filter(|(name, _)| schema.get("properties").and_then(|known| known.get(name)).is_none())
            .all(|(_, member)| valid(rule, member)),
        ("required", Value::Object(members)) => {
            list(rule).iter().all(|name| members.contains_key(name.as_str().unwrap()))
        }
        ("dependentRequired", Value::Object(members)) => rule.as_object().unwrap().iter().all(|(name, names)| {
            !members.contains_key(name) || list(names).iter().all(|name| members.contains_key(name.as_str().unwrap()))
        }),
        ("allOf", _) => list(rule).iter().all(|part| valid(part, value)),
        ("anyOf", _) => list(rule).iter().any(|part| valid(part, value)),
        ("oneOf", _) => list(rule).iter().filter(|part| valid(part, value)).count() == 1,
        ("not", _) => !valid(rule, value),
        ("if", _) => {
            let branch = if valid(rule, value) { "then" } else { "else" };
            schema.get(branch).is_none_or(|branch| valid(branch, value))
        }
        _ => true,
    })
}

fn scalars() -> impl Strategy<Value = Value> {
    let all = [
        json!(null),
        json!(true),
        json!(0),
        json!(1),
        json!(1.0),
        json!(1.5),
        json!(3),
        json!("a"),
        json!("b"),
        json!("ab"),
    ];
    prop::sample::select(all.to_vec())
}

fn values() -> impl Strategy<Value = Value> {
    scalars().prop_recursive(2, 12, 3, |inner| {
        let members = prop::collection::vec((prop::sample::select(vec!["a", "b", "c"]), inner.clone()), 0..3);
        let object =
            members.prop_map(|members| members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect());
        prop_oneof![prop::collection::vec(inner, 0..3).prop_map(Value::Array), object]
    })
}

/// Schemas of all keywords; without the last two, which only ask less, the reduced schema asks for the very same.
fn schemas(all: bool) -> impl Strategy<Value = Value> {
    let names = || {
        prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 1..3).prop_map(|mut names| {
            names.dedup();
            json!(names)
        })
    };
    let kinds = ["null", "boolean", "integer", "number", "string", "array", "object"].map(|kind| json!(kind)).to_vec();
    let leaf = prop_oneof![
        Just(json!({})),
        prop::sample::select(kinds).prop_map(|kind| json!({"type": kind})),
        scalars().prop_map(|value| json!({"const": value})),
        prop::collection::vec(scalars(), 1..3).prop_map(|values| json!({"enum": values})),
        prop::sample::select(vec![0, 1, 2]).prop_map(|n| json!({"minimum": n, "minLength": n, "minProperties": n})),
        prop::sample::select(vec![0.5, 1.0, 1.5]).prop_map(|n| json!({"multipleOf": n, "exclusiveMaximum": 2.0 * n})),
        prop::sample::select(vec![0, 1]).prop_map(|n| json!({"maxItems": n, "uniqueItems": true})),
        Just(json!({"uniqueItems": true, "pattern": "^a"})),
        names().prop_map(|names| json!({"properties": {"a": {}, "b": {}, "c": {}}, "required": names})),
        names().prop_map(|names| json!({"properties": {"a": {}, "b": {}, "c": {}}, "dependentRequired": {"a": names}})),
    ];
    leaf.prop_recursive(2, 10, 3, move |inner| {
        let parts = || prop::collection::vec(inner.clone(), 1..3);
        prop_oneof![
            2 => inner.clone().prop_map(|inner| json!({"items": inner})),
            2 => inner.clone().prop_map(|inner| json!({"properties": {"a": inner}, "additionalProperties": false})),
            2 => (inner.clone(), inner.clone()).prop_map(|(a, more)| json!({"properties": {"a": a}, "additionalProperties": more})),
            2 => (inner.clone(), 0..3, 0..3).prop_map(|(inner, least, most)| json!({"contains": inner, "minContains": least, "maxContains": most})),
            2 => inner.clone().prop_map(|inner| json!({"contains": inner})),
            2 => parts().prop_map(|parts| json!({"allOf": parts})),
            2 => parts().prop_map(|parts| json!({"anyOf": parts})),
            4 => inner.clone().prop_map(|inner| json!({"not": inner})),
            4 => (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(condition, then, other)| json!({"if": condition, "then": then, "else": other})),
            1 => parts().prop_map(move |parts| json!({if all { "oneOf" } else { "anyOf" }: parts})),
            1 => inner.prop_map(move |inner| if all { json!({"allOf": [inner], "propertyNames": false}) } else { inner }),
        ]
    })
}

proptest! {
    #[test]
    fn no_schema_asks_for_more_than_the_documents(schema in schemas(true), values in prop::collection::vec(values(), 1..8)) {
        let catalog = catalog(&schema);
        for value in values {
            let found = check(&catalog, &value);
            prop_assert!(found.is_ok() || !valid(&schema, &value), "{schema} {value}: {found:?} by {}", reduced(&schema));
        }
    }

    #[test]
    fn a_schema_of_keywords_that_are_known_asks_for_the_same(schema in schemas(false), values in prop::collection::vec(values(), 1..8)) {
        let catalog = catalog(&schema);
        for value in values {
            let found = check(&catalog, &value);
            prop_assert_eq!(found.is_ok(), valid(&schema, &value), "{} {}: {:?} by {}", schema, value, found, reduced(&schema));
        }
    }
}
