//! The log goes on under another policy.
//!
//! Promises that the record of the change is on disk before anything is judged by the new policy.

use std::sync::Arc;

use super::record::{Fact, PolicyChange};
use super::{AuditError, AuditLog, Told, hex};
use crate::policy::Policy;

/// Who had another policy take effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// SIGHUP, from whoever may send this process signals.
    Signal,
    /// The user at the desk.
    Desk(u32),
}

impl AuditLog {
    /// Records that another policy takes effect: the log for the calls under it. `wider` says whether a person was shown
    /// in what it is wider.
    ///
    /// # Errors
    /// [`AuditError`] when it could not be written or synced: the policy must not take effect.
    pub async fn reloaded(&self, policy: &Policy, by: By, wider: bool) -> Result<Self, AuditError> {
        let now = hex(&policy.hash());
        let (by, uid) = match by {
            By::Signal => ("signal", None),
            By::Desk(uid) => ("desk", Some(uid)),
        };
        let before = &self.told.policy;
        let change = PolicyChange { before, now: &now, policy_text: policy.text(), by, uid, wider };
        let seq = self.shared.write(&[Fact::Policy(change)])?;
        if !self.shared.syncer.wait(seq).await {
            return Err(AuditError::Broken);
        }
        let (redact, patience) = (policy.response().redact.clone(), policy.upstream().timeout);
        Ok(Self { shared: Arc::clone(&self.shared), told: Arc::new(Told { policy: now, redact, patience }) })
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use serde_json::Value;

    use super::*;
    use crate::agent::Agent;
    use crate::audit::Place;
    use crate::audit::verify::{Against, verify, whole_logs};
    use crate::clock::SystemClock;

    fn policy(path: &str) -> Policy {
        let text = format!(
            "version = 1\nname = \"test\"\nupstream = {{ base_url = \"https://a.example.test/\" }}\n\
             [[allow]]\nid = \"a\"\nmethods = [\"GET\"]\npaths = [\"{path}\"]\n"
        );
        Policy::parse("test.toml", &text).policy.unwrap()
    }

    fn records(directory: &std::path::Path) -> Vec<Value> {
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
        files.sort();
        let text: String = files.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn the_files_that_follow_name_the_policy_that_took_effect_last() {
        let directory = tempfile::tempdir().unwrap();
        let (one, two) = (policy("/a/**"), policy("/a/*"));
        let spec = crate::policy::AuditSpec { max_bytes: 1, ..one.audit().clone() };
        let place = Place { directory: directory.path(), audit: &spec };
        let log = AuditLog::open(&place, &one, Arc::new(SystemClock::new())).unwrap();
        let frame = |log: &AuditLog| log.frame(&Agent::stdio(1), -32_600, "no message", None, 0).unwrap();
        let turned = |hash: &str| {
            let is_there = |record: &Value| record["kind"] == "continue" && record["policy_hash"] == hash;
            for _ in 0..1_000 {
                frame(&log);
                if records(directory.path()).iter().any(is_there) {
                    return;
                }
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            panic!("no file that follows names {hash}");
        };
        turned(&hex(&one.hash()));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(log.reloaded(&two, By::Desk(7), true)).unwrap();
        turned(&hex(&two.hash()));
        log.stop("end of input", 0).unwrap();
        let records = records(directory.path());
        let change = records.iter().position(|record| record["kind"] == "policy").unwrap();
        assert_eq!((&records[change]["by"], &records[change]["uid"]), (&"desk".into(), &7.into()));
        for (place, record) in records.iter().enumerate().filter(|(_, record)| record["kind"] == "continue") {
            let expected = if place < change { &one } else { &two };
            assert_eq!(record["policy_hash"], hex(&expected.hash()), "{place}: {record}");
        }
        let against = Against::keys(&[], directory.path()).unwrap();
        let [whole] = &whole_logs(directory.path()).unwrap()[..] else { panic!("one log") };
        assert!(verify(whole, &against, &mut |_| ()).unwrap().is_anchored());
    }
}
