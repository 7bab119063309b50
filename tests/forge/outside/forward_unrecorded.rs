// refused: E0308
//! Sends what was authorized and not recorded.

pub async fn forge(
    upstream: &portcullis::upstream::Upstream,
    authorized: portcullis::policy::Authorized,
    now: std::time::SystemTime,
    cancel: &tokio_util_token::Token,
) {
    drop(upstream.send(authorized, now, cancel).await);
}

mod tokio_util_token {
    pub type Token = portcullis::gateway::Cancel;
}
