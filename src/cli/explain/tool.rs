//! One tool of the API's description: what its calls can ask for, and what the policy makes of that.

use std::io::{self, Write};
use std::process::ExitCode;

use super::Page;
use super::judged::Judged;
use super::operations::{self, Fate};
use crate::catalog::operation::Operation;
use crate::catalog::{Catalog, Tool as Generic};
use crate::cli::audit::text::{Tone, printable};
use crate::cli::load::Loaded;
use crate::cli::{Format, complain};
use crate::json::{self, Numbers};
use crate::policy::{Mention, Policy, Share, Split, Touch};
use crate::request::{RawRequest, Request};
use crate::server::frame;

/// The longest line of names, in characters.
const MOST: usize = 400;

/// A tool, by its place among the operations.
pub(super) struct Named {
    catalog: Catalog,
    place: usize,
}

impl Named {
    fn operation(&self) -> Option<&Operation> {
        self.catalog.operations().get(self.place)
    }
}

/// The operation of that name.
///
/// # Errors
/// Exit code 2, said why.
pub(super) fn named(loaded: &Loaded, name: &str) -> Result<Named, ExitCode> {
    let none = "the policy names no description of the API (`[upstream] openapi`), so there are no tools but `api_get` and `api_send`";
    let Some(catalog) = loaded.catalog()?.0 else { return Err(complain(&none)) };
    let place = catalog.operations().iter().position(|operation| operation.name() == name);
    let place = place.ok_or_else(|| {
        let hint = match name {
            "api_get" | "api_send" => "it can ask for anything; give a method and a path, or `--arguments`, instead",
            _ => "`portcullis explain FILE --all` lists the operations",
        };
        complain(&format!("`{}` is no operation of the API's description: {hint}", printable(name, 64)))
    })?;
    Ok(Named { catalog, place })
}

/// The request of one call, as an agent makes it.
///
/// # Errors
/// Exit code 2, said why: there is no such tool.
pub(super) fn called(loaded: &Loaded, name: &str, arguments: &str) -> Result<Judged, ExitCode> {
    // What the front door does with every line before a tool sees it.
    if let Err(error) = json::scan_with(arguments, frame::MAX_ARGUMENTS_DEPTH, Numbers::Any, &mut |_| {}) {
        return Ok(Judged::refused(name.to_owned(), None, &error));
    }
    let policy = &loaded.policy;
    if let Some(generic) = Generic::named(name) {
        return Ok(match generic.arguments(arguments) {
            Ok(arguments) => asked(policy, name, &arguments.raw()),
            Err(error) => Judged::refused(name.to_owned(), None, &error),
        });
    }
    let named = named(loaded, name)?;
    let Some(operation) = named.operation() else { return Err(complain(&"the operation is gone")) };
    Ok(match operation.request(arguments) {
        Ok(parts) => asked(policy, name, &parts.raw()),
        Err(error) => Judged::refused(name.to_owned(), None, &error),
    })
}

fn asked(policy: &Policy, name: &str, raw: &RawRequest<'_>) -> Judged {
    match Request::parse(raw) {
        Ok(request) => Judged::request(policy, request),
        Err(error) => Judged::refused(name.to_owned(), Some(error.rule()), &error),
    }
}

pub(super) fn print(page: &mut Page<impl Write>, policy: &Policy, named: &Named) -> io::Result<()> {
    let Some(operation) = named.operation() else { return Ok(()) };
    let split = policy.split(operation.method(), operation.template());
    match page.format {
        Format::Json => writeln!(page.out, "{}", operations::row(policy, operation, &split)),
        Format::Human => told(page, policy, operation, &split),
    }
}

fn told(page: &mut Page<impl Write>, policy: &Policy, operation: &Operation, split: &Split) -> io::Result<()> {
    let fate = Fate::of(split);
    let part = if operations::is_whole(split) { "" } else { "partly " };
    let word = format!("{part}{}", fate.as_str());
    let route = format!("{} {}", operation.method(), printable(operation.template(), MOST));
    writeln!(page.out, "{}  {}: {route}\n", fate.tone().paint(&word, page.coloured), operation.name())?;
    writeln!(page.out, "A call asks for this path alone; each `{{name}}` is one segment of it.")?;
    let schema = operation.input_schema();
    let names =
        schema.get("properties").and_then(|of| of.as_object()).map(|of| of.keys().map(String::as_str).collect());
    let names: Vec<&str> = names.unwrap_or_default();
    if !names.is_empty() {
        writeln!(page.out, "Its arguments: {}", printable(&names.join(", "), MOST))?;
    }
    if !policy.tools().selects(operation.name(), operation.template(), operation.tags()) {
        writeln!(page.out, "`[tools]` hides it: no agent can call it by its name.")?;
    }
    if operations::deciding(split).is_empty() {
        writeln!(page.out, "\nIt is denied: {}.", operations::lack(policy, split))?;
    }
    writeln!(page.out, "\nRules about some of its calls:")?;
    let touches =
        split.allows.iter().map(|touch| ("allow", touch)).chain(split.denies.iter().map(|touch| ("deny", touch)));
    let width = split.allows.iter().chain(&split.denies).map(|touch| touch.rule.id().len()).max().unwrap_or(0);
    let mut none = true;
    for (kind, touch) in touches {
        none = false;
        let (id, line) = (touch.rule.id(), touch.rule.line());
        writeln!(page.out, "  {kind:<5}  {id:<width$}  line {line:<5} {}", share(touch))?;
    }
    if none {
        writeln!(page.out, "  {}", Tone::Faint.paint("none", page.coloured))?;
    }
    Ok(())
}

fn share(touch: &Touch) -> &'static str {
    match (touch.method, touch.share) {
        (Mention::Other, _) => "other methods",
        (Mention::Listed, Share::All) => "all of its calls",
        (Mention::Listed, Share::Named) => "calls in which a variable is a name that it denies anywhere",
        (Mention::Listed, Share::Some) => "some of its calls, by what a variable or the query holds",
    }
}
