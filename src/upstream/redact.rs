//! Takes the upstream's credentials out of its answers.
//!
//! Promises that an answer which echoes a credential (a debug endpoint, an error page) shows `[redacted]` in its place, whether it was
//! echoed as it is, in base64 (either alphabet, at any of the three alignments, padded or not), in hex, or with any mixture of percent
//! and JSON escapes in any of these. An answer without an echo is handed back as it came, uncopied. It does not promise to stop an
//! upstream that *wants* to give the credential away: that one can spell it in ways nobody listed, and knows it anyhow.

use std::ops::Range;

use aho_corasick::automaton::Automaton as _;
use aho_corasick::{AhoCorasick, AhoCorasickKind, Anchored, BuildError, MatchKind, nfa};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use memchr::memchr2;
use zeroize::Zeroizing;

/// What stands where a credential stood.
pub(crate) const PLACEHOLDER: &[u8] = b"[redacted]";

/// Values shorter than this are not searched for by themselves: they would be found in innocent text.
pub(crate) const SHORTEST: usize = 8;

/// Forms of up to this many bytes in all get the fastest automaton, which takes about 256 bytes of memory for each.
const SMALL: usize = 8 * 1024;

/// Finds and replaces every form of a set of credentials.
#[derive(Debug, Default)]
pub(crate) struct Redactor {
    search: Option<Search>,
}

/// Every way in which one credential may be echoed; overwritten when dropped.
#[derive(Default)]
pub(crate) struct Forms(Vec<Zeroizing<Vec<u8>>>);

/// An answer's bytes after redaction.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Redacted {
    /// The bytes, the very ones that came in when nothing was found.
    pub(crate) bytes: Vec<u8>,
    /// How many echoes were replaced.
    pub(crate) count: u32,
}

#[derive(Debug)]
struct Search {
    /// Leftmost-longest, for the text as it stands.
    plain: AhoCorasick,
    /// Standard semantics, stepped byte by byte over the decoded text near an escape.
    decoded: nfa::contiguous::NFA,
    /// Length of the longest form, in decoded bytes.
    longest: usize,
    neighbours: Neighbours,
}

/// Which bytes occur in the forms, and beside which others: most escapes cannot be part of an echo, and are passed over.
#[derive(Debug)]
struct Neighbours {
    alphabet: [bool; 256],
    first: [bool; 256],
    last: [bool; 256],
    /// Two bytes that follow each other in a form, one bit for each pair.
    pairs: Box<[u64; 1024]>,
}

impl Redactor {
    /// # Errors
    /// The forms are too many or too long for the automaton.
    pub(crate) fn new<'a>(forms: impl Iterator<Item = &'a Forms>) -> Result<Self, BuildError> {
        let mut needles: Vec<&[u8]> = forms.flat_map(|forms| forms.0.iter().map(|form| form.as_slice())).collect();
        needles.sort_unstable();
        needles.dedup();
        if needles.is_empty() {
            return Ok(Self::default());
        }
        let size: usize = needles.iter().map(|needle| needle.len()).sum();
        let kind = if size <= SMALL { AhoCorasickKind::DFA } else { AhoCorasickKind::ContiguousNFA };
        let plain = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).kind(Some(kind)).build(&needles)?;
        let decoded =
            nfa::contiguous::NFA::builder().match_kind(MatchKind::Standard).prefilter(false).build(&needles)?;
        let longest = needles.iter().map(|needle| needle.len()).max().unwrap_or(0);
        Ok(Self { search: Some(Search { plain, decoded, longest, neighbours: Neighbours::of(&needles) }) })
    }

    /// Replaces every echo; the bytes are moved, not copied, when there is none.
    pub(crate) fn redact(&self, bytes: Vec<u8>) -> Redacted {
        let Some(search) = &self.search else { return Redacted { bytes, count: 0 } };
        let mut spans: Vec<Range<usize>> = search.plain.find_iter(&bytes).map(|found| found.range()).collect();
        search.find_escaped(&bytes, &mut spans);
        if spans.is_empty() {
            return Redacted { bytes, count: 0 };
        }
        replace(&bytes, spans)
    }

    /// [`redact`](Self::redact) for one line of text, such as a header's value.
    pub(crate) fn redact_text(&self, text: String) -> (String, u32) {
        let redacted = self.redact(text.into_bytes());
        let text = match String::from_utf8(redacted.bytes) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        };
        (text, redacted.count)
    }
}

