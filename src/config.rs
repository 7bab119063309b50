//! What this process reads from its surroundings at the start: the policy's file, the environment, the state directory.
//!
//! Promises that nothing else in this crate reads the environment, that a policy's text comes from a file that passed
//! [`trust`], and that the state directory exists and only its owner can put anything in it. Refuses whatever it cannot check. Trusts
//! the environment no more than the caller that set it: a path from it must be absolute.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::DirBuilder;
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::str::Utf8Error;

use crate::trust::{self, TrustError, quoted};

/// The largest policy, in bytes.
pub const MAX_POLICY_BYTES: u64 = 1024 * 1024;

/// The variable that holds the log filter of `tracing`, such as `warn,portcullis=debug`.
pub const LOG_VARIABLE: &str = "PORTCULLIS_LOG";

/// A policy's text and where it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyFile {
    /// The path as the user wrote it; the name in findings.
    pub shown_path: PathBuf,
    /// The file itself, absolute and without links; differs in more than form where `shown_path` is a symbolic link.
    pub real_path: PathBuf,
    /// The whole text.
    pub text: String,
}

impl PolicyFile {
    /// Where a path written in the policy leads: as it stands if it is absolute, else beside the policy's real file.
    pub fn resolve(&self, path: &Path) -> PathBuf {
        self.directory().join(path)
    }

    /// The file's name for messages; of a symbolic link, also where it leads.
    pub fn name(&self) -> String {
        match self.shown_path.is_symlink() {
            true => format!("{} -> {}", self.shown_path.display(), self.real_path.display()),
            false => self.shown_path.display().to_string(),
        }
    }

    /// The directory of the policy's real file.
    pub fn directory(&self) -> &Path {
        self.real_path.parent().unwrap_or(Path::new("/"))
    }
}

/// Reads a policy. A symbolic link is resolved once; then the real file, its directory, and the link's own directory are checked.
///
/// # Errors
/// It cannot be read, others may write it, or it is no UTF-8 text of at most [`MAX_POLICY_BYTES`].
pub fn read_policy(path: &Path) -> Result<PolicyFile, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
    let real_path = path.canonicalize().map_err(unreadable)?;
    trust::check_parent(path)?;
    trust::check_parent(&real_path)?;
    let file = trust::open_file(&real_path)?;
    let mut bytes = Vec::new();
    // One byte more than allowed tells a file of the largest size from a larger one.
    file.take(MAX_POLICY_BYTES.saturating_add(1)).read_to_end(&mut bytes).map_err(unreadable)?;
    if u64::try_from(bytes.len()).map_or(true, |length| length > MAX_POLICY_BYTES) {
        return Err(ConfigError::TooLarge { path: path.to_owned() });
    }
    let text = String::from_utf8(bytes)
        .map_err(|error| ConfigError::NotText { path: path.to_owned(), source: error.utf8_error() })?;
    Ok(PolicyFile { shown_path: path.to_owned(), real_path, text })
}

/// Reads the API's description, of at most `limit` bytes. The agent reads what stands in it, so nobody else may write it.
///
/// # Errors
/// It cannot be read, others may write it, or it is too large or no UTF-8 text.
pub fn read_document(path: &Path, limit: usize) -> Result<String, ConfigError> {
    let document = |cause: String| ConfigError::Document { path: path.to_owned(), cause };
    let unreadable = |error: io::Error| document(error.to_string());
    let real_path = path.canonicalize().map_err(unreadable)?;
    let file = trust::open_file(&real_path)?;
    let mut bytes = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    file.take(most).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > limit {
        return Err(document(format!("it is larger than {} MiB", limit >> 20)));
    }
    String::from_utf8(bytes).map_err(|_| document("it is not UTF-8 text".to_owned()))
}

/// Reads a file of cases for a policy, of at most `limit` bytes. It decides nothing, so anybody may have written it.
///
/// # Errors
/// It cannot be read, or it is too large or no UTF-8 text.
pub fn read_cases(path: &Path, limit: usize) -> Result<String, ConfigError> {
    let cases = |cause: String| ConfigError::Cases { path: path.to_owned(), cause };
    let bytes = read_plain(path, limit).map_err(|error| cases(error.to_string()))?;
    String::from_utf8(bytes).map_err(|_| cases("it is not UTF-8 text".to_owned()))
}

