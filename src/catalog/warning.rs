//! What is wrong with a document: the errors that end its reading, and the warnings after which the rest is still good.

use std::fmt::{self, Write};

use super::excerpt::Excerpt;
use crate::request::fold::is_invisible;
use crate::request::path::PathError;

/// How many characters of a path a place holds.
const MAX_PLACE: usize = 256;

/// Why a text gives no catalog.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// Longer than [`super::MAX_DOCUMENT`].
    #[error("the document is longer than 32 MiB: cut it down to the operations that are needed")]
    TooLong,
    /// It looks like JSON and is none, or holds a key twice.
    #[error("the document is not JSON at line {line}, column {column}")]
    Json {
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
    },
    /// It is no YAML that stands for JSON.
    #[error("the document is not YAML at line {line}: {found}")]
    Yaml {
        /// Counted from 1.
        line: usize,
        /// What the reader says.
        found: Excerpt,
    },
    /// Its aliases or its size grow beyond the bound.
    #[error("the YAML document at line {line} grows beyond 32 MiB as its aliases are put in: write them out")]
    YamlTooLong {
        /// Counted from 1.
        line: usize,
    },
    /// More nodes than are read.
    #[error("the YAML document holds too many values or anchors at line {line}: cut it down, or give it as JSON")]
    YamlTooMany {
        /// Counted from 1.
        line: usize,
    },
    /// Nesting beyond the bound.
    #[error("the YAML document is nested too deep at line {line}")]
    YamlTooDeep {
        /// Counted from 1.
        line: usize,
    },
    /// The top is no object.
    #[error("the document is not an OpenAPI description: its top is not an object")]
    NotAnObject,
    /// `openapi` is missing.
    #[error("the document is not an OpenAPI description: `/openapi` is missing")]
    NotOpenApi,
    /// Swagger 2.0 or older.
    #[error("`/swagger`: the document is Swagger {version}: convert it to OpenAPI 3")]
    Swagger {
        /// What it says of itself.
        version: Excerpt,
    },
    /// A version that is not read here.
    #[error("`/openapi`: version {version} is not read: use OpenAPI 3.0 or 3.1")]
    Version {
        /// What it says of itself.
        version: Excerpt,
    },
    /// More names than are kept.
    #[error(
        "the document holds more than 100,000 paths, components and other names: cut it down to the operations that are needed"
    )]
    TooManyNames,
    /// `paths` is missing or no object.
    #[error("`/paths` is not an object")]
    Paths,
    /// More operations than anybody can use.
    #[error("`/paths` holds more than 10,000 operations: cut the document down to those that are needed")]
    TooManyOperations,
}

/// One thing in a document that is left out or not understood. Displays as one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    place: String,
    note: Note,
}

impl Warning {
    pub(super) fn new(place: &Pointer<'_>, note: Note) -> Self {
        Self { place: place.to_string(), note }
    }

    /// The JSON pointer of what it is about.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// What is wrong.
    #[must_use]
    pub fn note(&self) -> &Note {
        &self.note
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.place.chars() {
            if is_invisible(c) || c == '`' { write!(f, "{}", c.escape_unicode())? } else { write!(f, "{c}")? }
        }
        write!(f, ": {}", self.note)
    }
}

/// A place in a document as a JSON pointer (RFC 6901 section 3).
#[derive(Debug, Clone, Copy)]
pub(super) enum Pointer<'p> {
    /// The document itself.
    Top,
    /// `/paths`.
    Paths,
    /// The item of a path.
    Item(&'p str),
    /// An operation: its path, its method in lower case.
    Operation(&'p str, &'static str),
}

impl fmt::Display for Pointer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Top => f.write_str("/"),
            Self::Paths => f.write_str("/paths"),
            Self::Item(path) => write_item(f, path),
            Self::Operation(path, method) => write_item(f, path).and_then(|()| write!(f, "/{method}")),
        }
    }
}

fn write_item(f: &mut fmt::Formatter<'_>, path: &str) -> fmt::Result {
    f.write_str("/paths/")?;
    for c in path.chars().take(MAX_PLACE) {
        match c {
            '~' => f.write_str("~0")?,
            '/' => f.write_str("~1")?,
            other => f.write_char(other)?,
        }
    }
    if path.chars().nth(MAX_PLACE).is_some() { f.write_str("...") } else { Ok(()) }
}

