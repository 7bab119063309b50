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
use ask::{Asker, Mode, Question};
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

/// Where the files will lie.
struct Place {
    output: PathBuf,
    cases: PathBuf,
    /// That of both, without links and dots.
    directory: PathBuf,
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
    #[error("the input ended where {0} was asked for; nothing was written")]
    Ended(&'static str),
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
        self.judge_given()?;
        let mut asker = Asker::new(if self.yes { Mode::Defaults } else { Mode::Ask });
        let mut offer = self.offer(&mut asker)?;
        if let Some(group) = self.group.iter().find(|id| !offer.groups.iter().any(|group| group.id == **id)) {
            return Err(ask::unknown(&offer.groups, group));
        }
        let name = self.name(&mut asker, &offer)?;
        let base_url = self.base_url(&mut asker, &offer)?;
        let credential = self.credential(&mut asker, &name)?;
        let groups = if self.group.is_empty() { asker.groups(&offer.groups)? } else { self.group.clone() };
        offer.groups.retain(|group| groups.contains(&group.id));
        let Place { output, cases, directory } = self.output(&mut asker, &name)?;
        let credential = Credential::read(&credential, self.header.as_deref(), &directory)?;
        let upstream =
            Upstream { name: &name, base_url: &base_url, allow: self.allow, credential: credential.as_ref() };
        let policy = text::policy(&offer, &upstream, &directory);
        answer::judge(&policy)?;
        asker.confirm(&output)?;
        self.put(&output, policy.as_bytes())?;
        self.put(&cases, text::cases(&offer, &output).as_bytes())?;
        show_findings(&output, policy);
        say(&text::next(&offer, &output, &cases, credential.as_ref()));
        Ok(())
    }

    /// What the command line says is judged before anybody is asked for the rest.
    fn judge_given(&self) -> Result<(), InitError> {
        self.name.as_deref().map_or(Ok(()), answer::name)?;
        self.base_url.as_deref().map_or(Ok(()), |url| answer::base_url(url, self.allow))?;
        self.header.as_deref().map_or(Ok(()), answer::header)?;
        self.credential.as_deref().map_or(Ok(()), Credential::judge)?;
        self.output.as_deref().map_or(Ok(()), |output| self.place(output).map(drop))
    }

    fn offer(&self, asker: &mut Asker) -> Result<Offer, InitError> {
        match (self.api, &self.openapi) {
            (Some(Api::Allstacks), _) => allstacks::offer(),
            (None, Some(path)) => document::offer(path),
            (None, None) => {
                let words = "Which API? `allstacks`, or the path of an OpenAPI document.";
                let question = Question { flag: "--api or --openapi", words, default: None };
                asker.answer(None, &question, |said| match said {
                    "allstacks" => allstacks::offer(),
                    path => document::offer(Path::new(path)),
                })
            }
        }
    }

    fn name(&self, asker: &mut Asker, offer: &Offer) -> Result<String, InitError> {
        let words = "What is the API called here?";
        let question = Question { flag: "--name", words, default: Some(&offer.name) };
        asker.answer(self.name.as_deref(), &question, |said| Ok(answer::name(said).map(|()| said.to_owned())?))
    }

    fn base_url(&self, asker: &mut Asker, offer: &Offer) -> Result<String, InitError> {
        let words = "Where is the API? The paths of the rules are below this address.";
        let question = Question { flag: "--base-url", words, default: offer.base_url.as_deref() };
        let judge = |said: &str| Ok(answer::base_url(said, self.allow).map(|()| said.to_owned())?);
        asker.answer(self.base_url.as_deref(), &question, judge)
    }

    /// Where the secret is, as it was said.
    fn credential(&self, asker: &mut Asker, name: &str) -> Result<String, InitError> {
        let words = "Where is the secret? `env:NAME`, `file:PATH`, `command:PROGRAM ARGUMENT…`, `systemd:NAME`, or `none`. \
                     Not the secret itself.";
        let default = format!("env:{}_TOKEN", variable_of(name));
        let question = Question { flag: "--credential", words, default: Some(&default) };
        let judge = |said: &str| Credential::judge(said).map(|()| said.to_owned());
        asker.answer(self.credential.as_deref(), &question, judge)
    }

    fn output(&self, asker: &mut Asker, name: &str) -> Result<Place, InitError> {
        if let Some(output) = &self.output {
            return self.place(output);
        }
        let default = format!("{name}.toml");
        let question = Question { flag: "--output", words: "Into which file?", default: Some(&default) };
        asker.answer(None, &question, |said| self.place(Path::new(said)))
    }

    /// Where the files will lie: a place that `serve` believes, and where nothing is that was not given up.
    fn place(&self, output: &Path) -> Result<Place, InitError> {
        let directory = directory_of(output)?;
        let (output, cases) = (output.to_owned(), output.with_extension("cases.toml"));
        let there = [&output, &cases].into_iter().find(|path| path.symlink_metadata().is_ok());
        if let Some(path) = there.filter(|_| !self.force) {
            return Err(InitError::Exists(path.clone()));
        }
        Ok(Place { output, cases, directory })
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
