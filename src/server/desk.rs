//! The desk's door: a Unix socket in the state directory, for the user that runs the gateway alone.
//!
//! Promises: nobody else's word is heard (the socket's mode, and the peer's user as the kernel gives it); one line a
//! connection, of bounded length, in bounded time, from so many at a time; the socket goes with the gateway, and what
//! a killed one left behind is cleared away.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::Mode;
use rustix::process::{Pid, geteuid, test_kill_process};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

use crate::confirm::desk::{self, Answer, MAX_REQUEST, Order, PATIENCE};
use crate::gateway::Gateway;

/// Desks that may speak at a time; more wait.
const MAX_DESKS: usize = 8;
/// The longest path of a socket, in bytes (`sun_path` of macOS, less its end).
const MAX_PATH: usize = 103;

/// Why the desk cannot open.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// The system takes no socket with so long a path.
    #[error(
        "the state directory `{}` has too long a path for a socket ({length} bytes with the socket's name, {MAX_PATH} at most); choose a shorter one with --state-dir",
        directory.display()
    )]
    PathTooLong {
        /// The state directory.
        directory: PathBuf,
        /// Of the socket's path.
        length: usize,
    },
    /// The socket cannot be made.
    #[error("the socket `{}` for `portcullis approve` cannot be opened: {source}", path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// An open desk, without anybody behind it.
#[derive(Debug)]
pub struct Desk {
    listener: UnixListener,
    path: PathBuf,
}

impl Desk {
    /// Opens the socket of this process in a state directory that was checked. Within the context of a runtime.
    ///
    /// # Errors
    /// [`DeskError`]: nobody could approve anything from another terminal.
    pub fn open(directory: &Path) -> Result<Self, DeskError> {
        clear(directory);
        let path = desk::socket(directory, std::process::id());
        let length = path.as_os_str().len();
        if length > MAX_PATH {
            return Err(DeskError::PathTooLong { directory: directory.to_owned(), length });
        }
        let socket = |source| DeskError::Socket { path: path.clone(), source };
        // What a process of this number left behind; it is not ours, since we have none yet.
        match std::fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(socket(source)),
            Ok(()) | Err(_) => {}
        }
        let before = rustix::process::umask(Mode::RWXG | Mode::RWXO | Mode::XUSR);
        let bound = UnixListener::bind(&path);
        rustix::process::umask(before);
        let listener = bound.map_err(socket)?;
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).map_err(socket)?;
        Ok(Self { listener, path })
    }

    /// Serves until it is dropped. `gateway` is the place of the one whose questions these are.
    pub(super) async fn serve(self, gateways: Arc<[Gateway]>, gateway: usize) {
        let seats = Arc::new(Semaphore::new(MAX_DESKS));
        loop {
            let Ok(seat) = Arc::clone(&seats).acquire_owned().await else { return };
            let (stream, _) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "the desk's socket failed");
                    tokio::time::sleep(PATIENCE).await;
                    continue;
                }
            };
            let gateways = Arc::clone(&gateways);
            tokio::spawn(async move {
                let _seat = seat;
                let served = match gateways.get(gateway) {
                    Some(gateway) => tokio::time::timeout(PATIENCE, attend(stream, gateway)).await,
                    None => return,
                };
                if let Ok(Err(error)) = served {
                    tracing::debug!(%error, "a desk left early");
                }
            });
        }
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        std::fs::remove_file(&self.path).ok();
    }
}

async fn attend(mut stream: UnixStream, gateway: &Gateway) -> io::Result<()> {
    let uid = stream.peer_cred()?.uid();
    if uid != geteuid().as_raw() {
        tracing::warn!(uid, "somebody else knocked at the desk's socket");
        return Ok(());
    }
    let (reader, mut writer) = stream.split();
    let mut line = Vec::new();
    let limit = u64::try_from(MAX_REQUEST).unwrap_or(u64::MAX);
    BufReader::new(reader.take(limit)).read_until(b'\n', &mut line).await?;
    let answer = match serde_json::from_slice::<Order>(&line) {
        Ok(order) => gateway.desk(order, uid),
        Err(_) => {
            Answer::Refused { why: "this gateway does not know that order; it may be of another version".to_owned() }
        }
    };
    let mut text = serde_json::to_vec(&answer)?;
    text.push(b'\n');
    writer.write_all(&text).await?;
    writer.shutdown().await
}

/// Removes the sockets of gateways that are gone: of a process that lives, none.
fn clear(directory: &Path) {
    let Ok(files) = std::fs::read_dir(directory) else { return };
    for path in files.filter_map(|file| Some(file.ok()?.path())) {
        let pid = desk::pid_of(&path).and_then(Pid::from_raw);
        if pid.is_some_and(|pid| test_kill_process(pid) == Err(rustix::io::Errno::SRCH)) {
            std::fs::remove_file(&path).ok();
        }
    }
}
