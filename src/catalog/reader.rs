//! The operations of a document: each becomes a tool, or is left out with one warning that says why.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

use super::budget::{MAX_READING, Work};
use super::document::{Document, Span};
use super::excerpt::Excerpt;
use super::members::{Members, elements};
use super::name::{Origin, names};
use super::operation::{BodyPart, Operation};
use super::parameter::{self, Parameter, Place, free_name, is_json};
use super::template::Template;
use super::text::sentence;
use super::warning::{
    BodyFault, DocumentError, Note, ParameterFault, Pointer, ReferenceError, TemplateError, Unusable, Warning,
};
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

/// What a parameter costs that is kept, beside the look at its text, in bytes: memory is not only text.
const KEPT: usize = 2 << 10;

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
    let mut reader = Reader { document, warnings: Vec::new(), work: Work::of(MAX_READING), drafts: Vec::new() };
    if document.owns_policy() {
        reader.warn(Pointer::Top, Note::PolicyOwns);
    }
    let mut seen = HashSet::new();
    let mut last = "";
    for (path, item) in document.paths() {
        if reader.work.is_spent() {
            reader.warn(Pointer::Paths, Note::Rest { last: Excerpt::of(last) });
            break;
        }
        last = path;
        if !seen.insert(path) {
            reader.warn(Pointer::Item(path), Note::PathTwice);
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

/// One method of a path.
struct Spot<'d> {
    path: &'d str,
    template: Result<Arc<Template>, TemplateError>,
    key: &'static str,
    method: Method,
}

/// An operation without its name.
struct Draft<'d> {
    path: &'d str,
    key: &'static str,
    method: Method,
    id: Option<Cow<'d, str>>,
    summary: String,
    tags: Vec<String>,
    template: Arc<Template>,
    parameters: Vec<Parameter>,
    body: Option<BodyPart>,
}

impl<'d> Reader<'d> {
    fn warn(&mut self, place: Pointer<'_>, note: Note) {
        match self.warnings.len() {
            0..MAX_WARNINGS => self.warnings.push(Warning::new(&place, note)),
            MAX_WARNINGS => self.warnings.push(Warning::new(&Pointer::Paths, Note::More)),
            _ => {}
        }
    }

    fn item(&mut self, path: &'d str, text: &'d str) {
        let item = match self.members(text) {
            Ok(item) => item,
            Err(why) => return self.warn(Pointer::Item(path), Note::PathReference(why)),
        };
        let Some(item) = item else {
            return self.warn(Pointer::Item(path), Note::PathKind);
        };
        let template = Template::read(path).map(Arc::new);
        for (key, method) in METHODS {
            let Some(operation) = item.get(key) else { continue };
            let spot = Spot { path, template: template.clone(), key, method };
            match self.operation(&spot, &item, operation) {
                Ok(draft) => self.drafts.push(draft),
                Err(why) => self.warn(Pointer::Operation(path, key), Note::LeftOut(why)),
            }
        }
    }

