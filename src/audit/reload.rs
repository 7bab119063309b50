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
