//! Whether a value keeps a reduced schema, and if not, what was expected where.
//!
//! It knows the keywords that [`super::schema`] writes and no others. By hand, since a general validator brings dozens of
//! crates, one of them a backtracking regex engine, for keywords that are never written here.

use std::collections::HashMap;
use std::sync::Arc;

use regex::Regex;
use serde_json::{Map, Value};

use super::excerpt::Excerpt;

/// The longest text that a pattern is held against, in bytes: a pattern's cost grows with it. Longer ones the API judges.
const MAX_SEARCHED: usize = 4_096;

/// Values that nest deeper are not looked at; the strict pass has bounded them.
const MAX_DEPTH: usize = 64;

/// A value that does not keep its schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}, and is `{found}`", self.cause())]
pub struct Mismatch {
    /// The argument and, below it, a JSON pointer.
    place: Excerpt,
    expected: Expected,
    found: Excerpt,
}

impl Mismatch {
    /// What was expected where, without what was found.
    pub(super) fn cause(&self) -> String {
        format!("the argument `{}` must {}", self.place, self.expected)
    }
}

/// What a schema asks for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Expected {
    #[error("be of type {0}")]
    Type(Excerpt),
    #[error("be one of {0}")]
    OneOf(Excerpt),
    #[error("be {0}")]
    Const(Excerpt),
    #[error("be at least {0}")]
    AtLeast(Excerpt),
    #[error("be at most {0}")]
    AtMost(Excerpt),
    #[error("be more than {0}")]
    MoreThan(Excerpt),
    #[error("be less than {0}")]
    LessThan(Excerpt),
    #[error("hold at least {0} characters or elements")]
    Longer(u64),
    #[error("hold at most {0} characters or elements")]
    Shorter(u64),
    #[error("match the pattern {0}")]
    Pattern(Excerpt),
    #[error("hold the member {0}")]
    Member(Excerpt),
    #[error("hold no member {0}")]
    NoMember(Excerpt),
    #[error("keep one of the forms in the schema")]
    Form,
    #[error("be absent")]
    Absent,
}

/// Checks the value of one argument.
pub(super) fn check(
    argument: &str,
    schema: &Value,
    value: &Value,
    patterns: &HashMap<String, Arc<Regex>>,
) -> Result<(), Mismatch> {
    let mut place = argument.to_owned();
    Checker { patterns }.value(schema, value, &mut place, 0)
}

struct Checker<'a> {
    patterns: &'a HashMap<String, Arc<Regex>>,
}

