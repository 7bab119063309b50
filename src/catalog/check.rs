//! Whether a value keeps a reduced schema, and if not, what was expected where.
//!
//! It knows the keywords that [`super::schema`] writes and no others. By hand, since a general validator brings dozens of
//! crates, one of them a backtracking regex engine, for keywords that are never written here. Numbers are compared as the
//! decimals that they are. The work of one call is bounded; what would take more is refused.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use regex::Regex;
use serde_json::{Map, Number, Value};

use super::decimal::Decimal;
use super::excerpt::Excerpt;
use super::mismatch::{Expected, Mismatch};

/// The longest text that a pattern is held against, and how much text one call may have held against patterns, in
/// bytes: a pattern's cost grows with it. The rest the API judges.
const MAX_SEARCHED: usize = 4_096;
const MAX_SEARCHED_IN_ALL: usize = 64 << 10;

/// How many keywords, names and values are looked at for one call, and what a schema counts that may fail.
const MAX_STEPS: usize = 2_000_000;
const TRIAL: usize = 4;

/// Checks the arguments of one call.
pub(super) struct Checker<'a> {
    patterns: &'a HashMap<String, Arc<Regex>>,
    steps: Cell<usize>,
    searched: Cell<usize>,
    /// Whether something was let pass because it was not looked at.
    is_unsure: Cell<bool>,
}

impl<'a> Checker<'a> {
    pub(super) fn new(patterns: &'a HashMap<String, Arc<Regex>>) -> Self {
        Self {
            patterns,
            steps: Cell::new(MAX_STEPS),
            searched: Cell::new(MAX_SEARCHED_IN_ALL),
            is_unsure: Cell::new(false),
        }
    }

    /// Checks the value of one argument.
    pub(super) fn check(&self, argument: &str, schema: &Value, value: &Value) -> Result<(), Mismatch> {
        self.value(schema, value, &mut argument.to_owned())?;
        // What ran out where failing is good, as in `not`, has not shown that the value is.
        if self.has_steps(1) { Ok(()) } else { Err(Mismatch::new(argument, Expected::Less, value)) }
    }

