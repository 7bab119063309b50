// refused: E0308
//! Sends what was authorized and not recorded.

pub async fn forge(
    upstream: &portcullis::upstream::Upstream,
    authorized: portcullis::policy::Authorized,
    cancel: &portcullis::gateway::Cancel,
) {
    drop(upstream.forward(authorized, cancel).await);
}
