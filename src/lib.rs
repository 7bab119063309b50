//! A read-only-by-default, policy-gated MCP gateway for HTTP APIs.

pub mod agent;
pub mod cli;
pub mod confirm;
pub mod json;
pub mod policy;
pub mod request;
