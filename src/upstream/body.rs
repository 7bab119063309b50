//! Reads an answer's body, unpacked, up to a limit.
//!
//! Promises that no more than the limit is ever held, counted after unpacking and piece by piece, that a large body has its room (see
//! [`super::room`]) before it grows, and that a body which ends before its end (by its length, its chunks, or its packing) is an error
//! and never shown as complete. Refuses packings that were not asked for. Trusts `content-length` for one thing only: how much room
//! to make at first.

use std::io::{self, Write};
use std::time::Duration;

use flate2::write::{MultiGzDecoder, ZlibDecoder};
use reqwest::Response;
use reqwest::header::{CONTENT_ENCODING, HeaderMap};

use crate::upstream::error::UpstreamError;
use crate::upstream::room::{Held, Room, SMALL};

/// The value of `accept-encoding`: what [`read`] can unpack.
pub(crate) const ACCEPTED: &str = "gzip, deflate";

/// How much of a packed body is unpacked before its size is looked at: a byte of it may become a thousand.
const SLICE: usize = 128;

/// What a body may take, in bytes and in time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allowance<'a> {
    /// The longest body that is read, unpacked.
    pub(crate) limit: usize,
    /// Where a large one is held.
    pub(crate) room: &'a Room,
    /// How long it waits for its room.
    pub(crate) patience: Duration,
}

/// # Errors
/// The body is too large, cut short, damaged, or packed in another way than [`ACCEPTED`], or there is no room for it.
pub(crate) async fn read(mut response: Response, allowance: Allowance<'_>) -> Result<(Vec<u8>, Held), UpstreamError> {
    let Allowance { limit, room, patience } = allowance;
    let announced = response.content_length().and_then(|length| usize::try_from(length).ok());
    let packing = packing(response.headers())?;
    let mut held = Held::default();
    let (mut body, slice) = match packing {
        Packing::None => {
            let most = announced.unwrap_or(0);
            if most > limit {
                return Err(UpstreamError::TooLarge { received: 0, limit });
            }
            if most > SMALL {
                // Boxed here and below: few bodies need it, and every call carries what it awaits.
                Box::pin(room.grow(&mut held, most, patience)).await?;
            }
            (Body::Plain(Bounded::new(limit, most)), usize::MAX)
        }
        Packing::Gzip => (Body::Gzip(MultiGzDecoder::new(Bounded::new(limit, 0))), SLICE),
        Packing::Deflate => (Body::Deflate(ZlibDecoder::new(Bounded::new(limit, 0))), SLICE),
    };
    let mut arrived = 0_usize;
    loop {
        let piece = match response.chunk().await {
            Ok(Some(piece)) => piece,
            Ok(None) => break,
            Err(error) => return Err(UpstreamError::within_answer(error, body.received())),
        };
        arrived = arrived.saturating_add(piece.len());
        for slice in piece.chunks(slice) {
            if body.received() > held.bytes() {
                // As the bytes themselves do, it grows to twice its size.
                let bytes = body.received().saturating_mul(2).min(limit);
                Box::pin(room.grow(&mut held, bytes, patience)).await?;
            }
            if body.write_all(slice).is_err() {
                return Err(body.failure(arrived, limit));
            }
        }
        // A packed body that never unpacks to anything is bounded by what arrives.
        if arrived > limit {
            return Err(body.failure(arrived, limit));
        }
    }
    if arrived == 0 {
        // A packed body of nothing at all: some servers say `gzip` of every answer.
        return Ok((Vec::new(), held));
    }
    let body = body.finish(arrived, limit)?;
    held.shrink(body.len());
    Ok((body, held))
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

/// From this size on a body gets [`MAPPED`] room at once.
const LARGE: usize = 1 << 20;
/// An allocation of more than 32 MiB goes back to the system at its end, where glibc keeps a smaller one for later: its heaps
/// grew to twice of what was held. What is not written to takes no memory.
const MAPPED: usize = (32 << 20) + 1;

impl Bounded {
    fn new(limit: usize, room: usize) -> Self {
        let mut new = Self { bytes: Vec::new(), limit, is_full: false };
        new.make_room(room.min(limit));
        new
    }

    fn make_room(&mut self, bytes: usize) {
        let mapped = bytes > LARGE && self.bytes.try_reserve_exact(MAPPED.saturating_sub(self.bytes.len())).is_ok();
        if !mapped {
            self.bytes.reserve(bytes.saturating_sub(self.bytes.len()));
        }
    }
}

impl Write for Bounded {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let room = self.limit.saturating_sub(self.bytes.len());
        if piece.len() > room {
            self.is_full = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.make_room(self.bytes.len() + piece.len());
        self.bytes.extend_from_slice(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
