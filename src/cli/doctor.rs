//! `portcullis doctor`: everything between a policy and an answer of its API, looked at one by one.
//!
//! Promises: no secret is shown; what is sent is one GET that the policy allows, through the gate and into its log, and
//! nothing else. Trusts nothing that it looks at.

mod clients;
mod files;
mod gate;
mod network;
mod report;
mod state;

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::load::{Loaded, Names};
use super::{FOUND, Format, UNUSABLE, complain};
use crate::catalog::Catalog;
use crate::config::{self, Environment};
use crate::secret;
use report::{About, Report};

/// What is looked at.
#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// The policies.
    #[arg(required = true, value_name = "POLICY")]
    policies: Vec<PathBuf>,
    /// Where the gates keep their logs and counts, as `serve` is told.
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// The path to ask the API for [default: a GET without variables that the description has and the policy allows].
    #[arg(long, value_name = "PATH", conflicts_with = "offline")]
    get: Option<String>,
    /// Look at nothing outside this machine.
    #[arg(long)]
    offline: bool,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

/// Exit code 0 when nothing keeps a gate from working, 1 when something does, 2 for a policy that cannot be read.
pub(super) fn run(asked: &Doctor) -> ExitCode {
    if let Err(error) = secret::shield_process() {
        tracing::debug!(%error, "this process could not be made unreadable to others");
    }
    let (mut report, mut names) = (Report::default(), Names::default());
    let mut unusable = false;
    for path in &asked.policies {
        let name = path.display().to_string();
        match asked.examine(path, &mut names, &mut report.about(&name)) {
            Ok(()) => {}
            Err(Unreadable) => unusable = true,
        }
    }
    let mut out = BufWriter::new(io::stdout().lock());
    let written = match asked.format {
        Format::Human => report.write_human(&mut out),
        Format::Json => report.write_json(&mut out),
    };
    match written.and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return complain(&error),
        Ok(()) | Err(_) => {}
    }
    match (report.failed(), unusable) {
        (_, true) => ExitCode::from(UNUSABLE),
        (true, false) => ExitCode::from(FOUND),
        (false, false) => ExitCode::SUCCESS,
    }
}

/// The policy cannot be read; that was reported.
struct Unreadable;

impl Doctor {
    fn examine(&self, path: &Path, names: &mut Names, about: &mut About<'_>) -> Result<(), Unreadable> {
        files::program(about);
        let Some(loaded) = files::policy(path, about)? else { return Ok(()) };
        if let Err(error) = names.add(&loaded.policy) {
            about.fail("policy", &error.to_string(), "`serve` does not start with both");
        }
        let sources = files::sources(&loaded, about);
        let catalog = files::description(&loaded, about);
        let directory = self.directory(&loaded, about);
        let gate = directory.and_then(|directory| {
            state::running(&loaded.policy, &directory, about);
            state::counts(&loaded.policy, &directory, about);
            gate::Parts::open(&loaded, &directory, about)
        });
        clients::look(&loaded, about);
        if self.offline {
            return Ok(());
        }
        let Some(runtime) = gate::runtime(about) else { return Ok(()) };
        let reached = network::way(&runtime, &loaded, about);
        match (reached, sources, gate) {
            (network::Way::Open, files::Sources::There, Some(gate)) => {
                self.ask(&runtime, &loaded, catalog, gate, about);
            }
            (network::Way::Closed, _, _) => about.skipped("request", "not sent: the API cannot be reached"),
            (_, files::Sources::Missing, _) => about.skipped("request", "not sent: a secret or certificate is missing"),
            (_, _, None) => about.skipped("request", "not sent: nothing is sent that cannot be recorded"),
        }
        Ok(())
    }

    fn ask(
        &self,
        runtime: &tokio::runtime::Runtime,
        loaded: &Loaded,
        catalog: Option<Catalog>,
        gate: gate::Parts,
        about: &mut About<'_>,
    ) {
        let chosen = match &self.get {
            Some(path) => network::named(path),
            None => network::harmless(&loaded.policy, catalog.as_ref()),
        };
        match chosen {
            Ok(request) => {
                let Some(gateway) = gate.gateway(runtime, loaded, catalog, about) else { return };
                network::request(runtime, &gateway, request, about);
                if let Err(error) = gateway.close("doctor") {
                    about.fail("log", &error.to_string(), "look at the disk of the state directory");
                }
            }
            Err(why) => about.warn("request", &why, "name a harmless one with --get PATH"),
        }
    }

    /// Where the gate of this policy keeps its log, as `serve` finds it.
    fn directory(&self, loaded: &Loaded, about: &mut About<'_>) -> Option<PathBuf> {
        let name = loaded.policy.name();
        let explicit = self.state_dir.as_ref().map(|directory| match self.policies.len() {
            1 => directory.clone(),
            _ => directory.join(name),
        });
        match config::state_directory(explicit.as_deref(), &Environment::process(), name) {
            Ok(directory) => {
                about.good("state", &format!("`{}` is yours alone to write", crate::trust::quoted(&directory)));
                Some(directory)
            }
            Err(error) => {
                about.fail("state", &error.to_string(), "or name another one with --state-dir, here and for `serve`");
                None
            }
        }
    }
}
