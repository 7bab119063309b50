//! Tools and what they ask for: a tool's name and arguments become the parts of a request.
//!
//! Promises: an OpenAPI document of version 3.0 or 3.1, in JSON or YAML, becomes operations with a name, a schema of
//! their arguments and one way to write them into a request. It refuses whole documents that are none, and leaves out,
//! with a warning, each operation that no request could express. It fetches nothing and follows references only within
//! the document. It shows an agent nothing that a person who reads the document would not see. Trusts: the document to
//! describe the API, and nothing more; what a request may hold is judged by `request`, and whether it is sent by the
//! policy.
//!
//! Names: a tool is called after `operationId`, other characters than `[A-Za-z0-9_-]` made `_`; without one, after method
//! and path. Arguments are called after path, query and header parameters (`ids[]` is `ids`) in that order, then the
//! members of the body; a name that is taken gets `_query`, `_header` or `_body` behind it. A body whose schema does not
//! declare its members, or says something of several of them together, or one of whose members is called like a
//! parameter, is one argument, `body`.
//!
//! Absent arguments are not sent, with two exceptions: a required parameter or member with only one value (`const`, or
//! an `enum` of one), and a schema with `default` that says `x-send-default: true`, a key of our own.

mod allstacks;
pub mod arguments;
mod assemble;
mod budget;
mod check;
mod decimal;
mod document;
pub mod excerpt;
mod face;
pub mod generic;
mod keywords;
mod members;
mod mismatch;
mod name;
pub mod operation;
mod outline;
mod parameter;
mod pattern;
mod reader;
mod schema;
mod template;
mod text;
pub mod warning;
mod yaml;

pub mod search;

use std::borrow::Cow;
use std::sync::Arc;

use self::document::Document;
pub use self::generic::Tool;
use self::operation::Operation;
use self::warning::{DocumentError, Warning};

/// The longest document that is read, in bytes; also how long one may grow as YAML aliases are put in.
pub const MAX_DOCUMENT: usize = 32 << 20;

/// The operations of one OpenAPI document.
#[derive(Debug)]
pub struct Catalog {
    operations: Vec<Operation>,
}

impl Catalog {
    /// Reads a document. Schemas are looked at when an operation is first described or called
    /// ([`Operation::schema_warnings`]).
    ///
    /// # Errors
    /// [`DocumentError`] for a text that is no OpenAPI 3.0 or 3.1 document as a whole. Whatever is wrong with single
    /// operations comes back as warnings.
    pub fn read(text: impl Into<Cow<'static, str>>) -> Result<(Self, Vec<Warning>), DocumentError> {
        let document = Arc::new(Document::read(text.into())?);
        let (operations, warnings) = reader::operations(&document)?;
        Ok((Self { operations }, warnings))
    }

    /// The catalog that the program carries for Allstacks (`builtin:allstacks`).
    ///
    /// # Errors
    /// None that a test would not have found; the text is part of the program.
    pub fn allstacks() -> Result<Self, DocumentError> {
        Self::read(allstacks::DOCUMENT).map(|(catalog, _)| catalog)
    }

    /// The operations, sorted by name.
    #[must_use]
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// The operation of that very name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Operation> {
        let index = self.operations.binary_search_by(|operation| operation.name().cmp(name)).ok()?;
        self.operations.get(index)
    }
}

#[cfg(test)]
mod tests;