impl Search {
    /// Finds the forms that hold at least one escape. Only the surroundings of an escape are decoded: a form without one was found in
    /// the plain text already, and a form with one lies within `longest` decoded bytes of it.
    fn find_escaped(&self, text: &[u8], spans: &mut Vec<Range<usize>>) {
        let mut ring = Vec::new();
        let mut from = 0;
        while let Some(site) = self.next_escape(text, from) {
            from = self.walk(text, site.saturating_sub(self.longest), &mut ring, spans);
        }
    }

    /// The next escape, at or after `from`, that may be the first one of an echo.
    fn next_escape(&self, text: &[u8], mut from: usize) -> Option<usize> {
        loop {
            let site = from.checked_add(memchr2(b'%', b'\\', text.get(from..)?)?)?;
            if let Some((byte, width)) = self.escape_at(text, site) {
                let before = site.checked_sub(1).and_then(|before| text.get(before));
                let next = site.checked_add(width)?;
                let after = self.escape_at(text, next).map(|(byte, _)| byte).or_else(|| text.get(next).copied());
                if self.neighbours.fit(before.copied(), byte, after) {
                    return Some(site);
                }
            }
            from = site.checked_add(1)?;
        }
    }

    /// The byte that the escape at `site` stands for, and how long it is written; `None` when there is none, or it cannot matter.
    fn escape_at(&self, text: &[u8], site: usize) -> Option<(u8, usize)> {
        let (byte, width) = match text.get(site..)? {
            [b'%', high, low, ..] => (hex(*high)?.checked_mul(16)?.checked_add(hex(*low)?)?, 3),
            [b'\\', b'u', b'0', b'0', high, low, ..] => (hex(*high)?.checked_mul(16)?.checked_add(hex(*low)?)?, 6),
            [b'\\', byte @ (b'"' | b'\\' | b'/'), ..] => (*byte, 2),
            _ => return None,
        };
        is_set(&self.neighbours.alphabet, byte).then_some((byte, width))
    }

    /// Decodes from `start` until `longest` bytes went by without an escape, and says where it stopped. `ring` remembers where the last
    /// `longest` decoded bytes begin in the text.
    fn walk(&self, text: &[u8], start: usize, ring: &mut Vec<usize>, spans: &mut Vec<Range<usize>>) -> usize {
        ring.resize(self.longest.max(1), 0);
        let Ok(mut state) = self.decoded.start_state(Anchored::No) else { return text.len() };
        let (mut at, mut quiet, mut count) = (start, 0_usize, 0_usize);
        while quiet <= self.longest {
            let Some(raw) = text.get(at) else { break };
            let (byte, width) = match self.escape_at(text, at) {
                Some(escape) => {
                    quiet = 0;
                    escape
                }
                None => {
                    quiet = quiet.saturating_add(1);
                    (*raw, 1)
                }
            };
            let slot = count % ring.len();
            if let Some(begin) = ring.get_mut(slot) {
                *begin = at;
            }
            count = count.saturating_add(1);
            at = at.saturating_add(width);
            state = self.decoded.next_state(Anchored::No, state, byte);
            if self.decoded.is_match(state) {
                let length = self.longest_match(state);
                let slot = count.saturating_sub(length) % ring.len();
                spans.extend(ring.get(slot).map(|begin| *begin..at));
            }
        }
        at
    }

    fn longest_match(&self, state: aho_corasick::automaton::StateID) -> usize {
        (0..self.decoded.match_len(state))
            .map(|index| self.decoded.pattern_len(self.decoded.match_pattern(state, index)))
            .max()
            .unwrap_or(0)
    }
}

impl Neighbours {
    fn of(needles: &[&[u8]]) -> Self {
        let mut all =
            Self { alphabet: [false; 256], first: [false; 256], last: [false; 256], pairs: Box::new([0; 1024]) };
        for needle in needles {
            needle.iter().for_each(|byte| set(&mut all.alphabet, *byte));
            needle.first().iter().for_each(|byte| set(&mut all.first, **byte));
            needle.last().iter().for_each(|byte| set(&mut all.last, **byte));
            for pair in needle.array_windows::<2>() {
                let (word, bit) = Self::place(*pair);
                if let Some(word) = all.pairs.get_mut(word) {
                    *word |= bit;
                }
            }
        }
        all
    }

