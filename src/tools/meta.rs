//! The tools for an API that is too large to be listed: find an operation, describe it, call it.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::{About, Resolved, Toolbox, bad, typed};
use crate::answer::Shaped;
use crate::catalog::operation::Operation;
use crate::policy::Passage;
use crate::refusal::Refusal;

/// How many operations one search shows.
const FOUND: usize = 10;
/// Characters of an unknown name that are repeated.
const SHOWN: usize = 64;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    query: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Handle {
    handle: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Call<'a> {
    name: String,
    #[serde(borrow, default)]
    arguments: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct Found<'a> {
    name: &'a str,
    call: &'static str,
    about: String,
}

#[derive(Serialize)]
struct Described<'a> {
    name: &'a str,
    call: &'static str,
    about: String,
    arguments: &'a Map<String, Value>,
}

impl Toolbox {
    pub(super) fn find(&self, arguments: &str, about: &mut About) -> Result<Shaped, Refusal> {
        let Query { query } =
            read(arguments, "one string `query`: a few words, such as `list issues of a repository`")?;
        let super::Style::Search(index) = &self.style else { return Err(bad(&"this gateway lists its operations")) };
        let (_, query) = about.value.insert(("query", query));
        let found = index.find(query, FOUND).into_iter().filter_map(|place| self.operation(place));
        let found: Vec<_> = found
            .map(|(operation, passage)| Found {
                name: operation.name(),
                call: caller(passage),
                about: operation.description(),
            })
            .collect();
        Ok(Shaped::json(&found))
    }

    pub(super) fn describe(&self, arguments: &str, about: &mut About) -> Result<Shaped, Refusal> {
        let Named { name } = read(arguments, "one string `name`, as `find_operations` gives it")?;
        let (operation, passage) = self.wanted(about.operation.insert(name))?;
        Ok(Shaped::json(&Described {
            name: operation.name(),
            call: caller(passage),
            about: operation.description(),
            arguments: operation.input_schema(),
        }))
    }

    /// A call of `call_read` or `call_write`, of which each calls its own kind.
    pub(super) fn call(&self, arguments: &str, kind: Passage, about: &mut About) -> Result<Resolved, Refusal> {
        let Call { name, arguments } = read(arguments, "a string `name` and an object `arguments`")?;
        let (operation, passage) = self.wanted(about.operation.insert(name))?;
        if passage != kind {
            return Err(bad(&format!("`{}` is called with `{}`", operation.name(), caller(passage))));
        }
        typed(operation, arguments.map_or("{}", RawValue::get))
    }

    fn wanted(&self, name: &str) -> Result<(&Operation, Passage), Refusal> {
        self.named_operation(name).and_then(|place| self.operation(place)).ok_or_else(|| {
            let shown: String = name.chars().take(SHOWN).flat_map(char::escape_debug).collect();
            bad(&format!("there is no operation `{shown}`; look for its name with `find_operations`"))
        })
    }
}

/// The handle in the arguments of `read_more`.
pub(super) fn handle(arguments: &str, about: &mut About) -> Result<String, Refusal> {
    let Handle { handle } = read(arguments, "one string `handle`, as the answer that was cut gives it")?;
    about.value = Some(("handle", handle.clone()));
    Ok(handle)
}

fn read<'a, T: Deserialize<'a>>(arguments: &'a str, takes: &str) -> Result<T, Refusal> {
    serde_json::from_str(arguments).map_err(|_| bad(&format!("this tool takes {takes}, and nothing else")))
}

fn caller(passage: Passage) -> &'static str {
    match passage {
        Passage::Read | Passage::Never => "call_read",
        Passage::Write => "call_write",
    }
}
