//! The tools of one gateway: which there are, how each is shown, and the request that a call of one asks for.
//!
//! Promises that what is listed and what can be called are the same but for `api_send`, which always exists; that an
//! operation is among them only where the policy could let some request of it pass; and that a call ends as one
//! request, which is judged like any other, or as an answer from what this process knows. Permits nothing.

mod face;
mod meta;

use std::borrow::Cow;
use std::sync::Arc;

use crate::answer::{Ask, Shaped};
use crate::catalog::operation::Operation;
use crate::catalog::search::{Entry, Index};
use crate::catalog::warning::Warning;
use crate::catalog::{Catalog, Tool as Generic};
use crate::policy::{Passage, Policy, ToolMode};
use crate::refusal::{Code, Refusal};
use crate::request::method::Method;
use crate::request::{RawRequest, Request};

pub use self::face::Face;

/// One tool of a gateway, or one of its resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// `api_get` or `api_send`.
    Generic(Generic),
    /// The operation at this place among those that are offered.
    Operation(usize),
    /// `find_operations`.
    Find,
    /// `describe_operation`.
    Describe,
    /// `call_read`.
    CallRead,
    /// `call_write`.
    CallWrite,
    /// `read_more`.
    ReadMore,
    /// The resource `policy://NAME`.
    Policy,
    /// The resource `openapi://NAME`.
    Operations,
}

/// What a call comes to.
#[derive(Debug)]
pub enum Resolved {
    /// A request to be judged, and the form in which its answer is wanted.
    Ask(Request, Ask),
    /// An answer that needs no request.
    Tell(Shaped),
    /// The rest of an earlier answer, by its handle.
    More(String),
}

/// What a call names beside the request that comes of it, for the log. It is known where the call is refused, too.
#[derive(Debug, Default)]
pub struct About {
    /// The operation that is described or called by name, as the agent wrote it.
    pub operation: Option<String>,
    /// A value, and what it is called: the `query` of a search, the `handle` of an answer.
    pub value: Option<(&'static str, String)>,
}

/// A resource as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Its URI.
    pub uri: String,
    /// Its name, for people.
    pub name: String,
    /// What it holds.
    pub description: String,
}

/// The tools of one gateway.
#[derive(Debug)]
pub struct Toolbox {
    catalog: Option<Catalog>,
    /// Places of operations in the catalog, sorted by name, each with how it could pass.
    offered: Vec<(usize, Passage)>,
    style: Style,
    /// Whether some rule could pass a method other than GET.
    sends: bool,
    /// Whether some rule calls a GET a write.
    gets_write: bool,
    policy_name: String,
    policy_words: String,
}

/// How operations are offered.
#[derive(Debug)]
enum Style {
    Typed,
    Search(Index),
}

impl Toolbox {
    /// The tools of a gateway under this policy, whose API this catalog describes.
    #[must_use]
    pub fn new(policy: &Policy, catalog: Option<Catalog>) -> Self {
        let operations = catalog.as_ref().map(Catalog::operations).unwrap_or_default();
        let offer = |(place, operation): (usize, &Operation)| {
            let selected = policy.tools().selects(operation.name(), operation.template(), operation.tags());
            let passage =
                if selected { policy.passage(operation.method(), operation.template()) } else { Passage::Never };
            (passage != Passage::Never).then_some((place, passage))
        };
        let offered: Vec<_> = operations.iter().enumerate().filter_map(offer).collect();
        let sends = Generic::Send.could_pass(|method| policy.could_send(method));
        let mut toolbox = Self {
            offered,
            style: Style::Typed,
            sends,
            gets_write: policy.could_write(Method::Get),
            policy_name: policy.name().to_owned(),
            policy_words: policy.in_words().to_owned(),
            catalog,
        };
        if toolbox.is_searched(policy) {
            toolbox.style = Style::Search(Index::new(toolbox.operations().map(|(operation, _)| entry(operation))));
        }
        toolbox
    }

