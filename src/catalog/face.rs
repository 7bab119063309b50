//! What an operation shows of its arguments: the schema, and how the body is spread over them.

use std::collections::HashMap;
use std::sync::Arc;

use regex::Regex;
use serde_json::{Map, Value, json};

use super::document::{Document, Span};
use super::keywords::without_null;
use super::operation::Operation;
use super::parameter::{Parameter, Place, free_name, is_argument_name};
use super::schema::{Reducer, snug};
use super::text::{MAX_DESCRIPTION, sentence};
use super::warning::Note;
use crate::json;
use crate::request::method::Method;

/// What the agent asks of an answer's form. Where an operation has an argument of that name, it is the operation's.
pub(super) const ANSWER: &str = "answer";

/// Keywords that say something of several members together.
const WHOLE: [&str; 12] = [
    "oneOf",
    "anyOf",
    "allOf",
    "not",
    "if",
    "patternProperties",
    "propertyNames",
    "minProperties",
    "maxProperties",
    "dependentRequired",
    "dependentSchemas",
    "nullable",
];

/// The most members of a body that stand side by side with the parameters.
const MAX_SIDE_BY_SIDE: usize = 64;

/// The schema of an operation's arguments, and what goes with it.
#[derive(Debug)]
pub(super) struct Face {
    pub(super) schema: Arc<Map<String, Value>>,
    /// The patterns in the schema, compiled.
    pub(super) patterns: HashMap<String, Arc<Regex>>,
    /// For each parameter of the operation where the JSON stands that is sent where the argument is absent.
    pub(super) fills: Vec<Option<Span>>,
    pub(super) body: BodyFace,
    /// Whether the argument [`ANSWER`] is ours, and not the operation's.
    pub(super) asks: bool,
    pub(super) notes: Vec<Note>,
}

/// How a body is given.
#[derive(Debug)]
pub(super) enum BodyFace {
    /// There is none.
    None,
    /// One argument holds it.
    Whole {
        argument: String,
        required: bool,
        /// Where that stands which is sent where the argument is absent.
        fill: Option<Span>,
    },
    /// Each member is an argument of its own.
    Members { names: Vec<Member>, required: bool },
}

/// A member of a body that is an argument.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) required: bool,
    pub(super) fill: Option<Span>,
}

impl Face {
    pub(super) fn of(operation: &Operation) -> Self {
        let mut reducer = Reducer::new(&operation.document);
        let mut properties = Map::new();
        let mut required = Vec::new();
        let mut fills = Vec::with_capacity(operation.parameters.len());
        for parameter in &operation.parameters {
            let document = &operation.document;
            let schema = parameter.schema.as_ref().map(|span| document.slice(span));
            let fill = schema.and_then(|schema| fill(&mut reducer, schema, parameter.required));
            if parameter.required && fill.is_none() {
                required.push(Value::from(parameter.argument.as_str()));
            }
            fills.push(fill);
            properties.insert(parameter.argument.clone(), argument(document, &mut reducer, parameter));
        }
        let body = body(operation, &mut reducer, &mut properties, &mut required);
        let asks = !properties.contains_key(ANSWER);
        if asks {
            properties.insert(ANSWER.to_owned(), json!({"type": "string"}));
        }
        let mut schema = Map::new();
        schema.insert("type".to_owned(), json!("object"));
        schema.insert("properties".to_owned(), Value::Object(snug(properties)));
        if !required.is_empty() {
            schema.insert("required".to_owned(), Value::Array(required));
        }
        schema.insert("additionalProperties".to_owned(), json!(false));
        let (patterns, notes) = reducer.finish();
        Self { schema: Arc::new(snug(schema)), patterns, fills, body, asks, notes }
    }

    /// The schema of one argument.
    pub(super) fn argument(&self, name: &str) -> Option<&Value> {
        self.schema.get("properties").and_then(|properties| properties.get(name))
    }

    /// The names of all arguments.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.schema.get("properties").and_then(Value::as_object).into_iter().flat_map(Map::keys).map(String::as_str)
    }
}

