//! A read-only-by-default, policy-gated MCP gateway for HTTP APIs.
//!
//! The life of a request, which [`Pipeline::answer`](gateway::Pipeline::answer) runs from its second step on. Each step consumes
//! what the one before made, so that a call cannot skip any. ARCHITECTURE.md has the rest: the invariants, and who may use what.
//!
//! 1. [`server`] reads a line in one strict pass ([`json`]) and makes a [`ToolCall`](gateway::ToolCall) of it; the
//!    [`Agent`](agent::Agent) comes from the connection, never from the message.
//! 2. [`audit`] opens an [`Entry`](audit::entry::Entry): from here on nothing ends unlogged.
//! 3. [`limit`] counts the call, also one that will be refused: [`Admitted`](limit::Admitted).
//! 4. [`tools`], [`catalog`] and [`request`] make a [`Request`](request::Request) of the arguments: canonical, never changed
//!    again.
//! 5. [`policy`] takes it and gives a [`Verdict`](policy::Verdict); the one that lets it through holds an
//!    [`Authorized`](policy::Authorized), which owns the request.
//! 6. [`confirm`] asks a person about one that is [`Held`](policy::Held), once it is paid for: their
//!    [`Approval`](confirm::approval::Approval) makes it an [`Authorized`](policy::Authorized).
//! 7. [`limit`] charges what the rules say that it costs: a [`Permit`](limit::Permit).
//! 8. [`audit`] writes the intent, of a write to disk: a [`Recorded`](audit::entry::Recorded).
//! 9. [`upstream`] adds base URL and credential and sends it, under its permit: a [`Reply`](upstream::reply::Reply).
//! 10. [`audit`] writes the outcome: an [`Answer`](audit::entry::Answer), the only thing that the front door can send back.

#![cfg(unix)]

pub mod address;
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
pub mod sink;
pub mod tools;
pub mod trust;
pub mod upstream;
