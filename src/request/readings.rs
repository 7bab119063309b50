//! R2.3: every way in which a path with encoded reserved characters may be read further on.
//!
//! A proxy or a server behind the gate may decode such a path once more, cut a segment at `;` (or, having decoded a
//! `?` or `#`, at that), split it at a decoded slash, or do none of it, in any order. All of those readings are made
//! here and each must keep R2.4 to R2.8; denials are tried on each.

use std::borrow::Cow;

use super::encoded::Encoded;
use super::path::{MAX_SEGMENTS, PathError, check_segment, decode};

/// How often a path may be decoded before nothing changes any more.
const MAX_ROUNDS: usize = 3;

/// The most readings of one path. A name with one encoded slash has two.
const MAX_READINGS: usize = 64;

/// One reading: decoded segments, the last of them empty where the path ends in a slash.
type Reading = Vec<Cow<'static, str>>;

/// All readings of a canonical path, each once, and the reserved characters found in them at any depth.
pub(super) fn readings(canonical: &str) -> Result<(Vec<Reading>, Encoded), PathError> {
    let written = canonical.strip_prefix('/').unwrap_or_default().split('/');
    let mut found: Vec<Reading> = Vec::new();
    let mut encoded = Encoded::NONE;
    let mut undecoded: Vec<Reading> = vec![written.map(|segment| Cow::Owned(segment.to_owned())).collect()];
    for _ in 0..MAX_ROUNDS {
        let mut next = Vec::new();
        for reading in undecoded {
            let decoded = decode_all(&reading)?;
            encoded = encoded.union(check(&decoded)?);
            for variant in variants(&decoded) {
                if variant.len() > MAX_SEGMENTS + 1 {
                    return Err(PathError::TooManySegments);
                }
                if !found.contains(&variant) {
                    next.push(variant.clone());
                    found.push(variant);
                }
            }
            if found.len() > MAX_READINGS {
                return Err(PathError::TooManyReadings);
            }
        }
        undecoded = next.into_iter().filter(|reading| reading.iter().any(|segment| holds_encoding(segment))).collect();
        if undecoded.is_empty() {
            return Ok((found, encoded));
        }
    }
    Err(PathError::EncodedTooOften)
}

fn decode_all(reading: &Reading) -> Result<Reading, PathError> {
    reading.iter().map(|segment| Ok(Cow::Owned(decode(segment)?.into_owned()))).collect()
}

/// R2.5 to R2.7 on every part that a server could take from the segments, and the reserved characters they hold.
fn check(decoded: &Reading) -> Result<Encoded, PathError> {
    let mut encoded = Encoded::NONE;
    for segment in decoded {
        for byte in segment.bytes() {
            encoded = encoded.union(Encoded::standing_for(byte));
        }
        // Empty: the end of a path with a trailing slash, or what a lone slash left in an earlier round.
        if segment.is_empty() || is_one_slash(segment) {
            continue;
        }
        for part in segment.split('/') {
            if part.is_empty() {
                return Err(PathError::EmptySegment);
            }
            check_segment(part)?;
            check_segment(cut(part))?;
        }
    }
    Ok(encoded)
}

/// A segment that is one encoded slash is a name by itself (the default virtual host of RabbitMQ). It has no part that
/// could be mistaken for another name; the readings in which it vanishes or leaves empty segments are made as well.
fn is_one_slash(segment: &str) -> bool {
    segment == "/"
}

/// The readings of decoded segments: as they stand, split at slashes (a lone slash leaving two empty segments, or
/// none), and each of those cut.
fn variants(decoded: &Reading) -> Vec<Reading> {
    let split = |merge: bool| -> Reading {
        decoded
            .iter()
            .filter(|segment| !(merge && is_one_slash(segment)))
            .flat_map(|segment| segment.split('/').map(|part| Cow::Owned(part.to_owned())))
            .collect()
    };
    let mut variants = Vec::new();
    for whole in [decoded.clone(), split(false), split(true)] {
        let short: Reading = whole.iter().map(|segment| Cow::Owned(cut(segment).to_owned())).collect();
        for variant in [whole, short] {
            if !variants.contains(&variant) {
                variants.push(variant);
            }
        }
    }
    variants
}

/// What is left of a segment for a server that takes the rest for parameters, a query or a fragment.
fn cut(segment: &str) -> &str {
    segment.split([';', '?', '#']).next().unwrap_or_default()
}

/// Whether decoding would change the segment.
fn holds_encoding(segment: &str) -> bool {
    segment
        .split('%')
        .skip(1)
        .any(|rest| matches!(rest.as_bytes(), [a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit()))
}
