//! Where a secret comes from: an environment variable, a file, a command's output, a systemd credential.
//!
//! Promises that a secret is read only from a place that nobody else can write (and, for a file, read), that a command gets no secret
//! in its environment and cannot hang or flood the gateway, and that no error repeats a byte of a value. Refuses an empty value and one
//! over 64 KiB. Trusts `config.rs` to hand over the environment (nothing here reads it), root, and the command that the policy
//! names to print what it should.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;
use std::{env, fmt, io};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};
use zeroize::Zeroizing;

use crate::policy::{CredentialSpec, SecretSpec, UpstreamSpec};
use crate::secret::Secret;
use crate::trust::{self, TrustError};

/// The longest value that is read.
const MAX_BYTES: usize = 64 * 1024;

/// How long a command may take to print its secret.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);

/// What was read from the environment for the sources of one policy, and where its relative paths start. Nothing else of the
/// environment is kept, and none of the variables that hold a secret reaches a child.
#[derive(Debug)]
pub struct Surroundings {
    directory: PathBuf,
    variables: BTreeMap<String, Arc<Secret>>,
    credentials_directory: Option<PathBuf>,
    /// `PATH`, `HOME` and `LANG`, where set: all that a command gets.
    inherited: Vec<(&'static str, OsString)>,
}

/// One place to read a secret from, found once.
#[derive(Debug)]
pub(crate) enum SecretSource {
    Variable(String),
    File(PathBuf),
    /// A file in `$CREDENTIALS_DIRECTORY`, which systemd made and guards.
    Systemd(PathBuf),
    Command {
        program: PathBuf,
        arguments: Vec<String>,
    },
}

/// What a file looked like when it was read. Another stamp means another content, or other people who may read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Why a credential cannot be used. For the log and the person at the terminal; it names places, never values.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// One source, and what is wrong with it or with what it gave.
    #[error("{place} {fault}")]
    Source {
        /// Which.
        place: SourceName,
        /// What is wrong.
        fault: SourceFault,
    },
    /// The header's name is no token, or belongs to the connection or to another key of the policy.
    #[error("a credential may not be sent in the header `{}`", name.escape_debug())]
    HeaderName {
        /// The name.
        name: String,
    },
    /// No search for echoes could be built.
    #[error("no search for echoes of the credentials could be built")]
    Unsearchable,
    /// Another thread panicked while it changed the credentials.
    #[error("the credentials are in an unknown state; restart the gateway")]
    Poisoned,
}

/// Where a secret comes from, as the person who wrote the policy knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceName {
    /// An environment variable.
    Variable(String),
    /// A file, by its absolute path.
    File(PathBuf),
    /// A systemd credential, by its name.
    Systemd(String),
    /// A command, by its program alone: its arguments may say more than a log should hold.
    Command(PathBuf),
}

/// What is wrong with a source. `Display` goes on after its name.
#[derive(Debug, thiserror::Error)]
pub enum SourceFault {
    /// The environment variable is not there.
    #[error("is not set")]
    Unset,
    /// The source gave nothing, or a lone newline.
    #[error("gave an empty secret")]
    Empty,
    /// The source gave more than any credential is long.
    #[error("gave a secret longer than {MAX_BYTES} bytes")]
    TooLong,
    /// The file, or a directory above it, may be changed or read by others, or is no regular file.
    #[error("cannot be used: {0}")]
    Untrusted(#[from] TrustError),
    /// The file could be opened, not read.
    #[error("could not be read: {0}")]
    Unreadable(#[source] io::Error),
    /// A systemd credential without systemd.
    #[error("needs `CREDENTIALS_DIRECTORY`, which is not set; start the gateway from a unit with `LoadCredential=`")]
    NoCredentialsDirectory,
    /// A systemd credential that is a path.
    #[error("is no plain file name: name it without `/`")]
    CredentialName,
    /// The command has no first word.
    #[error("is empty")]
    NoCommand,
    /// The command is neither an absolute path nor a plain name.
    #[error("must be an absolute path, or a plain name that is found on `PATH`")]
    RelativeCommand,
    /// No executable file of that name.
    #[error("was not found, or is not executable")]
    CommandNotFound,
    /// The command could not be started, or its output not be read.
    #[error("could not be run: {0}")]
    CommandBroken(#[source] io::Error),
    /// The command ended with something else than 0.
    #[error("failed: {0}")]
    CommandFailed(ExitStatus),
    /// The command was killed.
    #[error("took longer than {} s and was stopped", COMMAND_TIMEOUT.as_secs())]
    CommandTimeout,
    /// The value cannot be sent in a header.
    #[error("gave a secret with a character that is not visible ASCII")]
    NotVisible,
    /// The user name of a basic credential holds what ends it.
    #[error("gave a user name with `:`, which ends the user name of a basic credential")]
    Colon,
    /// The value signs nothing.
    #[error("gave no signing secret: that is `whsec_` and 24 to 64 bytes in base64")]
    NotASigningSecret,
    /// The value is longer than servers accept a header.
    #[error("gave a secret that makes a header longer than {} bytes", crate::upstream::credential::MAX_HEADER)]
    HeaderTooLong,
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, name) = match self {
            Self::Variable(name) => ("environment variable", name.clone()),
            Self::File(path) => ("file", path.display().to_string()),
            Self::Systemd(name) => ("systemd credential", name.clone()),
            Self::Command(program) => ("command", program.display().to_string()),
        };
        write!(f, "{kind} `{}`", name.escape_debug())
    }
}

impl SourceName {
    /// The error of this source.
    pub(crate) fn failed(self, fault: SourceFault) -> SourceError {
        SourceError::Source { place: self, fault }
    }
}

impl Surroundings {
    /// Asks `lookup` for the variables that `spec` needs and for those that every command gets. `directory` is where the policy file
    /// lies: its relative paths start there.
    pub fn collect(spec: &UpstreamSpec, directory: &Path, lookup: &dyn Fn(&str) -> Option<OsString>) -> Self {
        let credentials = spec.credential.iter().chain(spec.credentials.values());
        Self::of(credentials.flat_map(CredentialSpec::secrets), directory, lookup)
    }

