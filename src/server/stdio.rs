//! The standard streams, non-blocking wherever the client's kind of stream allows it.
//!
//! Pipes go through rmcp's `stdio_pipes`. Node's clients hand over Unix sockets, for which that would silently fall
//! back to a blocking thread a read: those become `UnixStream`s here. Anything else (a terminal, a file) blocks.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;

use rustix::fs::FileType;
use rustix::net::{AddressFamily, sockopt::socket_domain};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;

/// Where messages come from.
pub(super) type Input = Box<dyn AsyncRead + Send + Unpin>;
/// Where messages go.
pub(super) type Output = Box<dyn AsyncWrite + Send + Unpin>;

/// The process's standard input and output, each judged for itself.
///
/// # Errors
/// When a socket cannot be made non-blocking.
pub(super) fn streams() -> io::Result<(Input, Output)> {
    let (stdin, stdout) = (io::stdin(), io::stdout());
    let (input, output) = rmcp::transport::io::stdio_pipes();
    let input: Input = match is_unix_socket(&stdin) {
        true => Box::new(socket(stdin.as_fd().try_clone_to_owned()?)?),
        false => Box::new(input),
    };
    let output: Output = match is_unix_socket(&stdout) {
        true => Box::new(socket(stdout.as_fd().try_clone_to_owned()?)?),
        false => Box::new(output),
    };
    Ok((input, output))
}

fn socket(fd: OwnedFd) -> io::Result<UnixStream> {
    let stream = StdUnixStream::from(fd);
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}

fn is_unix_socket(stream: &impl AsFd) -> bool {
    let kind = rustix::fs::fstat(stream).map(|stat| FileType::from_raw_mode(stat.st_mode));
    kind == Ok(FileType::Socket) && socket_domain(stream) == Ok(AddressFamily::UNIX)
}
