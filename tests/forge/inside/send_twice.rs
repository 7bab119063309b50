// refused: E0382
//! Sends one authorization twice.

pub async fn forge(
    upstream: &crate::upstream::Upstream,
    recorded: crate::audit::entry::Recorded,
    cancel: &crate::gateway::Cancel,
) {
    drop(upstream.forward(recorded, cancel).await);
    drop(upstream.forward(recorded, cancel).await);
}
