//! Syslog, RFC 5424: datagrams to a Unix socket, or octet-counted frames over TCP (RFC 6587) and TLS (RFC 5425).
//!
//! Promises one message for each record, which is the record's line; on a Unix socket a line that is too long is cut, and the
//! structured data says how long it was. Syslog acknowledges nothing: what counts as taken is what the other system took. What was
//! sent on a connection that is found broken, since it was known to be well, is sent again on the next.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio::net::UnixDatagram;

use super::batch::{Batch, Severity, View, hash};
use super::{Failure, Then};
use crate::audit::beside::stem;
use crate::upstream::stream::{Dialer, Pulse, Stream};

/// "log audit" (RFC 5424, table 1).
const FACILITY: u8 = 13;
const APP: &str = "portcullis";
/// The private enterprise number that RFC 5612 keeps for documents: this program has none of its own.
const SD_ID: &str = "portcullis@32473";
/// What common receivers read of one datagram.
const MOST_DATAGRAM: usize = 8 << 10;
/// A host's name, as RFC 5424 has it.
const MOST_HOST: usize = 255;
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long after a batch the other end may say at once that it is gone, before the batch counts.
const OBJECTION: Duration = Duration::from_millis(20);

/// Where messages go.
#[derive(Debug)]
pub(super) struct Syslog {
    host: String,
    way: Way,
}

#[derive(Debug)]
enum Way {
    Datagram {
        path: PathBuf,
        socket: Option<UnixDatagram>,
        /// The log and the number of the next record, where a batch was taken in part.
        part: Option<(String, u64)>,
    },
    Stream {
        dialer: Dialer,
        stream: Option<Stream>,
    },
}

impl Syslog {
    pub(super) fn datagram(path: PathBuf) -> Self {
        Self { host: host(), way: Way::Datagram { path, socket: None, part: None } }
    }

    pub(super) fn stream(dialer: Dialer) -> Self {
        Self { host: host(), way: Way::Stream { dialer, stream: None } }
    }

    /// Whether there is a connection whose end would have to be noticed, and might say that what was sent on it is lost.
    pub(super) fn is_connected(&self) -> bool {
        matches!(self.way, Way::Stream { stream: Some(_), .. })
    }

    pub(super) async fn deliver(&mut self, batch: &Batch) -> Result<(), Failure> {
        match &mut self.way {
            Way::Datagram { path, socket, part } => {
                let from = part.take().filter(|(log, _)| *log == batch.log).map_or(0, |(_, next)| next);
                for (line, view) in batch.records().filter(|(_, view)| view.seq >= from) {
                    let message = message(&self.host, &batch.log, line, view, MOST_DATAGRAM);
                    if let Err(error) = send(path, socket, message.as_bytes()).await {
                        *socket = None;
                        *part = Some((batch.log.clone(), view.seq));
                        return Err(Failure::io(&error));
                    }
                }
                Ok(())
            }
            Way::Stream { dialer, stream } => {
                let mut frames = Vec::with_capacity(batch.lines.len() * 2);
                for (line, view) in batch.records() {
                    let message = message(&self.host, &batch.log, line, view, usize::MAX);
                    frames.extend_from_slice(format!("{} ", message.len()).as_bytes());
                    frames.extend_from_slice(message.as_bytes());
                }
                let mut open = match stream.take() {
                    Some(open) => open,
                    None => dialer.dial().await.map_err(|error| Failure::io(&error))?,
                };
                open.send(&frames).await.map_err(|error| Failure::broken(&error))?;
                *stream = Some(open);
                self.look(OBJECTION).await
            }
        }
    }

    /// Says that nothing more comes.
    pub(super) async fn end(&mut self) -> Result<(), Failure> {
        let Way::Stream { stream, .. } = &mut self.way else { return Ok(()) };
        let Some(stream) = stream.take() else { return Ok(()) };
        stream.end().await.map_err(|error| Failure::broken(&error))
    }

    /// Looks whether the connection still is one.
    pub(super) async fn tend(&mut self) -> Result<(), Failure> {
        self.look(Duration::ZERO).await
    }

    async fn look(&mut self, wait: Duration) -> Result<(), Failure> {
        let Way::Stream { stream, .. } = &mut self.way else { return Ok(()) };
        let Some(open) = stream else { return Ok(()) };
        match open.pulse(wait).await {
            Pulse::Open => Ok(()),
            Pulse::Closed => {
                *stream = None;
                Ok(())
            }
            Pulse::Broken(error) => {
                *stream = None;
                Err(Failure::broken(&error))
            }
        }
    }
}

