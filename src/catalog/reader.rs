//! The operations of a document: each becomes a tool, or is left out with one warning that says why.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

use super::MAX_DOCUMENT;
use super::document::{Document, Work};
use super::excerpt::Excerpt;
use super::members::{Members, elements};
use super::name::{Origin, names};
use super::operation::{BodyPart, Operation};
use super::parameter::{self, Parameter, Place, free_name, is_json};
use super::template::Template;
use super::text::sentence;
use super::warning::{BodyFault, DocumentError, Note, ParameterFault, Unusable, Warning};
use crate::json;
use crate::request::method::Method;

/// The most operations of one document.
const MAX_OPERATIONS: usize = 10_000;

/// The most parameters of one operation.
const MAX_PARAMETERS: usize = 128;

/// The most warnings of one document.
const MAX_WARNINGS: usize = 1_000;

/// The most tags of an operation, and the longest of each, in characters.
const MAX_TAGS: usize = 16;
const MAX_TAG: usize = 64;

/// How much text references may lead to while one document is read, in bytes.
const MAX_WORK: usize = 8 * MAX_DOCUMENT;

/// The longest summary that is kept, in characters.
const MAX_SUMMARY: usize = 160;

/// The keys of a path item that are methods which a call may have.
const METHODS: [(&str, Method); 6] = [
    ("get", Method::Get),
    ("head", Method::Head),
    ("post", Method::Post),
    ("put", Method::Put),
    ("patch", Method::Patch),
    ("delete", Method::Delete),
];

/// Reads all operations, sorted by name.
pub(super) fn operations(document: &Arc<Document>) -> Result<(Vec<Operation>, Vec<Warning>), DocumentError> {
    let mut reader = Reader { document, warnings: Vec::new(), work: Work::of(MAX_WORK), drafts: Vec::new() };
    if document.owns_policy() {
        reader.warn("/", Note::PolicyOwns);
    }
    let mut seen = HashSet::new();
    for (path, item) in document.paths() {
        if !seen.insert(path) {
            reader.warn(&format!("/paths/{}", escape(path)), Note::PathTwice);
            continue;
        }
        // An extension may stand beside the paths.
        if !path.starts_with("x-") {
            reader.item(path, item);
        }
        if reader.drafts.len() > MAX_OPERATIONS {
            return Err(DocumentError::TooManyOperations);
        }
    }
    Ok(reader.finish())
}

struct Reader<'d> {
    document: &'d Arc<Document>,
    warnings: Vec<Warning>,
    work: Work,
    drafts: Vec<Draft<'d>>,
}

/// An operation without its name.
struct Draft<'d> {
    place: String,
    method: Method,
    path: &'d str,
    id: Option<Cow<'d, str>>,
    summary: String,
    tags: Vec<String>,
    template: Template,
    parameters: Vec<Parameter>,
    body: Option<BodyPart>,
}

impl<'d> Reader<'d> {
    fn warn(&mut self, place: &str, note: Note) {
        match self.warnings.len() {
            0..MAX_WARNINGS => self.warnings.push(Warning::new(place, note)),
            MAX_WARNINGS => self.warnings.push(Warning::new("/paths", Note::More)),
            _ => {}
        }
    }

    fn item(&mut self, path: &'d str, text: &'d str) {
        let place = format!("/paths/{}", escape(path));
        let mut item = Members::read(text);
        if let Some(reference) = item.as_ref().and_then(|item| item.text("$ref")) {
            match self.document.resolve(&reference, &mut self.work) {
                Ok(target) => item = Members::read(target),
                Err(why) => return self.warn(&place, Note::PathReference(why)),
            }
        }
        let Some(item) = item else {
            return self.warn(&place, Note::PathKind);
        };
        for (key, method) in METHODS {
            let Some(operation) = item.get(key) else { continue };
            let place = format!("{place}/{key}");
            match self.operation(&place, path, method, &item, operation) {
                Ok(draft) => self.drafts.push(draft),
                Err(why) => self.warn(&place, Note::LeftOut(why)),
            }
        }
    }

