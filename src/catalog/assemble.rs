//! Arguments into the parts of a request.
//!
//! Promises: what is sent is what was given: numbers keep their digits, a whole body its bytes; what is absent is not
//! sent unless the document says that the API wants it. It refuses values that the chosen style cannot say without
//! changing them.

use std::borrow::Cow;

use serde_json::Value;
use serde_json::value::RawValue;

use super::arguments::{ArgumentError, Parts, Takes};
use super::check::Checker;
use super::document::{Document, Span};
use super::excerpt::Excerpt;
use super::face::{ANSWER, BodyFace, Face};
use super::members::{Members, elements};
use super::operation::Operation;
use super::parameter::{Parameter, Place, Style};
use super::template;
use crate::json;
use crate::request::body::DeleteBody;
use crate::request::query::MAX_INTEGER;

const SCALAR: &str = "a string, a number or a boolean";
const SCALARS: &str = "a string, a number, a boolean or an array of those";

/// The request of a call.
pub(super) fn parts(operation: &Operation, face: &Face, arguments: &str) -> Result<Parts, ArgumentError> {
    let given = Members::read(arguments).ok_or(ArgumentError::NotAnObject)?;
    check_all(face, &given)?;
    let mut query = Object::default();
    let mut headers = Object::default();
    let mut in_path: Vec<(&str, String)> = Vec::new();
    let document = &*operation.document;
    for (parameter, fill) in operation.parameters.iter().zip(&face.fills) {
        let fill = fill.as_ref().map(|span| document.slice(span));
        let Some(value) = given.get(&parameter.argument).or(fill) else {
            if parameter.required {
                return Err(ArgumentError::Missing(parameter.argument.clone()));
            }
            continue;
        };
        match parameter.place {
            Place::Path => {
                let text = joined(parameter, value, ',')?;
                in_path.push((&parameter.wire, template::encode(&parameter.argument, &text)?));
            }
            Place::Query => write_query(&mut query, parameter, value)?,
            Place::Header => headers.push(&parameter.wire, &quoted(&joined(parameter, value, ',')?)),
        }
    }
    let value = |name: &str| in_path.iter().find(|(known, _)| *known == name).map(|(_, text)| text.clone());
    Ok(Parts {
        method: operation.method,
        path: operation.template.with(|name| value(name).unwrap_or_default()),
        query: query.finish()?,
        headers: headers.finish()?,
        body: body(document, &face.body, &given)?,
        answer: if face.asks { given.text(ANSWER).map(Cow::into_owned) } else { None },
        delete_body: match face.body {
            BodyFace::None => DeleteBody::Refused,
            BodyFace::Whole { .. } | BodyFace::Members { .. } => DeleteBody::Declared,
        },
    })
}

/// Unknown, missing and ill-formed arguments, before anything is written.
fn check_all(face: &Face, given: &Members<'_>) -> Result<(), ArgumentError> {
    if let Some((name, _)) = given.iter().find(|(name, _)| face.argument(name).is_none()) {
        return Err(ArgumentError::Unknown { name: Excerpt::of(name), takes: Takes::of(face.names()) });
    }
    let required =
        face.schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    for name in required {
        if given.get(name).is_none() {
            return Err(ArgumentError::Missing(name.to_owned()));
        }
    }
    let checker = Checker::new(&face.patterns);
    for (name, text) in given.iter() {
        let Some(schema) = face.argument(name) else { continue };
        let value: Value = serde_json::from_str(text).map_err(|_| ArgumentError::Unreadable(name.to_owned()))?;
        checker.check(name, schema, &value)?;
    }
    Ok(())
}

fn write_query(query: &mut Object, parameter: &Parameter, value: &str) -> Result<(), ArgumentError> {
    let name = &parameter.argument;
    let wire = &parameter.wire;
    match (parameter.style, value.as_bytes().first()) {
        (Style::Json, _) => query.add(name, wire, &quoted(&compact(value))),
        (Style::Deep, Some(b'{')) => {
            for (member, value) in members(name, value)? {
                query.add(name, &format!("{wire}[{member}]"), &scalars(name, value)?)?;
            }
            Ok(())
        }
        (Style::Repeat, Some(b'{')) => {
            for (member, value) in members(name, value)? {
                query.add(name, &member, &scalar(name, value, SCALAR)?)?;
            }
            Ok(())
        }
        (Style::Repeat | Style::Deep, _) => query.add(name, wire, &scalars(name, value)?),
        (Style::Simple, _) => query.add(name, wire, &quoted(&joined(parameter, value, ',')?)),
        (Style::Join(separator), Some(b'[' | b'{')) => {
            query.add(name, wire, &quoted(&joined(parameter, value, separator)?))
        }
        (Style::Join(_), _) => query.add(name, wire, &scalar(name, value, SCALARS)?),
    }
}

/// The members of an object, of which there must be one at least.
fn members<'a>(argument: &str, object: &'a str) -> Result<Vec<(Cow<'a, str>, &'a str)>, ArgumentError> {
    let members = Members::read(object).ok_or(ArgumentError::NotAnObject)?;
    if members.len() == 0 {
        return Err(ArgumentError::Empty(argument.to_owned()));
    }
    Ok(members.into_iter().map(|(name, raw)| (name, raw.get())).collect())
}

