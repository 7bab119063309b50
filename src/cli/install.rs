//! `portcullis install`: one entry in a client's own configuration, and nothing else in it.
//!
//! Promises: absolute paths only; no secret, and no value of the environment; every other byte of the file stays, and
//! so does a copy of the whole; an entry that is not a gate's is not touched without being told so.

pub(crate) mod client;
mod settings;

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use clap::Args;
use serde_json::{Value, json};

use super::load::{self, Names};
use super::put::{self, PRIVATE};
use super::{FOUND, complain};
use crate::clock::{Clock, SystemClock};
use crate::config::{self, Environment};
use crate::confirm::escape::{defused, shown};
use crate::policy::{Policy, SecretSpec, SourceSpec};
use crate::trust::quoted;
use client::{Client, Start, Started};
use settings::{Settings, SettingsError};

/// The name of an entry that serves several APIs.
const SEVERAL: &str = "portcullis";

/// The largest configuration that is changed, in bytes.
const MAX_BYTES: usize = 16 << 20;

/// What is installed, and where.
#[derive(Debug, Args)]
pub(super) struct Install {
    /// The client.
    #[arg(value_enum, value_name = "CLIENT")]
    client: Client,
    /// The policies that the client's gate serves.
    #[arg(value_name = "POLICY", required_unless_present = "remove")]
    policies: Vec<PathBuf>,
    /// What the client calls the server [default: the policy's `name`; `portcullis` for several].
    #[arg(long)]
    name: Option<String>,
    /// Where the gate keeps its log and its counts [default: as `serve`].
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// The client's configuration, where it is not in its usual place, such as `.mcp.json` of a project. Its directory is there.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print what would change, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Take the entry out again.
    #[arg(long)]
    remove: bool,
    /// Also where an entry of this name starts something else.
    #[arg(long)]
    force: bool,
}

/// Why a configuration stays as it is.
#[derive(Debug, thiserror::Error)]
enum InstallError {
    #[error("no place for the configuration of {0}: HOME is not set; name the file with --config FILE")]
    NoPlace(&'static str),
    #[error("`{}` cannot be used: {source}", quoted(path))]
    Unusable { path: PathBuf, source: io::Error },
    #[error("there is no directory `{}`; make it, or look at what --config says", quoted(.0))]
    NoDirectory(PathBuf),
    #[error("`{}` is larger than 16 MiB", quoted(.0))]
    TooLarge(PathBuf),
    #[error("`{}` is not UTF-8 text", quoted(.0))]
    NotText(PathBuf),
    #[error("`{}`: {why}; nothing was changed", quoted(path))]
    Settings { path: PathBuf, why: SettingsError },
    #[error(
        "`{}` has an entry `{}` that is not a gate's; --force replaces it, --name NAME takes another name",
        quoted(path),
        shown(name)
    )]
    NotOurs { path: PathBuf, name: String },
    #[error(
        "`{}` has an entry `{}` that is not a gate's, so it stays; {gates}; --force takes it out all the same",
        quoted(path),
        shown(name)
    )]
    NotTaken { path: PathBuf, name: String, gates: String },
    #[error("`{}` has no entry `{}`; {gates}", quoted(path), shown(name))]
    NoEntry { path: PathBuf, name: String, gates: String },
    #[error("the path `{}` is not UTF-8, which JSON cannot hold", quoted(.0))]
    Path(PathBuf),
    #[error("a name is 1 to 64 letters, digits, `.`, `_` and `-`")]
    Name,
    #[error("which entry? name it with --name NAME, or the policy that it was made for")]
    NoName,
}

/// What an entry is made of.
struct Wanted {
    name: String,
    program: PathBuf,
    arguments: Vec<String>,
    policies: Vec<Policy>,
}

/// A configuration as it was found.
struct Found {
    /// Where the file is, or will be: a link leads here.
    path: PathBuf,
    /// Its bytes and its mode; nothing where there is no file.
    before: Option<(Vec<u8>, u32)>,
    settings: Result<Settings, SettingsError>,
}

