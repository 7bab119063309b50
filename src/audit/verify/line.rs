//! One line of a log, which has exactly one form.
//!
//! Promises: a line that [`Line::read`] takes is the serialization that the gateway writes of what it says: strict JSON,
//! no space between tokens, whole numbers, the shortest escapes, no key twice, and the chain's own members first. So no
//! two readers see different records, and no record can be written in two ways.

use std::str::from_utf8;

use crate::audit::book::VERSION;
use crate::json;
use crate::json::text::plain_length;

/// Records nest less than this.
const DEPTH: usize = 16;
/// The form of a time: digits where a `0` stands.
const TIME: &[u8] = b"0000-00-00T00:00:00.000Z";
const HASH_DIGITS: usize = 64;

/// What every record says, and the call that it is about.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub(super) seq: u64,
    pub(super) time: &'a str,
    pub(super) prev: &'a str,
    pub(super) kind: &'a str,
    /// Empty where it is about none.
    pub(super) call: &'a str,
}

/// The number that a record says it has, without a look at the rest of its line.
pub(super) fn sequence(line: &[u8]) -> Option<u64> {
    let digits = line.split(|byte| *byte == b',').nth(1)?.strip_prefix(b"\"seq\":")?;
    number(from_utf8(digits).ok()?)
}

/// Whether a half-written record can look like this: the beginning of one, and nothing but zeros where a file system had made room.
pub(super) fn may_begin(bytes: &[u8]) -> bool {
    let written = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let beginning = format!("{{\"v\":{VERSION},\"seq\":");
    bytes.iter().take(written).zip(beginning.bytes()).all(|(byte, expected)| *byte == expected)
}

impl<'a> Line<'a> {
    /// Reads a line without its end; `None` for anything but a record in its one form.
    pub(super) fn read(line: &'a [u8]) -> Option<Self> {
        let text = from_utf8(line).ok()?;
        let (version, rest) = text.strip_prefix("{\"v\":")?.split_once(',')?;
        let (seq, rest) = rest.strip_prefix("\"seq\":")?.split_once(',')?;
        let (time, rest) = rest.strip_prefix("\"time\":\"")?.split_at_checked(TIME.len())?;
        let (prev, rest) = rest.strip_prefix("\",\"prev\":\"")?.split_at_checked(HASH_DIGITS)?;
        let (kind, _) = rest.strip_prefix("\",\"kind\":\"")?.split_once('"')?;
        let seq = number(seq).filter(|_| number(version) == Some(VERSION.into()))?;
        let good = is_time(time) && prev.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) && is_plain(line);
        if !good {
            return None;
        }
        let mut call = "";
        json::scan(text, DEPTH, &mut |member| {
            if member.depth == 1 && member.key == "call" {
                call = text.get(member.value).unwrap_or_default().trim_matches('"');
            }
        })
        .ok()?;
        Some(Self { seq, time, prev, kind, call })
    }
}

fn number(digits: &str) -> Option<u64> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    digits.parse().ok().filter(|_| plain)
}

fn is_time(time: &str) -> bool {
    let like = |(byte, form): (u8, &u8)| if *form == b'0' { byte.is_ascii_digit() } else { byte == *form };
    time.bytes().zip(TIME).all(like)
}

/// Whether strict JSON is written in the plainest way: brackets, commas, words and whole numbers, and strings with no escape
/// that could be left out.
fn is_plain(mut rest: &[u8]) -> bool {
    let mut before = b'{';
    while let [byte, after @ ..] = rest {
        rest = after;
        match byte {
            b'"' => match end_of_string(rest) {
                Some(after) => rest = after,
                None => return false,
            },
            b'0' if before == b'-' => return false,
            b'a'..=b'z' if before.is_ascii_digit() => return false,
            b'{' | b'}' | b'[' | b']' | b':' | b',' | b'-' | b'0'..=b'9' | b'a'..=b'z' => {}
            _ => return false,
        }
        before = *byte;
    }
    true
}

