//! `portcullis init`: a first policy, as small as it can be and be of use.
//!
//! Promises: what is written reads and changes nothing, was read by the policy's own parser before it was written, is
//! its owner's alone, and never takes the place of a file without being told so. A secret is named, never asked for; what
//! looks like one is not repeated.

mod allstacks;
mod answer;
mod ask;
mod credential;
mod document;
mod text;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::check::{self, Checked, Hints};
use super::put::{self, PRIVATE};
use super::{FOUND, complain, load};
use crate::catalog::warning::DocumentError;
use crate::config::ConfigError;
use crate::confirm::escape::shown;
use crate::policy::{Parsed, Policy};
use crate::trust::{self, TrustError, quoted};
use answer::{Allow, Fault};
use ask::{Asker, Mode};
use credential::Credential;
use text::Upstream;

/// Every answer that is asked for, as a flag.
#[derive(Debug, Args)]
pub(super) struct Init {
    /// An API that this program knows.
    #[arg(long, value_enum, conflicts_with = "openapi")]
    api: Option<Api>,
    /// An OpenAPI document (3.0 or 3.1, JSON or YAML) that describes the API.
    #[arg(long, value_name = "FILE")]
    openapi: Option<PathBuf>,
    /// Where the API is; the paths of the rules are below this.
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    #[command(flatten)]
    allow: Allow,
    /// What the API is called here: lower-case letters, digits and hyphens.
    #[arg(long)]
    name: Option<String>,
    /// Where the secret is: `env:NAME`, `file:PATH`, `command:PROGRAM ARGUMENT…`, `systemd:NAME`, or `none`.
    #[arg(long, value_name = "PLACE")]
    credential: Option<String>,
    /// Send the secret in this header [default: `Authorization: Bearer`].
    #[arg(long, value_name = "NAME")]
    header: Option<String>,
    /// Open this group of operations; repeat it for several [default: all that are proposed].
    #[arg(long, value_name = "GROUP")]
    group: Vec<String>,
    /// The policy's file [default: `NAME.toml`].
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Ask nothing: take the defaults of what is not given.
    #[arg(long)]
    yes: bool,
    /// Take the place of files that are there.
    #[arg(long)]
    force: bool,
}

/// The APIs with a description built in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Api {
    /// Allstacks.
    Allstacks,
}

/// What an API offers to a policy.
#[derive(Debug)]
struct Offer {
    /// The value of `upstream.openapi`; of a file, as it was named.
    openapi: Openapi,
    base_url: Option<String>,
    /// What the policy is called unless somebody says otherwise.
    name: String,
    groups: Vec<Group>,
    closed: Vec<Closed>,
    /// Operations that no rule can name.
    left_out: usize,
}

