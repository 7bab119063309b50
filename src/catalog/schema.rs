//! A schema of the document reduced to what an agent needs and [`super::check`] understands.
//!
//! Promises: plain JSON Schema 2020-12 without references, small, and never stricter than the document's. Where a
//! schema is too deep, too large or runs in a circle, its inner part becomes its bare type; keywords of OpenAPI alone
//! are translated or dropped. `oneOf` is given as `anyOf`: the API itself judges which one it was.

use std::collections::HashMap;
use std::sync::Arc;

use regex::Regex;
use serde_json::{Map, Value, json};

use super::budget::Work;
use super::document::{Document, Span};
use super::excerpt::Excerpt;
use super::members::{Members, elements};
use super::text::{MAX_DESCRIPTION, hidden, hidden_in, sentence};
use super::warning::Note;

/// How large the schema of one operation grows before inner schemas become bare types, in bytes.
const MAX_SIZE: usize = 6 << 10;

/// How deep a schema is followed before inner schemas become bare types.
const MAX_DEPTH: usize = 6;

/// The longest `enum` and the longest `default` that are kept, in bytes.
const MAX_ENUM: usize = 1_500;
const MAX_DEFAULT: usize = 80;

/// The most parts of an `allOf`, `anyOf` or `oneOf`; a longer list is not checked.
const MAX_PARTS: usize = 32;

/// The longest name of a member and the longest `type`, in bytes; the most names that are required.
const MAX_NAME: usize = 500;
const MAX_TYPE: usize = 200;
const MAX_REQUIRED: usize = 1_000;

/// The most warnings of one operation's schemas.
const MAX_NOTES: usize = 16;

/// The types of JSON Schema.
const TYPES: [&str; 7] = ["array", "boolean", "integer", "null", "number", "object", "string"];

/// Formats that say how a text is written where its description often does not.
const FORMATS: [&str; 6] = ["date", "date-time", "email", "time", "uri", "uuid"];

/// Keywords whose value is a count and is kept as it is.
const COUNTS: [&str; 4] = ["minLength", "maxLength", "minItems", "maxItems"];

/// Reduces the schemas of one operation, under one budget.
pub(super) struct Reducer<'d> {
    document: &'d Document,
    work: Work,
    left: usize,
    /// The references that are being followed.
    open: Vec<Span>,
    patterns: HashMap<String, Arc<Regex>>,
    notes: Vec<Note>,
}

impl<'d> Reducer<'d> {
    pub(super) fn new(document: &'d Document) -> Self {
        Self {
            document,
            work: document.pool.lend(),
            left: MAX_SIZE,
            open: Vec::new(),
            patterns: HashMap::new(),
            notes: Vec::new(),
        }
    }

    /// The schema at a place, reduced. It is any value where the schemas of the document take too much memory.
    pub(super) fn at(&mut self, span: &Span) -> Value {
        let pool = &self.document.pool;
        if pool.has_room() {
            let schema = self.schema(self.document.slice(span), 0);
            if pool.keeps(&schema) {
                return schema;
            }
        }
        self.note(Note::TooLarge);
        json!({})
    }

