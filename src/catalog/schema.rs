//! A schema of the document reduced to what an agent needs and [`super::check`] understands.
//!
//! Promises: plain JSON Schema 2020-12 without references, small, and never stricter than the document's. Where a
//! schema is too deep, too large or runs in a circle, its inner part becomes its bare type; keywords of OpenAPI alone
//! are translated or dropped. `oneOf` is given as `anyOf`: the API itself judges which one it was. What may only ask less
//! must not stand where less means more: `not`, `if` and `maxContains` are given where their schema is kept to the letter.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use regex::Regex;
use serde_json::{Map, Value, json};

use super::budget::Work;
use super::document::{Document, Span};
use super::excerpt::Excerpt;
use super::keywords::{bare, count, is_annotation, kind, measures, with_null};
use super::members::{Members, elements};
use super::text::{MAX_DESCRIPTION, hidden, hidden_in, sentence};
use super::warning::Note;
use crate::json;

/// How large the schema of one operation grows before inner schemas become bare types, in bytes.
const MAX_SIZE: usize = 6 << 10;

/// How deep a schema is followed before inner schemas become bare types.
const MAX_DEPTH: usize = 6;

/// The longest `enum`, `dependentRequired` or list of names, and the longest `default` that are kept, in bytes.
const MAX_ENUM: usize = 1_500;
const MAX_DEFAULT: usize = 80;

/// The most parts of an `allOf`, `anyOf` or `oneOf`; a longer list is not checked.
const MAX_PARTS: usize = 32;

/// The longest name of a member, in bytes; the most names that are required.
const MAX_NAME: usize = 500;
const MAX_REQUIRED: usize = 1_000;

/// The most warnings of one operation's schemas.
const MAX_NOTES: usize = 16;

/// Formats that say how a text is written where its description often does not.
const FORMATS: [&str; 6] = ["date", "date-time", "email", "time", "uri", "uuid"];

