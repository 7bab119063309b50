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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::path::Path;

    fn forms(raw: &str) -> BTreeSet<String> {
        let path = Path::parse(raw).unwrap_or_else(|error| panic!("{raw}: {error}"));
        path.deny_forms().iter().map(|form| form.segments().join("|")).collect()
    }

    #[test]
    fn every_way_to_read_an_encoded_reserved_character_is_made() {
        let cases: [(&str, &str, &str, &[&str]); 14] = [
            ("a slash", "/g%2Fp/x", "%2F", &["g/p|x", "g|p|x"]),
            ("a slash, folded", "/G%2FP./", "%2F", &["g/p", "g|p"]),
            ("a slash alone", "/q/%2F/n", "%2F", &["q|/|n", "q|||n", "q|n"]),
            ("a slash alone and last", "/q/%2F", "%2F", &["q|/", "q|", "q"]),
            ("a percent sign", "/100%25", "%25", &["100%"]),
            ("a percent sign before letters", "/100%25zz", "%25", &["100%zz"]),
            ("a semicolon", "/a%3Bb/c", "%3B", &["a;b|c", "a|c"]),
            ("a question mark", "/a%3Fb/c", "%3F", &["a?b|c", "a|c"]),
            ("a hash", "/a%23b", "%23", &["a#b", "a"]),
            ("a slash, encoded twice", "/a%252Fb", "%2F, %25", &["a%2fb", "a/b", "a|b"]),
            ("a slash, encoded three times", "/a%25252Fb", "%2F, %25", &["a%252fb", "a%2fb", "a/b", "a|b"]),
            ("a letter, encoded twice", "/%2570ersonal", "%25", &["%70ersonal", "personal"]),
            ("a space, encoded twice", "/a%2520b", "%25", &["a%20b", "a b"]),
            (
                "a cut that hides a slash from the next round",
                "/a%3Bb%252Fc/sec%2572et",
                "%2F, %25, %3B",
                &["a;b%2fc|sec%72et", "a|sec%72et", "a;b/c|secret", "a|secret", "a;b|c|secret", "a|c|secret"],
            ),
        ];
        for (name, raw, encoded, expected) in cases {
            let expected: BTreeSet<String> = expected.iter().map(|form| (*form).to_owned()).collect();
            assert_eq!(forms(raw), expected, "{name}");
            assert_eq!(Path::parse(raw).unwrap().encoded().to_string(), encoded, "{name}");
        }
    }

    #[test]
    fn a_path_with_a_forbidden_reading_is_refused() {
        let cases = [
            ("dots behind an encoded slash", "/a/..%2Fb", "R2.7"),
            ("dots before an encoded slash", "/a/b%2F..", "R2.7"),
            ("dots, encoded twice", "/a/%252e%252e/b", "R2.7"),
            ("dots, encoded three times", "/a/%25252e%25252e/b", "R2.7"),
            ("dots before a semicolon", "/a/..%3Bx/b", "R2.7"),
            ("dots behind a semicolon and a slash", "/a/x%3B%2F../b", "R2.7"),
            ("a dot before a question mark", "/a/.%3Fx", "R2.7"),
            ("nothing before a semicolon", "/a/%3Bx/b", "R2.7"),
            ("nothing before a hash", "/a/%23", "R2.7"),
            ("an encoded slash first", "/%2Fevil.test", "R2.6"),
            ("an encoded slash last", "/a%2F", "R2.6"),
            ("two encoded slashes", "/a%2F%2Fb", "R2.6"),
            ("two encoded slashes alone", "/a/%2F%2F", "R2.6"),
            ("a nul, encoded twice", "/a%2500", "R2.5"),
            ("a backslash, encoded twice", "/a%255Cb", "R2.5"),
            ("a fullwidth slash, encoded twice", "/a%25EF%25BC%258F", "R2.5"),
            ("bytes that are not UTF-8, encoded twice", "/a%25FF", "R2.4"),
            ("an overlong dot, encoded twice", "/%25c0%25ae", "R2.4"),
            ("four layers", "/a%2525252Fb", "R2.3"),
            ("five layers of a space", "/a%2525252520b", "R2.3"),
            ("too many segments once split", &format!("/{}", ["a%2Fa%2Fa"; 22].join("/")), "R2.8"),
        ];
        for (name, raw, rule) in cases {
            assert_eq!(
                Path::parse(raw).map(|path| path.to_string()).map_err(|error| error.rule()),
                Err(rule),
                "{name}"
            );
        }
    }

    #[test]
    fn a_lone_slash_goes_through_every_round() {
        assert!(forms("/q/%2F/a%2520b").contains("q|a b"));
        assert!(forms("/q/%252F/n").contains("q|n"));
    }
}
