//! The one way to the upstream: a request whose intent is in the log.

use tokio_util::sync::CancellationToken;

use crate::audit::entry::{Asked, Recorded};
use crate::confirm::approval::{Approval, State};
use crate::limit::Permit;
use crate::policy::{Approved, Effect};
use crate::upstream::error::UpstreamError;
use crate::upstream::reply::Reply;
use crate::upstream::rotation::CredentialChoice;
use crate::upstream::{Outgoing, Upstream};

/// A call that was sent: what came of it, and the duty to answer.
#[derive(Debug)]
pub struct Sent {
    /// The call, whose outcome the log waits for.
    pub asked: Asked,
    /// The answer, or why there is none.
    pub result: Result<Reply, Failure>,
}

/// Why a call that was recorded has no answer.
#[derive(Debug)]
pub enum Failure {
    /// The upstream's fault, or the gateway's on the way to it.
    Upstream(Failed),
    /// The client took a read back. A write is never given up once its intent is in the log.
    Cancelled,
}

/// Why there is no answer, and what was done for one.
#[derive(Debug)]
pub struct Failed {
    /// What went wrong.
    pub error: UpstreamError,
    /// How often the request was sent, or may have been: 0 when nothing of it was, 2 when a read was sent again.
    pub attempts: u8,
}

impl Upstream {
    /// Sends a recorded request, once, under its permit; a read may be cancelled on the way.
    pub async fn forward(&self, recorded: Recorded, permit: Permit, cancel: &CancellationToken) -> Sent {
        let result = {
            let (request, grant) = (recorded.authorized().request(), recorded.authorized().grant());
            let headers: Vec<_> = request.headers().iter().collect();
            let out = Outgoing {
                method: request.method(),
                target: request.target(),
                headers: &headers,
                body: request.body().map(crate::request::body::Body::bytes),
                credential: grant.credential().map_or(CredentialChoice::Default, CredentialChoice::Named),
                effect: grant.effect(),
                if_match: recorded.authorized().approval().and_then(Approval::now).and_then(State::if_match),
                idempotency_key: recorded.idempotency_key(),
            };
            match grant.effect() {
                _ if recorded.authorized().compare() == Approved::Another => {
                    Err(Failure::Upstream(Failed { error: UpstreamError::NotApproved, attempts: 0 }))
                }
                Effect::Write => self.send(&out).await.map_err(Failure::Upstream),
                Effect::Read => tokio::select! {
                    biased;
                    () = cancel.cancelled() => Err(Failure::Cancelled),
                    result = self.send(&out) => result.map_err(Failure::Upstream),
                },
            }
        };
        drop(permit);
        Sent { asked: recorded.into_asked(), result }
    }
}