    fn is_searched(&self, policy: &Policy) -> bool {
        let spec = policy.tools();
        match spec.mode {
            ToolMode::Typed => false,
            ToolMode::Search => true,
            ToolMode::Auto => {
                // No schema is made of what comes after the list is known to be too long.
                let mut left = spec.max_bytes;
                !self.operations().all(|(operation, passage)| {
                    let bytes = Face::of_operation(operation, passage).bytes();
                    left.checked_sub(bytes).map(|rest| left = rest).is_some()
                })
            }
        }
    }

    /// What is wrong with the schemas of what is offered: for a look at the document, not for each start.
    pub fn notes(&self) -> impl Iterator<Item = Warning> {
        self.operations().flat_map(|(operation, _)| operation.schema_warnings())
    }

    /// What is offered, sorted by name.
    pub fn operations(&self) -> impl Iterator<Item = (&Operation, Passage)> {
        (0..self.offered.len()).filter_map(|place| self.operation(place))
    }

    fn operation(&self, place: usize) -> Option<(&Operation, Passage)> {
        let (at, passage) = self.offered.get(place)?;
        Some((self.catalog.as_ref()?.operations().get(*at)?, *passage))
    }

    fn named_operation(&self, name: &str) -> Option<usize> {
        let by_name = |(at, _): &(usize, Passage)| {
            let operation = self.catalog.as_ref().and_then(|catalog| catalog.operations().get(*at));
            operation.map_or("", Operation::name).cmp(name)
        };
        self.offered.binary_search_by(by_name).ok()
    }

