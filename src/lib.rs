//! A read-only-by-default, policy-gated MCP gateway for HTTP APIs.
pub mod demo;
