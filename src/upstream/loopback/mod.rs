//! The upstream part against raw sockets on loopback.

#[cfg(target_os = "linux")]
mod memory;
mod secrets;
mod support;
mod wire;
