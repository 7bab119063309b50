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
use std::{env, io};

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

/// Why a secret could not be read. For the log and the person at the terminal; it names places, never values.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The environment variable is not set.
    #[error("environment variable `{}` is not set", name.escape_debug())]
    Unset {
        /// Its name.
        name: String,
    },
    /// The source gave nothing, or a lone newline.
    #[error("the secret is empty: {from}")]
    Empty {
        /// Where it was read from.
        from: String,
    },
    /// The source gave more than any credential is long.
    #[error("the secret is longer than {MAX_BYTES} bytes")]
    TooLong,
    /// The file, or a directory above it, may be changed or read by others, or is no regular file.
    #[error(transparent)]
    Untrusted(#[from] TrustError),
    /// The file could be opened, not read.
    #[error("the secret's file could not be read: {0}")]
    Unreadable(#[source] io::Error),
    /// A systemd credential without systemd.
    #[error("`CREDENTIALS_DIRECTORY` is not set; start the gateway from a unit with `LoadCredential=`")]
    NoCredentialsDirectory,
    /// A systemd credential that is a path.
    #[error("a systemd credential is named by a plain file name, without `/`")]
    CredentialName,
    /// The command has no first word.
    #[error("the command is empty")]
    NoCommand,
    /// The command is neither an absolute path nor a plain name.
    #[error("name the command by an absolute path, or by a plain name that is found on `PATH`")]
    RelativeCommand,
    /// No executable file of that name.
    #[error("the command was not found, or is not executable")]
    CommandNotFound,
    /// The command could not be started, or its output not be read.
    #[error("the command could not be run: {0}")]
    CommandBroken(#[source] io::Error),
    /// The command ended with something else than 0.
    #[error("the command failed: {0}")]
    CommandFailed(ExitStatus),
    /// The command was killed.
    #[error("the command took longer than {} s and was stopped", COMMAND_TIMEOUT.as_secs())]
    CommandTimeout,
    /// The value cannot be sent in a header.
    #[error("the secret holds a character that is not visible ASCII")]
    NotVisible,
    /// The user name of a basic credential holds what ends it.
    #[error("the user name of a basic credential may not hold `:`")]
    Colon,
    /// The header's name is no token, or belongs to the connection or to another key of the policy.
    #[error("a credential may not be sent in a header of this name")]
    HeaderName,
    /// The value is longer than servers accept a header.
    #[error("the secret makes a header longer than {} bytes", crate::upstream::credential::MAX_HEADER)]
    HeaderTooLong,
    /// No search for echoes could be built.
    #[error("no search for echoes of the secret could be built")]
    Unsearchable,
    /// Another thread panicked while it changed the credentials.
    #[error("the credentials are in an unknown state; restart the gateway")]
    Poisoned,
}

impl Surroundings {
    /// Asks `lookup` for the variables that `spec` needs and for those that every command gets. `directory` is where the policy file
    /// lies: its relative paths start there.
    pub fn collect(spec: &UpstreamSpec, directory: &Path, lookup: &dyn Fn(&str) -> Option<OsString>) -> Self {
        let mut variables = BTreeMap::new();
        for secret in spec.credential.iter().chain(spec.credentials.values()).flat_map(secrets) {
            if let SecretSpec::Env(name) = secret
                && let Some(value) = lookup(name)
            {
                let mut value = Zeroizing::new(value.into_encoded_bytes());
                trim_newline(&mut value);
                variables.insert(name.clone(), Arc::new(Secret::new(std::mem::take(&mut *value))));
            }
        }
        let inherited = ["PATH", "HOME", "LANG"].into_iter().filter_map(|name| Some((name, lookup(name)?))).collect();
        let credentials_directory = lookup("CREDENTIALS_DIRECTORY").filter(|path| !path.is_empty()).map(PathBuf::from);
        Self { directory: directory.to_owned(), variables, credentials_directory, inherited }
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

    fn executable(&self, word: &str) -> Result<PathBuf, SourceError> {
        let found = if Path::new(word).is_absolute() {
            Some(PathBuf::from(word)).filter(|path| is_executable(path))
        } else if word.contains('/') {
            return Err(SourceError::RelativeCommand);
        } else {
            let path = self.inherited.iter().find_map(|(name, value)| (*name == "PATH").then_some(value));
            let directories = path.into_iter().flat_map(env::split_paths).filter(|directory| directory.is_absolute());
            directories.map(|directory| directory.join(word)).find(|path| is_executable(path))
        };
        let program = found.ok_or(SourceError::CommandNotFound)?;
        believed(&program)?;
        Ok(program)
    }
}

impl SecretSource {
    /// # Errors
    /// The description leads nowhere: a name with a slash, a command that is not there.
    pub(crate) fn find(spec: &SecretSpec, surroundings: &Surroundings) -> Result<Self, SourceError> {
        Ok(match spec {
            SecretSpec::Env(name) => Self::Variable(name.clone()),
            SecretSpec::File(path) => Self::File(surroundings.path(path)),
            SecretSpec::Systemd(name) => {
                let plain = !name.contains('/') && !["", ".", ".."].contains(&name.as_str());
                let directory =
                    surroundings.credentials_directory.as_ref().ok_or(SourceError::NoCredentialsDirectory)?;
                Self::Systemd(plain.then(|| directory.join(name)).ok_or(SourceError::CredentialName)?)
            }
            SecretSpec::Command(words) => {
                let (first, rest) = words.split_first().ok_or(SourceError::NoCommand)?;
                Self::Command { program: surroundings.executable(first)?, arguments: rest.to_vec() }
            }
        })
    }

    /// # Errors
    /// Whatever kept the secret from being read; never a part of it.
    pub(crate) async fn read(&self, surroundings: &Surroundings) -> Result<Arc<Secret>, SourceError> {
        match self {
            Self::Command { program, arguments } => {
                self.secret(run(program, arguments, surroundings, COMMAND_TIMEOUT).await?)
            }
            Self::Variable(_) | Self::File(_) | Self::Systemd(_) => self.read_here(surroundings),
        }
    }

    /// As [`read`](Self::read), for what needs no other process; nothing is run for a command.
    fn read_here(&self, surroundings: &Surroundings) -> Result<Arc<Secret>, SourceError> {
        match self {
            Self::Variable(name) => {
                let secret = surroundings.variables.get(name).cloned();
                let secret = secret.ok_or_else(|| SourceError::Unset { name: name.clone() })?;
                if secret.is_empty() { Err(self.empty()) } else { Ok(secret) }
            }
            Self::File(path) => self.secret(read_file(trust::open_private(path)?)?),
            Self::Systemd(path) => {
                trust::check_ancestors(path)?;
                self.secret(read_file(trust::open_file(path)?)?)
            }
            Self::Command { .. } => Err(SourceError::NoCommand),
        }
    }

    fn secret(&self, mut bytes: Zeroizing<Vec<u8>>) -> Result<Arc<Secret>, SourceError> {
        if bytes.len() > MAX_BYTES {
            return Err(SourceError::TooLong);
        }
        trim_newline(&mut bytes);
        if bytes.is_empty() {
            return Err(self.empty());
        }
        Ok(Arc::new(Secret::new(std::mem::take(&mut *bytes))))
    }

    fn empty(&self) -> SourceError {
        let from = match self {
            Self::Variable(name) => format!("environment variable `{}`", name.escape_debug()),
            Self::File(path) | Self::Systemd(path) => format!("`{}`", path.display().to_string().escape_debug()),
            Self::Command { .. } => "what the command printed".to_owned(),
        };
        SourceError::Empty { from }
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

/// The one or two secrets of a credential.
fn secrets(credential: &CredentialSpec) -> impl Iterator<Item = &SecretSpec> {
    let (first, second) = match credential {
        CredentialSpec::Bearer(secret) | CredentialSpec::Header { value: secret, .. } => (secret, None),
        CredentialSpec::Basic { username, password } => (username, Some(password)),
    };
    [Some(first), second].into_iter().flatten()
}

/// Reads one byte more than is allowed, so that the caller sees it; the buffer never moves, so that no copy stays behind.
fn read_file(file: File) -> Result<Zeroizing<Vec<u8>>, SourceError> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_BYTES + 2));
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(SourceError::Unreadable)?;
    Ok(bytes)
}

/// The file behind a command, which nobody else can change or exchange: neither it, nor the way to it, nor the way to its name.
fn believed(program: &Path) -> Result<PathBuf, SourceError> {
    trust::check_ancestors(program)?;
    let real = program.canonicalize().map_err(SourceError::CommandBroken)?;
    trust::check_ancestors(&real)?;
    trust::check_file(&real)?;
    Ok(real)
}

async fn run(
    program: &Path,
    arguments: &[String],
    surroundings: &Surroundings,
    timeout: Duration,
) -> Result<Zeroizing<Vec<u8>>, SourceError> {
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
        .map_err(SourceError::CommandBroken)?;
    let mut running = Running { group: child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)), child };
    tokio::time::timeout(timeout, output(&mut running.child)).await.unwrap_or(Err(SourceError::CommandTimeout))
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

async fn output(child: &mut Child) -> Result<Zeroizing<Vec<u8>>, SourceError> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_BYTES + 2));
    if let Some(stdout) = child.stdout.take() {
        stdout.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).await.map_err(SourceError::CommandBroken)?;
    }
    if bytes.len() > MAX_BYTES {
        return Err(SourceError::TooLong);
    }
    let status = child.wait().await.map_err(SourceError::CommandBroken)?;
    if !status.success() {
        return Err(SourceError::CommandFailed(status));
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
        assert!(matches!(error, SourceError::CommandTimeout));
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
    async fn hang(directory: &Path, timeout: Duration) -> Result<Zeroizing<Vec<u8>>, SourceError> {
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