    /// The same for any secrets of the policy.
    pub fn of<'a>(
        secrets: impl IntoIterator<Item = &'a SecretSpec>,
        directory: &Path,
        lookup: &dyn Fn(&str) -> Option<OsString>,
    ) -> Self {
        let inherited = ["PATH", "HOME", "LANG"].into_iter().filter_map(|name| Some((name, lookup(name)?))).collect();
        let credentials_directory = lookup("CREDENTIALS_DIRECTORY").filter(|path| !path.is_empty()).map(PathBuf::from);
        let variables = BTreeMap::new();
        let found = Self { directory: directory.to_owned(), variables, credentials_directory, inherited };
        found.and(secrets, lookup)
    }

    /// The same, with the variables that these secrets need.
    #[must_use]
    pub fn and<'a>(
        mut self,
        secrets: impl IntoIterator<Item = &'a SecretSpec>,
        lookup: &dyn Fn(&str) -> Option<OsString>,
    ) -> Self {
        for secret in secrets {
            if let SecretSpec::Env(name) = secret
                && let Some(value) = lookup(name)
            {
                let mut value = Zeroizing::new(value.into_encoded_bytes());
                trim_newline(&mut value);
                self.variables.insert(name.clone(), Arc::new(Secret::new(std::mem::take(&mut *value))));
            }
        }
        self
    }

    /// Reads a secret that is no credential.
    ///
    /// # Errors
    /// Whatever kept it from being read.
    pub async fn read(&self, spec: &SecretSpec) -> Result<Arc<Secret>, SourceError> {
        SecretSource::find(spec, self)?.read(self).await
    }

    /// Looks whether a secret can be had, without running a command for it.
    ///
    /// # Errors
    /// What [`Upstream::open`](crate::upstream::Upstream::open) would stop at.
    pub fn probe(&self, spec: &SecretSpec) -> Result<(), SourceError> {
        let source = SecretSource::find(spec, self)?;
        match source {
            SecretSource::Command { .. } => Ok(()),
            SecretSource::Variable(_) | SecretSource::File(_) | SecretSource::Systemd(_) => {
                source.read_here(self).map(drop)
            }
        }
    }

    /// A path of the policy, made absolute.
    pub(crate) fn path(&self, path: &Path) -> PathBuf {
        self.directory.join(path)
    }

    fn executable(&self, word: &str) -> Result<PathBuf, SourceFault> {
        let found = if Path::new(word).is_absolute() {
            Some(PathBuf::from(word)).filter(|path| is_executable(path))
        } else if word.contains('/') {
            return Err(SourceFault::RelativeCommand);
        } else {
            let path = self.inherited.iter().find_map(|(name, value)| (*name == "PATH").then_some(value));
            let directories = path.into_iter().flat_map(env::split_paths).filter(|directory| directory.is_absolute());
            directories.map(|directory| directory.join(word)).find(|path| is_executable(path))
        };
        let program = found.ok_or(SourceFault::CommandNotFound)?;
        believed(&program)?;
        Ok(program)
    }
}

