//! The upstream part, tested against raw sockets on loopback.

#[cfg(test)]
#[cfg(target_os = "linux")]
mod memory;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod support;
#[cfg(test)]
mod wire;
