// refused: E0308
//! Sends what was authorized and not recorded.

pub async fn forge(
    upstream: &portcullis::upstream::Upstream,
    authorized: portcullis::policy::Authorized,
    permit: portcullis::limit::Permit,
    cancel: &portcullis::gateway::Cancel,
) {
    drop(upstream.forward(authorized, permit, cancel).await);
}