/// Exit code 0 when the client is configured, 1 where an entry is not ours or one to take out is not there, 2 for what cannot be used.
pub(super) fn run(asked: &Install) -> ExitCode {
    let wanted = match asked.wanted() {
        Ok(Ok(wanted)) => wanted,
        Ok(Err(error)) => return complain(&error),
        Err(code) => return code,
    };
    match asked.change(&wanted) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let unusable = complain(&error);
            match error {
                InstallError::NotOurs { .. } | InstallError::NotTaken { .. } | InstallError::NoEntry { .. } => {
                    ExitCode::from(FOUND)
                }
                InstallError::Settings { .. } if !asked.remove => {
                    say(&asked.to_paste(&wanted));
                    unusable
                }
                InstallError::NoPlace(_)
                | InstallError::Unusable { .. }
                | InstallError::NoDirectory(_)
                | InstallError::TooLarge(_)
                | InstallError::NotText(_)
                | InstallError::Settings { .. }
                | InstallError::Path(_)
                | InstallError::Name
                | InstallError::NoName => unusable,
            }
        }
    }
}

impl Install {
    /// # Errors
    /// The exit code where a policy cannot be used, which was said; else why there is no entry.
    fn wanted(&self) -> Result<Result<Wanted, InstallError>, ExitCode> {
        let (mut policies, mut names) = (Vec::new(), Names::default());
        // What is taken out by its name needs no policy, whatever became of it.
        let needed = if self.remove && self.name.is_some() { &[] } else { self.policies.as_slice() };
        for path in needed {
            let policy = load::policy(path)?.policy;
            // Policies with which no gate starts can still be taken out.
            if !self.remove {
                names.add(&policy).map_err(|error| complain(&error))?;
            }
            policies.push(policy);
        }
        Ok(self.entry_of(policies))
    }

    fn entry_of(&self, policies: Vec<Policy>) -> Result<Wanted, InstallError> {
        let name = match (&self.name, policies.as_slice()) {
            (Some(name), _) => name.clone(),
            (None, []) => return Err(InstallError::NoName),
            (None, [policy]) => policy.name().to_owned(),
            (None, [..]) => SEVERAL.to_owned(),
        };
        let known = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if name.is_empty() || name.len() > 64 || !name.chars().all(known) {
            return Err(InstallError::Name);
        }
        let program = program()?;
        let mut arguments = vec!["serve".to_owned()];
        for path in &self.policies {
            arguments.extend(["--policy".to_owned(), text(&absolute(path)?)?]);
        }
        if let Some(directory) = &self.state_dir {
            arguments.extend(["--state-dir".to_owned(), text(&absolute(directory)?)?]);
        }
        text(&program)?;
        Ok(Wanted { name, program, arguments, policies })
    }

    fn change(&self, wanted: &Wanted) -> Result<(), InstallError> {
        let found = self.find()?;
        let path = &found.path;
        let settings = |why| InstallError::Settings { path: path.clone(), why };
        let read = found.settings.as_ref().map_err(|why| settings(why.clone()))?;
        let (table, name) = (self.client.table(), wanted.name.as_str());
        let old = read.entry(table, name);
        self.permit(old.as_ref(), &found, name, || gates(read, table))?;
        let after = if self.remove {
            read.without(table, name).map_err(settings)?
        } else {
            // What is not ours is not built upon.
            let old = old.as_ref().filter(|old| Started::read(old).is_some());
            let entry = self.client.entry(old, &wanted.program, &wanted.arguments);
            if read.entry(table, name).as_ref() == Some(&entry) {
                read.text().to_owned()
            } else {
                read.with(table, name, &entry).map_err(settings)?
            }
        };
        let before = found.before.as_ref().map(|(bytes, _)| String::from_utf8_lossy(bytes).into_owned());
        if before.as_deref().unwrap_or_default() == after {
            say(&format!("`{}` is as it should be; nothing was changed", quoted(path)));
        } else if self.dry_run {
            say(&difference(path, before.as_deref().unwrap_or_default(), &after));
        } else {
            let backup =
                write(&found, &after).map_err(|source| InstallError::Unusable { path: path.clone(), source })?;
            say(&self.done(path, wanted, backup.as_deref()));
        }
        if !self.remove {
            notes(self.client, wanted).iter().for_each(|note| say(note));
        }
        Ok(())
    }

    /// Whether the entry may be touched.
    fn permit(
        &self,
        old: Option<&Value>,
        found: &Found,
        name: &str,
        gates: impl FnOnce() -> String,
    ) -> Result<(), InstallError> {
        let (path, name) = (found.path.clone(), name.to_owned());
        match old {
            None if self.remove => Err(InstallError::NoEntry { path, name, gates: gates() }),
            Some(old) if Started::read(old).is_none() && !self.force => Err(match self.remove {
                true => InstallError::NotTaken { path, name, gates: gates() },
                false => InstallError::NotOurs { path, name },
            }),
            None | Some(_) => Ok(()),
        }
    }

