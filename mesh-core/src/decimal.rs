//! Decimal numbers with a unit, exactly: what durations and sizes are written in.

/// A decimal number that is not negative: `digits / 10^places`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Decimal {
    digits: u64,
    places: u32,
}

/// Why a number times a unit is no whole number of the smallest unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inexact {
    /// Something would be left over.
    TooFine,
    /// It does not fit.
    TooLarge,
}

impl Decimal {
    /// Takes a number off the front of the text. `None` if there is no well-formed one: `.5` and `5.` are not.
    pub(crate) fn split(text: &str) -> Option<(Result<Self, Inexact>, &str)> {
        let whole_len = digits_of(text);
        let (whole, rest) = text.split_at(whole_len);
        let (fraction, rest) = match rest.strip_prefix('.') {
            Some(after) => {
                let (fraction, rest) = after.split_at(digits_of(after));
                if fraction.is_empty() {
                    return None;
                }
                (fraction, rest)
            }
            None => ("", rest),
        };
        if whole.is_empty() {
            return None;
        }
        // Zeros at the end of a fraction say nothing: "1.500" is "1.5".
        let fraction = fraction.trim_end_matches('0');
        let append = |digits: u64, byte: u8| digits.checked_mul(10)?.checked_add(u64::from(byte - b'0'));
        let number = match whole.bytes().try_fold(0, append) {
            None => Err(Inexact::TooLarge),
            Some(digits) => match (
                fraction.bytes().try_fold(digits, append),
                u32::try_from(fraction.len()),
            ) {
                (Some(digits), Ok(places)) => Ok(Self { digits, places }),
                _ => Err(Inexact::TooFine),
            },
        };
        Some((number, rest))
    }

    pub(crate) fn is_zero(self) -> bool {
        self.digits == 0
    }

    pub(crate) fn has_fraction(self) -> bool {
        self.places > 0
    }

    /// The number times `unit`, if it is whole.
    pub(crate) fn times(self, unit: u64) -> Result<u64, Inexact> {
        let product = u128::from(self.digits) * u128::from(unit);
        let whole = match 10_u128.checked_pow(self.places) {
            Some(divisor) if product.is_multiple_of(divisor) => product / divisor,
            _ => return Err(Inexact::TooFine),
        };
        u64::try_from(whole).map_err(|_| Inexact::TooLarge)
    }
}

fn digits_of(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}
