//! Takes the upstream's credentials out of its answers.
//!
//! Promises that an answer which echoes a credential (a debug endpoint, an error page) shows `[redacted]` in its place, whether it was
//! echoed as it is or in one of the encodings of [`forms`], and with any mixture of the escapes of [`escape`], one around the other
//! up to four deep, in any of these. An answer without an echo is handed back as it came, uncopied. It does not promise to stop an
//! upstream that *wants* to give the credential away: that one can spell it in ways nobody listed, and knows it anyhow.

mod escape;
pub(crate) mod forms;

use std::ops::{Range, RangeInclusive};

use aho_corasick::automaton::Automaton as _;
use aho_corasick::{AhoCorasick, AhoCorasickKind, Anchored, BuildError, MatchKind, nfa};
use memchr::memchr3_iter;

use self::escape::{BEGINNINGS, Character, MOST_LAYERS, Reader};
use self::forms::Forms;

/// What stands where a credential stood.
pub(crate) const PLACEHOLDER: &[u8] = b"[redacted]";

/// So many forms are searched for with vector instructions, many times faster than by an automaton.
const FEW: usize = 64;

/// Finds and replaces every form of a set of credentials.
#[derive(Debug, Default)]
pub(crate) struct Redactor {
    search: Option<Search>,
}

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
    /// Leftmost-longest, for the text as it stands: one after the other, each with some of the forms.
    plain: Vec<AhoCorasick>,
    /// Standard semantics, stepped byte by byte over the text near an escape, with its escapes undone.
    undone: nfa::contiguous::NFA,
    /// Length of the longest form, in bytes.
    longest: usize,
    neighbours: Neighbours,
    /// How many layers of escapes are undone: each number by itself.
    layers: RangeInclusive<usize>,
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
        let mut needles: Vec<&[u8]> = forms.flat_map(Forms::iter).collect();
        needles.sort_unstable();
        needles.dedup();
        if needles.is_empty() {
            return Ok(Self::default());
        }
        let plain = needles.chunks(FEW).map(|few| {
            let builder = &mut AhoCorasick::builder();
            builder.match_kind(MatchKind::LeftmostLongest).kind(Some(AhoCorasickKind::ContiguousNFA)).build(few)
        });
        let plain = plain.collect::<Result<_, _>>()?;
        let undone =
            nfa::contiguous::NFA::builder().match_kind(MatchKind::Standard).prefilter(false).build(&needles)?;
        let longest = needles.iter().map(|needle| needle.len()).max().unwrap_or(0);
        // A form may hold what looks like an escape: its layers are then undone one by one, in it as in the text.
        let ambiguous = needles.iter().any(|needle| needle.iter().any(|byte| BEGINNINGS.contains(byte)));
        let layers = if ambiguous { 1..=MOST_LAYERS } else { MOST_LAYERS..=MOST_LAYERS };
        Ok(Self { search: Some(Search { plain, undone, longest, neighbours: Neighbours::of(&needles), layers }) })
    }

    /// Replaces every echo; the bytes are moved, not copied, when there is none.
    pub(crate) fn redact(&self, bytes: Vec<u8>) -> Redacted {
        let Some(search) = &self.search else { return Redacted { bytes, count: 0 } };
        let mut spans: Vec<Range<usize>> = Vec::new();
        for plain in &search.plain {
            spans.extend(plain.find_iter(&bytes).map(|found| found.range()));
        }
        for layers in search.layers.clone() {
            Scan { search, text: &bytes, reader: Reader::new(&bytes, layers) }.find(&mut spans);
        }
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
    fn longest_match(&self, state: aho_corasick::automaton::StateID) -> usize {
        (0..self.undone.match_len(state))
            .map(|index| self.undone.pattern_len(self.undone.match_pattern(state, index)))
            .max()
            .unwrap_or(0)
    }
}

/// The search in a text that is read in one way.
struct Scan<'s> {
    search: &'s Search,
    text: &'s [u8],
    reader: Reader<'s>,
}