impl Checker<'_> {
    fn value(&self, schema: &Value, value: &Value, place: &mut String, depth: usize) -> Result<(), Mismatch> {
        let wrong = |expected| Mismatch { place: Excerpt::of(place), expected, found: Excerpt::of(&value.to_string()) };
        let schema = match schema {
            Value::Object(schema) => schema,
            Value::Bool(false) => return Err(wrong(Expected::Absent)),
            Value::Bool(true) | Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) => return Ok(()),
        };
        if depth > MAX_DEPTH {
            return Ok(());
        }
        kinds(schema, value)
            .and_then(|()| bounds(schema, value))
            .and_then(|()| self.lengths(schema, value))
            .map_err(wrong)?;
        self.inside(schema, value, place, depth)?;
        self.combined(schema, value, place, depth)
    }

    fn lengths(&self, schema: &Map<String, Value>, value: &Value) -> Result<(), Expected> {
        let (length, least, most) = match value {
            Value::String(text) => (text.chars().count(), "minLength", "maxLength"),
            Value::Array(items) => (items.len(), "minItems", "maxItems"),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => return Ok(()),
        };
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        if let Some(least) = schema.get(least).and_then(Value::as_u64).filter(|least| length < *least) {
            return Err(Expected::Longer(least));
        }
        if let Some(most) = schema.get(most).and_then(Value::as_u64).filter(|most| length > *most) {
            return Err(Expected::Shorter(most));
        }
        if let (Some(pattern), Value::String(text)) = (schema.get("pattern").and_then(Value::as_str), value)
            && text.len() <= MAX_SEARCHED
            // A clone searches with memory of its own, which goes with it: what a pattern once needed is not kept.
            && self.patterns.get(pattern).is_some_and(|compiled| !Regex::clone(compiled).is_match(text))
        {
            return Err(Expected::Pattern(Excerpt::of(pattern)));
        }
        Ok(())
    }

    fn inside(
        &self,
        schema: &Map<String, Value>,
        value: &Value,
        place: &mut String,
        depth: usize,
    ) -> Result<(), Mismatch> {
        match value {
            Value::Array(items) => {
                let Some(schema) = schema.get("items") else { return Ok(()) };
                for (index, item) in items.iter().enumerate() {
                    self.below(schema, item, &index.to_string(), place, depth)?;
                }
                Ok(())
            }
            Value::Object(members) => self.members(schema, members, place, depth),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
        }
    }

    fn members(
        &self,
        schema: &Map<String, Value>,
        members: &Map<String, Value>,
        place: &mut String,
        depth: usize,
    ) -> Result<(), Mismatch> {
        let wrong =
            |place: &str, expected| Mismatch { place: Excerpt::of(place), expected, found: Excerpt::of("an object") };
        let required = schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        for name in required {
            if !members.contains_key(name) {
                return Err(wrong(place, Expected::Member(Excerpt::of(name))));
            }
        }
        let known = schema.get("properties").and_then(Value::as_object);
        let rest = schema.get("additionalProperties");
        for (name, member) in members {
            match (known.and_then(|known| known.get(name)), rest) {
                (Some(schema), _) => self.below(schema, member, name, place, depth)?,
                (None, Some(Value::Bool(false))) => return Err(wrong(place, Expected::NoMember(Excerpt::of(name)))),
                (None, Some(schema)) => self.below(schema, member, name, place, depth)?,
                (None, None) => {}
            }
        }
        Ok(())
    }

    fn below(
        &self,
        schema: &Value,
        value: &Value,
        token: &str,
        place: &mut String,
        depth: usize,
    ) -> Result<(), Mismatch> {
        let length = place.len();
        place.push('/');
        place.push_str(&token.replace('~', "~0").replace('/', "~1"));
        let result = self.value(schema, value, place, depth + 1);
        place.truncate(length);
        result
    }

    fn combined(
        &self,
        schema: &Map<String, Value>,
        value: &Value,
        place: &mut String,
        depth: usize,
    ) -> Result<(), Mismatch> {
        for part in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
            self.value(part, value, place, depth + 1)?;
        }
        let Some(parts) = schema.get("anyOf").and_then(Value::as_array) else { return Ok(()) };
        let mut first = None;
        for part in parts {
            match self.value(part, value, place, depth + 1) {
                Ok(()) => return Ok(()),
                Err(mismatch) => first = first.or(Some(mismatch)),
            }
        }
        match (first, parts.len()) {
            (None, _) => Ok(()),
            (Some(mismatch), 1) => Err(mismatch),
            (Some(mismatch), _) => {
                Err(Mismatch { place: Excerpt::of(place), expected: Expected::Form, found: mismatch.found })
            }
        }
    }
}

/// `type`, `enum`, `const`.
fn kinds(schema: &Map<String, Value>, value: &Value) -> Result<(), Expected> {
    let fits = |kind: &str| match (kind, value) {
        ("integer", Value::Number(number)) => {
            !number.is_f64() || number.as_f64().is_some_and(|number| number.fract() == 0.0)
        }
        ("number", Value::Number(_))
        | ("string", Value::String(_))
        | ("boolean", Value::Bool(_))
        | ("null", Value::Null)
        | ("array", Value::Array(_))
        | ("object", Value::Object(_)) => true,
        (
            _,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_),
        ) => false,
    };
    match schema.get("type") {
        Some(Value::String(kind)) if !fits(kind) => return Err(Expected::Type(Excerpt::of(kind))),
        Some(Value::Array(kinds)) => {
            let kinds: Vec<&str> = kinds.iter().filter_map(Value::as_str).collect();
            if !kinds.iter().any(|kind| fits(kind)) {
                return Err(Expected::Type(Excerpt::of(&kinds.join(" or "))));
            }
        }
        Some(Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => {}
    }
    if let Some(Value::Array(values)) = schema.get("enum")
        && !values.iter().any(|allowed| same(allowed, value))
    {
        let shown: Vec<String> = values.iter().map(Value::to_string).collect();
        return Err(Expected::OneOf(Excerpt::of(&shown.join(", "))));
    }
    match schema.get("const") {
        Some(only) if !same(only, value) => Err(Expected::Const(Excerpt::of(&only.to_string()))),
        Some(_) | None => Ok(()),
    }
}

