//! The desk's door: a Unix socket in the state directory, for the user that runs the gateway alone.
//!
//! Promises: nobody else's word is heard (the socket's mode, and the peer's user as the kernel gives it); one whole line a
//! connection, of bounded length, in bounded time, from so many at a time, and none keeps the next one waiting; the
//! socket goes with the gateway, and what a killed one left behind is cleared away.

use std::collections::VecDeque;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustix::fs::Mode;
use rustix::process::geteuid;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::AbortHandle;

use crate::confirm::desk::{self, Answer, MAX_REQUEST, Order, PATIENCE};
use crate::confirm::escape::shown;
use crate::gateway::Gateway;

/// Desks that may speak at a time, each with an answer of up to [`MAX_REPLY`](desk::MAX_REPLY) bytes; for one more the
/// oldest is hung up on.
const MAX_DESKS: usize = 8;
/// How long nobody is listened to after the system could not give a connection.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest path of a socket, in bytes (`sun_path` of macOS, less its end).
const MAX_PATH: usize = 103;
/// How old a socket is that nobody listens at and that its gateway has not finished: that one was killed.
const STALE: Duration = Duration::from_secs(60);

/// Why the desk cannot open.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// The system takes no socket with so long a path.
    #[error(
        "the state directory `{}` has too long a path for a socket ({length} bytes with the socket's name, {MAX_PATH} at most); choose a shorter one with --state-dir",
        shown(&directory.to_string_lossy())
    )]
    PathTooLong {
        /// The state directory.
        directory: PathBuf,
        /// Of the socket's path.
        length: usize,
    },
    /// The socket cannot be made.
    #[error("the socket `{}` for `portcullis approve` cannot be opened: {source}", shown(&path.to_string_lossy()))]
    Socket {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No randomness for the socket's name.
    #[error("the system gave no random bytes for the socket's name: {0}")]
    Random(getrandom::Error),
}

/// An open desk, without anybody behind it.
#[derive(Debug)]
pub struct Desk {
    listener: UnixListener,
    path: PathBuf,
}

impl Desk {
    /// Opens a socket of this process's own in a state directory that was checked; `now` on the wall clock.
    ///
    /// # Errors
    /// [`DeskError`]: nobody could approve anything from another terminal.
    pub async fn open(directory: &Path, now: SystemTime) -> Result<Self, DeskError> {
        clear(directory, now).await;
        // No process number: gateways in several containers may share the directory.
        let path = desk::socket(directory, getrandom::u32().map_err(DeskError::Random)?);
        let length = path.as_os_str().len();
        if length > MAX_PATH {
            return Err(DeskError::PathTooLong { directory: directory.to_owned(), length });
        }
        Self::bind(&path).map_err(|source| DeskError::Socket { path, source })
    }

    /// The socket gets its name once it is listened at: what refuses a connection under such a name is dead.
    fn bind(path: &Path) -> io::Result<Self> {
        let unfinished = path.with_extension(desk::UNFINISHED);
        let before = rustix::process::umask(Mode::RWXG | Mode::RWXO | Mode::XUSR);
        let bound = UnixListener::bind(&unfinished);
        rustix::process::umask(before);
        let mut desk = Self { listener: bound?, path: unfinished };
        // Where the directory's default access list overrules the mask.
        std::fs::set_permissions(&desk.path, PermissionsExt::from_mode(0o600))?;
        std::fs::rename(&desk.path, path)?;
        path.clone_into(&mut desk.path);
        Ok(desk)
    }

    /// Serves until it is dropped. `gateway` is the place of the one whose questions these are.
    pub(super) async fn serve(self, gateways: Arc<[Gateway]>, gateway: usize) {
        let mut seats = VecDeque::<AbortHandle>::with_capacity(MAX_DESKS);
        loop {
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "the desk's socket failed");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            if seats.len() == MAX_DESKS
                && let Some(oldest) = seats.pop_front()
            {
                oldest.abort();
            }
            let gateways = Arc::clone(&gateways);
            let attending = tokio::spawn(async move {
                if let Err(error) = attend(stream, gateways, gateway).await {
                    tracing::debug!(%error, "a desk left early, or took too long");
                }
            });
            seats.push_back(attending.abort_handle());
            // Whoever came before gets its turn: many may come at once.
            tokio::task::yield_now().await;
        }
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        std::fs::remove_file(&self.path).ok();
    }
}