    fn operation(
        &mut self,
        place: &str,
        path: &'d str,
        method: Method,
        item: &Members<'d>,
        text: &'d str,
    ) -> Result<Draft<'d>, Unusable> {
        let members = Members::read(text).ok_or(Unusable::Kind)?;
        let template = Template::read(path)?;
        let parameters = self.parameters(place, &template, [item.get("parameters"), members.get("parameters")])?;
        let body = self.body(place, method, members.get("requestBody"))?;
        if method == Method::Patch && body.is_none() {
            return Err(Unusable::PatchWithoutBody);
        }
        if [item, &members].iter().any(|level| level.get("servers").is_some()) {
            self.warn(place, Note::OwnServer);
        }
        let summary = members.text("summary").or_else(|| members.text("description")).unwrap_or_default();
        let tags = members.get("tags").and_then(elements).unwrap_or_default();
        Ok(Draft {
            place: place.to_owned(),
            method,
            path,
            id: members.text("operationId"),
            summary: sentence(&summary, MAX_SUMMARY),
            tags: tags.into_iter().filter_map(json::string).map(|tag| sentence(&tag, MAX_TAG)).take(MAX_TAGS).collect(),
            template,
            parameters,
            body,
        })
    }

    /// The parameters of the path item and of the operation, which come last and win.
    fn parameters(
        &mut self,
        place: &str,
        template: &Template,
        lists: [Option<&'d str>; 2],
    ) -> Result<Vec<Parameter>, Unusable> {
        let mut found: Vec<(Parameter, usize)> = Vec::new();
        for (level, list) in lists.into_iter().enumerate() {
            let Some(list) = list else { continue };
            let entries = elements(list).ok_or(Unusable::Parameters)?;
            if entries.len() > MAX_PARAMETERS {
                return Err(Unusable::TooManyParameters);
            }
            for entry in entries {
                let skipped = match parameter::read(self.document, entry, &mut self.work) {
                    parameter::Read::Fail(why) => return Err(why),
                    parameter::Read::Skip(name, why) => Some((name, why)),
                    parameter::Read::Parameter(parameter) => {
                        let name = Excerpt::of(&parameter.wire);
                        add(&mut found, template, parameter, level).map(|why| (name, why))
                    }
                };
                if let Some((name, why)) = skipped {
                    self.warn(place, Note::ParameterLeftOut { name, why });
                }
            }
        }
        let mut found: Vec<Parameter> = found.into_iter().map(|(parameter, _)| parameter).collect();
        let has = |variable: &str| found.iter().any(|known| known.place == Place::Path && known.wire == variable);
        if let Some(variable) = template.variables().find(|variable| !has(variable)) {
            return Err(Unusable::Variable(Excerpt::of(variable)));
        }
        found.sort_by_key(|parameter| parameter.place);
        settle_names(&mut found);
        Ok(found)
    }

    fn body(&mut self, place: &str, method: Method, text: Option<&'d str>) -> Result<Option<BodyPart>, Unusable> {
        let Some(text) = text else { return Ok(None) };
        let (required, body) = self.body_part(method, text);
        match body {
            Ok(body) => Ok(Some(body)),
            Err(BodyFault::Method) => {
                self.warn(place, Note::BodyLeftOut(BodyFault::Method));
                Ok(None)
            }
            Err(why) if required => Err(Unusable::Body(why)),
            Err(why) => {
                self.warn(place, Note::BodyLeftOut(why));
                Ok(None)
            }
        }
    }

    /// Whether the body is needed, and what it is.
    fn body_part(&mut self, method: Method, text: &'d str) -> (bool, Result<BodyPart, BodyFault>) {
        if matches!(method, Method::Get | Method::Head) {
            return (false, Err(BodyFault::Method));
        }
        let mut members = Members::read(text);
        if let Some(reference) = members.as_ref().and_then(|members| members.text("$ref")) {
            match self.document.resolve(&reference, &mut self.work) {
                Ok(target) => members = Members::read(target),
                Err(why) => return (true, Err(why.into())),
            }
        }
        let Some(members) = members else {
            return (true, Err(BodyFault::Kind));
        };
        let required = members.is_true("required");
        let Some(content) = members.get("content").and_then(Members::read) else {
            return (required, Err(BodyFault::Kind));
        };
        let exact = content.iter().find(|(media, _)| *media == "application/json");
        let Some((_, media)) = exact.or_else(|| content.iter().find(|(media, _)| is_json(media))) else {
            return (required, Err(BodyFault::MediaType));
        };
        let schema = Members::read(media).and_then(|media| media.get("schema"));
        (required, Ok(BodyPart { required, schema: schema.map(|schema| self.document.span(schema)) }))
    }

    fn finish(self) -> (Vec<Operation>, Vec<Warning>) {
        let Self { document, mut warnings, drafts, .. } = self;
        let origins: Vec<Origin<'_>> = drafts
            .iter()
            .map(|draft| Origin { id: draft.id.as_deref(), method: draft.method, path: draft.path })
            .collect();
        let names = names(&origins);
        let mut operations = Vec::with_capacity(drafts.len());
        for (draft, name) in drafts.into_iter().zip(names) {
            let Some(name) = name else {
                warnings.push(Warning::new(draft.place, Note::LeftOut(Unusable::Name)));
                continue;
            };
            operations.push(Operation {
                document: Arc::clone(document),
                name,
                method: draft.method,
                template: draft.template,
                summary: draft.summary,
                tags: draft.tags,
                parameters: draft.parameters,
                body: draft.body,
                place: draft.place,
                face: OnceLock::new(),
            });
        }
        operations.sort_by(|one, other| one.name.cmp(&other.name));
        (operations, warnings)
    }
}

/// Adds a parameter; one of the operation replaces the path item's. Says why where it cannot be one.
fn add(
    found: &mut Vec<(Parameter, usize)>,
    template: &Template,
    parameter: Parameter,
    level: usize,
) -> Option<ParameterFault> {
    if parameter.place == Place::Path && !template.variables().any(|variable| variable == parameter.wire) {
        return Some(ParameterFault::NotInPath);
    }
    let same = |known: &Parameter| {
        known.place == parameter.place
            && if known.place == Place::Header {
                known.wire.eq_ignore_ascii_case(&parameter.wire)
            } else {
                known.wire == parameter.wire
            }
    };
    match found.iter_mut().find(|(known, _)| same(known)) {
        Some((_, at)) if *at == level => return Some(ParameterFault::Twice),
        Some(known) => *known = (parameter, level),
        None => found.push((parameter, level)),
    }
    None
}

/// Names are given in the order path, query, header; one that is taken gets its place behind it.
fn settle_names(parameters: &mut [Parameter]) {
    let mut taken: HashSet<String> = HashSet::new();
    for parameter in parameters {
        let name = free_name(&parameter.argument, parameter.place.suffix(), |name| taken.contains(name));
        taken.insert(name.clone());
        parameter.argument = name;
    }
}

/// A token of a JSON pointer (RFC 6901 section 3).
fn escape(token: &str) -> String {
    token.replace('~', "~0").replace('/', "~1")
}
