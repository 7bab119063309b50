// refused: E0382
//! Sends one authorization twice.

pub async fn forge(
    upstream: &portcullis::upstream::Upstream,
    recorded: portcullis::audit::entry::Recorded,
    now: std::time::SystemTime,
    cancel: &portcullis::gateway::Cancel,
) {
    drop(upstream.send(recorded, now, cancel).await);
    drop(upstream.send(recorded, now, cancel).await);
}
