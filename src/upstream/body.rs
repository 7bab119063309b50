//! Reads an answer's body, unpacked, up to a limit.
//!
//! Promises that no more than the limit is ever held, counted after unpacking and piece by piece, and that a body which ends before its
//! end (by its length, its chunks, or its packing) is an error and never shown as complete. Refuses packings that were not asked for.
//! Trusts `content-length` for one thing only: how much room to make at first.

use std::io::{self, Write};

use flate2::write::{MultiGzDecoder, ZlibDecoder};
use reqwest::Response;
use reqwest::header::{CONTENT_ENCODING, HeaderMap};

use crate::upstream::error::UpstreamError;

/// The value of `accept-encoding`: what [`read`] can unpack.
pub(crate) const ACCEPTED: &str = "gzip, deflate";

/// # Errors
/// The body is too large, cut short, damaged, or packed in another way than [`ACCEPTED`].
pub(crate) async fn read(mut response: Response, limit: usize) -> Result<Vec<u8>, UpstreamError> {
    let announced = response.content_length().and_then(|length| usize::try_from(length).ok());
    let packing = packing(response.headers())?;
    let mut body = match packing {
        Packing::None => {
            if announced.is_some_and(|length| length > limit) {
                return Err(UpstreamError::TooLarge { received: 0, limit });
            }
            Body::Plain(Bounded::new(limit, announced.unwrap_or(0)))
        }
        Packing::Gzip => Body::Gzip(MultiGzDecoder::new(Bounded::new(limit, 0))),
        Packing::Deflate => Body::Deflate(ZlibDecoder::new(Bounded::new(limit, 0))),
    };
    let mut arrived = 0_usize;
    loop {
        let piece = match response.chunk().await {
            Ok(Some(piece)) => piece,
            Ok(None) => break,
            Err(error) => return Err(UpstreamError::within_answer(error, body.received())),
        };
        arrived = arrived.saturating_add(piece.len());
        // A packed body that never unpacks to anything is bounded by what arrives.
        if body.write_all(&piece).is_err() || arrived > limit {
            return Err(body.failure(arrived, limit));
        }
    }
    if arrived == 0 {
        // A packed body of nothing at all: some servers say `gzip` of every answer.
        return Ok(Vec::new());
    }
    body.finish(arrived, limit)
}

enum Packing {
    None,
    Gzip,
    Deflate,
}

/// Reads `content-encoding` (RFC 9110, section 8.4); one coding at most.
fn packing(headers: &HeaderMap) -> Result<Packing, UpstreamError> {
    let mut values = headers.get_all(CONTENT_ENCODING).iter();
    let Some(value) = values.next() else { return Ok(Packing::None) };
    let known: [(&str, Packing); 4] = [
        ("gzip", Packing::Gzip),
        ("x-gzip", Packing::Gzip),
        ("deflate", Packing::Deflate),
        ("identity", Packing::None),
    ];
    let found = known.into_iter().find(|(name, _)| value.as_bytes().eq_ignore_ascii_case(name.as_bytes()));
    match (found, values.next()) {
        (Some((_, packing)), None) => Ok(packing),
        (None, _) | (_, Some(_)) => Err(UpstreamError::Encoding),
    }
}

enum Body {
    Plain(Bounded),
    Gzip(MultiGzDecoder<Bounded>),
    Deflate(ZlibDecoder<Bounded>),
}

impl Body {
    fn write_all(&mut self, piece: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(body) => body.write_all(piece),
            Self::Gzip(body) => body.write_all(piece),
            Self::Deflate(body) => body.write_all(piece),
        }
    }

    fn bounded(&self) -> &Bounded {
        match self {
            Self::Plain(body) => body,
            Self::Gzip(body) => body.get_ref(),
            Self::Deflate(body) => body.get_ref(),
        }
    }

    fn received(&self) -> usize {
        self.bounded().bytes.len()
    }

    fn failure(&self, arrived: usize, limit: usize) -> UpstreamError {
        let received = self.received();
        if self.bounded().is_full || arrived > limit {
            UpstreamError::TooLarge { received, limit }
        } else {
            UpstreamError::Unpack { received }
        }
    }

    /// The whole body; the packing's own end and check sum must have come.
    fn finish(mut self, arrived: usize, limit: usize) -> Result<Vec<u8>, UpstreamError> {
        let finished = match &mut self {
            Self::Plain(_) => Ok(()),
            Self::Gzip(body) => body.try_finish(),
            Self::Deflate(body) => body.try_finish(),
        };
        if finished.is_err() {
            return Err(self.failure(arrived, limit));
        }
        let bounded = match self {
            Self::Plain(body) => body,
            Self::Gzip(mut body) => std::mem::take(body.get_mut()),
            Self::Deflate(mut body) => std::mem::take(body.get_mut()),
        };
        Ok(bounded.bytes)
    }
}

/// Bytes up to a limit; a write beyond it fails and leaves it marked.
#[derive(Debug, Default)]
struct Bounded {
    bytes: Vec<u8>,
    limit: usize,
    is_full: bool,
}

impl Bounded {
    fn new(limit: usize, room: usize) -> Self {
        Self { bytes: Vec::with_capacity(room.min(limit)), limit, is_full: false }
    }
}

impl Write for Bounded {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let room = self.limit.saturating_sub(self.bytes.len());
        if piece.len() > room {
            self.is_full = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
