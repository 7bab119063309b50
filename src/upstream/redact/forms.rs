//! The forms in which a credential may be echoed, escapes aside.
//!
//! Promises every encoding of RFC 4648 (base64, base32 and base16, each alphabet, either case where case means nothing) at whatever
//! alignment the value has in the text that was encoded, with padding and without. Every copy is overwritten when dropped.

use zeroize::Zeroizing;

use super::escape::{self, BEGINNINGS, MOST_LAYERS};

/// Values shorter than this are not searched for by themselves: they would be found in innocent text.
pub(crate) const SHORTEST: usize = 8;

/// As far before the end of a value an escape may begin that what follows the value completes.
const MOST_OPEN: usize = 4;

/// Every way in which one credential may be echoed; overwritten when dropped.
#[derive(Default)]
pub(crate) struct Forms(Vec<Zeroizing<Vec<u8>>>);

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
        if value.iter().any(|byte| BEGINNINGS.contains(byte)) {
            self.add_undone(value);
        }
        if value.contains(&b' ') {
            // As a form of HTML is sent.
            let plus = value.iter().map(|byte| if *byte == b' ' { b'+' } else { *byte });
            self.0.push(Zeroizing::new(plus.collect()));
        }
        for base in &BASES {
            let whole = base.whole(value);
            self.0.push(base.padded(&whole));
            self.0.push(whole);
            self.0.extend((0..base.bytes).map(|before| base.aligned(value, before)));
        }
    }

    /// Adds a value that holds what looks like an escape as it is read where escapes are undone; and without its end, where that may
    /// be taken for an escape together with what follows it.
    fn add_undone(&mut self, value: &[u8]) {
        for layers in 0..=MOST_LAYERS {
            let undone = Zeroizing::new(escape::undone(value, layers));
            let end = undone.len().saturating_sub(MOST_OPEN);
            let open = undone.iter().skip(end).position(|byte| BEGINNINGS.contains(byte)).map(|at| end + at);
            let closed = open.and_then(|open| undone.get(..open)).map(|closed| Zeroizing::new(closed.to_vec()));
            self.0.extend([Some(undone), closed].into_iter().flatten().filter(|form| form.len() >= SHORTEST));
        }
    }

    /// The forms, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(|form| form.as_slice())
    }
}

impl std::fmt::Debug for Forms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Forms").field(&self.0.len()).finish()
    }
}

/// An encoding of RFC 4648: groups of bytes as groups of characters.
struct Base {
    alphabet: &'static [u8],
    /// For which one character stands.
    bits: usize,
    /// Bytes of one group.
    bytes: usize,
    /// Characters of one group.
    characters: usize,
}

