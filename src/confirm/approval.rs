//! The evidence that a human agreed to exactly one request.

/// A human's approval of one request.
///
/// INVARIANT (no self-approval): the type has no value until there is a way to ask a human, so no code path can
/// release a [`Held`](crate::policy::Held) request.
#[derive(Debug)]
pub enum Approval {}
