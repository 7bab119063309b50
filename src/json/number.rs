//! Whether a number with a fraction or an exponent means the same to a reader that works with doubles.

/// Whether a reader that keeps `written` as a double still has the number that was written: it is, as a decimal, the
/// shortest one that reads back as that double. Where two of the shortest are equally near, writers differ in their
/// choice, and both pass.
pub(super) fn survives_as_double(written: &str) -> bool {
    let Some(decimal) = Decimal::read(written) else {
        return false;
    };
    // Every decimal of at most 15 digits survives, far from the ends of the range (IEEE 754, DBL_DIG).
    if decimal.digits.len() <= 15 && (-290..=290).contains(&decimal.exponent) {
        return true;
    }
    let Some(double) = written.parse::<f64>().ok().filter(|double| double.is_finite()) else {
        return false;
    };
    let Some(shortest) = Decimal::read(&format!("{double:e}")) else {
        return false;
    };
    // The other of two equally near ones is what rounding to as many digits gives, half to even.
    let places = shortest.digits.len().saturating_sub(1);
    decimal == shortest || Decimal::read(&format!("{double:.places$e}")) == Some(decimal)
}

/// Whether two numbers of the JSON grammar are worth the same: `1.0`, `1` and `10e-1` are. Those whose exponents are
/// beyond counting are the same only if they are written alike.
pub(super) fn same(one: &str, other: &str) -> bool {
    match (Decimal::read(one), Decimal::read(other)) {
        (Some(a), Some(b)) => a == b && (a.digits.is_empty() || one.starts_with('-') == other.starts_with('-')),
        (None, _) | (_, None) => one == other,
    }
}

/// The magnitude of a number as written: `0.DIGITS × 10^exponent`, the digits without zeros at either end. Zero has no
/// digits and exponent 0. A sign survives always and is left out.
#[derive(PartialEq, Eq)]
struct Decimal {
    digits: Vec<u8>,
    exponent: i64,
}

impl Decimal {
    /// Reads a number of the JSON grammar; `None` where its exponent is beyond counting and it is not zero.
    fn read(written: &str) -> Option<Self> {
        let (mantissa, exponent) = written.split_once(['e', 'E']).unwrap_or((written, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let whole = whole.trim_start_matches('-').trim_start_matches('0');
        let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        let end = digits.iter().rposition(|&digit| digit != b'0').map_or(0, |last| last + 1);
        digits.truncate(end);
        let zeros = digits.iter().take_while(|&&digit| digit == b'0').count();
        digits.drain(..zeros);
        if digits.is_empty() {
            return Some(Self { digits, exponent: 0 });
        }
        let shift = i64::try_from(whole.len()).ok()? - i64::try_from(zeros).ok()?;
        let exponent = exponent.parse::<i64>().ok()?.checked_add(shift)?;
        Some(Self { digits, exponent })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_the_same_by_what_they_are_worth() {
        for (one, other, alike) in [
            ("1", "1.0", true),
            ("1", "10e-1", true),
            ("1e2", "100", true),
            ("-0", "0.0e9", true),
            ("0.1", "1E-1", true),
            ("1", "-1", false),
            ("1", "10", false),
            ("0.1", "0.10000000000000000001", false),
            ("9007199254740993", "9007199254740992", false),
            ("18446744073709551617", "18446744073709551616", false),
            ("1e99999999999999999999", "1e99999999999999999999", true),
            ("1e99999999999999999999", "10e99999999999999999998", false),
        ] {
            assert_eq!(same(one, other), alike, "{one} {other}");
            assert_eq!(same(other, one), alike, "{other} {one}");
        }
    }

    proptest! {
        #[test]
        fn a_double_survives_in_its_shortest_form_and_not_with_a_digit_more(bits in any::<u64>()) {
            let double = f64::from_bits(bits);
            prop_assume!(double.is_finite() && double != 0.0);
            let shortest = format!("{double:e}");
            prop_assert!(survives_as_double(&shortest), "{}", shortest);
            let (digits, exponent) = shortest.split_once('e').unwrap();
            prop_assume!(digits.contains('.') && digits.len() >= 17);
            let longer = format!("{digits}0000001e{exponent}");
            prop_assert!(!survives_as_double(&longer), "{}", longer);
        }
    }
}
