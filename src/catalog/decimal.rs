//! Numbers of JSON as the decimals that they are written as: compared and divided without the error of binary fractions.

use std::cmp::Ordering;
use std::fmt;

use serde_json::Number;

/// The most digits of a power of ten that fits beside a number's own digits.
const MAX_SHIFT: u32 = 19;

/// Exponents beyond are no number of JSON's readers.
const MAX_EXPONENT: i32 = 10_000;

/// A number whose digits fit 64 bits, as those of all numbers do that readers of JSON keep. In normal form: the last
/// digit is not 0, and 0 has neither sign nor exponent, so that equal numbers are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Decimal {
    is_negative: bool,
    digits: u64,
    exponent: i32,
}

impl Decimal {
    /// Reads a number of JSON (RFC 8259 section 6); `None` for any other text, and for one with too many digits.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (is_negative, text) = text.strip_prefix('-').map_or((false, text), |text| (true, text));
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let mut exponent: i32 = exponent.parse().ok().filter(|exponent: &i32| exponent.abs() <= MAX_EXPONENT)?;
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        // Zeros at the end are no digits of the number: 100 is 1e2.
        let all = [whole, fraction].concat();
        let significant = all.trim_end_matches('0');
        exponent = exponent.checked_add(i32::try_from(whole.len()).ok()?)?;
        exponent = exponent.checked_sub(i32::try_from(significant.len()).ok()?)?;
        let digits = match significant {
            "" if !all.is_empty() => 0,
            digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok()?,
            _ => return None,
        };
        Some(if digits == 0 {
            Self { is_negative: false, digits, exponent: 0 }
        } else {
            Self { is_negative, digits, exponent }
        })
    }

    /// A number that has been read.
    pub(super) fn of(number: &Number) -> Option<Self> {
        Self::parse(&number.to_string())
    }

    /// Whether the number is `of` taken some whole number of times; nothing is a multiple of 0.
    pub(super) fn is_multiple_of(self, of: Self) -> bool {
        let Some(shift) = self.exponent.checked_sub(of.exponent).filter(|_| of.digits > 0) else { return false };
        let divisor = u128::from(of.digits);
        let digits = u128::from(self.digits);
        match u32::try_from(shift) {
            // digits * 10^shift, of which only the rest matters: each factor is below 2^64.
            Ok(shift) => (digits % divisor * power_modulo(10, shift, divisor)).is_multiple_of(divisor),
            Err(_) => {
                let shift = shift.unsigned_abs();
                let whole = (shift <= MAX_SHIFT).then(|| divisor.checked_mul(10_u128.pow(shift))).flatten();
                // A divisor beyond 64 bits divides 0 alone.
                whole.map_or(digits == 0, |whole| digits % whole == 0)
            }
        }
    }

    /// Where the first digit stands: 1 for 1 to 9.
    fn magnitude(self) -> i64 {
        i64::from(self.exponent) + i64::from(self.length())
    }

    fn length(self) -> u32 {
        self.digits.checked_ilog10().map_or(0, |log| log + 1)
    }

    /// The order of two numbers without their signs.
    fn order_of_size(self, other: Self) -> Ordering {
        if self.digits == 0 || other.digits == 0 {
            return self.digits.cmp(&other.digits);
        }
        // Of the same magnitude, the shorter number gets zeros behind until both are equally long.
        let padded = |number: Self, other: Self| {
            u128::from(number.digits) * 10_u128.pow(other.length().saturating_sub(number.length()))
        };
        self.magnitude().cmp(&other.magnitude()).then_with(|| padded(self, other).cmp(&padded(other, self)))
    }
}