async fn attend(mut stream: UnixStream, gateways: Arc<[Gateway]>, gateway: usize) -> io::Result<()> {
    let peer = stream.peer_cred()?.uid();
    let (reader, mut writer) = stream.split();
    // Only its text is kept while a desk takes its time to read it.
    let text = line(&answer(reader, peer, gateways, gateway).await?)?;
    let hand_over = async {
        writer.write_all(&text).await?;
        writer.shutdown().await
    };
    tokio::time::timeout(PATIENCE, hand_over).await?
}

async fn answer(
    reader: impl AsyncRead + Unpin,
    peer: u32,
    gateways: Arc<[Gateway]>,
    gateway: usize,
) -> io::Result<Answer> {
    if let Err(stranger) = admit(peer, geteuid().as_raw()) {
        return Ok(stranger);
    }
    let Some(order) = tokio::time::timeout(PATIENCE, order(reader)).await?? else {
        return Ok(refused("this gateway does not know that order; it may be of another version".to_owned()));
    };
    let patience = order.patience();
    // On its own: an order that has begun is carried out, whatever becomes of the desk.
    let carried_out = tokio::spawn(async move {
        match gateways.get(gateway) {
            Some(gateway) => gateway.desk(order, peer).await,
            None => Answer::Gone,
        }
    });
    tokio::time::timeout(patience, carried_out).await?.map_err(io::Error::other)
}

/// Whether the user on the other end is heard; root is none either, who would leave no name of a person in the log.
fn admit(peer: u32, me: u32) -> Result<(), Answer> {
    if peer == me {
        return Ok(());
    }
    tracing::warn!(uid = peer, "somebody else knocked at the desk's socket");
    Err(refused(format!("this gateway listens to user {me} alone, and you are user {peer}")))
}

fn line(answer: &Answer) -> io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec(answer)?;
    text.push(b'\n');
    text.shrink_to_fit();
    Ok(text)
}

/// The order on the one line that is read; half a line is none.
async fn order(reader: impl AsyncRead + Unpin) -> io::Result<Option<Order>> {
    let mut line = Vec::new();
    let limit = u64::try_from(MAX_REQUEST).unwrap_or(u64::MAX);
    BufReader::new(reader.take(limit)).read_until(b'\n', &mut line).await?;
    Ok(line.strip_suffix(b"\n").and_then(|line| serde_json::from_slice(line).ok()))
}

fn refused(why: String) -> Answer {
    Answer::Refused { why }
}

/// Removes the sockets that nobody listens at any more.
async fn clear(directory: &Path, now: SystemTime) {
    // Between two steps of a gateway that starts, its socket refuses as well.
    let stale = |path: &PathBuf| {
        let made = path.symlink_metadata().and_then(|metadata| metadata.modified());
        made.is_ok_and(|made| now.duration_since(made).is_ok_and(|age| age >= STALE))
    };
    // What cannot be seen stays; it is in nobody's way.
    let killed = desk::unfinished(directory).into_iter().flatten().filter(stale);
    for path in desk::sockets(directory).into_iter().flatten().chain(killed) {
        let knocked = UnixStream::connect(&path).await;
        if knocked.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
            std::fs::remove_file(&path).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_user_that_runs_the_gateway_is_heard() {
        assert!(admit(1000, 1000).is_ok());
        for stranger in [0, 1001, u32::MAX] {
            let Err(Answer::Refused { why }) = admit(stranger, 1000) else { panic!("user {stranger} is heard") };
            assert!(why.contains("1000") && why.contains(&stranger.to_string()), "{why}");
        }
    }

    #[tokio::test]
    async fn one_whole_line_of_bounded_length_is_an_order() {
        let long = [b" ".repeat(MAX_REQUEST), b"{\"do\":\"pending\"}\n".to_vec()].concat();
        for (line, heard) in [
            (&b"{\"do\":\"pending\"}\n"[..], true),
            (b"{\"do\":\"pending\"}\nmore", true),
            (b"{\"do\":\"pending\"}", false),
            (b"{\"do\":\"pending\",\"more\":1}\n", false),
            (b"{\"do\":\"else\"}\n", false),
            (b"", false),
            (&long, false),
        ] {
            assert_eq!(order(line).await.unwrap().is_some(), heard, "{}", String::from_utf8_lossy(line));
        }
    }
}
