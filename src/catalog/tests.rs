//! The module as a whole: documents good, bad and large, and calls through to a [`Request`].

mod bad;
mod calls;
mod costs;
mod described;
mod keywords;
mod parity;

use super::*;
use crate::request::Request;

/// A document with these paths.
fn document(paths: &str) -> String {
    format!(r#"{{"openapi":"3.0.3","info":{{"title":"t","version":"1"}},"paths":{paths}}}"#)
}

/// The one operation of a document, which has no warnings.
fn only(text: &str) -> Catalog {
    let (catalog, warnings) = Catalog::read(text.to_owned()).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!((catalog.operations().len(), warnings.as_slice()), (1, [].as_slice()), "{text}");
    catalog
}

/// What is wrong with the schemas of all operations.
fn notes(catalog: &Catalog) -> Vec<Warning> {
    catalog.operations().iter().flat_map(Operation::schema_warnings).collect()
}

/// What a call of the only operation sends: method, target, body.
fn sent(text: &str, arguments: &str) -> Result<String, String> {
    let catalog = only(text);
    let parts = catalog.operations()[0].request(arguments).map_err(|error| error.to_string())?;
    let request = Request::parse(&parts.raw()).map_err(|error| format!("{}: {error}", error.rule()))?;
    let body = request.body().map(|body| format!(" {}", String::from_utf8_lossy(body.bytes())));
    Ok(format!("{} {}{}", request.method(), request.target(), body.unwrap_or_default()))
}
