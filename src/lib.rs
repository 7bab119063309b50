//! A read-only-by-default, policy-gated MCP gateway for HTTP APIs.

pub mod clock;
pub mod config;
pub mod trust;