/// Equality of JSON Schema, in which 1 and 1.0 are one number.
fn same(one: &Value, other: &Value) -> bool {
    one == other || matches!((one, other), (Value::Number(one), Value::Number(other)) if one.as_f64() == other.as_f64())
}

fn bounds(schema: &Map<String, Value>, value: &Value) -> Result<(), Expected> {
    let Some(number) = value.as_f64() else { return Ok(()) };
    let bound = |keyword: &str| schema.get(keyword).and_then(|bound| Some((bound.as_f64()?, bound.to_string())));
    if let Some((_, text)) = bound("minimum").filter(|(bound, _)| number < *bound) {
        return Err(Expected::AtLeast(Excerpt::of(&text)));
    }
    if let Some((_, text)) = bound("maximum").filter(|(bound, _)| number > *bound) {
        return Err(Expected::AtMost(Excerpt::of(&text)));
    }
    if let Some((_, text)) = bound("exclusiveMinimum").filter(|(bound, _)| number <= *bound) {
        return Err(Expected::MoreThan(Excerpt::of(&text)));
    }
    if let Some((_, text)) = bound("exclusiveMaximum").filter(|(bound, _)| number >= *bound) {
        return Err(Expected::LessThan(Excerpt::of(&text)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_keeps_its_schema_or_the_message_says_what_was_expected() {
        let cases = [
            (json!({"type": "integer"}), json!(1), ""),
            (json!({"type": "integer"}), json!(1.0), ""),
            (json!({"type": "integer"}), json!(1.5), "the argument `a` must be of type integer, and is `1.5`"),
            (json!({"type": "integer"}), json!("1"), "the argument `a` must be of type integer, and is `\"1\"`"),
            (json!({"type": ["string", "null"]}), json!(null), ""),
            (
                json!({"type": ["string", "null"]}),
                json!([]),
                "the argument `a` must be of type string or null, and is `[]`",
            ),
            (json!({"enum": ["x", 1]}), json!(1.0), ""),
            (json!({"enum": ["x", 1]}), json!("y"), "the argument `a` must be one of \"x\", 1, and is `\"y\"`"),
            (json!({"const": true}), json!(false), "the argument `a` must be true, and is `false`"),
            (json!({"minimum": 2}), json!(1), "the argument `a` must be at least 2, and is `1`"),
            (json!({"exclusiveMaximum": 2}), json!(2), "the argument `a` must be less than 2, and is `2`"),
            (
                json!({"maxLength": 2}),
                json!("äöü"),
                "the argument `a` must hold at most 2 characters or elements, and is `\"\\u{e4}\\u{f6}\\u{fc}\"`",
            ),
            (
                json!({"items": {"type": "string"}}),
                json!(["x", 1]),
                "the argument `a/1` must be of type string, and is `1`",
            ),
            (
                json!({"properties": {"b/c": {"type": "null"}}}),
                json!({"b/c": 1}),
                "the argument `a/b~1c` must be of type null, and is `1`",
            ),
            (json!({"required": ["b"]}), json!({}), "the argument `a` must hold the member b, and is `an object`"),
            (
                json!({"additionalProperties": false}),
                json!({"b": 1}),
                "the argument `a` must hold no member b, and is `an object`",
            ),
            (
                json!({"anyOf": [{"type": "string"}, {"type": "null"}]}),
                json!(1),
                "the argument `a` must keep one of the forms in the schema, and is `1`",
            ),
            (
                json!({"allOf": [{"type": "string"}, {"minLength": 1}]}),
                json!(""),
                "the argument `a` must hold at least 1 characters or elements, and is `\"\"`",
            ),
            (json!(false), json!(1), "the argument `a` must be absent, and is `1`"),
        ];
        for (schema, value, expected) in cases {
            let found = check("a", &schema, &value, &HashMap::new()).map_err(|error| error.to_string());
            assert_eq!(found.err().unwrap_or_default(), expected, "{schema} {value}");
        }
    }

    #[test]
    fn a_pattern_is_searched_for_in_the_text() {
        let patterns = HashMap::from([("^[a-z]+$".to_owned(), Arc::new(Regex::new("^[a-z]+$").unwrap()))]);
        let schema = json!({"pattern": "^[a-z]+$"});
        assert!(check("a", &schema, &json!("abc"), &patterns).is_ok());
        assert!(check("a", &schema, &json!("abc1"), &patterns).is_err());
        assert!(check("a", &schema, &json!(1), &patterns).is_ok());
    }
}
