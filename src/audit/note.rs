//! Checkpoints: how large a log is and what its Merkle root is, signed with the state directory's key.
//!
//! A checkpoint is a C2SP signed note (c2sp.org/signed-note, c2sp.org/tlog-checkpoint) with one Ed25519 signature, whose
//! key name is the checkpoint's origin. Promises: a note that a public key takes was signed with that key, over exactly
//! this origin, size and root. Refuses notes with more lines of text than these three. Trusts `aws-lc-rs`.

use std::path::Path;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::merkle::Hash;
use super::regular::{SMALL, capped};
use super::{AuditError, hex, keys};
use crate::trust;

/// The key that signs.
pub(super) const KEY_FILE: &str = "checkpoint.key";
/// The public key of a state directory, as a C2SP verifier key.
pub(super) const PUBLIC_FILE: &str = "checkpoint.pub";
/// The name of the key in that file. In a note the key has the name of the log.
const KEY_NAME: &str = "portcullis";
/// The signature algorithm in key hashes and verifier keys: Ed25519.
const ALGORITHM: u8 = 1;
/// Begins a signature line.
const DASH: &str = "\u{2014} ";

/// How large a log was, and what its root was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Checkpoint {
    pub(super) origin: String,
    pub(super) size: u64,
    pub(super) root: Hash,
}

/// A checkpoint and a signature that somebody has to check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) checkpoint: Checkpoint,
    /// Four bytes that say whose signature it is, and the signature.
    pub(super) signature: Vec<u8>,
}

/// What signs checkpoints.
#[derive(Debug)]
pub(super) struct Signer {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

/// What checks their signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

impl Checkpoint {
    fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root))
    }
}

impl Note {
    /// The note as it is defined.
    pub(super) fn text(&self) -> String {
        let Self { checkpoint, signature } = self;
        format!("{}\n{DASH}{} {}\n", checkpoint.text(), checkpoint.origin, STANDARD.encode(signature))
    }

    /// The same in one line: origin, size, root and signature.
    pub(super) fn line(&self) -> String {
        let Self { checkpoint: Checkpoint { origin, size, root }, signature } = self;
        format!("{origin} {size} {} {}", STANDARD.encode(root), STANDARD.encode(signature))
    }

    /// Reads a note in either form. Of several signatures the first that has the name of the log is taken.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let Some((body, signatures)) = text.split_once("\n\n") else {
            let [origin, size, root, signature] = text.split_whitespace().collect::<Vec<_>>().try_into().ok()?;
            return Self::of([origin, size, root], signature);
        };
        let body: [&str; 3] = body.split('\n').collect::<Vec<_>>().try_into().ok()?;
        let [origin, ..] = body;
        let mut lines = signatures.split_terminator('\n').filter_map(|line| line.strip_prefix(DASH)?.rsplit_once(' '));
        let (_, signature) = lines.find(|(name, _)| *name == origin)?;
        Self::of(body, signature)
    }

    fn of([origin, size, root]: [&str; 3], signature: &str) -> Option<Self> {
        let named = !origin.is_empty() && origin.bytes().all(|b| b.is_ascii_graphic() && b != b'+');
        let number: u64 = size.parse().ok().filter(|number: &u64| number.to_string() == size)?;
        let root = STANDARD.decode(root).ok()?.try_into().ok()?;
        let signature = STANDARD.decode(signature).ok()?;
        named.then(|| Self { checkpoint: Checkpoint { origin: origin.to_owned(), size: number, root }, signature })
    }
}

impl Signer {
    /// Reads the key of `directory`, making one, and the file of its public half, when there is none.
    ///
    /// # Errors
    /// A public half without its key: a new key would not be its.
    pub(super) fn load(directory: &Path) -> Result<Self, AuditError> {
        // The public half is asked for first: whoever makes both makes it last.
        let there = |name: &str| {
            let path = directory.join(name);
            path.try_exists().map_err(|source| AuditError::Open { path, source })
        };
        if there(PUBLIC_FILE)? && !there(KEY_FILE)? {
            return Err(AuditError::NoKey { key: directory.join(KEY_FILE), public: directory.join(PUBLIC_FILE) });
        }
        let seed = keys::load(directory, KEY_FILE)?;
        let bad = || AuditError::Key { path: directory.join(KEY_FILE) };
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| bad())?;
        let public = PublicKey(pair.public_key().as_ref().try_into().map_err(|_| bad())?);
        let path = directory.join(PUBLIC_FILE);
        let open = |source| AuditError::Open { path: path.clone(), source };
        if !path.try_exists().map_err(open)? {
            keys::place(directory, &path, format!("{}\n", public.verifier(KEY_NAME)).as_bytes())?;
        }
        let file = trust::open_file(&path).map_err(AuditError::Trust)?;
        match PublicKey::parse(capped(file, SMALL).map_err(open)?.trim_end()) {
            Some(written) if written == public => Ok(Self { pair, public }),
            Some(_) | None => Err(AuditError::PublicKey { path }),
        }
    }

    pub(super) fn public(&self) -> &PublicKey {
        &self.public
    }

    pub(super) fn sign(&self, checkpoint: Checkpoint) -> Note {
        let signature = self.pair.sign(checkpoint.text().as_bytes());
        let signature = [&self.public.hash(&checkpoint.origin), signature.as_ref()].concat();
        Note { checkpoint, signature }
    }
}

