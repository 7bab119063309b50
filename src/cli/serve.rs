//! `portcullis serve`: everything is read and checked before the first byte is answered.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{FOUND, complain};
use crate::agent::Agent;
use crate::audit::{AuditLog, Place};
use crate::clock::{Clock, SystemClock};
use crate::config;
use crate::gateway::{Gateway, Parts};
use crate::limit::Limiter;
use crate::policy::Policy;
use crate::server;
use crate::upstream::Upstream;

/// Runs until the client hangs up or the process is told to stop.
pub(super) fn run(policy: &Path, state_dir: Option<&Path>) -> ExitCode {
    log_to_stderr();
    match start(policy, state_dir) {
        Ok(gateway) => serve(gateway),
        Err(code) => code,
    }
}
