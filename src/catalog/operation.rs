//! One operation as a tool: what is listed, what is described, and the request that a call asks for.

use std::sync::{Arc, OnceLock};

use serde_json::{Map, Value};

use super::arguments::{ArgumentError, Parts};
use super::assemble;
use super::document::{Document, Span};
use super::face::Face;
use super::parameter::Parameter;
use super::template::Template;
use super::text::sentence;
use super::warning::{Pointer, Warning};
use crate::request::method::Method;

/// The longest summary in a description, in characters.
const MAX_SUMMARY: usize = 120;

/// An operation of an OpenAPI document.
#[derive(Debug)]
pub struct Operation {
    pub(super) document: Arc<Document>,
    pub(super) name: String,
    pub(super) method: Method,
    /// The key of the path item that holds it.
    pub(super) key: &'static str,
    pub(super) template: Arc<Template>,
    pub(super) summary: String,
    pub(super) tags: Vec<String>,
    pub(super) parameters: Vec<Parameter>,
    pub(super) body: Option<BodyPart>,
    /// Made when the operation is first described or called.
    pub(super) face: OnceLock<Face>,
}

/// The JSON body that an operation declares.
#[derive(Debug)]
pub(super) struct BodyPart {
    pub(super) required: bool,
    pub(super) schema: Option<Span>,
}

impl Operation {
    /// The tool's name: 1 to 64 of `[A-Za-z0-9_-]`, made from `operationId`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is asked for.
    #[must_use]
    pub fn method(&self) -> Method {
        self.method
    }

    /// The path below the base URL as the document writes it, with `{variables}`.
    #[must_use]
    pub fn template(&self) -> &str {
        self.template.text()
    }

    /// The summary, or the first sentence of the description; may be empty.
    #[must_use]
    pub fn summary(&self) -> &str {
        &self.summary
    }

    /// The tags, in the document's order.
    #[must_use]
    pub fn tags(&self) -> &[String] {
        &self.tags
    }

    /// What the agent reads of the tool: the summary, then method and path.
    #[must_use]
    pub fn description(&self) -> String {
        let summary = sentence(&self.summary, MAX_SUMMARY);
        let route = format!("{} {}", self.method, self.template());
        if summary.is_empty() { route } else { format!("{summary}. {route}") }
    }

    /// The arguments' schema: JSON Schema 2020-12 that refers to nothing outside of itself.
    #[must_use]
    pub fn input_schema(&self) -> &Arc<Map<String, Value>> {
        &self.face().schema
    }

    /// What is wrong with the operation's schemas.
    #[must_use]
    pub fn schema_warnings(&self) -> Vec<Warning> {
        let place = Pointer::Operation(self.template(), self.key);
        self.face().notes.iter().map(|note| Warning::new(&place, note.clone())).collect()
    }

    /// The parts of the request that a call asks for, `arguments` being the JSON object as it arrived.
    ///
    /// # Errors
    /// [`ArgumentError`], naming the argument.
    pub fn request(&self, arguments: &str) -> Result<Parts, ArgumentError> {
        assemble::parts(self, self.face(), arguments)
    }

    fn face(&self) -> &Face {
        self.face.get_or_init(|| Face::of(self))
    }
}