/// Reduces the schemas of one operation, under one budget.
pub(super) struct Reducer<'d> {
    document: &'d Document,
    work: Work,
    left: usize,
    /// The references that are being followed.
    open: Vec<Span>,
    /// The members that the schemas seen so far of one value name, which may be required.
    named: Vec<String>,
    /// Whether something was left out of a schema that has to be kept to the letter, if there is one.
    is_lost: bool,
    exactly: usize,
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
            named: Vec::new(),
            is_lost: false,
            exactly: 0,
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
            self.is_lost |= text != "true";
            return json!({});
        };
        if let Some(reference) = members.text("$ref") {
            return self.referred(&reference, &members, depth);
        }
        let nullable = members.is_true("nullable");
        let mut schema = Map::new();
        if depth > MAX_DEPTH || self.left == 0 {
            schema.extend(kind(&members).map(|kind| ("type".to_owned(), kind)));
        } else {
            self.plain_keywords(&members, &mut schema);
            measures(&members, &mut schema);
            self.pattern(&members, &mut schema);
            self.of_array(&members, &mut schema, depth);
            self.of_object(&members, &mut schema, depth);
            self.combined(&members, &mut schema, depth);
            self.required(&members, &mut schema);
            self.negated(&members, &mut schema, depth);
        }
        self.is_lost |= !members.iter().all(|(keyword, _)| is_annotation(keyword) || schema.contains_key(keyword));
        self.spend(schema.keys().map(|key| key.len() + 6).sum());
        let schema = Value::Object(snug(schema));
        if nullable { with_null(schema) } else { schema }
    }

    /// A schema of another value than the one that is looked at: what was named so far is no member of it.
    fn below(&mut self, text: &'d str, depth: usize) -> Value {
        let outer = std::mem::take(&mut self.named);
        let schema = self.schema(text, depth + 1);
        self.named = outer;
        schema
    }

    /// A schema of the same value that need not hold: what it names may not be there.
    fn beside(&mut self, text: &'d str, depth: usize) -> Value {
        let outer = self.named.len();
        let schema = self.schema(text, depth + 1);
        self.named.truncate(outer);
        schema
    }

    /// A schema by one of these, with nothing left out of it; `None` where that cannot be.
    fn exact(&mut self, text: &'d str, depth: usize, reduce: fn(&mut Self, &'d str, usize) -> Value) -> Option<Value> {
        let outer = std::mem::replace(&mut self.is_lost, false);
        self.exactly += 1;
        let schema = reduce(self, text, depth);
        self.exactly -= 1;
        let lost = std::mem::replace(&mut self.is_lost, outer);
        (!lost).then_some(schema)
    }

    fn referred(&mut self, reference: &str, members: &Members<'_>, depth: usize) -> Value {
        self.is_lost |= members.iter().any(|(keyword, _)| keyword != "$ref" && !is_annotation(keyword));
        let target = match self.document.resolve(reference, &mut self.work) {
            Ok(target) => target,
            Err(why) => {
                self.is_lost = true;
                self.note(Note::Schema { reference: Excerpt::of(reference), why });
                return json!({});
            }
        };
        let span = self.document.span(target);
        if self.open.contains(&span) {
            self.is_lost = true;
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
            let value = members.get(keyword).and_then(|raw| self.shown(keyword, raw, most));
            if let Some(value) = value.filter(|value| keyword != "enum" || value.is_array()) {
                schema.insert(keyword.to_owned(), value);
            }
        }
        if let Some(format) = members.text("format") {
            // Some hold a value against it, and some do not.
            self.is_lost = true;
            if FORMATS.contains(&format.as_ref()) {
                schema.insert("format".to_owned(), Value::from(format));
            }
        }
    }

    /// A value that is shown as it is, if it is short enough and all of it can be seen.
    fn shown(&mut self, what: &'static str, raw: &str, most: usize) -> Option<Value> {
        let value: Value = serde_json::from_str(Some(raw).filter(|raw| raw.len() <= most)?).ok()?;
        if let Some(found) = hidden_in(&value) {
            self.note(Note::Hidden { what, found });
            return None;
        }
        self.spend(raw.len());
        Some(value)
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

    fn of_array(&mut self, members: &Members<'d>, schema: &mut Map<String, Value>, depth: usize) {
        // `items` is about what comes behind `prefixItems`.
        if let Some(items) = members.get("items").filter(|_| members.get("prefixItems").is_none()) {
            let items = self.below(items, depth);
            if items != json!({}) || self.exactly > 0 {
                schema.insert("items".to_owned(), items);
            }
        }
        let Some(text) = members.get("contains") else { return };
        let (least, most) = (count(members, "minContains"), count(members, "maxContains"));
        // An element that keeps a schema which asks less may not be one that is meant.
        let contains = match most {
            Some(_) => self.exact(text, depth, Self::below),
            None => Some(self.below(text, depth)),
        };
        let Some(contains) = contains else { return };
        schema.insert("contains".to_owned(), contains);
        let counts = [("minContains", least), ("maxContains", most)];
        schema
            .extend(counts.into_iter().filter_map(|(keyword, count)| Some((keyword.to_owned(), Value::from(count?)))));
    }

    fn of_object(&mut self, members: &Members<'d>, schema: &mut Map<String, Value>, depth: usize) {
        let mut complete = true;
        if let Some(properties) = members.get("properties").and_then(|text| self.members(text)) {
            let mut kept = Map::new();
            for (name, property) in properties.iter() {
                if self.left == 0 || name.len() > MAX_NAME {
                    complete = false;
                    break;
                }
                if self.members(property).is_some_and(|property| property.is_true("readOnly")) {
                    self.is_lost = true;
                    continue;
                }
                if let Some(found) = hidden(name) {
                    self.note(Note::Hidden { what: "properties", found });
                    complete = false;
                    continue;
                }
                self.spend(name.len() + 4);
                kept.insert(name.to_owned(), self.below(property, depth));
                self.named.push(name.to_owned());
            }
            schema.insert("properties".to_owned(), Value::Object(snug(kept)));
        }
        self.is_lost |= !complete;
        let says = |text: &&str| complete && (*text != "true" || self.exactly > 0);
        let additional = members.get("additionalProperties").filter(says);
        let patterned = members.get("patternProperties").is_some();
        if let Some(text) = additional.filter(|text| *text != "false" || !patterned) {
            let additional = self.below(text, depth);
            if (additional != json!({}) || self.exactly > 0) && !patterned {
                schema.insert("additionalProperties".to_owned(), additional);
            }
        }
    }

    /// `required` and `dependentRequired`, of the members that are known: others may be read-only.
    fn required(&mut self, members: &Members<'d>, schema: &mut Map<String, Value>) {
        let names = members.get("required").and_then(|names| self.elements(names, MAX_REQUIRED + 1));
        let names = names.unwrap_or_default().into_iter().filter_map(json::string);
        let required = self.known(names.map(Cow::into_owned).collect());
        if !required.is_empty() {
            // Some may be there, of an `allOf` that was put in.
            if let Value::Array(all) = schema.entry("required").or_insert_with(|| json!([])) {
                let more = required.into_iter().map(Value::from).filter(|name| !all.contains(name));
                let more: Vec<Value> = more.collect();
                all.extend(more);
            }
        }
        let raw = members.get("dependentRequired");
        let Some(Value::Object(dependent)) = raw.and_then(|raw| self.shown("dependentRequired", raw, MAX_ENUM)) else {
            return;
        };
        let mut kept = Map::new();
        for (name, names) in dependent {
            let Ok(names) = serde_json::from_value::<Vec<String>>(names) else { continue };
            kept.insert(name, Value::from(self.known(names)));
        }
        schema.insert("dependentRequired".to_owned(), Value::Object(kept));
    }

    /// Those of the names that may be required here.
    fn known(&mut self, names: Vec<String>) -> Vec<String> {
        let before = names.len();
        // Each is looked for among all.
        let looked_for = self.work.charge(before * self.named.len());
        let short = self.exactly == 0 || names.iter().map(String::len).sum::<usize>() <= MAX_ENUM;
        let within = before <= MAX_REQUIRED && looked_for.is_ok() && short;
        let is_known = |name: &String| match self.exactly {
            0 => self.named.contains(name),
            _ => hidden(name).is_none(),
        };
        let known: Vec<String> = names.into_iter().filter(|name| within && is_known(name)).collect();
        self.is_lost |= known.len() < before;
        self.spend(known.iter().map(String::len).sum());
        known
    }

    fn combined(&mut self, members: &Members<'d>, schema: &mut Map<String, Value>, depth: usize) {
        for (keyword, ours) in [("allOf", "allOf"), ("anyOf", "anyOf"), ("oneOf", "anyOf")] {
            let parts = members.get(keyword).and_then(|parts| self.elements(parts, MAX_PARTS + 1));
            let Some(parts) = parts else { continue };
            if self.left == 0 || parts.is_empty() || parts.len() > MAX_PARTS {
                continue;
            }
            let all = keyword == "allOf" || parts.len() == 1;
            let reduce = |part| if all { self.schema(part, depth + 1) } else { self.beside(part, depth) };
            let parts: Vec<Value> = parts.into_iter().map(reduce).collect();
            let alone = match parts.as_slice() {
                [Value::Object(part)] if self.exactly == 0 => Some(part),
                _ => None,
            };
            // `allOf` around one reference is how 3.0 gives a reference a description or a null.
            let fits =
                |part: &&Map<String, Value>| part.keys().all(|key| key == "description" || !schema.contains_key(key));
            if let Some(part) = alone.filter(fits) {
                for (key, value) in part {
                    schema.entry(key).or_insert_with(|| value.clone());
                }
            } else if ours == "allOf" || self.exactly > 0 || !parts.contains(&json!({})) {
                match schema.get_mut(ours) {
                    // Both `anyOf` and `oneOf`: each must hold.
                    Some(_) => schema.insert("allOf".to_owned(), json!([{ ours: parts }])),
                    None => schema.insert(ours.to_owned(), Value::Array(parts)),
                };
            }
        }
    }

    /// `not`, and `if` with what hangs on it.
    fn negated(&mut self, members: &Members<'d>, schema: &mut Map<String, Value>, depth: usize) {
        if let Some(barred) = members.get("not").and_then(|text| self.exact(text, depth, Self::beside)) {
            schema.insert("not".to_owned(), barred);
        }
        let branches = ["then", "else"].map(|keyword| (keyword, members.get(keyword)));
        if branches.iter().all(|(_, branch)| branch.is_none()) {
            return;
        }
        let Some(condition) = members.get("if").and_then(|text| self.exact(text, depth, Self::beside)) else { return };
        schema.insert("if".to_owned(), condition);
        for (keyword, branch) in branches {
            if let Some(branch) = branch {
                schema.insert(keyword.to_owned(), self.beside(branch, depth));
            }
        }
    }
}

/// The same map in no more memory than it needs: most have one or two members, and there are many of them.
pub(super) fn snug(map: Map<String, Value>) -> Map<String, Value> {
    map.into_iter().collect()
}
