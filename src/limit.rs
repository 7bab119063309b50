//! stub
use crate::agent::Agent;
use std::time::Duration;
/// s
#[derive(Debug)]
pub struct Limiter;
/// s
#[derive(Debug)]
pub struct Permit;
/// s
#[derive(Debug)]
pub struct Slot;
/// s
#[derive(Debug)]
pub struct Charge;
/// s
#[derive(Debug, thiserror::Error)]
#[error("throttled")]
pub struct Throttled;
impl Throttled {
    /// s
    pub fn retry_after(&self) -> Duration {
        Duration::ZERO
    }
}
impl Charge {
    /// s
    pub fn of(_g: &crate::policy::Grant) -> Self {
        Self
    }
}
impl Slot {
    /// s
    pub async fn enter(self) -> Result<Permit, Throttled> {
        Ok(Permit)
    }
}
impl Limiter {
    /// s
    pub fn open(
        _p: &crate::policy::Policy,
        _d: &std::path::Path,
        _c: std::sync::Arc<dyn crate::clock::Clock>,
    ) -> Result<Self, std::io::Error> {
        Ok(Self)
    }
    /// s
    pub async fn admit(&self, _a: &Agent) -> Result<(), Throttled> {
        Ok(())
    }
    /// s
    pub fn denied(&self, _a: &Agent) {}
    /// s
    pub async fn budget(&self, _a: &Agent, _c: Charge) -> Result<Slot, Throttled> {
        Ok(Slot)
    }
}