/// What follows the string that `rest` is inside of.
fn end_of_string(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        let (_, special) = rest.split_at_checked(plain_length(rest))?;
        rest = match special {
            [b'"', after @ ..] => return Some(after),
            [b'\\', b'"' | b'\\' | b'b' | b'f' | b'n' | b'r' | b't', after @ ..] => after,
            // The other controls: these digits, and no short form.
            [b'\\', b'u', b'0', b'0', b'0', b'0'..=b'7' | b'b' | b'e' | b'f', after @ ..]
            | [b'\\', b'u', b'0', b'0', b'1', b'0'..=b'9' | b'a'..=b'f', after @ ..] => after,
            _ => return None,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PREV: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    fn line(rest: &str) -> String {
        format!(r#"{{"v":2,"seq":7,"time":"2026-01-01T00:00:00.000Z","prev":"{PREV}","kind":"question"{rest}}}"#)
    }

    #[test]
    fn a_record_is_read_in_its_one_form() {
        let text = line(r#","call":"ab-1","names":[["a","é\"\\\n\u0000\u001f"]],"code":-32600,"x":null,"y":true"#);
        let read = Line::read(text.as_bytes()).unwrap();
        let time = "2026-01-01T00:00:00.000Z";
        assert_eq!(read, Line { seq: 7, time, prev: PREV, kind: "question", call: "ab-1" });
        assert_eq!(sequence(text.as_bytes()), Some(7));
        assert_eq!(Line::read(line("").as_bytes()).unwrap().call, "");
        assert_eq!(Line::read(line(r#","body":{"call":"x"}"#).as_bytes()).unwrap().call, "", "of the record alone");
    }

    #[test]
    fn what_is_written_in_another_way_is_no_record() {
        for rest in [
            r#", "call":"a""#,
            r#","call": "a""#,
            r#","call":"a" "#,
            r#","call":"\/""#,
            r#","call":"\u0061""#,
            r#","call":"\u000A""#,
            r#","call":"\u000a""#,
            r#","call":"\u001F""#,
            r#","call":"\u0022""#,
            r#","call":"a","call":"a""#,
            r#","c\u0061ll":"a""#,
            r#","seq":7"#,
            r#","n":1.0"#,
            r#","n":1e3"#,
            r#","n":-0"#,
            r#","n":01"#,
            r#","n":+1"#,
            ",\"n\":\t1",
            ",\"n\":\"\t\"",
            ",\"n\":",
            ",",
            "}",
        ] {
            assert_eq!(Line::read(line(rest).as_bytes()), None, "{rest}");
        }
        let good = line("");
        for (from, to) in [
            ("\"v\":2", "\"v\":1"),
            ("\"v\":2", "\"v\":02"),
            ("\"seq\":7", "\"seq\":07"),
            ("\"seq\":7", "\"seq\":\"7\""),
            ("2026-01", "2026 01"),
            (".000Z", ".00Z"),
            (PREV, &PREV.to_uppercase()),
            ("{\"v\"", "{ \"v\""),
        ] {
            let other = good.replacen(from, to, 1);
            assert_ne!(other, good);
            assert_eq!(Line::read(other.as_bytes()), None, "{other}");
        }
        assert_eq!(Line::read(format!("\u{feff}{good}").as_bytes()), None);
        assert_eq!(Line::read(format!("{good} ").as_bytes()), None);
        assert_eq!(Line::read(&[good.as_bytes(), b"\xff"].concat()), None);
    }

    proptest::proptest! {
        /// What serde writes is what is read, whatever stands in its strings.
        #[test]
        fn every_string_that_is_written_is_in_its_one_form(text in "\\PC*|[\\x00-\\x7f]{0,20}") {
            let member = format!(",\"x\":{}", serde_json::to_string(&text).unwrap());
            proptest::prop_assert!(Line::read(line(&member).as_bytes()).is_some(), "{member}");
        }
    }
}
