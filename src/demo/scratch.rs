//! The directory of one run: the policy, the state, and for `--serve` the credential's file.
//!
//! Promises: made with mode 0700 under the system's directory for temporary files, or under `/tmp` where that has too long
//! a path, under a name nobody can foresee, and removed when dropped.

use std::fs::{DirBuilder, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The variable that carries the made-up credential to the gate.
pub(super) const VARIABLE: &str = "PORTCULLIS_DEMO_TOKEN";

const POLICY: &str = include_str!("policy.toml");

/// The longest path, in bytes, of a directory for temporary files in which a gate has room for its socket: no system
/// takes more than 103 for one, and `/portcullis-demo-0123456789abcdef/state/desk-1a2b3c4d.sock` comes after it.
const MAX_PARENT: usize = 45;
/// Where the directory is made instead.
const SHORT_PARENT: &str = "/tmp";

/// One run's directory.
pub(super) struct Scratch {
    root: PathBuf,
    policy: PathBuf,
    state: PathBuf,
}

/// How the policy tells the gate to find the credential.
pub(super) enum Credential<'a> {
    /// In the environment of the gate, as [`VARIABLE`].
    Environment,
    /// In a file beside the policy, which holds this text: clients start the gate, and none should store a secret.
    File(&'a str),
}

impl Scratch {
    /// Makes the directory and writes the policy for a sample on `port`.
    pub(super) fn make(port: u16, credential: &Credential<'_>) -> io::Result<Self> {
        let mut parent = std::env::temp_dir().canonicalize()?;
        if parent.as_os_str().len() > MAX_PARENT {
            parent = Path::new(SHORT_PARENT).canonicalize()?;
        }
        let root = parent.join(format!("portcullis-demo-{}", random_hex()));
        DirBuilder::new().mode(0o700).create(&root)?;
        let scratch = Self { policy: root.join("policy.toml"), state: root.join("state"), root };
        DirBuilder::new().mode(0o700).create(&scratch.state)?;
        let source = match credential {
            Credential::Environment => format!("env = \"{VARIABLE}\""),
            Credential::File(token) => {
                write_new(&scratch.place("sample.token"), token)?;
                "file = \"sample.token\"".to_owned()
            }
        };
        write_new(&scratch.policy, &policy_text(port, &source))?;
        Ok(scratch)
    }

    /// The policy file, absolute.
    pub(super) fn policy(&self) -> &Path {
        &self.policy
    }

    /// Where a further file of this run goes.
    pub(super) fn place(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The state directory, absolute; the log appears in it.
    pub(super) fn state(&self) -> &Path {
        &self.state
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A gate that was just killed may finish one last file while the others are removed. After that nobody is left
        // to be told: what stays behind holds made-up data and a made-up credential.
        let removed = std::fs::remove_dir_all(&self.root);
        drop(removed.or_else(|_| std::fs::remove_dir_all(&self.root)));
    }
}

/// A credential that no other run has, so that finding it anywhere proves a leak.
pub(super) fn made_up_token() -> String {
    format!("made-up-{}{}", random_hex(), random_hex())
}

fn policy_text(port: u16, source: &str) -> String {
    POLICY.replace("{port}", &port.to_string()).replace("{source}", source)
}

fn random_hex() -> String {
    // std seeds these from the operating system; a name and a sample credential need no more than that.
    format!("{:016x}", RandomState::new().hash_one(std::process::id()))
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_directory_is_the_owners_alone_and_goes_when_dropped() {
        let scratch = Scratch::make(1, &Credential::File("secret")).unwrap();
        let root = scratch.root.clone();
        assert_eq!(root.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(root.join("sample.token").metadata().unwrap().permissions().mode() & 0o777, 0o600);
        drop(scratch);
        assert!(!root.exists());
    }

    #[test]
    fn no_two_made_up_credentials_are_alike() {
        assert_ne!(made_up_token(), made_up_token());
    }
}
