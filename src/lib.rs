//! A read-only-by-default, policy-gated MCP gateway for HTTP APIs.

pub mod agent;
pub mod clock;
pub mod config;
pub mod confirm;
pub mod json;
pub mod limit;
pub mod policy;
pub mod request;
pub mod trust;
