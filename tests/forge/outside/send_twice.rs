// refused: E0382
//! Sends one authorization twice.

pub async fn forge(
    upstream: &portcullis::upstream::Upstream,
    recorded: portcullis::audit::entry::Recorded,
    cancel: &portcullis::gateway::Cancel,
) {
    drop(upstream.forward(recorded, cancel).await);
    drop(upstream.forward(recorded, cancel).await);
}