    fn value(&self, schema: &Value, value: &Value, place: &mut String) -> Result<(), Mismatch> {
        let schema = match schema {
            Value::Object(schema) => schema,
            Value::Bool(false) => return Err(Mismatch::new(place, Expected::Absent, value)),
            Value::Bool(true) | Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) => return Ok(()),
        };
        for (keyword, rule) in schema {
            if !self.has_steps(1) {
                return Err(Mismatch::new(place, Expected::Less, value));
            }
            self.alone(keyword, rule, value).map_err(|expected| Mismatch::new(place, expected, value))?;
            self.with_parts(keyword, rule, schema, value, place)?;
        }
        Ok(())
    }

    /// Takes so many steps, if there are as many.
    fn has_steps(&self, count: usize) -> bool {
        let left = self.steps.get().checked_sub(count);
        self.steps.set(left.unwrap_or(0));
        left.is_some()
    }

    /// A keyword that needs no other schema.
    fn alone(&self, keyword: &str, rule: &Value, value: &Value) -> Result<(), Expected> {
        match (keyword, value) {
            ("type", _) => kind(rule, value),
            ("enum", _) => self.one_of(rule, value),
            ("const", _) if !same(rule, value) => Err(Expected::Const(Excerpt::of_json(rule))),
            ("pattern", Value::String(text)) => self.pattern(rule, text),
            ("minLength" | "maxLength", Value::String(text)) => length(keyword, rule, text.chars().count()),
            ("minItems" | "maxItems", Value::Array(items)) => length(keyword, rule, items.len()),
            ("minProperties" | "maxProperties", Value::Object(members)) => length(keyword, rule, members.len()),
            ("uniqueItems", Value::Array(items)) => self.unique(rule, items),
            ("required", Value::Object(members)) => self.required(rule, members),
            ("dependentRequired", Value::Object(members)) => self.dependent(rule, members),
            (_, Value::Number(number)) => measure(keyword, rule, number),
            _ => Ok(()),
        }
    }

    /// A keyword that holds the value or its parts against other schemas.
    fn with_parts(
        &self,
        keyword: &str,
        rule: &Value,
        schema: &Map<String, Value>,
        value: &Value,
        place: &mut String,
    ) -> Result<(), Mismatch> {
        match (keyword, value) {
            ("items", Value::Array(items)) => self.items(rule, items, place),
            ("contains", Value::Array(items)) => self.contains(rule, schema, items, value, place),
            ("properties", Value::Object(members)) => self.members(rule, members, place),
            ("additionalProperties", Value::Object(members)) => {
                self.additional(rule, schema.get("properties"), members, value, place)
            }
            ("allOf", _) => parts(rule).try_for_each(|part| self.value(part, value, place)),
            ("anyOf", _) => self.any(rule, value, place),
            ("not", _) => match self.holds(rule, value, place) {
                Some(true) => Err(Mismatch::new(place, Expected::Not, value)),
                Some(false) | None => Ok(()),
            },
            ("if", _) => {
                let branch = match self.holds(rule, value, place) {
                    Some(true) => schema.get("then"),
                    Some(false) => schema.get("else"),
                    None => None,
                };
                branch.map_or(Ok(()), |branch| self.value(branch, value, place))
            }
            _ => Ok(()),
        }
    }

    /// Whether a value keeps a schema; `None` where it may or may not.
    fn holds(&self, schema: &Value, value: &Value, place: &mut String) -> Option<bool> {
        let before = self.is_unsure.replace(false);
        let holds = self.has_steps(TRIAL) && self.value(schema, value, place).is_ok();
        let is_unsure = self.is_unsure.replace(before);
        // What was let pass can only have made a schema hold.
        if holds && is_unsure {
            self.is_unsure.set(true);
            return None;
        }
        Some(holds)
    }

    fn pattern(&self, rule: &Value, text: &str) -> Result<(), Expected> {
        let pattern = rule.as_str().unwrap_or_default();
        let left = self.searched.get().checked_sub(text.len()).filter(|_| text.len() <= MAX_SEARCHED);
        let (Some(left), Some(compiled)) = (left, self.patterns.get(pattern)) else {
            self.is_unsure.set(true);
            return Ok(());
        };
        self.searched.set(left);
        // A clone searches with memory of its own, which goes with it: what a pattern once needed is not kept.
        let is_match = Regex::clone(compiled).is_match(text);
        if is_match { Ok(()) } else { Err(Expected::Pattern(Excerpt::of(pattern))) }
    }

    fn one_of(&self, rule: &Value, value: &Value) -> Result<(), Expected> {
        let Value::Array(values) = rule else { return Ok(()) };
        if !self.has_steps(values.len()) {
            return Err(Expected::Less);
        }
        if values.iter().any(|allowed| same(allowed, value)) {
            return Ok(());
        }
        Err(Expected::OneOf(Excerpt::of_list(values)))
    }

    fn unique(&self, rule: &Value, items: &[Value]) -> Result<(), Expected> {
        if rule != &Value::Bool(true) {
            return Ok(());
        }
        let mut seen = HashSet::new();
        for item in items {
            let mut text = String::new();
            canonical(item, &mut text);
            if !self.has_steps(1 + text.len() / 8) {
                return Err(Expected::Less);
            }
            if !seen.insert(text) {
                return Err(Expected::Unique);
            }
        }
        Ok(())
    }

    fn required(&self, rule: &Value, members: &Map<String, Value>) -> Result<(), Expected> {
        let missing = self.missing(rule, members)?;
        missing.map_or(Ok(()), |name| Err(Expected::Member(Excerpt::of(name))))
    }

    fn dependent(&self, rule: &Value, members: &Map<String, Value>) -> Result<(), Expected> {
        for (name, names) in rule.as_object().into_iter().flatten().filter(|(name, _)| members.contains_key(*name)) {
            if let Some(missing) = self.missing(names, members)? {
                return Err(Expected::MemberBeside(Excerpt::of(missing), Excerpt::of(name)));
            }
        }
        Ok(())
    }

    /// The first of some names that is no member.
    fn missing<'r>(&self, names: &'r Value, members: &Map<String, Value>) -> Result<Option<&'r str>, Expected> {
        for name in parts(names).filter_map(Value::as_str) {
            if !self.has_steps(1) {
                return Err(Expected::Less);
            }
            if !members.contains_key(name) {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    fn items(&self, schema: &Value, items: &[Value], place: &mut String) -> Result<(), Mismatch> {
        for (index, item) in items.iter().enumerate() {
            self.below(schema, item, &index.to_string(), place)?;
        }
        Ok(())
    }

    fn contains(
        &self,
        rule: &Value,
        schema: &Map<String, Value>,
        items: &[Value],
        value: &Value,
        place: &mut String,
    ) -> Result<(), Mismatch> {
        let count = |keyword: &str| schema.get(keyword).and_then(Value::as_u64);
        let (mut sure, mut unsure) = (0_u64, 0_u64);
        for item in items {
            match self.holds(rule, item, place) {
                Some(true) => sure += 1,
                Some(false) => {}
                None => unsure += 1,
            }
        }
        let least = count("minContains").unwrap_or(1);
        if sure + unsure < least {
            return Err(Mismatch::new(place, Expected::Contains(least), value));
        }
        match count("maxContains") {
            Some(most) if sure > most => Err(Mismatch::new(place, Expected::ContainsAtMost(most), value)),
            Some(_) | None => Ok(()),
        }
    }

    fn members(&self, rule: &Value, members: &Map<String, Value>, place: &mut String) -> Result<(), Mismatch> {
        let Some(known) = rule.as_object() else { return Ok(()) };
        for (name, member) in members {
            if let Some(schema) = known.get(name) {
                self.below(schema, member, name, place)?;
            }
        }
        Ok(())
    }

    fn additional(
        &self,
        rule: &Value,
        known: Option<&Value>,
        members: &Map<String, Value>,
        value: &Value,
        place: &mut String,
    ) -> Result<(), Mismatch> {
        let is_known = |name: &String| known.and_then(|known| known.get(name)).is_some();
        for (name, member) in members.iter().filter(|(name, _)| !is_known(name)) {
            if rule == &Value::Bool(false) {
                return Err(Mismatch::new(place, Expected::NoMember(Excerpt::of(name)), value));
            }
            self.below(rule, member, name, place)?;
        }
        Ok(())
    }

    fn below(&self, schema: &Value, value: &Value, token: &str, place: &mut String) -> Result<(), Mismatch> {
        let length = place.len();
        place.push('/');
        place.push_str(&token.replace('~', "~0").replace('/', "~1"));
        let result = self.value(schema, value, place);
        place.truncate(length);
        result
    }

    fn any(&self, rule: &Value, value: &Value, place: &mut String) -> Result<(), Mismatch> {
        let mut first = None;
        let mut count = 0;
        for part in parts(rule) {
            if !self.has_steps(TRIAL) {
                return Err(Mismatch::new(place, Expected::Less, value));
            }
            match self.value(part, value, place) {
                Ok(()) => return Ok(()),
                Err(mismatch) => first = first.or(Some(mismatch)),
            }
            count += 1;
        }
        match first {
            None => Ok(()),
            Some(mismatch) if count == 1 || mismatch.is_about_work() => Err(mismatch),
            Some(_) => Err(Mismatch::new(place, Expected::Form, value)),
        }
    }
}

/// The elements of an array.
fn parts(rule: &Value) -> std::slice::Iter<'_, Value> {
    rule.as_array().map(Vec::as_slice).unwrap_or_default().iter()
}