    /// Whether `byte` can stand between these two in an echo, or at its start or end.
    fn fit(&self, before: Option<u8>, byte: u8, after: Option<u8>) -> bool {
        let begins = is_set(&self.first, byte) || before.is_some_and(|before| self.is_pair([before, byte]));
        let ends = is_set(&self.last, byte) || after.is_some_and(|after| self.is_pair([byte, after]));
        begins && ends
    }

    fn is_pair(&self, pair: [u8; 2]) -> bool {
        let (word, bit) = Self::place(pair);
        self.pairs.get(word).is_some_and(|word| word & bit != 0)
    }

    fn place(pair: [u8; 2]) -> (usize, u64) {
        let number = usize::from(u16::from_be_bytes(pair));
        (number / 64, 1 << (number % 64))
    }
}

fn set(bytes: &mut [bool; 256], byte: u8) {
    if let Some(known) = bytes.get_mut(usize::from(byte)) {
        *known = true;
    }
}

fn is_set(bytes: &[bool; 256], byte: u8) -> bool {
    bytes.get(usize::from(byte)).copied().unwrap_or(false)
}

impl Forms {
    /// Adds one text that is searched for as it stands.
    pub(crate) fn add_exact(&mut self, text: &[u8]) {
        self.0.push(Zeroizing::new(text.to_vec()));
    }

    /// Adds every form of one secret value of at least [`SHORTEST`] bytes; a shorter one is left out.
    pub(crate) fn add(&mut self, value: &[u8]) {
        if value.len() < SHORTEST {
            return;
        }
        self.add_exact(value);
        self.add_exact(&percent(value, Hex::Upper));
        self.add_exact(&percent(value, Hex::Lower));
        self.add_exact(&json(value, b"\"\\"));
        self.add_exact(&json(value, b"\"\\/"));
        self.add_exact(&hexed(value, Hex::Upper));
        self.add_exact(&hexed(value, Hex::Lower));
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            let whole = Zeroizing::new(engine.encode(value).into_bytes());
            for padding in 0..(4 - whole.len() % 4) % 4 + 1 {
                let mut padded = Zeroizing::new(whole.to_vec());
                padded.extend(std::iter::repeat_n(b'=', padding));
                self.0.push(padded);
            }
            for before in 0..3 {
                self.0.push(aligned(value, before, engine));
            }
        }
    }
}

impl std::fmt::Debug for Forms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Forms").field(&self.0.len()).finish()
    }
}

#[derive(Clone, Copy)]
enum Hex {
    Lower,
    Upper,
}

/// What base64 of any text that holds `value` after `before` (mod 3) other bytes must contain: the characters that are made of
/// `value`'s bits alone.
fn aligned(value: &[u8], before: usize, engine: &base64::engine::GeneralPurpose) -> Zeroizing<Vec<u8>> {
    let mut input = Zeroizing::new(vec![0; before]);
    input.extend_from_slice(value);
    let encoded = Zeroizing::new(engine.encode(input.as_slice()).into_bytes());
    let first = (before * 8).div_ceil(6);
    let last = input.len() * 8 / 6;
    Zeroizing::new(encoded.get(first..last).unwrap_or_default().to_vec())
}

/// Percent-encoded, but for the unreserved characters of RFC 3986.
fn percent(value: &[u8], case: Hex) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(value.len() * 3));
    for byte in value {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            out.push(*byte);
        } else {
            out.push(b'%');
            push_hex(&mut out, *byte, case);
        }
    }
    out
}

/// As a JSON string's content. Some writers, PHP's among them, escape the slash as well.
fn json(value: &[u8], escaped: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(value.len() * 2));
    for byte in value {
        if escaped.contains(byte) {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out
}

fn hexed(value: &[u8], case: Hex) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(value.len() * 2));
    for byte in value {
        push_hex(&mut out, *byte, case);
    }
    out
}