/// Equal numbers are written alike.
impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.is_negative { "-" } else { "" };
        write!(f, "{sign}{}e{}", self.digits, self.exponent)
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.is_negative, other.is_negative) {
            (false, false) => self.order_of_size(*other),
            (true, true) => other.order_of_size(*self),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// `base^exponent mod modulus`, where the modulus is at most 2^64.
fn power_modulo(base: u128, mut exponent: u32, modulus: u128) -> u128 {
    let mut base = base % modulus;
    let mut power = 1 % modulus;
    while exponent > 0 {
        if exponent % 2 == 1 {
            power = power * base % modulus;
        }
        base = base * base % modulus;
        exponent /= 2;
    }
    power
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::parse(text).unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn numbers_that_are_equal_are_equal_however_they_are_written() {
        for equal in [
            &["0", "-0", "0.0", "0e9", "-0.000e-5"][..],
            &["1", "1.0", "1.000", "10e-1", "0.1e1", "0.001E+3"],
            &["-1500", "-1.5e3", "-15e2", "-1500.00"],
            &["18446744073709551615", "1844674407370955161.5e1"],
            &["1e300", "10e299"],
        ] {
            assert!(equal.windows(2).all(|two| decimal(two[0]) == decimal(two[1])), "{equal:?}");
        }
        assert_ne!(decimal("9007199254740993"), decimal("9007199254740992"));
        assert_ne!(decimal("0.1"), decimal("0.10000000000000001"));
        for text in ["", "-", ".", "e5", "1e", "x", "1e99999", "123456789012345678901", "0x1", "1.5.5", "1e1.5"] {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
    }

    #[test]
    fn numbers_have_one_order() {
        let sorted = [
            "-1e300",
            "-18446744073709551615",
            "-2",
            "-1.5",
            "-1",
            "-0.5",
            "-1e-300",
            "0",
            "1e-300",
            "0.1",
            "0.10000000000000001",
            "0.3",
            "1",
            "1.5",
            "10",
            "11",
            "9007199254740992",
            "9007199254740993",
            "18446744073709551614",
            "18446744073709551615",
            "1e20",
            "1e300",
        ];
        for (at, one) in sorted.iter().enumerate() {
            for (other_at, other) in sorted.iter().enumerate() {
                assert_eq!(decimal(one).cmp(&decimal(other)), at.cmp(&other_at), "{one} {other}");
            }
        }
    }

    #[test]
    fn a_multiple_is_told_without_the_error_of_binary_fractions() {
        let cases = [
            ("0.3", "0.1", true),
            ("19.99", "0.01", true),
            ("1.1", "0.1", true),
            ("0.35", "0.1", false),
            ("4.35", "0.01", true),
            ("10", "5", true),
            ("-10", "5", true),
            ("10", "-5", true),
            ("10", "3", false),
            ("0", "7", true),
            ("7", "0", false),
            ("9007199254740993", "2", false),
            ("9007199254740994", "2", true),
            ("18446744073709551615", "5", true),
            ("1e300", "7", false),
            ("7e300", "7", true),
            ("1e300", "1e-300", true),
            ("1e-300", "1e300", false),
            ("1e-300", "1e-300", true),
            ("1e308", "18446744073709551615", false),
            ("1.5", "1.5", true),
            ("1", "1.5", false),
            ("3", "1.5", true),
            ("1e19", "3e19", false),
            ("1", "1e25", false),
            ("0", "1e25", true),
        ];
        for (number, of, expected) in cases {
            assert_eq!(decimal(number).is_multiple_of(decimal(of)), expected, "{number} {of}");
        }
    }

    proptest! {
        #[test]
        fn whole_numbers_behave_as_whole_numbers(one: i64, other: i64, factor in -1000_i64..1000) {
            let [first, second] = [one, other].map(|number| decimal(&number.to_string()));
            prop_assert_eq!(first.cmp(&second), one.cmp(&other));
            prop_assert_eq!(first == second, one == other);
            if other != 0 {
                prop_assert_eq!(first.is_multiple_of(second), i128::from(one) % i128::from(other) == 0);
            }
            let product = i128::from(other) * i128::from(factor);
            if let (Some(product), true) = (Decimal::parse(&product.to_string()), other != 0) {
                prop_assert!(product.is_multiple_of(second));
            }
        }

        #[test]
        fn fractions_behave_as_whole_numbers_with_a_common_scale(one in -100_000_i64..100_000, other in 1_i64..10_000, places in 0_u32..6) {
            let written = |number: i64| {
                let digits = format!("{:0width$}", number.abs(), width = places as usize + 1);
                let (whole, fraction) = digits.split_at(digits.len() - places as usize);
                format!("{}{whole}{}{fraction}", if number < 0 { "-" } else { "" }, if places > 0 { "." } else { "" })
            };
            prop_assert_eq!(decimal(&written(one)).is_multiple_of(decimal(&written(other))), one % other == 0);
            prop_assert_eq!(decimal(&written(one)).cmp(&decimal(&written(other))), one.cmp(&other));
        }

        #[test]
        fn every_number_that_is_read_is_a_decimal(bits: u64) {
            let number = f64::from_bits(bits);
            if let Some(number) = Number::from_f64(number) {
                prop_assert!(Decimal::of(&number).is_some(), "{}", number);
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in "[-+0-9.eE]{0,24}") {
            if let Some(number) = Decimal::parse(&text) {
                prop_assert!(number.cmp(&decimal("1")).is_eq() || number != decimal("1"));
                number.is_multiple_of(number);
            }
        }
    }
}