    /// The members of an object, or of the one that it refers to.
    pub(super) fn resolved(&mut self, text: &'d str) -> Option<Members<'d>> {
        let members = self.members(text)?;
        match members.text("$ref") {
            Some(reference) => {
                let target = self.document.resolve(&reference, &mut self.work).ok()?;
                self.members(target)
            }
            None => Some(members),
        }
    }

    /// The first elements of an array, at most so many.
    pub(super) fn elements(&mut self, text: &'d str, most: usize) -> Option<Vec<&'d str>> {
        self.work.charge(text.len()).ok()?;
        elements(text, most)
    }

    /// Where a part of the document stands in it.
    pub(super) fn span(&self, part: &'d str) -> Span {
        self.document.span(part)
    }

    /// The compiled patterns, and what was found wrong.
    pub(super) fn finish(mut self) -> (HashMap<String, Arc<Regex>>, Vec<Note>) {
        if self.work.is_spent() {
            self.note(Note::TooMuch);
        }
        self.document.pool.give_back(&self.work);
        (self.patterns, self.notes)
    }

    fn spend(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(bytes);
    }

    fn note(&mut self, note: Note) {
        if self.notes.len() < MAX_NOTES {
            self.notes.push(note);
        }
    }

    pub(super) fn members(&mut self, text: &'d str) -> Option<Members<'d>> {
        self.work.members(text).ok().flatten()
    }

    fn schema(&mut self, text: &'d str, depth: usize) -> Value {
        if text == "false" {
            return json!(false);
        }
        let Some(members) = self.members(text) else {
            return json!({});
        };
        if let Some(reference) = members.text("$ref") {
            return self.referred(&reference, &members, depth);
        }
        let nullable = members.is_true("nullable");
        if depth > MAX_DEPTH || self.left == 0 {
            return with_null_if(nullable, bare(&members));
        }
        let mut schema = Map::new();
        self.plain_keywords(&members, &mut schema);
        bounds(&members, &mut schema);
        self.pattern(&members, &mut schema);
        if let Some(items) = members.get("items") {
            let items = self.schema(items, depth + 1);
            if items != json!({}) {
                schema.insert("items".to_owned(), items);
            }
        }
        self.properties(&members, &mut schema, depth);
        self.combined(&members, &mut schema, depth);
        self.spend(schema.keys().map(|key| key.len() + 6).sum());
        with_null_if(nullable, Value::Object(snug(schema)))
    }

    fn referred(&mut self, reference: &str, members: &Members<'_>, depth: usize) -> Value {
        let target = match self.document.resolve(reference, &mut self.work) {
            Ok(target) => target,
            Err(why) => {
                self.note(Note::Schema { reference: Excerpt::of(reference), why });
                return json!({});
            }
        };
        let span = self.document.span(target);
        if self.open.contains(&span) {
            return self.members(target).map_or_else(|| json!({}), |members| bare(&members));
        }
        self.open.push(span);
        let mut schema = self.schema(target, depth);
        self.open.pop();
        if let (Value::Object(schema), Some(text)) = (&mut schema, members.text("description")) {
            schema.insert("description".to_owned(), Value::from(sentence(&text, MAX_DESCRIPTION)));
        }
        schema
    }

    fn plain_keywords(&mut self, members: &Members<'_>, schema: &mut Map<String, Value>) {
        if let Some(kind) = kind(members) {
            schema.insert("type".to_owned(), kind);
        }
        let description = members.text("description").map(|text| sentence(&text, MAX_DESCRIPTION));
        if let Some(text) = description.filter(|text| !text.is_empty()) {
            self.spend(text.len());
            schema.insert("description".to_owned(), Value::from(text));
        }
        for (keyword, most) in [("enum", MAX_ENUM), ("const", MAX_ENUM), ("default", MAX_DEFAULT)] {
            let raw = members.get(keyword).filter(|raw| raw.len() <= most);
            let value = raw.and_then(|raw| serde_json::from_str::<Value>(raw).ok());
            let Some(value) = value.filter(|value| keyword != "enum" || value.is_array()) else { continue };
            if let Some(found) = hidden_in(&value) {
                self.note(Note::Hidden { what: keyword, found });
                continue;
            }
            self.spend(raw.map_or(0, str::len));
            schema.insert(keyword.to_owned(), value);
        }
        for keyword in COUNTS {
            if let Some(count) = members.get(keyword).and_then(|raw| raw.parse::<u64>().ok()) {
                schema.insert(keyword.to_owned(), Value::from(count));
            }
        }
        if let Some(format) = members.text("format").filter(|format| FORMATS.contains(&format.as_ref())) {
            schema.insert("format".to_owned(), Value::from(format));
        }
    }

    fn pattern(&mut self, members: &Members<'_>, schema: &mut Map<String, Value>) {
        let Some(pattern) = members.text("pattern") else { return };
        let Some(compiled) = self.document.pool.pattern(&pattern) else {
            return self.note(Note::Pattern(Excerpt::of(&pattern)));
        };
        if let Some(found) = hidden(&pattern) {
            return self.note(Note::Hidden { what: "pattern", found });
        }
        self.patterns.insert(pattern.to_string(), compiled);
        self.spend(pattern.len());
        schema.insert("pattern".to_owned(), Value::from(pattern));
    }

    fn properties(&mut self, members: &Members<'d>, schema: &mut Map<String, Value>, depth: usize) {
        let mut complete = true;
        if let Some(properties) = members.get("properties").and_then(|text| self.members(text)) {
            let mut kept = Map::new();
            for (name, property) in properties.iter() {
                if self.left == 0 || name.len() > MAX_NAME {
                    complete = false;
                    break;
                }
                if self.members(property).is_some_and(|property| property.is_true("readOnly")) {
                    continue;
                }
                if let Some(found) = hidden(name) {
                    self.note(Note::Hidden { what: "properties", found });
                    complete = false;
                    continue;
                }
                self.spend(name.len() + 4);
                kept.insert(name.to_owned(), self.schema(property, depth + 1));
            }
            let required: Vec<Value> = members
                .get("required")
                .and_then(|required| self.elements(required, MAX_REQUIRED))
                .unwrap_or_default()
                .into_iter()
                .filter_map(|name| serde_json::from_str(name).ok())
                .filter(|name: &Value| name.as_str().is_some_and(|name| kept.contains_key(name)))
                .collect();
            schema.insert("properties".to_owned(), Value::Object(snug(kept)));
            if !required.is_empty() {
                schema.insert("required".to_owned(), Value::Array(required));
            }
        }
        let additional = members.get("additionalProperties").filter(|text| complete && *text != "true");
        let patterned = members.get("patternProperties").is_some();
        if let Some(text) = additional.filter(|text| *text != "false" || !patterned) {
            let additional = self.schema(text, depth + 1);
            if additional != json!({}) && !patterned {
                schema.insert("additionalProperties".to_owned(), additional);
            }
        }
    }

    fn combined(&mut self, members: &Members<'d>, schema: &mut Map<String, Value>, depth: usize) {
        for (keyword, ours) in [("allOf", "allOf"), ("anyOf", "anyOf"), ("oneOf", "anyOf")] {
            let parts = members.get(keyword).and_then(|parts| self.elements(parts, MAX_PARTS + 1));
            let Some(parts) = parts else { continue };
            if self.left == 0 || parts.is_empty() || parts.len() > MAX_PARTS {
                continue;
            }
            let parts: Vec<Value> = parts.into_iter().map(|part| self.schema(part, depth + 1)).collect();
            let alone = match parts.as_slice() {
                [Value::Object(part)] => Some(part),
                _ => None,
            };
            // `allOf` around one reference is how 3.0 gives a reference a description or a null.
            if let Some(part) =
                alone.filter(|part| part.keys().all(|key| key == "description" || !schema.contains_key(key)))
            {
                for (key, value) in part {
                    schema.entry(key).or_insert_with(|| value.clone());
                }
            } else if ours == "allOf" || !parts.contains(&json!({})) {
                match schema.get_mut(ours) {
                    // Both `anyOf` and `oneOf`: each must hold.
                    Some(_) => schema.insert("allOf".to_owned(), json!([{ ours: parts }])),
                    None => schema.insert(ours.to_owned(), Value::Array(parts)),
                };
            }
        }
    }
}

/// The same map in no more memory than it needs: most have one or two members, and there are many of them.
pub(super) fn snug(map: Map<String, Value>) -> Map<String, Value> {
    map.into_iter().collect()
}

/// A schema's type alone.
fn bare(members: &Members<'_>) -> Value {
    kind(members).map_or_else(|| json!({}), |kind| json!({ "type": kind }))
}

/// `type`, where it says something that JSON Schema knows.
fn kind(members: &Members<'_>) -> Option<Value> {
    let known = |kind: &str| TYPES.contains(&kind);
    if let Some(kind) = members.text("type") {
        return known(&kind).then(|| Value::from(kind));
    }
    let kinds: Vec<Value> = serde_json::from_str(members.get("type").filter(|kinds| kinds.len() <= MAX_TYPE)?).ok()?;
    let all_known =
        (1..=TYPES.len()).contains(&kinds.len()) && kinds.iter().all(|kind| kind.as_str().is_some_and(known));
    all_known.then_some(Value::Array(kinds))
}

/// Bounds of numbers; `exclusiveMinimum: true` is how 3.0 says that `minimum` itself is out.
fn bounds(members: &Members<'_>, schema: &mut Map<String, Value>) {
    for (bound, exclusive) in [("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")] {
        let number = |keyword: &str| {
            let raw = members.get(keyword).filter(|raw| raw.len() <= MAX_DEFAULT)?;
            serde_json::from_str::<Value>(raw).ok().filter(Value::is_number)
        };
        if let Some(number) = number(bound) {
            let keyword = if members.is_true(exclusive) { exclusive } else { bound };
            schema.insert(keyword.to_owned(), number);
        }
        if let Some(number) = number(exclusive) {
            schema.insert(exclusive.to_owned(), number);
        }
    }
}

fn with_null_if(nullable: bool, schema: Value) -> Value {
    if nullable { with_null(schema) } else { schema }
}

/// The schema, with null besides what it admits.
fn with_null(schema: Value) -> Value {
    let Value::Object(mut schema) = schema else {
        return schema;
    };
    if let Some(Value::Array(values)) = schema.get_mut("enum")
        && !values.contains(&Value::Null)
    {
        values.push(Value::Null);
    }
    let combined = schema.contains_key("allOf");
    match schema.get_mut("type") {
        Some(Value::Array(kinds)) => kinds.push(json!("null")),
        Some(kind) => *kind = json!([kind.take(), "null"]),
        None if combined => return json!({"anyOf": [Value::Object(schema), {"type": "null"}]}),
        None => {
            if let Some(Value::Array(parts)) = schema.get_mut("anyOf") {
                parts.push(json!({"type": "null"}));
            }
        }
    }
    Value::Object(schema)
}

/// The schema, without null.
pub(super) fn without_null(mut schema: Value) -> Value {
    if let Some(Value::Array(values)) = schema.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    if let Some(kind) = schema.get_mut("type")
        && let Value::Array(kinds) = kind
    {
        kinds.retain(|kind| kind != "null");
        if let [only] = kinds.as_mut_slice() {
            *kind = only.take();
        }
    }
    if let Some(Value::Array(parts)) = schema.get_mut("anyOf") {
        parts.retain(|part| *part != json!({"type": "null"}));
    }
    schema
}