impl Failure {
    fn broken(error: &io::Error) -> Self {
        Self { then: Then::Before, ..Self::io(error) }
    }
}

async fn send(path: &PathBuf, socket: &mut Option<UnixDatagram>, message: &[u8]) -> io::Result<()> {
    let open = match socket.take() {
        Some(open) => open,
        None => {
            let open = UnixDatagram::unbound()?;
            open.connect(path)?;
            open
        }
    };
    let late = |_| io::Error::from(io::ErrorKind::TimedOut);
    tokio::time::timeout(WRITE_TIMEOUT, open.send(message)).await.map_err(late)??;
    *socket = Some(open);
    Ok(())
}

/// One message of at most so many bytes.
fn message(host: &str, log: &str, line: &str, view: &View, most: usize) -> String {
    let priority = FACILITY * 8 + severity(view.severity());
    let (time, kind, seq, hash) = (view.time(), view.kind.as_str(), view.seq, hash(line));
    let process = process(log);
    let head = format!("<{priority}>1 {time} {host} {APP} {process} {kind} ");
    let log = escaped(log);
    let whole = format!("{head}[{SD_ID} seq=\"{seq}\" hash=\"{hash}\" log=\"{log}\"] {line}");
    if whole.len() <= most {
        return whole;
    }
    let bytes = line.len();
    let begin = format!("{head}[{SD_ID} seq=\"{seq}\" hash=\"{hash}\" log=\"{log}\" bytes=\"{bytes}\" cut=\"yes\"] ");
    let room = most.saturating_sub(begin.len());
    let end =
        line.char_indices().map(|(at, character)| at + character.len_utf8()).take_while(|end| *end <= room).last();
    format!("{begin}{}", line.get(..end.unwrap_or(0)).unwrap_or_default())
}

/// RFC 5424, table 2.
fn severity(severity: Severity) -> u8 {
    match severity {
        Severity::Error => 3,
        Severity::Warning => 4,
        Severity::Notice => 5,
        Severity::Info => 6,
    }
}

/// The number of the process that wrote the log, which its name ends with.
fn process(log: &str) -> String {
    let stem = stem(log);
    let number = stem.rsplit('-').next().unwrap_or_default();
    let good = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    if good { number.to_owned() } else { "-".to_owned() }
}

/// A value of structured data (RFC 5424, section 6.3.3).
fn escaped(value: &str) -> String {
    value.chars().flat_map(|c| matches!(c, '"' | '\\' | ']').then_some('\\').into_iter().chain([c])).collect()
}

/// This machine's name, or `-` where it is none that a message can hold.
fn host() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let good = !name.is_empty() && name.len() <= MOST_HOST && name.bytes().all(|byte| byte.is_ascii_graphic());
    if good { name } else { "-".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str =
        r#"{"v":1,"seq":3,"time":"2026-11-23T14:30:00.123Z","prev":"","kind":"question","verdict":"deny"}"#;

    #[test]
    fn a_record_is_one_message_with_its_number_and_hash() {
        let file = "audit-20261123T143000.123Z-42_00002.jsonl";
        let message = message("host", file, LINE, &View::of(LINE).unwrap(), 8_192);
        let (head, rest) = message.split_once('[').unwrap();
        assert_eq!(head, "<108>1 2026-11-23T14:30:00.123Z host portcullis 42 question ");
        let hash = hash(LINE);
        let data = format!("{SD_ID} seq=\"3\" hash=\"{hash}\" log=\"{file}\"] {LINE}");
        assert_eq!(rest, data);
    }

    #[test]
    fn a_line_that_is_too_long_is_cut_between_characters_and_says_so() {
        let line = LINE.replace("deny", &"é".repeat(5_000));
        let view = View::of(&line).unwrap();
        let message = message("host", "audit-1-2.jsonl", &line, &view, MOST_DATAGRAM);
        assert!((MOST_DATAGRAM - 1..=MOST_DATAGRAM).contains(&message.len()), "{}", message.len());
        assert!(message.contains(&format!("bytes=\"{}\" cut=\"yes\"] {{\"v\":1", line.len())));
        assert!(message.contains(&hash(&line)));
    }

    #[test]
    fn structured_data_escapes_what_would_end_it() {
        assert_eq!(escaped(r#"a"b\c]d"#), r#"a\"b\\c\]d"#);
    }
}