    fn find(&self) -> Result<Found, InstallError> {
        let asked = match &self.config {
            Some(path) => absolute(path)?,
            None => self.client.place(&Environment::process()).ok_or(InstallError::NoPlace(self.client.title()))?,
        };
        let unusable = |source| InstallError::Unusable { path: asked.clone(), source };
        match asked.canonicalize() {
            Ok(path) => {
                let metadata = path.metadata().map_err(unusable)?;
                if metadata.len() > MAX_BYTES as u64 {
                    return Err(InstallError::TooLarge(path));
                }
                let bytes = config::read_plain(&path, MAX_BYTES).map_err(unusable)?;
                let text = std::str::from_utf8(&bytes).map_err(|_| InstallError::NotText(path.clone()))?;
                let settings = Settings::read(text);
                let mode = metadata.permissions().mode() & 0o7777;
                Ok(Found { path, before: Some((bytes, mode)), settings })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && !asked.is_symlink() => {
                // Where a client keeps its own is known; what a person spells may be a slip.
                let spelled = self.config.as_ref().and_then(|_| asked.parent());
                if let Some(directory) = spelled.filter(|directory| !directory.is_dir()) {
                    return Err(InstallError::NoDirectory(directory.to_owned()));
                }
                Ok(Found { path: asked, before: None, settings: Settings::read("") })
            }
            Err(source) => Err(unusable(source)),
        }
    }

    fn done(&self, path: &Path, wanted: &Wanted, backup: Option<&Path>) -> String {
        let what = if self.remove { "taken out of" } else { "written to" };
        let mut text = format!("entry `{}` {what} `{}`", wanted.name, quoted(path));
        if let Some(backup) = backup {
            text.push_str(&format!("\nwhat stood there before is in `{}`", quoted(backup)));
        }
        text.push_str(&format!("\nstart {} anew, so that it reads it", self.client.title()));
        text
    }

    /// The entry for a person to put in where this program may not.
    fn to_paste(&self, wanted: &Wanted) -> String {
        let entry = self.client.entry(None, &wanted.program, &wanted.arguments);
        let whole = json!({ self.client.table(): { &wanted.name: entry } });
        format!("put this into it yourself:\n{whole:#}")
    }
}

/// Which entries are a gate's, in a sentence.
fn gates(settings: &Settings, table: &str) -> String {
    let entries = settings.entries(table).into_iter().filter(|(_, entry)| Started::read(entry).is_some());
    let names: Vec<String> = entries.map(|(name, _)| format!("`{}`", shown(name))).collect();
    match names.as_slice() {
        [] => "no entry there is a gate's".to_owned(),
        [name] => format!("a gate's is {name}"),
        [..] => format!("a gate's are {}", names.join(", ")),
    }
}

/// Writes the new text, after a copy of the old one was laid beside it: its name.
fn write(found: &Found, after: &str) -> io::Result<Option<PathBuf>> {
    let Found { path, before, .. } = found;
    let Some((bytes, mode)) = before else {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        return put::create(path, after.as_bytes(), PRIVATE).map(|()| None);
    };
    let backup = backup_of(path, SystemClock::new().wall());
    put::create(&backup, bytes, *mode)?;
    put::replace(path, bytes, after.as_bytes(), *mode)?;
    Ok(Some(backup))
}

/// `mcp.json.20260302T081115.310Z.bak`.
fn backup_of(path: &Path, now: SystemTime) -> PathBuf {
    let time = humantime::format_rfc3339_millis(now).to_string().replace(['-', ':'], "");
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{time}.bak"));
    PathBuf::from(name)
}

/// What a person should know before the client starts the gate.
fn notes(client: Client, wanted: &Wanted) -> Vec<String> {
    let mut notes = Vec::new();
    if client.start() == Start::Desktop {
        for name in wanted.policies.iter().flat_map(variables) {
            notes.push(format!(
                "note: the policy reads a secret from the variable {name}, and {} is started from the desktop, without your \
                 shell's variables: let the policy take it from a `file` or a `command`",
                client.title()
            ));
        }
    }
    notes.push("to see that all is well:  portcullis doctor POLICY".replace("POLICY", &paths(wanted)));
    notes
}

fn paths(wanted: &Wanted) -> String {
    let paths = wanted.arguments.iter().zip(wanted.arguments.iter().skip(1));
    let paths: Vec<_> = paths.filter(|(key, _)| *key == "--policy").map(|(_, path)| quoted(Path::new(path))).collect();
    paths.join(" ")
}

/// The environment variables that a policy's secrets stand in.
pub(super) fn variables(policy: &Policy) -> Vec<String> {
    let variable = |spec: &SourceSpec| match spec {
        SourceSpec::Secret(SecretSpec::Env(name)) => Some(name.clone()),
        SourceSpec::Secret(SecretSpec::File(_) | SecretSpec::Command(_) | SecretSpec::Systemd(_))
        | SourceSpec::CaFile(_)
        | SourceSpec::ClientCertificate(_)
        | SourceSpec::Openapi(_) => None,
    };
    let mut names: Vec<String> = policy.sources().iter().filter_map(|source| variable(&source.spec)).collect();
    names.sort();
    names.dedup();
    names
}

/// What stands in a client's configuration.
pub(super) enum Entries {
    /// Its servers, by name.
    Read(Vec<(String, Value)>),
    /// It cannot be read; one sentence.
    Unreadable(String),
}

/// The servers that a client's configuration lists.
pub(super) fn entries(client: Client, path: &Path) -> Entries {
    let text = match config::read_plain(path, MAX_BYTES) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => return Entries::Unreadable(error.to_string()),
    };
    match Settings::read(&text) {
        Ok(settings) => {
            let entries = settings.entries(client.table());
            Entries::Read(entries.into_iter().map(|(name, entry)| (name.to_owned(), entry)).collect())
        }
        Err(error) => Entries::Unreadable(error.to_string()),
    }
}

