//! What each method would change, and that what is reported is what RFC 7396 and a PUT do.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

fn rows(change: &Change) -> Vec<String> {
    let row = |row: &Row| match (&row.old, &row.new) {
        (Some(old), Some(new)) => format!("~{}: {old} -> {new}", row.path),
        (Some(old), None) => format!("-{}: {old}", row.path),
        (None, Some(new)) => format!("+{}: {new}", row.path),
        (None, None) => format!("?{}", row.path),
    };
    change.rows.iter().map(row).collect()
}

/// Rows, then how many values are changed, added, removed, as before, not named.
fn of(method: Method, before: &str, body: &str) -> (Vec<String>, [usize; 5]) {
    let body = (!body.is_empty()).then_some(body.as_bytes());
    let change = change(method, before.as_bytes(), body).unwrap_or_else(|error| panic!("{before}: {error}"));
    let Change { changed, added, removed, unchanged, unnamed, .. } = change;
    (rows(&change), [changed, added, removed, unchanged, unnamed])
}

#[test]
fn a_patch_is_read_as_a_merge() {
    for (name, before, body, expected, counts) in [
        ("a value", r#"{"a":1,"b":2}"#, r#"{"a":3}"#, vec!["~a: 1 -> 3"], [1, 0, 0, 0, 1]),
        ("the same value", r#"{"a":1}"#, r#"{"a":1.0}"#, vec![], [0, 0, 0, 1, 0]),
        ("a new member", r#"{"a":1}"#, r#"{"b":[1, 2]}"#, vec!["+b: [1, 2]"], [0, 1, 0, 0, 1]),
        ("null removes", r#"{"a":{"x":1},"b":2}"#, r#"{"a":null}"#, vec![r#"-a: {"x": 1}"#], [0, 0, 1, 0, 1]),
        ("null where nothing is", r#"{"a":1}"#, r#"{"b":null}"#, vec![], [0, 0, 0, 1, 1]),
        ("null for null", r#"{"a":null}"#, r#"{"a":null}"#, vec!["-a: null"], [0, 0, 1, 0, 0]),
        ("objects merge", r#"{"o":{"x":1,"y":2}}"#, r#"{"o":{"y":3}}"#, vec!["~o.y: 2 -> 3"], [1, 0, 0, 0, 1]),
        (
            "an object for a value, without its nulls",
            r#"{"o":1}"#,
            r#"{"o":{"y":3,"z":null,"w":{"v":null}}}"#,
            vec![r#"~o: 1 -> {"y": 3, "w": {}}"#],
            [1, 0, 0, 0, 0],
        ),
        (
            "lists are replaced",
            r#"{"l":[1,2,3]}"#,
            r#"{"l":[1,4]}"#,
            vec!["~l[1]: 2 -> 4", "-l[2]: 3"],
            [1, 0, 1, 1, 0],
        ),
        ("null in a list stays", r#"{"l":[1]}"#, r#"{"l":[null]}"#, vec!["~l[0]: 1 -> null"], [1, 0, 0, 0, 0]),
        ("an object for a list", "[1]", r#"{"a":1,"b":null}"#, vec![r#"~: [1] -> {"a": 1}"#], [1, 0, 0, 0, 0]),
        (
            "names with signs",
            r#"{"a.b":{"":1,"c d":2}}"#,
            r#"{"a.b":{"":2,"c d":3,"\u0022]":4}}"#,
            vec![r#"~["a.b"][""]: 1 -> 2"#, r#"~["a.b"]["c d"]: 2 -> 3"#, r#"+["a.b"]["\"]"]: 4"#],
            [2, 1, 0, 0, 0],
        ),
    ] {
        let expected: Vec<String> = expected.into_iter().map(str::to_owned).collect();
        assert_eq!(of(Method::Patch, before, body), (expected, counts), "{name}");
    }
}

#[test]
fn a_put_takes_the_place_of_the_whole() {
    for (name, before, body, expected, counts) in [
        (
            "what is not named is gone",
            r#"{"a":1,"b":{"x":[1,2]}}"#,
            r#"{"c":null,"a":2}"#,
            vec!["+c: null", "~a: 1 -> 2", r#"-b: {"x": [1, 2]}"#],
            [1, 1, 1, 0, 0],
        ),
        (
            "order and spelling are nothing",
            r#"{"a":"é","b":[1e2]}"#,
            r#"{"b":[100.0], "a":"\u00e9"}"#,
            vec![],
            [0, 0, 0, 2, 0],
        ),
        (
            "kinds differ",
            r#"{"a":"1","b":true}"#,
            r#"{"a":1,"b":"true"}"#,
            vec![r#"~a: "1" -> 1"#, r#"~b: true -> "true""#],
            [2, 0, 0, 0, 0],
        ),
        ("empty containers", r#"{"a":{},"b":[]}"#, r#"{"a":[],"b":[]}"#, vec!["~a: {} -> []"], [1, 0, 0, 1, 0]),
        (
            "an emptied one",
            r#"{"a":{"x":1},"l":[1]}"#,
            r#"{"a":{},"l":[]}"#,
            vec!["-a.x: 1", "-l[0]: 1"],
            [0, 0, 2, 0, 0],
        ),
        (
            "lists of objects",
            r#"[{"id":1,"n":"a"}]"#,
            r#"[{"id":1,"n":"b"},{"id":2}]"#,
            vec![r#"~[0].n: "a" -> "b""#, r#"+[1]: {"id": 2}"#],
            [1, 1, 0, 1, 0],
        ),
        (
            "numbers beyond a double",
            r#"{"a":18446744073709551617,"b":0.30000000000000000001}"#,
            r#"{"a":18446744073709551616,"b":0.3}"#,
            vec!["~a: 18446744073709551617 -> 18446744073709551616", "~b: 0.30000000000000000001 -> 0.3"],
            [2, 0, 0, 0, 0],
        ),
    ] {
        let expected: Vec<String> = expected.into_iter().map(str::to_owned).collect();
        assert_eq!(of(Method::Put, before, body), (expected, counts), "{name}");
    }
}

#[test]
fn a_delete_takes_what_is_there() {
    let before = r#"{"id":7,"name":"x","owner":{"a":1},"items":[1,2],"none":{}}"#;
    let expected = ["-id: 7", r#"-name: "x""#, "-owner: 1 member", "-items: 2 elements", "-none: 0 members"];
    for body in ["", r#"{"force":true}"#] {
        assert_eq!(of(Method::Delete, before, body), (expected.map(str::to_owned).to_vec(), [0, 0, 5, 0, 0]));
    }
    assert_eq!(
        of(Method::Delete, r#"[{"a":1},2]"#, ""),
        (vec!["-[0]: 1 member".into(), "-[1]: 2".into()], [0, 0, 2, 0, 0])
    );
}

#[test]
fn what_is_empty_is_deleted_as_well() {
    for (before, row) in [("{}", "-: 0 members"), ("[]", "-: 0 elements")] {
        assert_eq!(of(Method::Delete, before, ""), (vec![row.to_owned()], [0, 0, 1, 0, 0]));
    }
}

#[test]
fn what_a_merge_leaves_alone_at_any_depth_is_counted() {
    let (rows, counts) = of(Method::Patch, r#"{"perm":{"owner":"ann","team":1},"b":2}"#, r#"{"perm":{}}"#);
    assert_eq!((rows, counts), (vec![], [0, 0, 0, 0, 3]));
}

#[test]
fn what_is_redacted_is_not_compared() {
    let long = format!("[{}\"[redacted]\"]", "1,".repeat(MAX_LIST));
    for (name, before, body, expected) in [
        ("the same text", r#"{"a":"[redacted]"}"#, r#"{"a":"[redacted]"}"#, vec!["?a"]),
        ("another one", r#"{"a":"[redacted]"}"#, r#"{"a":"s3cr3t"}"#, vec!["?a"]),
        ("an object", r#"{"a":"[redacted]"}"#, r#"{"a":{"b":1}}"#, vec!["?a"]),
        ("in a list", r#"{"a":[1,"[redacted]"]}"#, r#"{"a":[1,"[redacted]"]}"#, vec!["?a[1]"]),
        ("in a list that is one value", &long, &long, vec!["?"]),
    ] {
        for method in [Method::Put, Method::Patch].into_iter().filter(|_| body.starts_with('{')) {
            let change = change(method, before.as_bytes(), Some(body.as_bytes())).unwrap();
            assert_eq!(
                (rows(&change), change.hidden, change.changed),
                (expected.iter().map(|row| (*row).to_owned()).collect(), 1, 0),
                "{name}"
            );
        }
    }
    let change = change(Method::Put, long.as_bytes(), Some(long.as_bytes())).unwrap();
    assert_eq!((rows(&change), change.hidden, change.unchanged), (vec!["?".to_owned()], 1, 0));
    let gone = of(Method::Put, r#"{"a":"[redacted]"}"#, "{}");
    assert_eq!(gone, (vec![r#"-a: "[redacted]""#.to_owned()], [0, 0, 1, 0, 0]), "that it would be gone is known");
}

#[test]
fn what_cannot_be_compared_says_why() {
    let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
    let wide = format!("[{}1]", "1,".repeat(50_000));
    let long = format!("[\"{}\"]", "x".repeat(MAX_BYTES));
    let some = Some("{}");
    for (name, method, before, body, error) in [
        ("a POST", Method::Post, "{}", some, ChangeError::Method { method: Method::Post }),
        ("a GET", Method::Get, "{}", None, ChangeError::Method { method: Method::Get }),
        ("a PUT of nothing", Method::Put, "{}", None, ChangeError::NoBody),
        ("nothing", Method::Put, "", some, ChangeError::BeforeNotJson),
        ("a page", Method::Put, "<html>", some, ChangeError::BeforeNotJson),
        ("a name twice", Method::Put, r#"{"a":1,"a":2}"#, some, ChangeError::BeforeNotJson),
        ("too deep", Method::Put, &deep, some, ChangeError::BeforeNotJson),
        ("a text", Method::Put, r#""text""#, some, ChangeError::BeforeNotContainer),
        ("null", Method::Delete, "null", None, ChangeError::BeforeNotContainer),
        ("a number", Method::Patch, "1", some, ChangeError::BeforeNotContainer),
        ("too many values", Method::Put, &wide, some, ChangeError::TooLarge),
        ("too long", Method::Put, &long, some, ChangeError::TooLarge),
        ("a list as a PATCH", Method::Patch, r#"{"a":1}"#, Some("[]"), ChangeError::NoMerge),
        ("a text as a PATCH", Method::Patch, "[1]", Some(r#""a""#), ChangeError::NoMerge),
        ("a body that is no JSON", Method::Put, "{}", Some("{"), ChangeError::BodyNotJson),
        ("a body with a name twice", Method::Put, "{}", Some(r#"{"a":1,"a":2}"#), ChangeError::BodyNotJson),
    ] {
        assert_eq!(change(method, before.as_bytes(), body.map(str::as_bytes)), Err(error), "{name}");
    }
    assert_eq!(change(Method::Put, b"{\"a\":\"\xff\"}", Some(b"{}")), Err(ChangeError::BeforeNotJson));
}

#[test]
fn what_is_much_is_counted_and_what_is_long_is_cut() {
    let list =
        |length: usize| format!("{{\"l\":[{}]}}", (0..length).map(|n| n.to_string()).collect::<Vec<_>>().join(","));
    let (rows, counts) = of(Method::Put, &list(50), r#"{"l":[]}"#);
    assert_eq!((rows.len(), counts), (MAX_ROWS, [0, 0, 50, 0, 0]));
    let (rows, counts) = of(Method::Put, &list(51), &list(50));
    assert_eq!((rows.len(), counts), (1, [1, 0, 0, 0, 0]), "a list longer than 50 is one value");
    assert!(rows[0].starts_with("~l: [0, 1, 2,") && rows[0].contains("... ("), "{rows:?}");
    assert_eq!(of(Method::Put, &list(500), &list(500)).1, [0, 0, 0, 1, 0]);
    let long = format!("{{\"{0}\":\"{0}\"}}", "é".repeat(1_000));
    let change = change(Method::Delete, long.as_bytes(), None).unwrap();
    let Row { path, old: Some(old), new: None } = &change.rows[0] else { panic!("{change:?}") };
    assert!(path.len() < 400 && path.ends_with("... (2002 bytes)]"), "{path}");
    assert!(old.len() < 400 && old.ends_with("... (2002 bytes)"), "{old}");
}

/// RFC 7396 section 2, as it stands there.
fn merge_patch(target: Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else { return patch.clone() };
    let mut target = if let Value::Object(target) = target { target } else { Map::new() };
    for (name, value) in patch {
        if value.is_null() {
            target.shift_remove(name);
        } else {
            let old = target.shift_remove(name).unwrap_or(Value::Null);
            target.insert(name.clone(), merge_patch(old, value));
        }
    }
    Value::Object(target)
}

/// Goes through both values at once: paths whose values differ or that only one has.
fn differences(old: &Value, new: &Value) -> usize {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            let gone = old.keys().filter(|name| !new.contains_key(*name)).count();
            gone + new.iter().map(|(name, new)| old.get(name).map_or(1, |old| differences(old, new))).sum::<usize>()
        }
        (Value::Array(old), Value::Array(new)) => {
            old.len().abs_diff(new.len()) + old.iter().zip(new).map(|(old, new)| differences(old, new)).sum::<usize>()
        }
        _ => usize::from(old != new),
    }
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0_i32..4).prop_map(Value::from),
        "[ab]{0,2}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec(("[abc]", inner), 0..4)
                .prop_map(|members| Value::from(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

fn container() -> impl Strategy<Value = Value> {
    value().prop_map(|value| if value.is_object() || value.is_array() { value } else { json!({ "a": value }) })
}

proptest! {
    #[test]
    fn as_many_changes_are_reported_as_the_method_makes(before in container(), body in value(), put in any::<bool>()) {
        let body = if put || body.is_object() { body } else { json!({ "a": body }) };
        let (method, after) = if put {
            (Method::Put, body.clone())
        } else {
            (Method::Patch, merge_patch(before.clone(), &body))
        };
        let change = change(method, before.to_string().as_bytes(), Some(body.to_string().as_bytes())).unwrap();
        let reported = change.changed + change.added + change.removed;
        prop_assert_eq!(reported, differences(&before, &after), "{} {} {:?}", before, body, change);
        prop_assert_eq!(change.rows.len() + change.more, reported);
    }

    #[test]
    fn no_bytes_make_it_panic(before in "[\\[\\]{}\",:a0-9.eE+ \\\\-]{0,40}", body in "\\PC{0,20}", raw in prop::collection::vec(any::<u8>(), 0..40)) {
        for method in Method::ALL {
            for before in [before.as_bytes(), &raw, b"{\"a\":1}"] {
                for body in [None, Some(body.as_bytes()), Some(raw.as_slice())] {
                    let compared = change(method, before, body);
                    prop_assert!(compared.is_err() || std::str::from_utf8(before).is_ok());
                }
            }
        }
    }
}