    /// The tool of that very name, listed or not; never a resource.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<Tool> {
        if let Some(generic) = Generic::named(name) {
            return Some(Tool::Generic(generic));
        }
        match (&self.style, name) {
            (_, "read_more") => Some(Tool::ReadMore),
            (Style::Search(_), "find_operations") => Some(Tool::Find),
            (Style::Search(_), "describe_operation") => Some(Tool::Describe),
            (Style::Search(_), "call_read") => Some(Tool::CallRead),
            (Style::Search(_), "call_write") => Some(Tool::CallWrite),
            (Style::Search(_), _) => None,
            (Style::Typed, _) => self.named_operation(name).map(Tool::Operation),
        }
    }

    /// The resource of that URI.
    #[must_use]
    pub fn resource(&self, uri: &str) -> Option<Tool> {
        let (scheme, name) = uri.split_once("://")?;
        match scheme {
            "policy" if name == self.policy_name => Some(Tool::Policy),
            "openapi" if name == self.policy_name && self.catalog.is_some() => Some(Tool::Operations),
            _ => None,
        }
    }

    /// The resources that can be read.
    #[must_use]
    pub fn resources(&self) -> Vec<Shown> {
        let name = &self.policy_name;
        let policy = Shown {
            uri: format!("policy://{name}"),
            name: format!("{name}: policy"),
            description: "What may be asked, and what may not, in words.".to_owned(),
        };
        let operations = self.catalog.is_some().then(|| Shown {
            uri: format!("openapi://{name}"),
            name: format!("{name}: operations"),
            description: "Every operation that some call could pass the policy with, one a line.".to_owned(),
        });
        std::iter::once(policy).chain(operations).collect()
    }

    /// How a call of the tool is called in the log.
    #[must_use]
    pub fn name(&self, tool: Tool) -> Cow<'_, str> {
        Cow::Borrowed(match tool {
            Tool::Generic(generic) => generic.name(),
            Tool::Operation(place) => self.operation(place).map_or("unknown", |(operation, _)| operation.name()),
            Tool::Find => "find_operations",
            Tool::Describe => "describe_operation",
            Tool::CallRead => "call_read",
            Tool::CallWrite => "call_write",
            Tool::ReadMore => "read_more",
            Tool::Policy => return Cow::Owned(format!("policy://{}", self.policy_name)),
            Tool::Operations => return Cow::Owned(format!("openapi://{}", self.policy_name)),
        })
    }

    /// What `tools/list` shows, sorted by name.
    #[must_use]
    pub fn faces(&self) -> Vec<Face> {
        let mut faces = vec![Face::of_get(self.gets_write), Face::read_more()];
        if self.sends {
            faces.push(Face::of_send());
        }
        match self.style {
            Style::Typed => {
                faces.extend(self.operations().map(|(operation, passage)| Face::of_operation(operation, passage)));
            }
            Style::Search(_) => {
                let writes = self.offered.iter().any(|(_, passage)| *passage == Passage::Write);
                faces.extend(Face::of_search(self.offered.len(), writes));
            }
        }
        faces.sort_by(|a, b| a.name.cmp(&b.name));
        faces
    }

    /// Whether operations are found by search and not listed.
    #[must_use]
    pub fn is_search(&self) -> bool {
        matches!(self.style, Style::Search(_))
    }

    /// What the call of a tool comes to, `arguments` being the JSON object as it arrived; and what it is about.
    ///
    /// # Errors
    /// `bad_request`, naming the argument or the part of the request.
    pub fn resolve(&self, tool: Tool, arguments: &str) -> (About, Result<Resolved, Refusal>) {
        let mut about = About::default();
        let resolved = self.resolve_about(tool, arguments, &mut about);
        (about, resolved)
    }

    fn resolve_about(&self, tool: Tool, arguments: &str, about: &mut About) -> Result<Resolved, Refusal> {
        match tool {
            Tool::Generic(generic) => {
                let arguments = generic.arguments(arguments).map_err(|error| bad(&error))?;
                ask(&arguments.raw(), arguments.answer())
            }
            Tool::Operation(place) => match self.operation(place) {
                Some((operation, _)) => typed(operation, arguments),
                None => Err(bad(&"this tool is gone")),
            },
            Tool::Find => self.find(arguments, about).map(Resolved::Tell),
            Tool::Describe => self.describe(arguments, about).map(Resolved::Tell),
            Tool::CallRead => self.call(arguments, Passage::Read, about),
            Tool::CallWrite => self.call(arguments, Passage::Write, about),
            Tool::ReadMore => meta::handle(arguments, about).map(Resolved::More),
            Tool::Policy => Ok(Resolved::Tell(Shaped::text(self.policy_words.clone()))),
            Tool::Operations => Ok(Resolved::Tell(Shaped::text(self.listing()))),
        }
    }

    /// One line for each operation that could pass.
    fn listing(&self) -> String {
        let line =
            |(operation, _): (&Operation, Passage)| format!("{}: {}\n", operation.name(), operation.description());
        self.operations().map(line).collect()
    }
}

fn entry(operation: &Operation) -> Entry<'_> {
    Entry {
        name: operation.name(),
        method: operation.method(),
        path: operation.template(),
        summary: operation.summary(),
        tags: operation.tags(),
    }
}

fn typed(operation: &Operation, arguments: &str) -> Result<Resolved, Refusal> {
    let parts = operation.request(arguments).map_err(|error| bad(&error).because(error.cause()))?;
    ask(&parts.raw(), parts.answer.as_deref())
}

fn ask(raw: &RawRequest<'_>, answer: Option<&str>) -> Result<Resolved, Refusal> {
    let ask = answer.map_or(Ok(Ask::default()), Ask::parse).map_err(|error| bad(&error))?;
    let request = Request::parse(raw).map_err(|error| bad(&error).because(format!("{}: {error}", error.rule())))?;
    Ok(Resolved::Ask(request, ask))
}

fn bad(error: &dyn std::fmt::Display) -> Refusal {
    Refusal::new(Code::BadRequest, error.to_string())
}

/// The schema of a tool's arguments.
type Schema = Arc<serde_json::Map<String, serde_json::Value>>;

#[cfg(test)]
mod tests;
