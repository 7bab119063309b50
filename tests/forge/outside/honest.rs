//! An honest program: it parses, decides, and sends only what it was given.

use portcullis::agent::Agent;
use portcullis::audit::entry::{Entry, Recorded};
use portcullis::policy::Policy;
use portcullis::policy::{Authorized, Verdict};
use portcullis::request::Request;

pub async fn decide(policy: &Policy, agent: &Agent, request: Request, entry: Entry) -> Option<Recorded> {
    match policy.authorize(agent, request) {
        Verdict::Allow(authorized) => keep(entry, authorized).await,
        Verdict::Hold(_) | Verdict::Deny(_) => None,
    }
}

async fn keep(entry: Entry, authorized: Authorized) -> Option<Recorded> {
    entry.record(authorized).await.ok()
}