/// A scalar, or an array of scalars, as JSON that a query may hold.
fn scalars(argument: &str, value: &str) -> Result<String, ArgumentError> {
    let Some(items) = value.starts_with('[').then(|| elements(value, usize::MAX)).flatten() else {
        return scalar(argument, value, SCALARS);
    };
    if items.is_empty() {
        return Err(ArgumentError::Empty(argument.to_owned()));
    }
    let items: Vec<String> = items.into_iter().map(|item| scalar(argument, item, SCALARS)).collect::<Result<_, _>>()?;
    Ok(format!("[{}]", items.join(",")))
}

/// A scalar as JSON that a query may hold (R6): a number that is no integer within ±2^53 becomes a string of its
/// digits as given.
fn scalar(argument: &str, value: &str, expected: &'static str) -> Result<String, ArgumentError> {
    match value.as_bytes().first() {
        Some(b'"' | b't' | b'f') => Ok(value.to_owned()),
        Some(b'-' | b'0'..=b'9') => {
            let small = value.parse::<i64>().is_ok_and(|number| number.unsigned_abs() <= MAX_INTEGER);
            Ok(if small { value.to_owned() } else { quoted(value) })
        }
        Some(_) | None => Err(ArgumentError::Kind { name: argument.to_owned(), expected }),
    }
}

/// A value as one text: an array's elements, or an object's names and values, with a separator between.
fn joined(parameter: &Parameter, value: &str, separator: char) -> Result<String, ArgumentError> {
    let argument = &parameter.argument;
    let expected = if parameter.place == Place::Query { SCALARS } else { SCALAR };
    let plain = |value: &str| -> Result<String, ArgumentError> {
        let text = scalar(argument, value, expected)?;
        Ok(json::string(&text).map_or_else(|| value.to_owned(), Cow::into_owned))
    };
    let mut parts = Vec::new();
    match value.as_bytes().first() {
        Some(b'[') => {
            for item in elements(value, usize::MAX).unwrap_or_default() {
                parts.push(plain(item)?);
            }
        }
        Some(b'{') if parameter.place == Place::Query => {
            for (name, value) in members(argument, value)? {
                parts.extend([name.into_owned(), plain(value)?]);
            }
        }
        Some(_) | None => return plain(value),
    }
    if parts.is_empty() {
        return Err(ArgumentError::Empty(argument.clone()));
    }
    if parts.iter().any(|part| part.contains(separator)) {
        return Err(ArgumentError::Separator { name: argument.clone(), separator });
    }
    Ok(parts.join(&separator.to_string()))
}

fn body(document: &Document, face: &BodyFace, given: &Members<'_>) -> Result<Option<Box<RawValue>>, ArgumentError> {
    let filled = |fill: &Option<Span>| fill.as_ref().map(|span| document.slice(span));
    match face {
        BodyFace::None => Ok(None),
        BodyFace::Whole { argument, required, fill } => match given.get(argument).or_else(|| filled(fill)) {
            Some(text) => raw(text.to_owned()).map(Some),
            None if *required => Err(ArgumentError::Missing(argument.clone())),
            None => Ok(None),
        },
        BodyFace::Members { names, required } => {
            if !*required && !names.iter().any(|member| given.get(&member.name).is_some()) {
                return Ok(None);
            }
            let mut object = Object::default();
            for member in names {
                match given.get(&member.name).or_else(|| filled(&member.fill)) {
                    Some(value) => object.push(&member.name, value),
                    None if member.required => return Err(ArgumentError::Missing(member.name.clone())),
                    None => {}
                }
            }
            raw(object.text.map_or_else(|| "{}".to_owned(), |text| text + "}")).map(Some)
        }
    }
}

/// The text of a JSON object that grows by a member at a time, values as raw text.
#[derive(Default)]
struct Object {
    text: Option<String>,
    names: Vec<String>,
}

impl Object {
    fn push(&mut self, name: &str, value: &str) {
        let text = match &mut self.text {
            Some(text) => {
                text.push(',');
                text
            }
            None => self.text.insert("{".to_owned()),
        };
        text.push_str(&quoted(name));
        text.push(':');
        text.push_str(value);
    }

    /// As [`Object::push`], for a name that the caller may have chosen.
    fn add(&mut self, argument: &str, name: &str, value: &str) -> Result<(), ArgumentError> {
        if self.names.iter().any(|known| known == name) {
            return Err(ArgumentError::NameTwice(argument.to_owned()));
        }
        self.names.push(name.to_owned());
        self.push(name, value);
        Ok(())
    }

    fn finish(self) -> Result<Option<Box<RawValue>>, ArgumentError> {
        self.text.map(|text| raw(text + "}")).transpose()
    }
}

/// Text as JSON. The pieces have been read as JSON before, so that this fails for none of them.
fn raw(text: String) -> Result<Box<RawValue>, ArgumentError> {
    RawValue::from_string(text).map_err(|_| ArgumentError::NotAnObject)
}

/// A text as a JSON string.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// JSON without the space between its tokens.
fn compact(json: &str) -> String {
    let mut inside = false;
    let mut escaped = false;
    let keep = |c: &char| {
        let ends = *c == '"' && !escaped;
        escaped = inside && *c == '\\' && !escaped;
        inside ^= ends;
        inside || !matches!(c, ' ' | '\t' | '\n' | '\r')
    };
    json.chars().filter(keep).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn space_goes_from_json_and_stays_in_strings() {
        assert_eq!(compact("{ \"a b\" :\n[ 1 , \"x \\\" y\" ] }"), r#"{"a b":[1,"x \" y"]}"#);
        assert_eq!(compact(r#"["\\", "a b"]"#), r#"["\\","a b"]"#);
    }
}