/// Reads a plain file of at most `limit` bytes, whoever may write it. What is no plain file is refused before it is read: a pipe
/// would be waited for, and a device has no end.
///
/// # Errors
/// It cannot be read, is no plain file, or is larger.
pub fn read_plain(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let mut open = std::fs::OpenOptions::new();
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file = open.read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no plain file"));
    }
    let mut bytes = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    file.take(most).read_to_end(&mut bytes)?;
    if bytes.len() > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {} MiB", limit >> 20)));
    }
    Ok(bytes)
}

/// Finds or creates (mode 0700) the state directory of the policy called `name`, and checks it and everything above it: `explicit` (`--state-dir`), else
/// `$XDG_STATE_HOME/portcullis/<name>`, else `~/.local/state/portcullis/<name>`. A relative `XDG_STATE_HOME` counts as unset,
/// as the XDG base directory specification wants it.
///
/// # Errors
/// No place is known, it cannot be created, or others may write it or exchange it.
pub fn state_directory(explicit: Option<&Path>, environment: &Environment, name: &str) -> Result<PathBuf, ConfigError> {
    let asked = match explicit {
        Some(path) => path.to_owned(),
        None => state_root(None, environment)?.join(name),
    };
    let directory =
        std::path::absolute(&asked).map_err(|source| ConfigError::Uncreatable { path: asked.clone(), source })?;
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&directory)
        .map_err(|source| ConfigError::Uncreatable { path: asked, source })?;
    trust::check_ancestors(&directory)?;
    trust::check_directory(&directory)?;
    Ok(directory)
}

/// Where gateways keep their state: `explicit`, else the directory that holds one for each API. It need not exist.
///
/// # Errors
/// No place is known.
pub fn state_root(explicit: Option<&Path>, environment: &Environment) -> Result<PathBuf, ConfigError> {
    match explicit {
        Some(path) => Ok(path.to_owned()),
        None => Ok(environment.state_home().ok_or(ConfigError::NoStateDirectory)?.join("portcullis")),
    }
}

/// The environment of this process, or one made up for a test.
#[derive(Debug, Clone)]
pub struct Environment {
    source: Source,
}

impl Environment {
    /// The environment of this process, read when asked: no copy of a secret in it is kept.
    pub const fn process() -> Self {
        Self { source: Source::Process }
    }

    /// An environment of these variables alone.
    pub fn of<const N: usize>(variables: [(&str, &str); N]) -> Self {
        let pairs = variables.into_iter().map(|(name, value)| (name.to_owned(), OsString::from(value)));
        Self { source: Source::Fixed(pairs.collect()) }
    }

    /// A variable's value; absent where it is unset. A name that no variable can have (empty, with `=` or NUL) is unset.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
    pub fn get(&self, name: &str) -> Option<OsString> {
        match &self.source {
            Source::Process => std::env::var_os(name),
            Source::Fixed(variables) => variables.get(name).cloned(),
        }
    }

    /// `CREDENTIALS_DIRECTORY`: where systemd puts a service's credentials (systemd.exec, `LoadCredential=`).
    pub fn credentials_directory(&self) -> Option<PathBuf> {
        self.absolute("CREDENTIALS_DIRECTORY")
    }

    /// `HOME`.
    pub fn home(&self) -> Option<PathBuf> {
        self.absolute("HOME")
    }

    /// `PATH`: where a command is looked for.
    pub fn path(&self) -> Option<OsString> {
        self.get("PATH").filter(|value| !value.is_empty())
    }

    /// `NO_COLOR`, set to anything but the empty text (no-color.org), or a terminal that says that it can do nothing.
    pub fn no_color(&self) -> bool {
        self.get("NO_COLOR").is_some_and(|value| !value.is_empty())
            || self.get("TERM").is_some_and(|term| term == "dumb")
    }

    /// The log filter in [`LOG_VARIABLE`].
    ///
    /// # Errors
    /// It is not UTF-8.
    pub fn log_filter(&self) -> Result<Option<String>, ConfigError> {
        let Some(value) = self.get(LOG_VARIABLE) else { return Ok(None) };
        value.into_string().map(Some).map_err(|_| ConfigError::LogFilter)
    }

    /// `XDG_CONFIG_HOME`, else `~/.config`: where programs keep their configuration (XDG base directory specification).
    pub fn config_home(&self) -> Option<PathBuf> {
        self.absolute("XDG_CONFIG_HOME").or_else(|| self.home().map(|home| home.join(".config")))
    }

