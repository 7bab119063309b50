//! The state directory: who runs there, under which policy, and whether calls can be counted.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::report::About;
use crate::audit::hex;
use crate::audit::verify::{Log, VerifyError, whole_logs};
use crate::cli::desk;
use crate::clock::{Clock, SystemClock};
use crate::limit::DailyCount;
use crate::policy::Policy;
use crate::trust::quoted;

/// The longest record that is read, in bytes: one may hold the policy's text.
const MAX_RECORD: u64 = 16 << 20;
/// How a record of an exchanged policy begins, after the chain's own members, which take no more than this.
const KIND: &[u8] = b"\"kind\":\"policy\"";
const MAX_HEAD: usize = 256;

/// The gateways that run, and whether each still has the policy that the file holds now.
pub(super) fn running(policy: &Policy, directory: &Path, about: &mut About<'_>) {
    let logs = match whole_logs(directory) {
        Ok(logs) => logs,
        Err(VerifyError::Nothing { .. }) => Vec::new(),
        Err(error) => {
            about.fail("gateways", &error.to_string(), "look at the state directory");
            return;
        }
    };
    let running: Vec<PathBuf> =
        logs.iter().filter(|log| is_written(log)).filter_map(|log| log.files().last().cloned()).collect();
    let now = hex(&policy.hash());
    for log in &running {
        let name = quoted(Path::new(log.file_name().unwrap_or_default()));
        match in_force(log) {
            Some(hash) if hash == now => {
                about.good("gateways", &format!("one runs under this very policy, log `{name}`"));
            }
            Some(_) => about.warn(
                "gateways",
                &format!("one runs under another policy, log `{name}`: the file was changed since"),
                "it goes on under the old one; `portcullis reload` puts this one in force",
            ),
            None => about.warn("gateways", &format!("of the log `{name}` the policy cannot be told"), "look at it"),
        }
    }
    let (heard, failed) = desk::heard(directory);
    for why in &failed {
        about.warn("desk", why, "what waits for a person there is not listed by `pending`");
    }
    if running.is_empty() {
        about.good("gateways", "none runs now");
    } else if heard > 0 {
        about.good("desk", &format!("{heard} of them can be asked by `portcullis pending`"));
    }
}

/// Whether a gateway holds the lock of the newest file of a log.
fn is_written(log: &Log) -> bool {
    let file = log.files().last().and_then(|path| File::open(path).ok());
    // Shared: it keeps nobody from starting.
    file.is_some_and(|file| matches!(file.try_lock_shared(), Err(std::fs::TryLockError::WouldBlock)))
}

/// The hash of the policy in force, by the newest file of a log: its first record names one, and so does each exchange.
fn in_force(file: &Path) -> Option<String> {
    let mut lines = BufReader::new(File::open(file).ok()?);
    let (mut hash, mut line) = (None, Vec::new());
    loop {
        line.clear();
        if lines.by_ref().take(MAX_RECORD).read_until(b'\n', &mut line).ok()? == 0 {
            return hash;
        }
        let exchange = line.windows(KIND.len()).take(MAX_HEAD).any(|bytes| bytes == KIND);
        if hash.is_some() && !exchange {
            continue;
        }
        let record: Value = serde_json::from_slice(&line).ok()?;
        hash = record.get(if exchange { "now" } else { "policy_hash" })?.as_str().map(str::to_owned);
    }
}

/// Whether calls can be counted, and whether the lock of the count can be had.
pub(super) fn counts(policy: &Policy, directory: &Path, about: &mut About<'_>) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    match (DailyCount::open(directory, policy.limits().daily, clock), policy.limits().daily) {
        (Ok(_), Some(limit)) => about.good("counts", &format!("the day's {limit} calls can be counted")),
        (Ok(_), None) => about.good("counts", "calls of a day are not limited"),
        (Err(error), _) => about.fail("counts", &error.to_string(), "`serve` does not start with it"),
    }
}