impl SecretSource {
    /// # Errors
    /// The description leads nowhere: a name with a slash, a command that is not there.
    pub(crate) fn find(spec: &SecretSpec, surroundings: &Surroundings) -> Result<Self, SourceError> {
        match spec {
            SecretSpec::Env(name) => Ok(Self::Variable(name.clone())),
            SecretSpec::File(path) => Ok(Self::File(surroundings.path(path))),
            SecretSpec::Systemd(name) => {
                Self::find_systemd(name, surroundings).map_err(|fault| SourceName::Systemd(name.clone()).failed(fault))
            }
            SecretSpec::Command(words) => Self::find_command(words, surroundings).map_err(|fault| {
                SourceName::Command(words.first().map(PathBuf::from).unwrap_or_default()).failed(fault)
            }),
        }
    }

    fn find_systemd(name: &str, surroundings: &Surroundings) -> Result<Self, SourceFault> {
        let plain = !name.contains('/') && !["", ".", ".."].contains(&name);
        let directory = surroundings.credentials_directory.as_ref().ok_or(SourceFault::NoCredentialsDirectory)?;
        Ok(Self::Systemd(plain.then(|| directory.join(name)).ok_or(SourceFault::CredentialName)?))
    }

    fn find_command(words: &[String], surroundings: &Surroundings) -> Result<Self, SourceFault> {
        let (first, rest) = words.split_first().ok_or(SourceFault::NoCommand)?;
        Ok(Self::Command { program: surroundings.executable(first)?, arguments: rest.to_vec() })
    }

    /// The error of this source.
    pub(crate) fn failed(&self, fault: SourceFault) -> SourceError {
        let name = match self {
            Self::Variable(name) => SourceName::Variable(name.clone()),
            Self::File(path) => SourceName::File(path.clone()),
            Self::Systemd(path) => {
                SourceName::Systemd(path.file_name().unwrap_or_default().to_string_lossy().into_owned())
            }
            Self::Command { program, .. } => SourceName::Command(program.clone()),
        };
        name.failed(fault)
    }

    /// # Errors
    /// Whatever kept the secret from being read; never a part of it.
    pub(crate) async fn read(&self, surroundings: &Surroundings) -> Result<Arc<Secret>, SourceError> {
        match self {
            Self::Command { program, arguments } => {
                let printed = run(program, arguments, surroundings, COMMAND_TIMEOUT).await;
                printed.and_then(secret).map_err(|fault| self.failed(fault))
            }
            Self::Variable(_) | Self::File(_) | Self::Systemd(_) => self.read_here(surroundings),
        }
    }

    /// As [`read`](Self::read), for what needs no other process; nothing is run for a command.
    fn read_here(&self, surroundings: &Surroundings) -> Result<Arc<Secret>, SourceError> {
        let read = match self {
            Self::Variable(name) => match surroundings.variables.get(name) {
                Some(secret) if secret.is_empty() => Err(SourceFault::Empty),
                Some(secret) => Ok(Arc::clone(secret)),
                None => Err(SourceFault::Unset),
            },
            Self::File(path) => open_private(path).and_then(read_file).and_then(secret),
            Self::Systemd(path) => open_guarded(path).and_then(read_file).and_then(secret),
            Self::Command { .. } => Err(SourceFault::NoCommand),
        };
        read.map_err(|fault| self.failed(fault))
    }

    /// What the source looks like now; `None` for one that cannot be looked at (or is gone).
    pub(crate) fn stamp(&self) -> Option<Stamp> {
        match self {
            Self::Variable(_) | Self::Command { .. } => None,
            Self::File(path) | Self::Systemd(path) => {
                let metadata = path.symlink_metadata().ok()?;
                Some(Stamp {
                    device: metadata.dev(),
                    inode: metadata.ino(),
                    size: metadata.size(),
                    modified: (metadata.mtime(), metadata.mtime_nsec()),
                    changed: (metadata.ctime(), metadata.ctime_nsec()),
                })
            }
        }
    }
}

fn open_private(path: &Path) -> Result<File, SourceFault> {
    Ok(trust::open_private(path)?)
}

/// A file that systemd made and guards.
fn open_guarded(path: &Path) -> Result<File, SourceFault> {
    trust::check_ancestors(path)?;
    Ok(trust::open_file(path)?)
}

fn secret(mut bytes: Zeroizing<Vec<u8>>) -> Result<Arc<Secret>, SourceFault> {
    if bytes.len() > MAX_BYTES {
        return Err(SourceFault::TooLong);
    }
    trim_newline(&mut bytes);
    if bytes.is_empty() {
        return Err(SourceFault::Empty);
    }
    Ok(Arc::new(Secret::new(std::mem::take(&mut *bytes))))
}