/// This program by the name that an update leaves in place: as `PATH` finds it, where that is the same file.
fn program() -> Result<PathBuf, InstallError> {
    let unusable = |source| InstallError::Unusable { path: PathBuf::from(SEVERAL), source };
    let running = std::env::current_exe().and_then(|path| path.canonicalize()).map_err(unusable)?;
    let path = Environment::process().path().unwrap_or_default();
    let named = std::env::split_paths(&path).filter(|directory| directory.is_absolute());
    let mut named = named.map(|directory| directory.join(SEVERAL));
    let same = named.find(|name| name.canonicalize().is_ok_and(|real| real == running));
    Ok(same.unwrap_or(running))
}

/// The path from `/`, its directory without links and dots; the file's own name stays, even where it is a link.
fn absolute(path: &Path) -> Result<PathBuf, InstallError> {
    let unusable = |source| InstallError::Unusable { path: path.to_owned(), source };
    let absolute = std::path::absolute(path).map_err(unusable)?;
    let (Some(parent), Some(name)) = (absolute.parent(), absolute.file_name()) else { return Ok(absolute) };
    Ok(parent.canonicalize().map_or(absolute.clone(), |parent| parent.join(name)))
}

fn text(path: &Path) -> Result<String, InstallError> {
    path.to_str().map(str::to_owned).ok_or_else(|| InstallError::Path(path.to_owned()))
}

/// The lines that differ, in the form of `diff -U0`: what stands beside them may be somebody's secret.
fn difference(path: &Path, before: &str, after: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let same = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    let rest = old.len().min(new.len()) - same;
    let tail = old.iter().rev().zip(new.iter().rev()).take(rest).take_while(|(old, new)| old == new).count();
    let (gone, come) = (old.len() - same - tail, new.len() - same - tail);
    let name = quoted(path);
    let mut text = format!("--- {name}\n+++ {name}\n@@ -{},{gone} +{},{come} @@", same + 1, same + 1);
    for (mark, lines, count) in [('-', &old, gone), ('+', &new, come)] {
        for line in lines.iter().skip(same).take(count) {
            text.push_str(&format!("\n{mark}{}", defused(line)));
        }
    }
    text
}

/// A reader that is gone changes nothing of what was done.
fn say(text: &str) {
    drop(writeln!(io::stdout(), "{text}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_shows_the_changed_lines_and_no_others() {
        let text = difference(
            Path::new("/a"),
            "{\n  \"k\": \"secret\",\n  \"b\": 1\n}\n",
            "{\n  \"k\": \"secret\",\n  \"b\": 1,\n  \"c\": 2\n}\n",
        );
        assert_eq!(text, "--- /a\n+++ /a\n@@ -3,1 +3,2 @@\n-  \"b\": 1\n+  \"b\": 1,\n+  \"c\": 2");
        assert_eq!(difference(Path::new("/a"), "", "{\n}\n"), "--- /a\n+++ /a\n@@ -1,0 +1,2 @@\n+{\n+}");
    }

    #[test]
    fn a_copy_is_named_after_its_time() {
        let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(1_772_439_075_310);
        assert_eq!(backup_of(Path::new("/a/mcp.json"), time), Path::new("/a/mcp.json.20260302T081115.310Z.bak"));
    }
}