/// What a warning says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Note {
    /// `servers` and `security`, wherever they stand.
    #[error("`servers` and `security` are not used: the policy says where calls go and with which credential")]
    PolicyOwns,
    /// `servers` of one operation or path.
    #[error("its own `servers` are not used: calls go to the policy's `base_url`")]
    OwnServer,
    /// The operation gives no tool.
    #[error("the operation is left out: {0}")]
    LeftOut(#[from] Unusable),
    /// A parameter gives no argument.
    #[error("the parameter `{name}` is left out: {why}")]
    ParameterLeftOut {
        /// Its name.
        name: Excerpt,
        /// Why.
        why: ParameterFault,
    },
    /// An optional body that cannot be sent.
    #[error("the body is left out: {0}")]
    BodyLeftOut(BodyFault),
    /// A path item that is no object.
    #[error("the path is left out: it is not an object")]
    PathKind,
    /// A path item whose reference leads nowhere.
    #[error("the path is left out: {0}")]
    PathReference(ReferenceError),
    /// A key of `paths` for the second time.
    #[error("the path stands there twice: the first is used")]
    PathTwice,
    /// There are more.
    #[error("there are more warnings than are shown")]
    More,
    /// The document costs too much.
    #[error("the paths behind `{last}` are left out: {}", ReferenceError::TooMuch)]
    Rest {
        /// The last path that was read.
        last: Excerpt,
    },
    /// A `pattern` that does not compile here.
    #[error(
        "the pattern `{0}` is not checked: it needs look-around, a back reference or too much memory, or there are too many"
    )]
    Pattern(Excerpt),
    /// A keyword whose value would be shown as it is and holds what nobody sees.
    #[error("`{what}` of a schema is not shown or checked: it holds the invisible character `{}`", found.escape_unicode())]
    Hidden {
        /// The keyword.
        what: &'static str,
        /// The first such character.
        found: char,
    },
    /// The document costs too much.
    #[error("a part of its schemas is taken as any value: {}", ReferenceError::TooMuch)]
    TooMuch,
    /// All schemas together are too large.
    #[error("a schema is taken as any value: the document's schemas take too much memory")]
    TooLarge,
    /// A schema that a reference does not lead to.
    #[error("a schema behind `{reference}` is taken as any value: {why}")]
    Schema {
        /// The reference.
        reference: Excerpt,
        /// Why.
        why: ReferenceError,
    },
}

/// Why an operation gives no tool.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// Not an object, or one with a key twice.
    #[error("it is not an object with each key once")]
    Kind,
    /// The path's text.
    #[error("its path is no template: {0}")]
    Template(#[from] TemplateError),
    /// `parameters` is no array.
    #[error("`parameters` is not an array")]
    Parameters,
    /// More parameters than a call can have.
    #[error("it has more than 128 parameters")]
    TooManyParameters,
    /// A parameter that is needed and cannot be used.
    #[error("its parameter `{name}` is needed, and {why}")]
    Parameter {
        /// Its name, or its place in the list.
        name: Excerpt,
        /// Why.
        why: ParameterFault,
    },
    /// A variable of the path without a parameter.
    #[error("the variable `{0}` of its path has no parameter")]
    Variable(Excerpt),
    /// A body that is needed and cannot be sent.
    #[error("its body is needed, and {0}")]
    Body(BodyFault),
    /// PATCH without a JSON body (R8).
    #[error("it is a PATCH without a JSON body")]
    PatchWithoutBody,
    /// The document costs too much.
    #[error(transparent)]
    TooMuch(#[from] ReferenceError),
    /// Two operations whose names cannot be told apart.
    #[error("its name is another operation's")]
    Name,
}

/// Why a parameter gives no argument.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParameterFault {
    /// Not an object, or without a name or place.
    #[error("it is not an object with `name` and `in`")]
    Kind,
    /// A reference that leads nowhere.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// A header that the agent does not set (R7).
    #[error("a call sets no such header")]
    Header,
    /// A cookie.
    #[error("a call sends no cookies")]
    Cookie,
    /// A place that is none of the four.
    #[error("its `in` is none of path, query, header")]
    Place,
    /// A style that is not written here.
    #[error("its style is not supported")]
    Style,
    /// `content` other than JSON.
    #[error("its content is not JSON")]
    Content,
    /// A query name that R6 bars.
    #[error("a query of that name is never sent: it could carry a credential or another method")]
    Name,
    /// The same name and place again.
    #[error("it stands there twice")]
    Twice,
    /// A path parameter that the path does not hold.
    #[error("the path does not hold it")]
    NotInPath,
}

/// Why a body cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyFault {
    /// Not an object with `content`.
    #[error("it is not an object with `content`")]
    Kind,
    /// A reference that leads nowhere.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// No JSON among its media types.
    #[error("it is not JSON: only application/json is sent")]
    MediaType,
    /// A body of GET or HEAD, which have none (R8).
    #[error("the method has none")]
    Method,
}

/// Why a `$ref` leads nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// To another document.
    #[error("its reference leads out of the document")]
    Outside,
    /// To something that is not there.
    #[error("its reference leads nowhere")]
    Missing,
    /// Round in a circle, or through more steps than anybody writes.
    #[error("its references lead in a circle")]
    Circle,
    /// More text than is read for one document.
    #[error("the document leads to too much text")]
    TooMuch,
}

/// Why the text of a path gives no template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// Braces that do not pair, or stand around nothing.
    #[error("its braces do not pair")]
    Braces,
    /// A variable that stands there twice.
    #[error("it holds a variable twice")]
    Twice,
    /// Longer than any path.
    #[error("it is longer than any path can be")]
    TooLong,
    /// A text that cannot be shown.
    #[error("it holds the invisible character `{}`", found.escape_unicode())]
    Invisible {
        /// The character.
        found: char,
    },
    /// The text around the variables (R2).
    #[error("{0}")]
    Path(#[from] PathError),
}