/// Reads one byte more than is allowed, so that the caller sees it; the buffer never moves, so that no copy stays behind.
fn read_file(file: File) -> Result<Zeroizing<Vec<u8>>, SourceFault> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_BYTES + 2));
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(SourceFault::Unreadable)?;
    Ok(bytes)
}

/// The file behind a command, which nobody else can change or exchange: neither it, nor the way to it, nor the way to its name.
fn believed(program: &Path) -> Result<PathBuf, SourceFault> {
    trust::check_ancestors(program)?;
    let real = program.canonicalize().map_err(SourceFault::CommandBroken)?;
    trust::check_ancestors(&real)?;
    trust::check_file(&real)?;
    Ok(real)
}

async fn run(
    program: &Path,
    arguments: &[String],
    surroundings: &Surroundings,
    timeout: Duration,
) -> Result<Zeroizing<Vec<u8>>, SourceFault> {
    // The file that was checked is run; under its own name, for a program may be a link to one that is many (busybox).
    let child = Command::new(believed(program)?)
        .arg0(program)
        .args(arguments)
        .env_clear()
        .envs(surroundings.inherited.iter().map(|(name, value)| (name, value)))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(SourceFault::CommandBroken)?;
    let mut running = Running { group: child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)), child };
    tokio::time::timeout(timeout, output(&mut running.child)).await.unwrap_or(Err(SourceFault::CommandTimeout))
}

/// A command that is under way. Dropped before its end, it is killed with everything it started.
struct Running {
    child: Child,
    /// Its own id, which stays taken until the child is waited for.
    group: Option<Pid>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let still_ours = self.child.id().is_some();
        if let Some(group) = self.group.filter(|_| still_ours)
            && let Err(error) = kill_process_group(group, Signal::KILL)
        {
            tracing::debug!(%error, "the secret's command was gone before it could be stopped");
        }
    }
}

async fn output(child: &mut Child) -> Result<Zeroizing<Vec<u8>>, SourceFault> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_BYTES + 2));
    if let Some(stdout) = child.stdout.take() {
        stdout.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).await.map_err(SourceFault::CommandBroken)?;
    }
    if bytes.len() > MAX_BYTES {
        return Err(SourceFault::TooLong);
    }
    let status = child.wait().await.map_err(SourceFault::CommandBroken)?;
    if !status.success() {
        return Err(SourceFault::CommandFailed(status));
    }
    Ok(bytes)
}

fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

fn trim_newline(bytes: &mut Vec<u8>) {
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::test_kill_process;

    #[tokio::test]
    async fn a_command_that_hangs_is_stopped_with_everything_it_started() {
        let directory = tempfile::tempdir().unwrap();
        let error = hang(directory.path(), Duration::from_millis(500)).await.unwrap_err();
        assert!(matches!(error, SourceFault::CommandTimeout));
        assert_is_ended(grandchild(directory.path()).unwrap()).await;
    }

    #[tokio::test]
    async fn a_command_whose_reading_is_given_up_is_stopped_with_everything_it_started() {
        let directory = tempfile::tempdir().unwrap();
        let process = tokio::select! {
            result = hang(directory.path(), Duration::from_secs(60)) => panic!("{result:?}"),
            process = async {
                loop {
                    if let Some(process) = grandchild(directory.path()) {
                        break process;
                    }
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            } => process,
        };
        assert_is_ended(process).await;
    }

    /// Runs a command that starts another one and waits for it.
    async fn hang(directory: &Path, timeout: Duration) -> Result<Zeroizing<Vec<u8>>, SourceFault> {
        let script = format!("sleep 1000 & echo $! > '{}'; wait", directory.join("grandchild").display());
        let surroundings = Surroundings {
            directory: PathBuf::from("/"),
            variables: BTreeMap::new(),
            credentials_directory: None,
            inherited: vec![("PATH", "/usr/bin:/bin".into())],
        };
        run(Path::new("/bin/sh"), &["-c".to_owned(), script], &surroundings, timeout).await
    }

    fn grandchild(directory: &Path) -> Option<i32> {
        std::fs::read_to_string(directory.join("grandchild")).ok()?.strip_suffix('\n')?.parse().ok()
    }

    async fn assert_is_ended(process: i32) {
        // Killed at once; the kernel takes a moment to end it.
        for _ in 0..1_000 {
            if !is_alive(process) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("process {process} is still alive");
    }

    /// Whether a process is there and not merely waiting to be buried.
    fn is_alive(process: i32) -> bool {
        let there = test_kill_process(Pid::from_raw(process).unwrap()).is_ok();
        let state = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        there && !state.contains(") Z ")
    }
}