    /// The members of an object, or of the one that it refers to.
    fn members(&mut self, text: &'d str) -> Result<Option<Members<'d>>, ReferenceError> {
        let members = self.work.members(text)?;
        match members.as_ref().and_then(|members| members.text("$ref")) {
            Some(reference) => {
                let target = self.document.resolve(&reference, &mut self.work)?;
                self.work.members(target)
            }
            None => Ok(members),
        }
    }

    fn operation(&mut self, spot: &Spot<'d>, item: &Members<'d>, text: &'d str) -> Result<Draft<'d>, Unusable> {
        let members = self.work.members(text)?.ok_or(Unusable::Kind)?;
        let template = spot.template.clone()?;
        let parameters = self.parameters(spot, &template, [item.get("parameters"), members.get("parameters")])?;
        let body = self.body(spot, members.get("requestBody"))?;
        if spot.method == Method::Patch && body.is_none() {
            return Err(Unusable::PatchWithoutBody);
        }
        if [item, &members].iter().any(|level| level.get("servers").is_some()) {
            self.warn(spot.pointer(), Note::OwnServer);
        }
        let summary = members.text("summary").or_else(|| members.text("description")).unwrap_or_default();
        let tags = members.get("tags").and_then(|tags| elements(tags, MAX_TAGS)).unwrap_or_default();
        Ok(Draft {
            path: spot.path,
            key: spot.key,
            method: spot.method,
            id: members.text("operationId"),
            summary: sentence(&summary, MAX_SUMMARY),
            tags: tags.into_iter().filter_map(json::string).map(|tag| sentence(&tag, MAX_TAG)).collect(),
            template,
            parameters,
            body,
        })
    }

    /// The parameters of the path item and of the operation, which come last and win.
    fn parameters(
        &mut self,
        spot: &Spot<'d>,
        template: &Template,
        lists: [Option<&'d str>; 2],
    ) -> Result<Vec<Parameter>, Unusable> {
        let mut found: Vec<(Parameter, usize)> = Vec::new();
        for (level, list) in lists.into_iter().enumerate() {
            let Some(list) = list else { continue };
            self.work.charge(list.len())?;
            let entries = elements(list, MAX_PARAMETERS + 1).ok_or(Unusable::Parameters)?;
            if entries.len() > MAX_PARAMETERS {
                return Err(Unusable::TooManyParameters);
            }
            for entry in entries {
                let skipped = match parameter::read(self.document, entry, &mut self.work) {
                    parameter::Read::Fail(why) => return Err(why),
                    parameter::Read::Skip(name, why) => Some((name, why)),
                    parameter::Read::Parameter(parameter) => {
                        self.work.charge(KEPT)?;
                        let name = Excerpt::of(&parameter.wire);
                        add(&mut found, template, parameter, level).map(|why| (name, why))
                    }
                };
                if let Some((name, why)) = skipped {
                    self.warn(spot.pointer(), Note::ParameterLeftOut { name, why });
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

    fn body(&mut self, spot: &Spot<'d>, text: Option<&'d str>) -> Result<Option<BodyPart>, Unusable> {
        let Some(text) = text else { return Ok(None) };
        let (required, body) = self.body_part(spot.method, text);
        match body {
            Ok(body) => Ok(Some(body)),
            Err(BodyFault::Method) => {
                self.warn(spot.pointer(), Note::BodyLeftOut(BodyFault::Method));
                Ok(None)
            }
            Err(why) if required => Err(Unusable::Body(why)),
            Err(why) => {
                self.warn(spot.pointer(), Note::BodyLeftOut(why));
                Ok(None)
            }
        }
    }

    /// Whether the body is needed, and what it is.
    fn body_part(&mut self, method: Method, text: &'d str) -> (bool, Result<BodyPart, BodyFault>) {
        if matches!(method, Method::Get | Method::Head) {
            return (false, Err(BodyFault::Method));
        }
        match self.members(text) {
            Err(why) => (true, Err(why.into())),
            Ok(None) => (true, Err(BodyFault::Kind)),
            Ok(Some(body)) => {
                let required = body.is_true("required");
                let schema = self.json_schema(&body);
                (required, schema.map(|schema| BodyPart { required, schema }))
            }
        }
    }

    /// Where the schema of a body's JSON stands.
    fn json_schema(&mut self, body: &Members<'d>) -> Result<Option<Span>, BodyFault> {
        let content = body.get("content").map(|content| self.work.members(content)).transpose()?.flatten();
        let content = content.ok_or(BodyFault::Kind)?;
        let exact = content.iter().find(|(media, _)| *media == "application/json");
        let json = exact.or_else(|| content.iter().find(|(media, _)| is_json(media)));
        let (_, media) = json.ok_or(BodyFault::MediaType)?;
        let schema = self.work.members(media)?.and_then(|media| media.get("schema"));
        Ok(schema.map(|schema| self.document.span(schema)))
    }

    fn finish(mut self) -> (Vec<Operation>, Vec<Warning>) {
        let drafts = std::mem::take(&mut self.drafts);
        let origins: Vec<Origin<'_>> = drafts
            .iter()
            .map(|draft| Origin { id: draft.id.as_deref(), method: draft.method, path: draft.path })
            .collect();
        let names = names(&origins);
        let mut operations = Vec::with_capacity(drafts.len());
        for (draft, name) in drafts.into_iter().zip(names) {
            let Some(name) = name else {
                self.warn(Pointer::Operation(draft.path, draft.key), Note::LeftOut(Unusable::Name));
                continue;
            };
            operations.push(Operation {
                document: Arc::clone(self.document),
                name,
                method: draft.method,
                key: draft.key,
                template: draft.template,
                summary: draft.summary,
                tags: draft.tags,
                parameters: draft.parameters,
                body: draft.body,
                face: OnceLock::new(),
            });
        }
        operations.sort_by(|one, other| one.name.cmp(&other.name));
        (operations, self.warnings)
    }
}

impl<'d> Spot<'d> {
    fn pointer(&self) -> Pointer<'d> {
        Pointer::Operation(self.path, self.key)
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
