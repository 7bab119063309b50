//! Syslog on a Unix socket and over TCP, read by the grammar of RFC 5424 and RFC 6587.

use std::{
    io::Read,
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::net::UnixDatagram,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, Receiver},
    },
};

use rustix::process::Signal;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::common::{
    PATIENCE, eventually,
    gate::{Gate, Home, Launch},
    policy,
    recorder::Recorder,
    sink::{leftovers, name},
};

const GOOD: &str = "/api/v1/organization/1";

/// One message, taken apart.
#[derive(Debug)]
struct Message {
    priority: u8,
    process: String,
    kind: String,
    data: Vec<(String, String)>,
    text: String,
}

impl Message {
    /// RFC 5424, section 6, as far as this program may use it.
    fn parse(message: &str) -> Self {
        let (priority, rest) = message.strip_prefix('<').and_then(|rest| rest.split_once('>')).expect("PRI");
        let [version, time, host, app, process, kind, rest] =
            rest.splitn(7, ' ').collect::<Vec<_>>().try_into().expect("seven parts");
        assert_eq!((version, app), ("1", "portcullis"));
        humantime::parse_rfc3339(time).expect("TIMESTAMP");
        assert!(!host.is_empty() && host.bytes().all(|byte| byte.is_ascii_graphic()), "{host}");
        assert!(!kind.is_empty() && kind.len() <= 32 && process.len() <= 128);
        let (data, text) = rest.strip_prefix('[').and_then(|rest| rest.split_once("] ")).expect("one element");
        let (id, data) = data.split_once(' ').expect("SD-ID");
        assert_eq!(id, "portcullis@32473");
        let data = data.split(' ').map(|pair| {
            let (name, value) = pair.split_once('=').expect("SD-PARAM");
            let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).expect("a quoted value");
            (name.to_owned(), value.to_owned())
        });
        Self {
            priority: priority.parse().expect("a number"),
            process: process.to_owned(),
            kind: kind.to_owned(),
            data: data.collect(),
            text: text.to_owned(),
        }
    }

    fn get(&self, name: &str) -> &str {
        self.data.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str()).unwrap_or_default()
    }
}

/// Takes frames apart by their count of bytes (RFC 6587, section 3.4.1).
fn frames(bytes: &[u8]) -> Vec<String> {
    whole_frames(bytes).expect("the last frame is whole")
}

/// The same; `None` where the last one is not whole.
fn whole_frames(mut bytes: &[u8]) -> Option<Vec<String>> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let space = bytes.iter().position(|byte| *byte == b' ')?;
        let length: usize = String::from_utf8_lossy(&bytes[..space]).parse().expect("MSG-LEN");
        let frame = bytes.get(space + 1..space + 1 + length)?;
        frames.push(String::from_utf8(frame.to_vec()).expect("UTF-8"));
        bytes = &bytes[space + 1 + length..];
    }
    Some(frames)
}

/// The messages are the log's lines, each with its number, hash and kind.
fn assert_is_the_log(messages: &[String], log: &Path) {
    let text = std::fs::read_to_string(log).expect("the log");
    assert_eq!(messages.len(), text.lines().count(), "{messages:#?}");
    for (message, line) in messages.iter().zip(text.lines()) {
        let message = Message::parse(message);
        let record: Value = serde_json::from_str(line).expect("a record");
        assert_eq!(message.text, line);
        assert_eq!(
            (message.get("seq"), message.kind.as_str()),
            (&*record["seq"].to_string(), record["kind"].as_str().expect("a kind"))
        );
        let hash: String = Sha256::digest(line).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!((message.get("hash"), message.get("log")), (&*hash, name(log)));
        assert!(name(log).ends_with(&format!("-{}.jsonl", message.process)), "{}", message.process);
        let refused = record["verdict"] == "deny" || record["code"] == "denied";
        assert_eq!(message.priority, 13 * 8 + if refused { 4 } else { 6 }, "{line}");
    }
}

fn home(upstream: &Recorder, to: &str) -> Arc<Home> {
    let sink = format!("\n[[audit.sinks]]\nname = \"syslog\"\nsyslog = \"{to}\"\n");
    Home::new(&format!("{}{sink}", policy::a(upstream)))
}