const BASES: [Base; 8] = [
    Base::new(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"),
    Base::new(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"),
    Base::new(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"),
    Base::new(b"abcdefghijklmnopqrstuvwxyz234567"),
    Base::new(b"0123456789ABCDEFGHIJKLMNOPQRSTUV"),
    Base::new(b"0123456789abcdefghijklmnopqrstuv"),
    Base::new(b"0123456789ABCDEF"),
    Base::new(b"0123456789abcdef"),
];

impl Base {
    const fn new(alphabet: &'static [u8]) -> Self {
        match alphabet.len() {
            64 => Self { alphabet, bits: 6, bytes: 3, characters: 4 },
            32 => Self { alphabet, bits: 5, bytes: 5, characters: 8 },
            _ => Self { alphabet, bits: 4, bytes: 1, characters: 2 },
        }
    }

    /// The value by itself, without padding.
    fn whole(&self, value: &[u8]) -> Zeroizing<Vec<u8>> {
        self.characters(value, 0, (value.len() * 8).div_ceil(self.bits))
    }

    fn padded(&self, whole: &[u8]) -> Zeroizing<Vec<u8>> {
        let padding = whole.len().next_multiple_of(self.characters) - whole.len();
        Zeroizing::new(whole.iter().copied().chain(std::iter::repeat_n(b'=', padding)).collect())
    }

    /// What any text that holds `value` after `before` other bytes (modulo a group) must contain when encoded: the characters that
    /// are made of `value`'s bits alone.
    fn aligned(&self, value: &[u8], before: usize) -> Zeroizing<Vec<u8>> {
        let skipped = (before * 8).next_multiple_of(self.bits) - before * 8;
        self.characters(value, skipped, (value.len() * 8 - skipped) / self.bits)
    }

    /// So many characters, made of `value`'s bits from `start` on; beyond its end stand zeros.
    fn characters(&self, value: &[u8], start: usize, count: usize) -> Zeroizing<Vec<u8>> {
        let character = |index: usize| {
            let bit = start + index * self.bits;
            let byte = |at: usize| usize::from(value.get(at).copied().unwrap_or(0));
            let pair = byte(bit / 8) << 8 | byte(bit / 8 + 1);
            let digit = pair >> (16 - bit % 8 - self.bits) & (self.alphabet.len() - 1);
            self.alphabet.get(digit).copied().unwrap_or_default()
        };
        Zeroizing::new((0..count).map(character).collect())
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};
    use proptest::prelude::*;

    use super::*;

    fn padded(base: &Base, text: &[u8]) -> String {
        String::from_utf8(base.padded(&base.whole(text)).to_vec()).unwrap()
    }

    /// Section 10 of RFC 4648.
    #[test]
    fn the_encodings_are_those_of_the_rfc() {
        let [standard, _, base32, _, base32hex, _, base16, _] = &BASES;
        for (text, in64, in32, in32hex, in16) in [
            ("", "", "", "", ""),
            ("f", "Zg==", "MY======", "CO======", "66"),
            ("fo", "Zm8=", "MZXQ====", "CPNG====", "666F"),
            ("foo", "Zm9v", "MZXW6===", "CPNMU===", "666F6F"),
            ("foob", "Zm9vYg==", "MZXW6YQ=", "CPNMUOG=", "666F6F62"),
            ("fooba", "Zm9vYmE=", "MZXW6YTB", "CPNMUOJ1", "666F6F6261"),
            ("foobar", "Zm9vYmFy", "MZXW6YTBOI======", "CPNMUOJ1E8======", "666F6F626172"),
        ] {
            let encoded = [standard, base32, base32hex, base16].map(|base| padded(base, text.as_bytes()));
            assert_eq!(encoded, [in64, in32, in32hex, in16], "{text}");
        }
    }

    #[test]
    fn a_short_value_has_no_form() {
        let mut forms = Forms::default();
        forms.add(b"1234567");
        assert_eq!(forms.iter().count(), 0);
        // Eight bytes that look like an escape of fewer.
        forms.add(b"%41%42%4");
        assert!(forms.iter().all(|form| form.len() >= SHORTEST));
        assert_eq!(format!("{forms:?}"), format!("Forms({})", forms.iter().count()), "it does not print them");
    }

    proptest! {
        #[test]
        fn every_base_but_for_its_alphabet_is_the_same_function(text in prop::collection::vec(any::<u8>(), 0..40)) {
            prop_assert_eq!(padded(&BASES[0], &text), STANDARD.encode(&text));
            prop_assert_eq!(padded(&BASES[1], &text), URL_SAFE.encode(&text));
            for pair in BASES[2..].chunks(2) {
                prop_assert_eq!(padded(&pair[0], &text).to_lowercase(), padded(&pair[1], &text));
            }
        }

        #[test]
        fn what_holds_a_value_holds_a_form_of_it_when_encoded(
            before in prop::collection::vec(any::<u8>(), 0..12),
            value in prop::collection::vec(any::<u8>(), SHORTEST..40),
            after in prop::collection::vec(any::<u8>(), 0..12),
        ) {
            for base in &BASES {
                let encoded = padded(base, &[&before[..], &value, &after].concat());
                let form = base.aligned(&value, before.len() % base.bytes);
                let found = encoded.as_bytes().windows(form.len()).any(|window| window == form.as_slice());
                prop_assert!(found, "{} in {encoded}", String::from_utf8_lossy(&form));
                prop_assert!((form.len() + 2) * base.bits > value.len() * 8, "no character more than the two at the ends is left");
            }
        }
    }
}