fn argument(document: &Document, reducer: &mut Reducer<'_>, parameter: &Parameter) -> Value {
    // Nothing outside of a body can say null.
    let mut schema = without_null(parameter.schema.as_ref().map_or_else(|| json!({}), |span| reducer.at(span)));
    let described = parameter.description.as_ref().and_then(|span| json::string(document.slice(span)));
    let described = described.map(|text| sentence(&text, MAX_DESCRIPTION)).filter(|text| !text.is_empty());
    if let (Value::Object(schema), Some(text)) = (&mut schema, described) {
        schema.insert("description".to_owned(), Value::from(text));
    }
    if parameter.place == Place::Header && schema == json!({}) {
        schema = json!({"type": "string"});
    }
    schema
}

/// What is sent for an absent value: the only one that a schema admits where it is required, or its `default` where
/// `x-send-default` says that the API wants it written out.
fn fill<'d>(reducer: &mut Reducer<'d>, schema: &'d str, required: bool) -> Option<Span> {
    let members = reducer.resolved(schema)?;
    let sent = members.get("default").filter(|_| members.is_true("x-send-default"));
    let only = match members.get("const") {
        _ if sent.is_some() || !required => None,
        Some(only) => Some(only),
        None => match reducer.elements(members.get("enum")?, 2)?.as_slice() {
            [only] => Some(*only),
            _ => None,
        },
    };
    sent.or(only).map(|value| reducer.span(value))
}

fn body<'d>(
    operation: &'d Operation,
    reducer: &mut Reducer<'d>,
    properties: &mut Map<String, Value>,
    required: &mut Vec<Value>,
) -> BodyFace {
    let Some(part) = &operation.body else {
        return BodyFace::None;
    };
    let document = &operation.document;
    // A PATCH is never sent without a body, whatever the document says.
    let wanted = part.required || operation.method == Method::Patch;
    let text = part.schema.as_ref().map_or("{}", |span| document.slice(span));
    if let Some(spread) = side_by_side(document, reducer, text, properties) {
        let mut names = Vec::with_capacity(spread.len());
        for (name, schema, needed) in spread {
            let fill = fill(reducer, schema, needed);
            if wanted && needed && fill.is_none() {
                required.push(Value::from(name.as_str()));
            }
            properties.insert(name.clone(), reducer.at(&document.span(schema)));
            names.push(Member { name, required: needed, fill });
        }
        return BodyFace::Members { names, required: wanted };
    }
    let argument = free_name("body", "body", |name| properties.contains_key(name));
    let fill = fill(reducer, text, wanted);
    let mut schema = part.schema.as_ref().map_or_else(|| json!({}), |span| reducer.at(span));
    if schema == json!({}) {
        schema = json!({"type": ["object", "array"]});
    }
    properties.insert(argument.clone(), schema);
    let needed = wanted && fill.is_none();
    if needed {
        required.push(Value::from(argument.as_str()));
    }
    BodyFace::Whole { argument, required: needed, fill }
}

/// The members of a body that can stand beside the parameters: name, schema, and whether it is required.
type Spread<'d> = Vec<(String, &'d str, bool)>;

fn side_by_side<'d>(
    document: &'d Document,
    reducer: &mut Reducer<'d>,
    text: &'d str,
    taken: &Map<String, Value>,
) -> Option<Spread<'d>> {
    let schema = reducer.resolved(text).filter(|_| document.pool.has_room())?;
    if WHOLE.iter().any(|keyword| schema.get(keyword).is_some_and(|value| value != "false"))
        || schema.text("type").is_some_and(|kind| kind != "object")
        || schema.get("type").is_some_and(|kind| kind.starts_with('['))
    {
        return None;
    }
    let properties = reducer.members(schema.get("properties")?).filter(|all| all.len() <= 4 * MAX_SIDE_BY_SIDE)?;
    let required = schema.get("required").and_then(|names| reducer.elements(names, MAX_SIDE_BY_SIDE + 1));
    let required: Vec<_> = required.unwrap_or_default().into_iter().filter_map(json::string).collect();
    let mut spread = Vec::with_capacity(properties.len());
    for (name, schema) in properties.iter() {
        if reducer.members(schema).is_some_and(|schema| schema.is_true("readOnly")) {
            continue;
        }
        if !is_argument_name(name) || taken.contains_key(name) {
            return None;
        }
        spread.push((name.to_owned(), schema, required.iter().any(|required| required == name)));
    }
    let covered = required.iter().all(|name| properties.get(name).is_some());
    (covered && (1..=MAX_SIDE_BY_SIDE).contains(&spread.len())).then_some(spread)
}
