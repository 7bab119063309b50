// refused: E0382
//! Sends one authorization twice.

pub async fn forge(
    upstream: &portcullis::upstream::Upstream,
    recorded: portcullis::audit::entry::Recorded,
    permits: [portcullis::limit::Permit; 2],
    cancel: &portcullis::gateway::Cancel,
) {
    let [first, second] = permits;
    drop(upstream.forward(recorded, first, cancel).await);
    drop(upstream.forward(recorded, second, cancel).await);
}
