//! The sample API: a small HTTP/1.1 server on the loopback interface that answers from [`super::data`].
//!
//! Promises: every request whose head could be read is reported before it is answered, so that after an answer the
//! report is complete. One connection may carry many requests.
//! Refuses: heads over 16 KiB, bodies over 1 MiB, bodies without a length.
//! Trusts: nobody needs to; it holds made-up data.

use std::fmt;
use std::io;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::data::{self, Data, Reply};

const MAX_HEAD: usize = 16 * 1024;
const MAX_BODY: usize = 1024 * 1024;

/// The listening sample; dropping it stops it.
pub(super) struct Sample {
    port: u16,
    _stop: DropGuard,
}

/// One request as it arrived, and the status it is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) method: String,
    pub(super) target: String,
    /// `None` where the API takes longer than anybody waits.
    pub(super) status: Option<u16>,
    /// Whether it carried the credential.
    pub(super) credential: bool,
}

impl Sample {
    /// Listens on a free port of 127.0.0.1 and asks every request for `token`.
    pub(super) async fn start(token: &str, seen: UnboundedSender<Seen>) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let stop = CancellationToken::new();
        let data = Arc::new(Data::new(token));
        tokio::spawn(stop.clone().run_until_cancelled_owned(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream, Arc::clone(&data), seen.clone()));
            }
        }));
        Ok(Self { port, _stop: stop.drop_guard() })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// What a policy names as `base_url`.
    pub(super) fn base_url(&self) -> String {
        format!("http://127.0.0.1:{}{}", self.port, data::BASE)
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            Some(status) => write!(f, "{} {} -> {status}", self.method, self.target),
            None => write!(f, "{} {} -> no answer in time", self.method, self.target),
        }
    }
}

struct Head {
    method: String,
    target: String,
    authorization: String,
    length: usize,
}

/// Serves one connection until the other side leaves or breaks the rules above.
async fn converse(mut stream: TcpStream, data: Arc<Data>, seen: UnboundedSender<Seen>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::new();
    while let Some(head) = read_head(&mut stream, &mut buffer).await? {
        while buffer.len() < head.length {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        }
        let body: Vec<u8> = buffer.drain(..head.length).collect();
        let credential = head.authorization.strip_prefix("Bearer ") == Some(data.token());
        let reply = if credential { data.answer(&head.method, &head.target, &body) } else { data::unauthorized() };
        let status = reply.delay.is_zero().then_some(reply.status);
        let report = Seen { method: head.method, target: head.target, status, credential };
        if seen.send(report).is_err() {
            return Ok(());
        }
        tokio::time::sleep(reply.delay).await;
        stream.write_all(&encode(&reply)).await?;
    }
    Ok(())
}

/// The next head, with whatever follows it left in `buffer`; `None` when the other side left or sent no HTTP.
async fn read_head(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Option<Head>> {
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        if buffer.len() > MAX_HEAD || stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    };
    let bytes: Vec<u8> = buffer.drain(..end + 4).collect();
    Ok(str::from_utf8(&bytes).ok().and_then(parse_head))
}

fn parse_head(text: &str) -> Option<Head> {
    let mut lines = text.split("\r\n");
    let mut words = lines.next()?.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut head = Head { method, target, authorization: String::new(), length: 0 };
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        match name.to_ascii_lowercase().as_str() {
            "authorization" => head.authorization = value.trim().to_owned(),
            "content-length" => head.length = value.trim().parse().ok().filter(|length| *length <= MAX_BODY)?,
            "transfer-encoding" => return None,
            _ => {}
        }
    }
    Some(head)
}

fn encode(reply: &Reply) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {} {}\r\n", reply.status, reply.phrase());
    for (name, value) in reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if reply.status != 204 {
        head.push_str(&format!("content-type: application/json\r\ncontent-length: {}\r\n", reply.body.len()));
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(reply.body.as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc;

    async fn exchange(request: &str) -> (String, Vec<Seen>) {
        let (tell, mut hear) = mpsc::unbounded_channel();
        let sample = Sample::start("t", tell).await.unwrap();
        let mut stream = TcpStream::connect(("127.0.0.1", sample.port())).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        // A connection that the sample ends early may be reset; what came before that counts.
        drop(stream.read_to_string(&mut answer).await);
        let mut seen = Vec::new();
        while let Ok(one) = hear.try_recv() {
            seen.push(one);
        }
        (answer, seen)
    }

    #[tokio::test]
    async fn two_requests_on_one_connection_are_both_reported_and_answered() {
        let (answer, seen) = exchange(
            "POST /api/v1/project/7/metrics_v2/metrics HTTP/1.1\r\nAuthorization: Bearer t\r\nContent-Length: 2\r\n\r\n{}\
             GET /api/v1/project/7/ HTTP/1.1\r\nauthorization: Bearer t\r\n\r\n",
        )
        .await;
        assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 2, "{answer}");
        let shown: Vec<_> = seen.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["POST /api/v1/project/7/metrics_v2/metrics -> 200", "GET /api/v1/project/7/ -> 200"]);
    }

    #[tokio::test]
    async fn a_request_without_the_credential_is_reported_and_gets_401() {
        let (answer, seen) = exchange("GET /api/v1/project/7/ HTTP/1.1\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
        assert!(!seen[0].credential);
    }

    #[tokio::test]
    async fn a_body_without_a_length_ends_the_connection() {
        let (answer, seen) =
            exchange("POST /api/v1/project/7/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n").await;
        assert_eq!((answer.as_str(), seen.len()), ("", 0));
    }
}
