// refused: E0451
//! Sends without a permit of the limits.

pub async fn forge(
    upstream: &portcullis::upstream::Upstream,
    recorded: portcullis::audit::entry::Recorded,
    cancel: &portcullis::gateway::Cancel,
) {
    let permit = portcullis::limit::Permit { _permit: todo!() };
    drop(upstream.forward(recorded, permit, cancel).await);
}