fn use_it(gate: &mut Gate) {
    for _ in 0..5 {
        assert!(gate.get(GOOD).is_success());
    }
    assert_eq!(gate.get("/api/v1/user/me").code(), "denied");
}

/// Everything that came to a socket of this name.
fn datagrams(path: &Path) -> Arc<Mutex<Vec<String>>> {
    let socket = UnixDatagram::bind(path).expect("a socket");
    let messages = Arc::<Mutex<Vec<String>>>::default();
    let told = messages.clone();
    std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(length) = socket.recv(&mut buffer) {
            let message = String::from_utf8(buffer[..length].to_vec()).expect("UTF-8");
            told.lock().unwrap_or_else(PoisonError::into_inner).push(message);
        }
    });
    messages
}

#[test]
fn a_unix_socket_gets_a_message_for_each_record_also_of_the_time_before_it_was_there() {
    let upstream = Recorder::plain();
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("log");
    let home = home(&upstream, &format!("unix:{}", path.display()));
    let mut gate = Launch::new(&home).start();
    use_it(&mut gate);
    gate.log_until("the sink is behind", |records| records.iter().any(|record| record["state"] == "behind"));
    let messages = datagrams(&path);
    gate.log_until("the sink has caught up", |records| records.iter().any(|record| record["state"] == "caught_up"));
    gate.finish();
    let log = &home.logs()[0];
    let lines = std::fs::read_to_string(log).expect("the log").lines().count();
    eventually("all messages came", || messages.lock().unwrap_or_else(PoisonError::into_inner).len() >= lines);
    let messages = messages.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for message in &messages {
        home.canary.search("what syslog got", message.as_bytes());
    }
    // The two records of the sink's own are of another severity.
    let text = std::fs::read_to_string(log).expect("the log");
    for (message, line) in messages.iter().zip(text.lines()) {
        assert_eq!(Message::parse(message).text, line);
    }
    assert_eq!(messages.len(), lines, "none twice");
}

/// What each connection brought, up to its end.
fn connections(listener: TcpListener) -> Receiver<Vec<u8>> {
    let (told, connections) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut bytes = Vec::new();
            // A connection that is reset has brought what it has.
            stream.and_then(|mut stream: TcpStream| stream.read_to_end(&mut bytes)).ok();
            if told.send(bytes).is_err() {
                return;
            }
        }
    });
    connections
}

#[test]
fn over_tcp_the_messages_are_counted_frames() {
    let upstream = Recorder::plain();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let connections = connections(listener);
    let home = home(&upstream, &format!("tcp://{address}"));
    let mut gate = Launch::new(&home).start();
    use_it(&mut gate);
    gate.finish();
    let bytes = connections.recv_timeout(PATIENCE).expect("a connection");
    home.canary.search("what syslog got", &bytes);
    assert_is_the_log(&frames(&bytes), &home.logs()[0]);
}

/// The next connection.
fn accept(listener: &TcpListener) -> TcpStream {
    listener.set_nonblocking(true).expect("a listener that does not block");
    let mut accepted = None;
    eventually("a connection comes", || {
        accepted = listener.accept().ok();
        accepted.is_some()
    });
    let (stream, _) = accepted.expect("a connection");
    stream.set_nonblocking(false).expect("a stream that blocks");
    stream
}

/// Accepts a connection and reads what a call brings, up to its answer.
fn one_call(gate: &mut Gate, home: &Home, listener: &TcpListener, got: &mut Vec<u8>) -> TcpStream {
    let mut stream = accept(listener);
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    assert!(gate.get(GOOD).is_success());
    let last = home.records().iter().rposition(|record| record["kind"] == "answer").expect("an answer") as u64;
    while !ends_behind_record(got, last) {
        let mut chunk = [0; 4096];
        let length = stream.read(&mut chunk).expect("more");
        assert!(length > 0, "the gate ended the connection");
        got.extend_from_slice(&chunk[..length]);
    }
    stream
}

/// Whether these are whole frames, with this record or a later one among them.
fn ends_behind_record(bytes: &[u8], seq: u64) -> bool {
    let number = |frame: &String| Message::parse(frame).get("seq").parse::<u64>().expect("a number");
    whole_frames(bytes).is_some_and(|frames| frames.iter().any(|frame| number(frame) >= seq))
}

