// refused: E0308
//! Sends what was authorized and not recorded.

pub async fn forge(
    upstream: &crate::upstream::Upstream,
    authorized: crate::policy::Authorized,
    now: std::time::SystemTime,
    cancel: &tokio_util_token::Token,
) {
    drop(upstream.send(authorized, now, cancel).await);
}

mod tokio_util_token {
    pub type Token = crate::gateway::Cancel;
}
