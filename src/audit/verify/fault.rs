//! What can be wrong with a log.

use std::path::PathBuf;

use crate::audit::book::VERSION;
use crate::trust::TrustError;

/// Why a log does not verify.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The file or directory cannot be read.
    #[error("`{}` cannot be read: {source}", path.display())]
    Read {
        /// What was to be read.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A directory without a log.
    #[error("`{}` holds no audit log (*.jsonl)", path.display())]
    Nothing {
        /// The directory.
        path: PathBuf,
    },
    /// A key or a head file that others may write.
    #[error(transparent)]
    Trust(TrustError),
    /// A file that should hold a key or a checkpoint and does not.
    #[error("`{}` holds no {what}", path.display())]
    Strange {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
    },
    /// A record is wrong.
    #[error("line {line}: {fault}")]
    Record {
        /// Counted from 1.
        line: u64,
        /// What is wrong with it.
        fault: Fault,
    },
    /// A file that its log does not go on in.
    #[error("the file before it does not end by naming this one")]
    Unnamed,
    /// The file in which the log goes on is gone.
    #[error("the log goes on in `{next}`, which is not here")]
    Missing {
        /// Its name.
        next: String,
    },
    /// The head file of this log has another log's name.
    #[error("its newest checkpoint is in `{}`, which has another name: the log was renamed", head.display())]
    Renamed {
        /// The head file.
        head: PathBuf,
    },
    /// The head file beside the log is of another log.
    #[error("`{}` beside it holds the checkpoint of another log: one of the two was exchanged", head.display())]
    OtherHead {
        /// The head file.
        head: PathBuf,
    },
    /// The end of the log was cut off.
    #[error(
        "the log ends after {records} records and has no record of the checkpoint of {size} that it is held against: its end was cut off"
    )]
    Cut {
        /// How many there are.
        records: u64,
        /// How many the checkpoint covers, whose own record comes after them.
        size: u64,
    },
    /// What had been read of the file is not there any more.
    #[error("the file was cut or exchanged while it was read")]
    Exchanged,
    /// A checkpoint from elsewhere whose signature is not by the key of the log.
    #[error("the checkpoint of {size} records that the log is held against is not signed with the log's key")]
    Foreign {
        /// The size that it names.
        size: u64,
    },
}

/// What is wrong with one record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A line that is no record of this version, or not in its one form.
    #[error("not a record of version {VERSION} in the form in which they are written")]
    NotARecord,
    /// A sequence number out of turn.
    #[error("record {found} stands where record {expected} belongs")]
    Sequence {
        /// The number that is there.
        found: u64,
        /// The number that should be.
        expected: u64,
    },
    /// The hash of the line before is another one.
    #[error("the line before it was changed, or this one was put in")]
    Chain,
    /// A record of an unknown kind, a second start, an answer without its question or with two.
    #[error("a record of this kind cannot stand here")]
    Order,
    /// A record, or a piece of one, after the one that ends the log or the file.
    #[error("something stands after the record that ends the log")]
    AfterEnd,
    /// A checkpoint that is not of this log and its records.
    #[error("the checkpoint is not that of the records before it")]
    Checkpoint,
    /// A checkpoint that the key did not sign.
    #[error("the checkpoint is not signed with the log's key")]
    Signature,
    /// The log names another key than those that are known.
    #[error(
        "the log is signed with the key {signer}, which is none of those that are known here (`portcullis audit verify --key FILE` takes another)"
    )]
    Signer {
        /// The fingerprint that it names.
        signer: String,
    },
    /// A checkpoint from elsewhere says that the records were others.
    #[error("the records up to here are not those of the checkpoint of {size} records that the log is held against")]
    Rewritten {
        /// The size that it names.
        size: u64,
    },
}