impl PublicKey {
    /// Reads a verifier key (c2sp.org/signed-note): name, hash in hex, algorithm and key in base64, with `+` between.
    #[must_use]
    pub fn parse(verifier: &str) -> Option<Self> {
        let (name, rest) = verifier.split_once('+')?;
        let (hash, key) = rest.split_once('+')?;
        let key = STANDARD.decode(key).ok()?;
        let [ALGORITHM, key @ ..] = key.as_slice() else { return None };
        let key = Self(key.try_into().ok()?);
        (hex(&key.hash(name)) == hash).then_some(key)
    }

    /// The key as another tool takes it, under this name.
    pub(super) fn verifier(&self, name: &str) -> String {
        let key = [&[ALGORITHM], self.0.as_slice()].concat();
        format!("{name}+{}+{}", hex(&self.hash(name)), STANDARD.encode(key))
    }

    /// Names the key to a person: the first 128 bits of its SHA-256.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        hex(Sha256::digest(self.0).get(..16).unwrap_or_default())
    }

    /// Whether a note was signed with this key.
    pub(super) fn signed(&self, note: &Note) -> bool {
        let Some((hash, signature)) = note.signature.split_at_checked(4) else { return false };
        let text = note.checkpoint.text();
        hash == self.hash(&note.checkpoint.origin)
            && UnparsedPublicKey::new(&ED25519, self.0).verify(text.as_bytes(), signature).is_ok()
    }

    /// The key hash of the specification.
    fn hash(&self, name: &str) -> [u8; 4] {
        let mut hash = Sha256::new();
        hash.update(name);
        hash.update([b'\n', ALGORITHM]);
        hash.update(self.0);
        let [a, b, c, d, ..]: [u8; 32] = hash.finalize().into();
        [a, b, c, d]
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn signer() -> (tempfile::TempDir, Signer) {
        let directory = tempfile::tempdir().unwrap();
        let signer = Signer::load(directory.path()).unwrap();
        (directory, signer)
    }

    #[test]
    fn the_key_of_the_specification_is_read_and_named_as_there() {
        // The verifier key that the documentation of golang.org/x/mod/sumdb/note shows.
        let text = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        let key = PublicKey::parse(text).unwrap();
        assert_eq!(key.verifier("PeterNeumann"), text);
        for wrong in [
            "",
            "PeterNeumann",
            "PeterNeumann+c74f20a3",
            "Peter+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            "PeterNeumann+c74f20a3+Ahpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10T",
        ] {
            assert_eq!(PublicKey::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_note_is_read_in_both_forms_and_holds_for_its_text_alone() {
        let (_directory, signer) = signer();
        let key = signer.public().clone();
        let note = signer.sign(Checkpoint { origin: "portcullis/test/0a1b2c3d".into(), size: 1000, root: [7; 32] });
        assert!(key.signed(&note));
        for text in [note.text(), note.line(), format!("{}\n", note.line())] {
            assert_eq!(Note::parse(&text).as_ref(), Some(&note), "{text}");
        }
        assert!(note.text().ends_with('\n') && note.text().contains("\n\n\u{2014} portcullis/test/0a1b2c3d "));
        for (name, change) in [
            ("origin", Checkpoint { origin: "portcullis/test/0a1b2c3e".into(), ..note.checkpoint.clone() }),
            ("size", Checkpoint { size: 1001, ..note.checkpoint.clone() }),
            ("root", Checkpoint { root: [8; 32], ..note.checkpoint.clone() }),
        ] {
            assert!(!key.signed(&Note { checkpoint: change, ..note.clone() }), "{name}");
        }
        let other = self::signer().1;
        assert!(!other.public().signed(&note), "another key");
        let beside = format!("{}{DASH}witness.example AAAAAAA=\n", note.text());
        assert_eq!(Note::parse(&beside), Some(note), "a witness's signature is passed over");
    }

    #[test]
    fn what_is_no_note_is_none() {
        let (_directory, signer) = signer();
        let text = signer.sign(Checkpoint { origin: "a/b".into(), size: 10, root: [7; 32] }).text();
        for (from, to) in [
            ("a/b\n10", "a/b\n010"),
            ("a/b\n10", "a/b\n+10"),
            ("a/b\n10\n", "\n10\n"),
            ("\n\n", "\nmore\n\n"),
            (DASH, "- "),
        ] {
            let wrong = text.replacen(from, to, 1);
            assert_ne!(wrong, text);
            assert_eq!(Note::parse(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_public_key_of_another_key_is_refused_and_a_lost_one_written_anew() {
        let (directory, signer) = signer();
        let path = directory.path().join(PUBLIC_FILE);
        let written = std::fs::read_to_string(&path).unwrap();
        assert_eq!(PublicKey::parse(written.trim_end()).as_ref(), Some(signer.public()));
        std::fs::remove_file(&path).unwrap();
        let again = Signer::load(directory.path()).unwrap();
        assert_eq!(again.public(), signer.public());
        std::fs::write(&path, self::signer().1.public().verifier(KEY_NAME)).unwrap();
        assert!(matches!(Signer::load(directory.path()), Err(AuditError::PublicKey { .. })));
        std::fs::write(&path, written).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
        let error = Signer::load(directory.path()).unwrap_err().to_string();
        assert!(error.contains("chmod go-w"), "others may exchange it: {error}");
    }

    #[test]
    fn a_key_that_is_gone_is_said_to_be_and_no_other_takes_its_place() {
        let (directory, _) = signer();
        std::fs::remove_file(directory.path().join(KEY_FILE)).unwrap();
        for _ in 0..2 {
            assert!(matches!(Signer::load(directory.path()), Err(AuditError::NoKey { .. })));
        }
        std::fs::remove_file(directory.path().join(PUBLIC_FILE)).unwrap();
        assert!(Signer::load(directory.path()).is_ok());
    }
}
