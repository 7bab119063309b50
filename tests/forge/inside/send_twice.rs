// refused: E0382
//! Sends one authorization twice.

pub async fn forge(
    upstream: &crate::upstream::Upstream,
    recorded: crate::audit::entry::Recorded,
    now: std::time::SystemTime,
    cancel: &crate::gateway::Cancel,
) {
    drop(upstream.send(recorded, now, cancel).await);
    drop(upstream.send(recorded, now, cancel).await);
}
