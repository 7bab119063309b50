//! A read-only-by-default, policy-gated MCP gateway for HTTP APIs.

#![cfg(unix)]

pub mod agent;
pub mod answer;
pub mod audit;
pub mod catalog;
pub mod cli;
pub mod clock;
pub mod config;
pub mod confirm;
pub mod demo;
pub mod gateway;
pub mod json;
pub mod limit;
pub mod policy;
pub mod refusal;
pub mod request;
pub mod secret;
pub mod server;
pub mod trust;
pub mod upstream;
