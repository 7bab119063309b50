//! A raw upstream on loopback that says whatever bytes a test wants, and records every request it gets.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::clock::{Clock, SystemClock};
use crate::policy::{CredentialSpec, Effect, SecretSpec, UpstreamSpec};
use crate::request::method::Method;
use crate::upstream::error::UpstreamError;
use crate::upstream::reply::Reply;
use crate::upstream::rotation::CredentialChoice;
use crate::upstream::source::Surroundings;
use crate::upstream::{Outgoing, Upstream};

pub(crate) const TOKEN: &str = "tok-9f8e7d6c5b4a3210/+==";
pub(crate) const LIMIT: u64 = 8 * 1024 * 1024;

/// What happens to the connection after an answer.
pub(crate) enum After {
    Keep,
    Close,
}

/// A listener with a thread for each connection.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
}

impl Server {
    /// `answer` gets the number of the request (from 0, over all connections) and the connection.
    pub(crate) fn start(answer: impl Fn(usize, &mut TcpStream) -> After + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (requests, connections) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
        let (answer, seen, count) = (Arc::new(answer), Arc::clone(&requests), Arc::clone(&connections));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { break };
                count.fetch_add(1, Ordering::SeqCst);
                let (answer, seen) = (Arc::clone(&answer), Arc::clone(&seen));
                std::thread::spawn(move || {
                    stream.set_nodelay(true).unwrap();
                    while let Some(request) = read_request(&mut stream) {
                        let number = {
                            let mut seen = seen.lock().unwrap();
                            seen.push(request);
                            seen.len() - 1
                        };
                        if let After::Close = answer(number, &mut stream) {
                            break;
                        }
                    }
                });
            }
        });
        Self { address, requests, connections }
    }

    /// Says the same bytes to every request and keeps the connection.
    pub(crate) fn saying(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self::start(move |_, stream| say(stream, &bytes))
    }

    /// Says the same bytes to every request and closes.
    pub(crate) fn saying_once(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self::start(move |_, stream| {
            say(stream, &bytes);
            After::Close
        })
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// A policy's view of this server, with a bearer credential from the environment.
    pub(crate) fn spec(&self) -> UpstreamSpec {
        spec(&format!("http://{}/api/v1/", self.address))
    }

    pub(crate) async fn upstream(&self) -> Upstream {
        open(&self.spec()).await
    }
}

/// Says these bytes and keeps the connection, if the other side still listens.
pub(crate) fn say(stream: &mut TcpStream, bytes: &[u8]) -> After {
    match stream.write_all(bytes) {
        Ok(()) => After::Keep,
        Err(_) => After::Close,
    }
}

fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut byte = [0; 1];
    while !bytes.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        bytes.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).ok()?;
    bytes.extend(body);
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

pub(crate) fn spec(base_url: &str) -> UpstreamSpec {
    UpstreamSpec {
        base_url: base_url.parse().unwrap(),
        openapi: None,
        timeout: Duration::from_secs(20),
        connect_timeout: Duration::from_secs(5),
        allow_http: true,
        allow_private: false,
        ca_file: None,
        client_certificate: None,
        proxy: None,
        user_agent: "portcullis/test".to_owned(),
        headers: Vec::new(),
        credential: Some(CredentialSpec::Bearer(SecretSpec::Env("API_TOKEN".to_owned()))),
        credentials: Default::default(),
    }
}

pub(crate) fn surroundings(spec: &UpstreamSpec) -> Surroundings {
    surroundings_in(spec, Path::new("/"), &[])
}

pub(crate) fn surroundings_in(spec: &UpstreamSpec, directory: &Path, more: &[(&str, &str)]) -> Surroundings {
    Surroundings::collect(spec, directory, &|name| {
        let known = [("API_TOKEN", TOKEN), ("PATH", "/usr/local/bin:/usr/bin:/bin"), ("HOME", "/nonexistent")];
        let mut all = more.iter().chain(&known);
        all.find_map(|(known, value)| (*known == name).then(|| OsString::from(*value)))
    })
}

pub(crate) async fn open(spec: &UpstreamSpec) -> Upstream {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    Upstream::open(spec, LIMIT, surroundings(spec), clock).await.unwrap()
}

pub(crate) fn get(target: &str) -> Outgoing<'_> {
    Outgoing {
        method: Method::Get,
        target,
        headers: &[],
        body: None,
        credential: CredentialChoice::Default,
        effect: Effect::Read,
        if_match: None,
        idempotency_key: None,
    }
}

pub(crate) fn post<'a>(target: &'a str, body: &'a [u8]) -> Outgoing<'a> {
    Outgoing { method: Method::Post, body: Some(body), effect: Effect::Write, ..get(target) }
}

/// One GET of a server that says `bytes` and closes.
pub(crate) async fn ask(bytes: impl Into<Vec<u8>>) -> Result<Reply, UpstreamError> {
    let server = Server::saying_once(bytes);
    let reply = server.upstream().await.send(&get("/x")).await.map_err(|failed| failed.error);
    assert_eq!(server.requests().len(), 1, "exactly one request");
    reply
}

/// A complete answer of status 200.
pub(crate) fn ok(headers: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 200 OK\r\n{headers}content-length: {}\r\n\r\n", body.len()).into_bytes();
    bytes.extend(body);
    bytes
}
