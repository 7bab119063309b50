//! A policy for a command: read and without errors, or its findings on standard error.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::process::ExitCode;

use super::catalog;
use super::check::{self, Checked, Hints, Look};
use super::{UNUSABLE, complain};
use crate::catalog::Catalog;
use crate::catalog::warning::Warning;
use crate::config::{self, Environment, PolicyFile};
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
