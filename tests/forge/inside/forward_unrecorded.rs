// refused: E0308
//! Sends what was authorized and not recorded.

pub async fn forge(
    upstream: &crate::upstream::Upstream,
    authorized: crate::policy::Authorized,
    cancel: &crate::gateway::Cancel,
) {
    drop(upstream.forward(authorized, cancel).await);
}