    fn state_home(&self) -> Option<PathBuf> {
        self.absolute("XDG_STATE_HOME").or_else(|| self.home().map(|home| home.join(".local/state")))
    }

    fn absolute(&self, name: &str) -> Option<PathBuf> {
        self.get(name).map(PathBuf::from).filter(|path| path.is_absolute())
    }
}

/// Why this process cannot start from its surroundings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Somebody else may write a file or directory that would be believed.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The policy cannot be read.
    #[error("cannot read policy `{}`: {source}", quoted(path))]
    Unreadable {
        /// The path as the user wrote it.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The policy is larger than [`MAX_POLICY_BYTES`].
    #[error("policy `{}` is larger than 1 MiB", quoted(path))]
    TooLarge {
        /// The path as the user wrote it.
        path: PathBuf,
    },
    /// The policy is not UTF-8.
    #[error("policy `{}` is not UTF-8 text: {source}", quoted(path))]
    NotText {
        /// The path as the user wrote it.
        path: PathBuf,
        /// Where it stops being text.
        source: Utf8Error,
    },
    /// The API's description cannot be read.
    #[error("cannot read the API's description `{}`: {cause}", quoted(path))]
    Document {
        /// Its path.
        path: PathBuf,
        /// What is wrong.
        cause: String,
    },
    /// A file of cases cannot be read.
    #[error("`{}` cannot be used as cases: {cause}", path.display())]
    Cases {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        cause: String,
    },
    /// Neither `--state-dir` nor an absolute `XDG_STATE_HOME` or `HOME` says where state may be kept.
    #[error("no place for the state directory: HOME is not set; name one with `--state-dir DIR`")]
    NoStateDirectory,
    /// The state directory cannot be created.
    #[error("cannot create state directory `{}`: {source}", quoted(path))]
    Uncreatable {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The log filter is not UTF-8.
    #[error("{LOG_VARIABLE} is not UTF-8 text")]
    LogFilter,
}

#[derive(Clone)]
enum Source {
    Process,
    Fixed(BTreeMap<String, OsString>),
}

/// Names only: a value may be a secret.
impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Process => f.write_str("Process"),
            Self::Fixed(variables) => f.debug_set().entries(variables.keys()).finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    fn home() -> tempfile::TempDir {
        tempfile::Builder::new().permissions(Permissions::from_mode(0o700)).tempdir().unwrap()
    }

    fn policy(directory: &Path, text: &[u8], mode: u32) -> PathBuf {
        let path = directory.join("policy.toml");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    }

    fn text(path: &Path) -> &str {
        path.to_str().unwrap()
    }

    #[test]
    fn a_policy_that_others_may_write_is_refused() {
        let home = home();
        let path = policy(home.path(), b"version = 1", 0o666);
        let error = read_policy(&path).unwrap_err();
        assert!(matches!(error, ConfigError::Trust(TrustError::OthersMayWrite { mode: 0o666, .. })), "{error}");
    }

    #[test]
    fn a_policy_in_a_directory_that_others_may_write_is_refused() {
        let home = home();
        let path = policy(home.path(), b"version = 1", 0o644);
        fs::set_permissions(home.path(), Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(read_policy(&path), Err(ConfigError::Trust(TrustError::OthersMayWrite { mode: 0o777, .. }))));
    }

    #[test]
    fn a_linked_policy_is_read_from_the_real_file_and_both_names_are_kept() {
        let home = home();
        let real = policy(home.path(), b"version = 1", 0o644).canonicalize().unwrap();
        let link = home.path().join("link.toml");
        symlink("policy.toml", &link).unwrap();
        let file = read_policy(&link).unwrap();
        assert_eq!(
            file,
            PolicyFile { shown_path: link.clone(), real_path: real.clone(), text: "version = 1".to_owned() }
        );
        fs::set_permissions(&real, Permissions::from_mode(0o646)).unwrap();
        assert!(
            matches!(read_policy(&link), Err(ConfigError::Trust(TrustError::OthersMayWrite { path, .. })) if path == real)
        );
    }

    #[test]
    fn a_link_that_others_could_point_elsewhere_is_refused() {
        let home = home();
        let real = policy(home.path(), b"version = 1", 0o644);
        let open = home.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, Permissions::from_mode(0o777)).unwrap();
        symlink(real, open.join("link.toml")).unwrap();
        assert!(matches!(
            read_policy(&open.join("link.toml")),
            Err(ConfigError::Trust(TrustError::OthersMayWrite { .. }))
        ));
    }

    #[test]
    fn a_policy_of_one_mebibyte_is_read_and_one_byte_more_is_refused() {
        let home = home();
        let largest = vec![b'#'; usize::try_from(MAX_POLICY_BYTES).unwrap()];
        assert_eq!(read_policy(&policy(home.path(), &largest, 0o600)).unwrap().text.len(), largest.len());
        let larger = [&largest[..], b"#"].concat();
        assert!(matches!(read_policy(&policy(home.path(), &larger, 0o600)), Err(ConfigError::TooLarge { .. })));
    }

    #[test]
    fn a_policy_that_is_no_text_is_refused() {
        let home = home();
        assert!(matches!(read_policy(&policy(home.path(), b"a = \"\xff\"", 0o600)), Err(ConfigError::NotText { .. })));
        assert!(matches!(read_policy(&home.path().join("none.toml")), Err(ConfigError::Unreadable { .. })));
        assert!(matches!(read_policy(home.path()), Err(ConfigError::Trust(TrustError::NotAFile { .. }))));
    }

    #[test]
    fn a_path_in_a_policy_is_looked_for_beside_the_real_file() {
        let file =
            PolicyFile { shown_path: "link.toml".into(), real_path: "/etc/p/policy.toml".into(), text: String::new() };
        assert_eq!(file.resolve(Path::new("token")), Path::new("/etc/p/token"));
        assert_eq!(file.resolve(Path::new("/run/token")), Path::new("/run/token"));
    }

    #[test]
    fn the_state_directory_is_created_for_its_owner_alone_where_the_environment_says() {
        let home = home();
        let root = text(home.path());
        let state = home.path().join("state");
        let cases = [
            (Environment::of([("XDG_STATE_HOME", text(&state)), ("HOME", root)]), state.join("portcullis/demo")),
            (
                Environment::of([("XDG_STATE_HOME", "relative"), ("HOME", root)]),
                home.path().join(".local/state/portcullis/demo"),
            ),
            (Environment::of([("HOME", root)]), home.path().join(".local/state/portcullis/demo")),
        ];
        for (environment, expected) in cases {
            assert_eq!(state_directory(None, &environment, "demo").unwrap(), expected);
            assert_eq!(fs::metadata(&expected).unwrap().mode() & 0o7777, 0o700);
        }
    }

    #[test]
    fn an_explicit_state_directory_beats_the_environment() {
        let home = home();
        let explicit = home.path().join("mine");
        let environment = Environment::of([("HOME", "/nonexistent")]);
        assert_eq!(state_directory(Some(&explicit), &environment, "demo").unwrap(), explicit);
    }

    #[test]
    fn without_a_home_there_is_no_state_directory() {
        for environment in
            [Environment::of([]), Environment::of([("HOME", "")]), Environment::of([("HOME", "relative")])]
        {
            assert!(matches!(state_directory(None, &environment, "demo"), Err(ConfigError::NoStateDirectory)));
        }
    }

    #[test]
    fn a_state_directory_that_others_may_write_or_exchange_is_refused() {
        let home = home();
        let open = home.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, Permissions::from_mode(0o777)).unwrap();
        for path in [open.clone(), open.join("inner")] {
            let result = state_directory(Some(&path), &Environment::of([]), "demo");
            assert!(matches!(result, Err(ConfigError::Trust(TrustError::OthersMayWrite { .. }))), "{}", path.display());
        }
    }

    #[test]
    fn a_file_in_place_of_the_state_directory_is_refused() {
        let home = home();
        let path = policy(home.path(), b"", 0o600);
        assert!(matches!(
            state_directory(Some(&path), &Environment::of([]), "demo"),
            Err(ConfigError::Uncreatable { .. })
        ));
    }

    #[test]
    fn the_values_of_an_environment_are_not_printed() {
        assert!(!format!("{:?}", Environment::of([("TOKEN", "canary")])).contains("canary"));
    }

    #[test]
    fn no_color_counts_only_with_a_value() {
        assert!(Environment::of([("NO_COLOR", "1")]).no_color());
        assert!(!Environment::of([("NO_COLOR", "")]).no_color());
        assert!(!Environment::of([]).no_color());
        assert!(Environment::of([("TERM", "dumb")]).no_color());
        assert!(!Environment::of([("TERM", "xterm")]).no_color());
    }
}
