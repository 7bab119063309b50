//! An upstream on loopback that records every request, byte for byte, and answers what a script
//! says. HTTP/1.1 with keep-alive on plain threads, one a connection, at most
//! [`MAX_CONNECTIONS`] of them; what the script writes goes out unchecked, so that it can lie.

use std::{
    fmt,
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc::{self, Sender},
    },
    thread::JoinHandle,
};

use super::PATIENCE;

const MAX_CONNECTIONS: usize = 256;
const MAX_HEAD: u64 = 64 * 1024;
const MAX_BODY: usize = 4 * 1024 * 1024;

/// One request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Request line and headers, with their line ends, up to and without the empty line.
    pub(crate) head: String,
    /// The `Content-Length` bytes after the head.
    pub(crate) body: Vec<u8>,
}

impl Seen {
    /// `GET /x HTTP/1.1`.
    pub(crate) fn request_line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    pub(crate) fn method(&self) -> &str {
        self.request_line().split(' ').next().unwrap_or_default()
    }

    pub(crate) fn target(&self) -> &str {
        self.request_line().split(' ').nth(1).unwrap_or_default()
    }

    /// Every value of the header `name`, in order.
    pub(crate) fn headers(&self, name: &str) -> Vec<&str> {
        let pairs = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        pairs.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
    }
}

/// What the script sends back.
pub(crate) enum Reply {
    /// These bytes; the connection stays open.
    Keep(Vec<u8>),
    /// These bytes, then the connection is closed.
    Close(Vec<u8>),
    /// Whatever this writes, then the connection is closed.
    Stream(Box<Writer>),
}

impl Reply {
    /// A complete answer with `content-length`.
    pub(crate) fn new(status: &str, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        let mut bytes = head(status, headers, Some(body.len())).into_bytes();
        bytes.extend_from_slice(body);
        Self::Keep(bytes)
    }

    /// `200 OK` with a JSON body.
    pub(crate) fn json(body: impl AsRef<[u8]>) -> Self {
        Self::new("200 OK", &[("content-type", "application/json")], body)
    }
}

/// A response head, with its empty line.
pub(crate) fn head(status: &str, headers: &[(&str, &str)], length: Option<usize>) -> String {
    let mut text = format!("HTTP/1.1 {status}\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if let Some(length) = length {
        text.push_str(&format!("content-length: {length}\r\n"));
    }
    text.push_str("\r\n");
    text
}

/// Writes what it likes, headers and all.
type Writer = dyn FnOnce(&mut TcpStream) -> std::io::Result<()> + Send;

type Script = dyn Fn(&Seen) -> Reply + Send + Sync;

/// The recording upstream. Dropping it closes every connection.
pub(crate) struct Recorder {
    address: SocketAddr,
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
}

struct Shared {
    seen: Mutex<Vec<Seen>>,
    arrived: Condvar,
    open: Mutex<Vec<TcpStream>>,
    connections: AtomicUsize,
    live: AtomicUsize,
    stopped: AtomicBool,
    script: Box<Script>,
}

impl fmt::Debug for Recorder {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Recorder").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Recorder {
    /// An upstream that answers everything with `{"ok":true}`.
    pub(crate) fn plain() -> Self {
        Self::start(|_| Reply::json(r#"{"ok":true}"#))
    }

    /// An upstream that answers what `script` says, which may block.
    pub(crate) fn start(script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared {
            seen: Mutex::default(),
            arrived: Condvar::new(),
            open: Mutex::default(),
            connections: AtomicUsize::new(0),
            live: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
            script: Box::new(script),
        });
        let accepting = Arc::clone(&shared);
        let listener = std::thread::spawn(move || accept(&listener, &accepting));
        Self { address, shared, listener: Some(listener) }
    }

    /// `http://127.0.0.1:PORT/`.
    pub(crate) fn base_url(&self) -> String {
        format!("http://{}/", self.address)
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Everything that arrived so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        locked(&self.shared.seen).clone()
    }

    /// Everything that arrived after the first `count` requests.
    pub(crate) fn seen_since(&self, count: usize) -> Vec<Seen> {
        locked(&self.shared.seen).iter().skip(count).cloned().collect()
    }

    /// How many requests arrived so far.
    pub(crate) fn count(&self) -> usize {
        locked(&self.shared.seen).len()
    }

    /// How many connections were accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Waits until `count` requests have arrived.
    pub(crate) fn wait_for(&self, count: usize) {
        let seen = locked(&self.shared.seen);
        let (seen, timeout) = self
            .shared
            .arrived
            .wait_timeout_while(seen, PATIENCE, |seen| seen.len() < count)
            .unwrap_or_else(PoisonError::into_inner);
        assert!(!timeout.timed_out(), "the upstream waited for {count} requests and saw {}", seen.len());
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        for stream in locked(&self.shared.open).drain(..) {
            stream.shutdown(Shutdown::Both).ok();
        }
        self.listener.take().map(JoinHandle::join);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.stopped.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        if shared.live.fetch_add(1, Ordering::SeqCst) >= MAX_CONNECTIONS {
            shared.live.fetch_sub(1, Ordering::SeqCst);
            continue;
        }
        shared.connections.fetch_add(1, Ordering::SeqCst);
        if let Ok(clone) = stream.try_clone() {
            locked(&shared.open).push(clone);
        }
        let shared = Arc::clone(shared);
        std::thread::spawn(move || {
            // A connection that ends early is the other side's business.
            serve(stream, &shared).ok();
            shared.live.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

/// Reads and answers requests until either side closes.
fn serve(mut stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut input = BufReader::new(stream.try_clone()?);
    while let Some(seen) = read_request(&mut input)? {
        locked(&shared.seen).push(seen.clone());
        shared.arrived.notify_all();
        match (shared.script)(&seen) {
            Reply::Keep(bytes) => stream.write_all(&bytes)?,
            Reply::Close(bytes) => {
                stream.write_all(&bytes)?;
                return stream.shutdown(Shutdown::Both);
            }
            Reply::Stream(write) => {
                write(&mut stream)?;
                return stream.shutdown(Shutdown::Both);
            }
        }
    }
    Ok(())
}

/// One request, or `None` where the client closed between two.
fn read_request(input: &mut BufReader<TcpStream>) -> std::io::Result<Option<Seen>> {
    let mut head = Vec::new();
    loop {
        let from = head.len();
        input.by_ref().take(MAX_HEAD).read_until(b'\n', &mut head)?;
        match head.get(from..).unwrap_or_default() {
            [] if from == 0 => return Ok(None),
            [] => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            b"\r\n" | b"\n" => break head.truncate(from),
            _ => {}
        }
    }
    let mut seen = Seen { head: String::from_utf8_lossy(&head).into_owned(), body: Vec::new() };
    let length = seen.headers("content-length").first().and_then(|value| value.parse().ok()).unwrap_or(0);
    seen.body = vec![0; MAX_BODY.min(length)];
    input.read_exact(&mut seen.body)?;
    Ok(Some(seen))
}

/// An upstream that answers targets holding `slow` only after a word from the test.
pub(crate) fn held_upstream() -> (Recorder, Sender<()>) {
    let (release, held) = mpsc::channel();
    let held = Mutex::new(held);
    let upstream = Recorder::start(move |seen| {
        if seen.target().contains("slow") {
            locked(&held).recv_timeout(PATIENCE).ok();
        }
        Reply::json(r#"{"ok":true}"#)
    });
    (upstream, release)
}