impl Scan<'_> {
    /// Finds the forms that hold at least one escape. Only the surroundings of an escape are read: a form without one was found in
    /// the plain text already, and a form with one begins at most `longest` characters before its first.
    fn find(mut self, spans: &mut Vec<Range<usize>>) {
        let [percent, backslash, entity] = BEGINNINGS;
        let mut ring = vec![0; self.search.longest.max(1)];
        let mut from = 0;
        for site in memchr3_iter(percent, backslash, entity, self.text) {
            if site < from {
                continue;
            }
            let Some(escape) = self.reader.read(site).filter(|read| read.is_escape(site)) else { continue };
            if self.may_begin(site, escape) {
                let start = site.saturating_sub(self.search.longest).max(from);
                from = self.walk(start..site, &mut ring, spans);
            } else {
                from = escape.end;
            }
        }
    }

    /// Whether an escape may be the first one of an echo.
    fn may_begin(&mut self, site: usize, escape: Character) -> bool {
        let neighbours = &self.search.neighbours;
        if !is_set(&neighbours.alphabet, escape.byte) {
            return false;
        }
        let before = site.checked_sub(1).and_then(|before| self.text.get(before));
        let after = self.reader.read(escape.end).map(|after| after.byte);
        neighbours.fit(before.copied(), escape.byte, after)
    }

    /// Reads from the start of `before` beyond its end, until no form is under way, and says where it stopped. `ring` remembers where
    /// the last characters begin in the text, as many as the longest form has.
    fn walk(&mut self, before: Range<usize>, ring: &mut [usize], spans: &mut Vec<Range<usize>>) -> usize {
        let undone = &self.search.undone;
        let Ok(idle) = undone.start_state(Anchored::No) else { return self.text.len() };
        let (mut state, mut at, mut count) = (idle, before.start, 0_usize);
        while at <= before.end || state != idle {
            let Some(Character { byte, end, .. }) = self.reader.read(at) else { break };
            let slot = count % ring.len();
            if let Some(begin) = ring.get_mut(slot) {
                *begin = at;
            }
            count = count.saturating_add(1);
            at = end;
            state = undone.next_state(Anchored::No, state, byte);
            if undone.is_match(state) {
                let length = self.search.longest_match(state);
                let slot = count.saturating_sub(length) % ring.len();
                spans.extend(ring.get(slot).map(|begin| *begin..at));
            }
        }
        at
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
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
    use proptest::prelude::*;

    /// It holds what looks like an escape, and ends in what may begin one.
    const SECRET: &[u8] = b"s3cr3t/+?-value~\"x%41\\";

    /// [`SECRET`] in base32.
    const BASE32: &str = "OMZWG4RTOQXSWPZNOZQWY5LFPYRHQJJUGFOA====";

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

    fn each(text: &[u8], write: impl FnMut(u8) -> String) -> String {
        text.iter().copied().map(write).collect()
    }

    fn percent(text: &[u8]) -> String {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        each(text, |byte| if plain(byte) { char::from(byte).into() } else { format!("%{byte:02X}") })
    }

    fn json(text: &str) -> String {
        let quoted = serde_json::to_string(text).unwrap();
        quoted.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap().to_owned()
    }

    #[test]
    fn every_listed_form_is_redacted_whole() {
        let redactor = redactor(&[SECRET]);
        let secret = str::from_utf8(SECRET).unwrap();
        let base64 = STANDARD.encode(SECRET);
        let hex = each(SECRET, |byte| format!("{byte:02x}"));
        let forms = [
            ("raw", secret.to_owned()),
            ("percent", percent(SECRET)),
            ("percent, lower case", percent(SECRET).replace("%2F", "%2f").replace("%5C", "%5c")),
            ("percent, twice", percent(percent(SECRET).as_bytes())),
            ("every byte percent-encoded", each(SECRET, |byte| format!("%{byte:02x}"))),
            ("every byte as \\u", each(SECRET, |byte| format!("\\u00{byte:02X}"))),
            ("every byte as \\\\u", each(SECRET, |byte| format!("\\\\u00{byte:02X}"))),
            ("every byte as \\\\\\\\u", each(SECRET, |byte| format!("\\\\\\\\u00{byte:02X}"))),
            ("every byte as \\x", each(SECRET, |byte| format!("\\x{byte:02x}"))),
            ("every byte as an entity", each(SECRET, |byte| format!("&#{byte};"))),
            ("every byte as a hexadecimal entity", each(SECRET, |byte| format!("&#x{byte:X};"))),
            ("every byte as an entity with zeros", each(SECRET, |byte| format!("&#{byte:07};"))),
            ("every byte as an entity, twice", each(SECRET, |byte| format!("&amp;#{byte};"))),
            ("every byte as an entity, in JSON", each(SECRET, |byte| format!("\\u0026#{byte};"))),
            ("json", json(secret)),
            ("json in json", json(&json(secret))),
            ("json in json in json", json(&json(&json(secret)))),
            ("json with escaped slashes", json(secret).replace('/', "\\/")),
            ("hex", hex.clone()),
            ("HEX", hex.to_uppercase()),
            ("base64", base64.clone()),
            ("base64url", URL_SAFE.encode(SECRET)),
            ("base64 unpadded", STANDARD_NO_PAD.encode(SECRET)),
            ("base64url unpadded", URL_SAFE_NO_PAD.encode(SECRET)),
            ("base64, percent-encoded", percent(base64.as_bytes())),
            ("base64, slashes escaped", base64.replace('/', "\\/")),
            ("base64, as entities", each(base64.as_bytes(), |byte| format!("&#x{byte:x};"))),
            ("base32", BASE32.to_owned()),
            ("base32 unpadded", BASE32.trim_end_matches('=').to_owned()),
            ("base32, lower case", BASE32.to_lowercase()),
            ("base32, percent-encoded", percent(BASE32.as_bytes())),
        ];
        for (name, form) in forms {
            let text = around(form.as_bytes());
            assert_eq!(redacted(&redactor, &text).as_bytes(), around(PLACEHOLDER), "{name}");
            assert_eq!(redactor.redact(text).count, 1, "{name}");
        }
    }

    #[test]
    fn a_value_that_ends_like_an_escape_is_found_where_what_follows_completes_it() {
        for (secret, echo) in [
            ("<secret> &value\\", "&lt;secret&gt; &amp;value\\\""),
            ("\"secret\" value%4", "\\\"secret\\\" value%41"),
            ("<secret> value&#6", "&lt;secret&gt; value&#65;"),
        ] {
            assert!(redacted(&redactor(&[secret.as_bytes()]), echo.as_bytes()).starts_with("[redacted]"), "{secret}");
        }
    }

    #[test]
    fn a_value_with_spaces_is_found_in_a_form() {
        let redactor = redactor(&[b"correct horse+battery"]);
        assert_eq!(redacted(&redactor, b"p=correct+horse%2Bbattery&q=1"), "p=[redacted]&q=1");
    }

    #[test]
    fn an_encoding_of_a_text_that_holds_the_secret_is_redacted_at_every_alignment() {
        let redactor = redactor(&[SECRET]);
        for before in ["", "B", "Be", "Bear", "Bearer ", "Bearer: ", "user@example.test:"] {
            for after in ["", "}", "\r\n", "&x="] {
                let text = [before.as_bytes(), SECRET, after.as_bytes()].concat();
                let hex = each(&text, |byte| format!("{byte:02X}"));
                for (encoded, bits) in [(STANDARD.encode(&text), 6), (URL_SAFE.encode(&text), 6), (hex, 4)] {
                    let result = redactor.redact(encoded.clone().into_bytes());
                    assert_eq!(result.count, 1, "{before:?} {after:?}");
                    // One character on each side at most holds bits of its neighbours too.
                    let gone = encoded.len() - (result.bytes.len() - PLACEHOLDER.len());
                    assert!((gone + 2) * bits > SECRET.len() * 8, "{before:?} {after:?}");
                }
            }
        }
    }

    #[test]
    fn a_mixture_of_escapes_is_redacted() {
        let redactor = redactor(&[b"abcdefgh/ijkl"]);
        for echo in [
            "%61bcdefgh%2fijkl",
            "a\\u0062c%64efgh\\/ijk%6C",
            "abcdefgh\\u002Fijk\\u006c",
            "abcdefgh%2Fijk\\u006C",
            "&#97;b%63\\x64e%2566gh&sol;i&amp;#106;kl",
            "abcdefgh\\u0026#x2f;ijkl",
            "abcdefgh&amp;#x2F;ijkl",
            "abcdefgh\\\\/ijkl",
            "abcdefgh%26%2347%3Bijkl",
        ] {
            assert_eq!(redacted(&redactor, &around(echo.as_bytes())).as_bytes(), around(PLACEHOLDER), "{echo}");
        }
    }

    #[test]
    fn an_echo_after_many_escapes_is_found() {
        let redactor = redactor(&[b"abcdefgh/ijkl"]);
        let mut text = "\\/%61\\u0062&#97;%zz\\".repeat(10_000);
        text.push_str("abcdefgh\\/ijkl");
        assert!(redacted(&redactor, text.as_bytes()).ends_with("%zz\\[redacted]"));
    }

    #[test]
    fn nothing_but_beginnings_of_escapes_hides_no_echo_behind_it() {
        let redactor = redactor(&[b"abcdefgh"]);
        for run in
            ["%", "\\", "&", "&#", "\\&", "%\\&", "&#6", "&#x", "\\u", "&am", "&amp", "%25", "\\\\u005c", "&#38;"]
        {
            let text = format!("{} %61bcdefgh", run.repeat(10_000));
            assert!(redacted(&redactor, text.as_bytes()).ends_with(" [redacted]"), "{run}");
        }
    }

    #[test]
    fn an_answer_without_an_echo_is_not_copied() {
        let redactor = redactor(&[SECRET]);
        let text = b"{\"next\": \"https:\\/\\/api.example.test\\/?a=%2B%2F&amp;b=&#43;\"}".to_vec();
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
        assert_eq!(redacted(&redactor, b"%61aaabbbb%61aaabbbb"), "[redacted][redacted]");
    }

    #[test]
    fn a_short_value_is_not_searched_for_by_itself() {
        let redactor = redactor(&[b"1234567"]);
        let text = "1234567, &#49;234567, %31234567, MTIzNDU2Nw==, GEZDGNBVGY3Q====, 31323334353637";
        assert_eq!(redacted(&redactor, text.as_bytes()), text);
    }

    fn written(byte: u8, way: u8) -> String {
        match way {
            1 => format!("%{byte:02x}"),
            2 => format!("%{byte:02X}"),
            3 => format!("\\u00{byte:02x}"),
            4 => format!("&#{byte};"),
            5 => format!("&#x{byte:X};"),
            6 => format!("\\x{byte:02x}"),
            _ => char::from(byte).into(),
        }
    }

    proptest! {
        #[test]
        fn no_mixture_of_escapes_hides_a_secret(
            // A secret which looks like an escape itself may be hidden by escaping a part of it; its whole forms are tested
            // above. An escape before it may swallow its first byte (`%4` + `1`): then it is another text.
            secret in r"[!-$'-\[\]-~]{8,40}",
            before in r"[ -$'-\[\]-~]{0,60}",
            after in r"[ -$'-\[\]-~]{0,60}",
            ways in prop::collection::vec(0_u8..9, 40),
            // Whole texts are written by one rule: every byte escaped, or those that are neither letters nor digits.
            rounds in prop::collection::vec((1_u8..=6, any::<bool>()), 0..=2),
        ) {
            let echo: String = secret.bytes().zip(ways).map(|(byte, way)| written(byte, way)).collect();
            let echo = rounds.iter().fold(echo, |echo, (way, all)| {
                each(echo.as_bytes(), |byte| written(byte, if *all || !byte.is_ascii_alphanumeric() { *way } else { 0 }))
            });
            let text = format!("{before}{echo}{after}");
            let result = redactor(&[secret.as_bytes()]).redact(text.into_bytes());
            prop_assert!(result.count >= 1);
            let clean = String::from_utf8(result.bytes).unwrap();
            prop_assert!(clean.contains("[redacted]") && !clean.contains(&secret));
        }

        #[test]
        fn any_bytes_are_searched_without_harm(text in prop::collection::vec(any::<u8>(), 0..300)) {
            let result = redactor(&[b"abcdefgh"]).redact(text.clone());
            prop_assert!(result.count > 0 || result.bytes == text);
        }
    }
}