fn push_hex(out: &mut Vec<u8>, byte: u8, case: Hex) {
    for digit in [byte >> 4, byte & 15] {
        let letter = match case {
            Hex::Lower => b'a',
            Hex::Upper => b'A',
        };
        out.push(if digit < 10 { b'0' + digit } else { letter + digit - 10 });
    }
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Copies `text` with every span replaced; spans that touch or overlap are one echo.
fn replace(text: &[u8], mut spans: Vec<Range<usize>>) -> Redacted {
    spans.sort_unstable_by_key(|span| (span.start, span.end));
    let mut out = Vec::with_capacity(text.len());
    let (mut count, mut done) = (0_u32, 0_usize);
    let mut spans = spans.into_iter().peekable();
    while let Some(mut span) = spans.next() {
        while let Some(next) = spans.next_if(|next| next.start < span.end) {
            span.end = span.end.max(next.end);
        }
        out.extend_from_slice(text.get(done..span.start).unwrap_or_default());
        out.extend_from_slice(PLACEHOLDER);
        count = count.saturating_add(1);
        done = span.end;
    }
    out.extend_from_slice(text.get(done..).unwrap_or_default());
    Redacted { bytes: out, count }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};
    use proptest::prelude::*;

    const SECRET: &[u8] = b"s3cr3t/+?-value~\"x%41\\";

    fn redactor(values: &[&[u8]]) -> Redactor {
        let mut forms = Forms::default();
        for value in values {
            forms.add(value);
        }
        Redactor::new([&forms].into_iter()).unwrap()
    }

    fn redacted(redactor: &Redactor, text: &[u8]) -> String {
        String::from_utf8(redactor.redact(text.to_vec()).bytes).unwrap()
    }

    fn around(echo: &[u8]) -> Vec<u8> {
        [b"{\"a\\n\": \"%20", echo, b"\", \"b\": 1}"].concat()
    }

    #[test]
    fn every_listed_form_is_redacted_whole() {
        let redactor = redactor(&[SECRET]);
        let forms: Vec<(&str, Vec<u8>)> = vec![
            ("raw", SECRET.to_vec()),
            ("percent", percent(SECRET, Hex::Upper).to_vec()),
            ("percent, lower case", percent(SECRET, Hex::Lower).to_vec()),
            (
                "every byte percent-encoded",
                SECRET.iter().flat_map(|byte| format!("%{byte:02x}").into_bytes()).collect(),
            ),
            ("every byte as \\u", SECRET.iter().flat_map(|byte| format!("\\u00{byte:02X}").into_bytes()).collect()),
            (
                "json",
                serde_json::to_vec(str::from_utf8(SECRET).unwrap())
                    .map(|text| text[1..text.len() - 1].to_vec())
                    .unwrap(),
            ),
            ("json with escaped slashes", json(SECRET, b"\"\\/").to_vec()),
            ("hex", hexed(SECRET, Hex::Lower).to_vec()),
            ("HEX", hexed(SECRET, Hex::Upper).to_vec()),
            ("base64", STANDARD.encode(SECRET).into_bytes()),
            ("base64url", URL_SAFE.encode(SECRET).into_bytes()),
            ("base64 unpadded", STANDARD_NO_PAD.encode(SECRET).into_bytes()),
            ("base64url unpadded", URL_SAFE_NO_PAD.encode(SECRET).into_bytes()),
            ("base64, percent-encoded", percent(STANDARD.encode(SECRET).as_bytes(), Hex::Upper).to_vec()),
            ("base64, slashes escaped", STANDARD.encode(SECRET).replace('/', "\\/").into_bytes()),
        ];
        for (name, form) in forms {
            let text = around(&form);
            assert_eq!(redacted(&redactor, &text).as_bytes(), around(PLACEHOLDER), "{name}");
            assert_eq!(redactor.redact(text).count, 1, "{name}");
        }
    }

    #[test]
    fn base64_of_a_text_that_holds_the_secret_is_redacted_at_every_alignment() {
        let redactor = redactor(&[SECRET]);
        for before in ["", "B", "Be", "Bearer ", "Bearer: ", "user@example.test:"] {
            for after in ["", "}", "\r\n", "&x="] {
                let text = [before.as_bytes(), SECRET, after.as_bytes()].concat();
                for encoded in [STANDARD.encode(&text), URL_SAFE.encode(&text)] {
                    let result = redactor.redact(encoded.clone().into_bytes());
                    assert_eq!(result.count, 1, "{before:?} {after:?}");
                    // Three characters on each side at most hold bits of its neighbours too.
                    let left = encoded.len() - (result.bytes.len() - PLACEHOLDER.len());
                    assert!(left >= SECRET.len() * 4 / 3 - 3, "{before:?} {after:?}");
                }
            }
        }
    }

    #[test]
    fn a_mixture_of_escapes_is_redacted() {
        let redactor = redactor(&[b"abcdefgh/ijkl"]);
        for echo in
            ["%61bcdefgh%2fijkl", "a\\u0062c%64efgh\\/ijk%6C", "abcdefgh\\u002Fijk\\u006c", "abcdefgh%2Fijk\\u006C"]
        {
            assert_eq!(redacted(&redactor, &around(echo.as_bytes())).as_bytes(), around(PLACEHOLDER), "{echo}");
        }
    }

    #[test]
    fn an_echo_after_many_escapes_is_found() {
        let redactor = redactor(&[b"abcdefgh/ijkl"]);
        let mut text = "\\/%61\\u0062%zz\\".repeat(10_000);
        text.push_str("abcdefgh\\/ijkl");
        assert!(redacted(&redactor, text.as_bytes()).ends_with("%zz\\[redacted]"));
    }

    #[test]
    fn an_answer_without_an_echo_is_not_copied() {
        let redactor = redactor(&[SECRET]);
        let text = b"{\"next\": \"https:\\/\\/api.example.test\\/?a=%2B%2F\"}".to_vec();
        let place = text.as_ptr();
        let result = redactor.redact(text);
        assert_eq!((result.count, result.bytes.as_ptr()), (0, place));
        let nothing = Redactor::default().redact(b"abc".to_vec());
        assert_eq!((nothing.count, nothing.bytes), (0, b"abc".to_vec()));
    }

    #[test]
    fn echoes_beside_each_other_are_replaced_one_by_one() {
        let redactor = redactor(&[b"aaaabbbb", b"bbbbcccc"]);
        assert_eq!(redacted(&redactor, b"aaaabbbbaaaabbbb"), "[redacted][redacted]");
        assert_eq!(redactor.redact(b"xaaaabbbb,bbbbccccx".to_vec()).count, 2);
    }

    #[test]
    fn a_short_value_is_not_searched_for_by_itself() {
        let redactor = redactor(&[b"1234567"]);
        assert_eq!(redacted(&redactor, b"1234567"), "1234567");
    }

    proptest! {
        #[test]
        fn no_mixture_of_escapes_hides_a_secret(
            // A secret which looks like an escape itself may be hidden by escaping a part of it; its whole forms are tested
            // above. An escape before it may swallow its first byte (`%4` + `1`): then it is another text.
            secret in r"[!-$&-\[\]-~]{8,40}",
            before in r"[ -$&-\[\]-~]{0,60}",
            after in "[ -~]{0,60}",
            ways in proptest::collection::vec(0_u8..4, 40),
        ) {
            let mut text = before.clone();
            for (byte, way) in secret.bytes().zip(ways) {
                match way {
                    0 => text.push(char::from(byte)),
                    1 => text.push_str(&format!("%{byte:02x}")),
                    2 => text.push_str(&format!("%{byte:02X}")),
                    _ => text.push_str(&format!("\\u00{byte:02x}")),
                }
            }
            text.push_str(&after);
            let result = redactor(&[secret.as_bytes()]).redact(text.into_bytes());
            prop_assert!(result.count >= 1);
            let clean = String::from_utf8(result.bytes).unwrap();
            prop_assert!(clean.contains("[redacted]") && !clean.contains(&secret));
        }

        #[test]
        fn any_bytes_are_searched_without_harm(text in proptest::collection::vec(any::<u8>(), 0..300)) {
            let result = redactor(&[b"abcdefgh"]).redact(text.clone());
            prop_assert!(result.count > 0 || result.bytes == text);
        }
    }
}
