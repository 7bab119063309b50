//! End to end: the real binary as a child over real stdio, between a client that speaks lines
//! and an upstream on loopback that records every byte it gets.
//!
//! One test crate, so that the harness is compiled and linked once. Most assertions are "it
//! received exactly this" or "it received nothing". Every gate that any test starts carries a
//! credential of its own and is searched for it at the end (`common::canary`).

#[cfg(test)]
mod answers;
#[cfg(test)]
mod canary;
#[cfg(test)]
mod cases;
#[cfg(test)]
mod check;
#[cfg(test)]
mod common;
#[cfg(test)]
mod confirm;
#[cfg(test)]
mod confirm_attacks;
#[cfg(test)]
mod confirm_client;
#[cfg(test)]
mod confirm_corpus;
#[cfg(test)]
mod confirm_desk;
#[cfg(test)]
mod confirm_log;
#[cfg(test)]
mod confirm_model;
#[cfg(test)]
mod confirm_shared;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod desk;
#[cfg(test)]
mod desk_attacks;
#[cfg(test)]
mod diff;
#[cfg(test)]
mod doctor;
#[cfg(test)]
mod explain;
#[cfg(test)]
mod init;
#[cfg(test)]
mod install;
#[cfg(test)]
mod learn;
#[cfg(test)]
mod lifecycle;
#[cfg(test)]
mod log;
#[cfg(test)]
mod log_doubts;
#[cfg(test)]
mod log_recovery;
#[cfg(test)]
mod log_tools;
#[cfg(test)]
mod log_values;
#[cfg(test)]
mod preview;
#[cfg(test)]
mod protocol;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod report;
#[cfg(test)]
mod requests;
#[cfg(test)]
mod several;
#[cfg(test)]
mod shell;
#[cfg(test)]
mod sinks;
#[cfg(test)]
mod sinks_otlp;
#[cfg(test)]
mod sinks_syslog;
#[cfg(test)]
mod tools;
#[cfg(test)]
mod tutorial;
#[cfg(test)]
mod upstream;