/// Ends the gate; what its last connection brings until then.
fn the_rest(gate: Gate, listener: &TcpListener) -> Vec<u8> {
    let mut stream = accept(listener);
    let reading = std::thread::spawn(move || {
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).expect("the rest");
        rest
    });
    gate.finish();
    reading.join().expect("a reader")
}

#[test]
fn a_receiver_that_closes_between_two_batches_misses_nothing() {
    let upstream = Recorder::plain();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let home = home(&upstream, &format!("tcp://{}", listener.local_addr().expect("an address")));
    let mut gate = Launch::new(&home).start();
    let mut got = Vec::new();
    for _ in 0..3 {
        // With everything read.
        drop(one_call(&mut gate, &home, &listener, &mut got));
        assert!(gate.get(GOOD).is_success(), "so that the end is noticed");
    }
    got.extend(the_rest(gate, &listener));
    assert_is_the_log(&frames(&got), &home.logs()[0]);
}

#[test]
fn a_receiver_that_closes_one_half_and_leaves_records_unread_gets_them_again() {
    let upstream = Recorder::plain();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let home = home(&upstream, &format!("tcp://{}", listener.local_addr().expect("an address")));
    let mut gate = Launch::new(&home).start();
    let mut got = Vec::new();
    for _ in 0..3 {
        let stream = one_call(&mut gate, &home, &listener, &mut got);
        assert!(gate.get(GOOD).is_success());
        // What it never reads has come; then it says that it is done, and is gone.
        stream.peek(&mut [0]).expect("the next records");
        stream.shutdown(Shutdown::Write).expect("its half");
        drop(stream);
    }
    got.extend(the_rest(gate, &listener));
    let text = std::fs::read_to_string(&home.logs()[0]).expect("the log");
    let lines: Vec<_> = text.lines().collect();
    let mut next = 0;
    for frame in frames(&got) {
        let message = Message::parse(&frame);
        let seq: usize = message.get("seq").parse().expect("a number");
        assert!(seq <= next, "record {next} is missing before {seq}");
        assert_eq!(message.text, lines[seq]);
        next = next.max(seq + 1);
    }
    assert_eq!(next, lines.len(), "to the end");
}

#[test]
fn a_receiver_that_closes_one_half_and_reads_on_gets_every_record_once() {
    let upstream = Recorder::plain();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let home = home(&upstream, &format!("tcp://{}", listener.local_addr().expect("an address")));
    let mut gate = Launch::new(&home).start();
    let mut got = Vec::new();
    for _ in 0..3 {
        let mut stream = one_call(&mut gate, &home, &listener, &mut got);
        stream.shutdown(Shutdown::Write).expect("its half");
        assert!(gate.get(GOOD).is_success());
        stream.read_to_end(&mut got).expect("up to the gate's own end");
    }
    got.extend(the_rest(gate, &listener));
    assert_is_the_log(&frames(&got), &home.logs()[0]);
}

#[test]
fn over_tcp_the_logs_of_killed_gates_come_too_and_nothing_waits_when_they_are_there() {
    let upstream = Recorder::plain();
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let home = home(&upstream, &format!("tcp://{nobody}"));
    for _ in 0..5 {
        let mut gate = Launch::new(&home).start();
        assert!(gate.get(GOOD).is_success());
        gate.signal(Signal::KILL);
        gate.expect_killed();
    }
    let connections = connections(TcpListener::bind(nobody).expect("the same port"));
    let gate = Launch::new(&home).start();
    eventually("all old logs were sent, and the connection has been well since", || leftovers(&home).len() == 2);
    gate.finish();
    assert_eq!(leftovers(&home), [""; 0]);
    let frames = frames(&connections.recv_timeout(PATIENCE).expect("a connection"));
    for log in home.logs() {
        let of_it = |frame: &&String| Message::parse(frame).get("log") == name(&log);
        let text: String =
            frames.iter().filter(of_it).map(|frame| format!("{}\n", Message::parse(frame).text)).collect();
        assert_eq!(text, std::fs::read_to_string(&log).expect("the log"), "every record once and in order");
    }
}