fn kind(rule: &Value, value: &Value) -> Result<(), Expected> {
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
    match rule {
        Value::String(kind) if !fits(kind) => Err(Expected::Type(Excerpt::of(kind))),
        Value::Array(kinds) => {
            let kinds: Vec<&str> = kinds.iter().filter_map(Value::as_str).collect();
            match kinds.iter().any(|kind| fits(kind)) {
                true => Ok(()),
                false => Err(Expected::Type(Excerpt::of(&kinds.join(" or ")))),
            }
        }
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Ok(()),
    }
}

/// Equality of JSON Schema, in which 1 and 1.0 are one number and the order of members is none.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one == other || Decimal::of(one) == Decimal::of(other),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let has = |(name, member): (&String, &Value)| other.get(name).is_some_and(|other| same(member, other));
            one.len() == other.len() && one.iter().all(has)
        }
        (
            Value::Null | Value::Bool(_) | Value::String(_) | Value::Number(_) | Value::Array(_) | Value::Object(_),
            _,
        ) => one == other,
    }
}

/// A text that two values have in common where they are the [`same`], and only there.
fn canonical(value: &Value, text: &mut String) {
    match value {
        Value::Number(number) => match Decimal::of(number) {
            Some(number) => text.push_str(&number.to_string()),
            None => text.push_str(&number.to_string()),
        },
        Value::Array(items) => {
            text.push('[');
            for item in items {
                canonical(item, text);
                text.push(',');
            }
            text.push(']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            text.push('{');
            for (name, member) in members {
                text.push_str(&Value::from(name.as_str()).to_string());
                text.push(':');
                canonical(member, text);
                text.push(',');
            }
            text.push('}');
        }
        Value::Null | Value::Bool(_) | Value::String(_) => text.push_str(&value.to_string()),
    }
}

/// The six counts: of characters, elements or members.
fn length(keyword: &str, rule: &Value, length: usize) -> Result<(), Expected> {
    let Some(bound) = rule.as_u64() else { return Ok(()) };
    let length = u64::try_from(length).unwrap_or(u64::MAX);
    match keyword.strip_prefix("min") {
        Some(_) if length < bound => Err(Expected::Longer(bound)),
        None if length > bound => Err(Expected::Shorter(bound)),
        Some(_) | None => Ok(()),
    }
}

/// Bounds of a number, and `multipleOf`.
fn measure(keyword: &str, rule: &Value, number: &Number) -> Result<(), Expected> {
    let Value::Number(bound) = rule else { return Ok(()) };
    let (Some(number), Some(exact)) = (Decimal::of(number), Decimal::of(bound)) else { return Ok(()) };
    let bound = || Excerpt::of(&bound.to_string());
    match keyword {
        "minimum" if number < exact => Err(Expected::AtLeast(bound())),
        "maximum" if number > exact => Err(Expected::AtMost(bound())),
        "exclusiveMinimum" if number <= exact => Err(Expected::MoreThan(bound())),
        "exclusiveMaximum" if number >= exact => Err(Expected::LessThan(bound())),
        "multipleOf" if !number.is_multiple_of(exact) => Err(Expected::MultipleOf(bound())),
        _ => Ok(()),
    }
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
                "the argument `a` must hold at most 2 characters, elements or members, and is `\"\\u{e4}\\u{f6}\\u{fc}\"`",
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
                "the argument `a` must hold at least 1 characters, elements or members, and is `\"\"`",
            ),
            (json!(false), json!(1), "the argument `a` must be absent, and is `1`"),
        ];
        for (schema, value, expected) in cases {
            let found = Checker::new(&HashMap::new()).check("a", &schema, &value).map_err(|error| error.to_string());
            assert_eq!(found.err().unwrap_or_default(), expected, "{schema} {value}");
        }
    }

    #[test]
    fn a_pattern_is_searched_for_in_the_text() {
        let patterns = HashMap::from([("^[a-z]+$".to_owned(), Arc::new(Regex::new("^[a-z]+$").unwrap()))]);
        let schema = json!({"pattern": "^[a-z]+$"});
        let keeps = |value: Value| Checker::new(&patterns).check("a", &schema, &value).is_ok();
        assert!(keeps(json!("abc")) && !keeps(json!("abc1")) && keeps(json!(1)));
    }
}
