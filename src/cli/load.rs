//! A policy for a command: read and without errors, or its findings on standard error. Several of one gate: each with a name of its own.

use std::collections::HashMap;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::process::ExitCode;

use super::catalog;
use super::check::{self, Checked, Hints, Look};
use super::{UNUSABLE, complain};
use crate::catalog::Catalog;
use crate::catalog::warning::Warning;
use crate::config::{self, Environment, PolicyFile};
use crate::confirm::escape::shown;
use crate::policy::{Parsed, Policy};

/// A policy that can judge, and the file that it is from.
pub(super) struct Loaded {
    pub(super) file: PolicyFile,
    pub(super) policy: Policy,
}

impl Loaded {
    /// The API's description that the policy names, with what was found in it.
    ///
    /// # Errors
    /// Exit code 2, said why.
    pub(super) fn catalog(&self) -> Result<(Option<Catalog>, Vec<Warning>), ExitCode> {
        let read = catalog::read(&self.policy, self.file.directory()).map_err(|error| complain(&error))?;
        Ok(read.map_or((None, Vec::new()), |(catalog, warnings)| (Some(catalog), warnings)))
    }
}

/// What the APIs of one gate are called: logs, counts and tools are told apart by it.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// The file of each.
    files: HashMap<String, String>,
}

/// Two policies that one gate cannot serve.
#[derive(Debug, thiserror::Error)]
#[error("`{}` and `{}` are both called `{name}`; give each API a `name` of its own", shown(first), shown(second))]
pub(super) struct Namesakes {
    name: String,
    first: String,
    second: String,
}

impl Names {
    /// One more policy of the gate.
    ///
    /// # Errors
    /// Another one has its name.
    pub(super) fn add(&mut self, policy: &Policy) -> Result<(), Namesakes> {
        let (name, second) = (policy.name().to_owned(), policy.file().to_owned());
        match self.files.insert(name.clone(), second.clone()) {
            Some(first) => Err(Namesakes { name, first, second }),
            None => Ok(()),
        }
    }
}

/// Reads a policy.
///
/// # Errors
/// Exit code 2, after everything was said: a policy with errors can be used as little as a file that is not there.
pub(super) fn policy(path: &Path) -> Result<Loaded, ExitCode> {
    let file = config::read_policy(path).map_err(|error| complain(&error))?;
    let Parsed { policy, findings, hidden } = Policy::parse(&file.name(), &file.text);
    if let Some(policy) = policy {
        return Ok(Loaded { file, policy });
    }
    let checked = Checked { file: file.name(), text: file.text, findings, hidden };
    check::write_human(&mut io::stderr(), &[checked], look(), Hints::Counted).map_err(|error| complain(&error))?;
    Err(ExitCode::from(UNUSABLE))
}

/// How findings look on this process's standard error.
pub(super) fn look() -> Look {
    let coloured = io::stderr().is_terminal() && !Environment::process().no_color();
    if coloured { Look::Coloured } else { Look::Plain }
}
