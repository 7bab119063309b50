// refused: E0382
//! Sends one authorization twice.

pub async fn forge(
    upstream: &crate::upstream::Upstream,
    recorded: crate::audit::entry::Recorded,
    permits: [crate::limit::Permit; 2],
    cancel: &crate::gateway::Cancel,
) {
    let [first, second] = permits;
    drop(upstream.forward(recorded, first, cancel).await);
    drop(upstream.forward(recorded, second, cancel).await);
}
