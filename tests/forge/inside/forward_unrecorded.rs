// refused: E0308
//! Sends what was authorized and not recorded.

pub async fn forge(
    upstream: &crate::upstream::Upstream,
    authorized: crate::policy::Authorized,
    permit: crate::limit::Permit,
    cancel: &crate::gateway::Cancel,
) {
    drop(upstream.forward(authorized, permit, cancel).await);
}
