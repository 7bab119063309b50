//! How a command ends once it has written.

use std::fmt::Display;
use std::io;
use std::process::ExitCode;

use super::complain;

/// How many of a thing there are, in words: `1 call`, `2 calls`.
pub(super) fn counted<N: Display + PartialEq + From<u8>>(count: N, thing: &str) -> String {
    let ending = if count == N::from(1) { "" } else { "s" };
    format!("{count} {thing}{ending}")
}

/// The exit code of a command that has written what it had to say. A reader that has seen enough, such as `head`, changes nothing
/// of it; any other fault is told, with exit code 2: what was not told must not look like an answer.
pub(super) fn ended(written: io::Result<()>, code: ExitCode) -> ExitCode {
    match written {
        Ok(()) => code,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => code,
        Err(error) => complain(&format!("the answer cannot be written: {error}")),
    }
}
