//! The inside of strings: how far it is plain, and what its escapes stand for.

/// How many bytes come before the first that ends a string, begins an escape or is a control. Eight are looked at in
/// one step, since most of a frame is inside strings: a byte equal to `b` is zero after XOR with `b`, and subtracting
/// one from a zero byte (or 0x20 from a control) borrows into its top bit. Only the lowest such bit is meant; those
/// above it may be its borrow.
pub(crate) fn plain_length(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const TOPS: u64 = ONES * 0x80;
    let (eights, rest) = bytes.as_chunks::<8>();
    for (index, &eight) in eights.iter().enumerate() {
        let word = u64::from_le_bytes(eight);
        let quote = word ^ (ONES * u64::from(b'"'));
        let backslash = word ^ (ONES * u64::from(b'\\'));
        let stops = (quote.wrapping_sub(ONES) & !quote
            | backslash.wrapping_sub(ONES) & !backslash
            | word.wrapping_sub(ONES * 0x20) & !word)
            & TOPS;
        if stops != 0 {
            return index * 8 + stops.trailing_zeros() as usize / 8;
        }
    }
    let stop = rest.iter().position(|&byte| matches!(byte, b'"' | b'\\' | 0..=0x1f));
    eights.len() * 8 + stop.unwrap_or(rest.len())
}

/// The code unit that four hexadecimal digits stand for.
pub(crate) fn hex4(digits: &[u8]) -> Option<u32> {
    let four = digits.get(..4)?;
    four.iter().try_fold(0, |unit, &digit| Some(unit << 4 | char::from(digit).to_digit(16)?))
}

/// Undoes the escapes of a string's inside; `None` for one that the scanner would have refused.
pub(crate) fn unescape(inner: &str) -> Option<String> {
    let mut text = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some((plain, escape)) = rest.split_once('\\') {
        text.push_str(plain);
        let mut characters = escape.chars();
        let (character, length) = match characters.next()? {
            'b' => ('\u{8}', 1),
            'f' => ('\u{c}', 1),
            'n' => ('\n', 1),
            'r' => ('\r', 1),
            't' => ('\t', 1),
            'u' => unescape_unit(escape)?,
            other @ ('"' | '\\' | '/') => (other, 1),
            _ => return None,
        };
        text.push(character);
        rest = escape.get(length..)?;
    }
    text.push_str(rest);
    Some(text)
}

/// The character that `uXXXX` or `uXXXX\uXXXX` stands for, and the length of what was read.
pub(crate) fn unescape_unit(escape: &str) -> Option<(char, usize)> {
    let first = hex4(escape.as_bytes().get(1..)?)?;
    if !(0xd800..=0xdbff).contains(&first) {
        return Some((char::from_u32(first)?, 5));
    }
    let second = hex4(escape.as_bytes().get(5..)?.strip_prefix(b"\\u")?)?.checked_sub(0xdc00)?;
    Some((char::from_u32(0x10000 + ((first - 0xd800) << 10) + second)?, 11))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn plain_text_ends_where_a_look_at_each_byte_says(bytes in prop::collection::vec(any::<u8>(), 0..40), stop in any::<u8>()) {
            let plain = |bytes: &[u8]| bytes.iter().position(|&b| b == b'"' || b == b'\\' || b < 0x20).unwrap_or(bytes.len());
            prop_assert_eq!(plain_length(&bytes), plain(&bytes));
            let mut long: Vec<u8> = bytes.iter().map(|&byte| byte.max(b']')).collect();
            prop_assert_eq!(plain_length(&long), long.len());
            long.push(stop);
            prop_assert_eq!(plain_length(&long), plain(&long));
        }
    }
}