/// The description that a policy names.
#[derive(Debug)]
enum Openapi {
    Builtin(&'static str),
    File(PathBuf),
}

/// One allow rule that is proposed.
#[derive(Debug)]
struct Group {
    id: String,
    /// Its table in TOML, comments included.
    toml: String,
    /// How many paths it opens.
    paths: usize,
    case: Sample,
}

/// One deny rule.
#[derive(Debug)]
struct Closed {
    id: String,
    toml: String,
    case: Sample,
}

/// A request that a rule decides.
#[derive(Debug, Clone)]
struct Sample {
    method: &'static str,
    path: String,
    /// In TOML.
    body: Option<&'static str>,
}

/// Why there is no policy.
#[derive(Debug, thiserror::Error)]
enum InitError {
    #[error("there is no terminal to ask at ({source}); give {flag}, or --yes for the defaults")]
    NoTerminal { flag: &'static str, source: io::Error },
    #[error("the terminal cannot be used: {0}")]
    Terminal(io::Error),
    #[error("give {0}: there is no default for it")]
    Missing(&'static str),
    #[error(
        "the credential is none of `env:NAME`, `file:PATH`, `command:PROGRAM ARGUMENT…`, `systemd:NAME`, `none`; the secret \
         itself belongs into none of them, and what was given is not repeated here"
    )]
    Credential,
    #[error("quotes in a command are not read here: write the list into the policy, as `command = [\"…\", \"…\"]`")]
    Quotes,
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("`{}` cannot be used as the API's description: {source}", quoted(path))]
    Document { path: PathBuf, source: DocumentError },
    #[error("`{}` has no GET operation that a rule could open without opening access or people", quoted(.0))]
    NothingToOpen(PathBuf),
    #[error("there is no group `{}`; there are {known}", shown(group))]
    Group { group: String, known: String },
    #[error("a policy there could not be served: {0}")]
    Trust(#[from] TrustError),
    #[error("`{}` is there already; --force takes its place, --output FILE writes another", quoted(.0))]
    Exists(PathBuf),
    #[error("`{}` cannot be written: {source}", quoted(path))]
    Unwritable { path: PathBuf, source: io::Error },
    #[error("nothing was written")]
    Declined,
    #[error(transparent)]
    Fault(#[from] Fault),
    #[error("the built-in description cannot be used: {0}")]
    Builtin(toml::de::Error),
    #[error("the built-in description cannot be used: {0}")]
    Catalog(DocumentError),
}

/// Exit code 0 when a policy was written, 1 where it would have errors or a person said no, 2 for what cannot be used.
pub(super) fn run(asked: &Init) -> ExitCode {
    match asked.write() {
        Ok(()) => ExitCode::SUCCESS,
        Err(InitError::Declined) => {
            complain(&InitError::Declined);
            ExitCode::from(FOUND)
        }
        Err(InitError::Fault(fault)) => {
            complain(&format!("{fault}; nothing was written"));
            ExitCode::from(FOUND)
        }
        Err(error) => complain(&error),
    }
}

impl Init {
    fn write(&self) -> Result<(), InitError> {
        let mut asker = Asker::new(if self.yes { Mode::Defaults } else { Mode::Ask });
        let mut offer = self.offer(&mut asker)?;
        let name = asker.value(self.name.as_deref(), "--name", "What is the API called here?", Some(&offer.name))?;
        let question = "Where is the API? The paths of the rules are below this address.";
        let base_url = asker.value(self.base_url.as_deref(), "--base-url", question, offer.base_url.as_deref())?;
        answer::name(&name)?;
        answer::base_url(&base_url, self.allow)?;
        self.header.as_deref().map_or(Ok(()), answer::header)?;
        let default = format!("env:{}_TOKEN", variable_of(&name));
        let question = "Where is the secret? `env:NAME`, `file:PATH`, `command:PROGRAM ARGUMENT…`, `systemd:NAME`, or `none`. \
                        Not the secret itself.";
        let place = asker.value(self.credential.as_deref(), "--credential", question, Some(&default))?;
        self.choose(&mut offer, &mut asker)?;
        let file = format!("{name}.toml");
        let output = match &self.output {
            Some(output) => output.clone(),
            None => asker.value(None, "--output", "Into which file?", Some(&file))?.into(),
        };
        let directory = directory_of(&output)?;
        let credential = Credential::read(&place, self.header.as_deref(), &directory)?;
        let upstream =
            Upstream { name: &name, base_url: &base_url, allow: self.allow, credential: credential.as_ref() };
        let policy = text::policy(&offer, &upstream, &directory);
        let cases = output.with_extension("cases.toml");
        answer::judge(&policy)?;
        for path in [&output, &cases].into_iter().filter(|path| path.symlink_metadata().is_ok()) {
            if !self.force {
                return Err(InitError::Exists(path.clone()));
            }
        }
        asker.confirm(&output)?;
        self.put(&output, policy.as_bytes())?;
        self.put(&cases, text::cases(&offer, &output).as_bytes())?;
        show_findings(&output, policy);
        say(&text::next(&offer, &output, &cases, credential.as_ref()));
        Ok(())
    }

    fn offer(&self, asker: &mut Asker) -> Result<Offer, InitError> {
        match (self.api, &self.openapi) {
            (Some(Api::Allstacks), _) => allstacks::offer(),
            (None, Some(path)) => document::offer(path),
            (None, None) => {
                let question = "Which API? `allstacks`, or the path of an OpenAPI document.";
                match asker.value(None, "--api or --openapi", question, None)?.as_str() {
                    "allstacks" => allstacks::offer(),
                    path => document::offer(Path::new(path)),
                }
            }
        }
    }

    /// Leaves the groups that are to be opened.
    fn choose(&self, offer: &mut Offer, asker: &mut Asker) -> Result<(), InitError> {
        let chosen = if self.group.is_empty() { asker.groups(&offer.groups)? } else { self.group.clone() };
        if chosen.is_empty() {
            return Ok(());
        }
        if let Some(group) = chosen.iter().find(|id| !offer.groups.iter().any(|group| group.id == **id)) {
            let known: Vec<_> = offer.groups.iter().map(|group| format!("`{}`", group.id)).collect();
            return Err(InitError::Group { group: group.clone(), known: known.join(", ") });
        }
        offer.groups.retain(|group| chosen.contains(&group.id));
        Ok(())
    }

    fn put(&self, path: &Path, content: &[u8]) -> Result<(), InitError> {
        let unwritable = |source: io::Error| {
            let path = path.to_owned();
            let is_there = source.kind() == io::ErrorKind::AlreadyExists;
            if is_there { InitError::Exists(path) } else { InitError::Unwritable { path, source } }
        };
        match std::fs::read(path) {
            Ok(before) if self.force => put::replace(path, &before, content, PRIVATE).map_err(unwritable),
            Ok(_) | Err(_) => put::create(path, content, PRIVATE).map_err(unwritable),
        }
    }
}

/// The name in the letters of a variable.
fn variable_of(name: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    let variable: String = name.chars().map(letter).collect();
    if variable.starts_with(|c: char| c.is_ascii_digit()) { format!("API_{variable}") } else { variable }
}

/// Where the policy will lie, which has to be a place that `serve` believes.
fn directory_of(output: &Path) -> Result<PathBuf, InitError> {
    let unwritable = |source| InitError::Unwritable { path: output.to_owned(), source };
    let absolute = std::path::absolute(output).map_err(unwritable)?;
    let parent = absolute.parent().unwrap_or(Path::new("/")).canonicalize().map_err(unwritable)?;
    trust::check_parent(&parent.join("policy.toml"))?;
    Ok(parent)
}

/// Shows what is to be said of a policy that was written; it has no errors.
fn show_findings(output: &Path, text: String) {
    let file = output.display().to_string();
    let Parsed { findings, hidden, .. } = Policy::parse(&file, &text);
    if !findings.is_empty() {
        let checked = Checked { file, text, findings, hidden };
        // A closed standard error leaves nobody to tell.
        drop(check::write_human(&mut io::stderr(), &[checked], load::look(), Hints::Counted));
    }
}

/// A reader that is gone changes nothing of what was done.
fn say(text: &str) {
    drop(writeln!(io::stdout(), "{text}"));
}
