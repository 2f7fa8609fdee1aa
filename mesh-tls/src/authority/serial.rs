//! Serial numbers of certificates.

use std::fmt;
use std::str::FromStr;

/// The serial number of a certificate: positive, at most 20 bytes as RFC 5280 allows.
///
/// Written in lower-case hex, two digits a byte. Read in either case, with or without the colons and the
/// leading zeros that other tools write.
///
/// ```
/// use mesh_tls::SerialNumber;
///
/// let serial: SerialNumber = "00:0A:1B".parse()?;
/// assert_eq!(serial.to_string(), "0a1b");
/// assert_eq!(serial, SerialNumber::from_bytes(&[0x0a, 0x1b])?);
/// assert!("0".parse::<SerialNumber>().is_err());
/// # Ok::<(), mesh_tls::authority::SerialError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SerialNumber {
    // Right-aligned, so that the derived order is the order of numbers.
    bytes: [u8; Self::MAX_LEN],
}

impl SerialNumber {
    /// The longest serial number, in bytes.
    pub const MAX_LEN: usize = 20;

    /// What some roots have that were made long ago. Nothing that is issued may have it.
    pub(crate) const ZERO: Self = Self {
        bytes: [0; Self::MAX_LEN],
    };

    /// Takes the number in big-endian bytes; zeros in front do not matter.
    ///
    /// # Errors
    /// It is zero, or longer than 20 bytes. So is one of 20 bytes that begins with a set bit: as a positive
    /// number in a certificate it takes 21.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SerialError> {
        let first = bytes.iter().position(|byte| *byte != 0);
        let digits = &bytes[first.ok_or(SerialError(Problem::Zero))?..];
        if digits.len() > Self::MAX_LEN || (digits.len() == Self::MAX_LEN && digits[0] >= 0x80) {
            return Err(SerialError(Problem::TooLong));
        }
        let mut aligned = [0; Self::MAX_LEN];
        aligned[Self::MAX_LEN - digits.len()..].copy_from_slice(digits);
        Ok(Self { bytes: aligned })
    }

    /// Takes a small number.
    ///
    /// # Errors
    /// It is zero.
    pub fn from_u64(number: u64) -> Result<Self, SerialError> {
        Self::from_bytes(&number.to_be_bytes())
    }

    /// The number in big-endian bytes, without zeros in front.
    pub fn as_bytes(&self) -> &[u8] {
        let zeros = self.bytes.iter().take_while(|byte| **byte == 0).count();
        &self.bytes[zeros..]
    }
}

impl fmt::Display for SerialNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = match self.as_bytes() {
            [] => &[0],
            digits => digits,
        };
        digits.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SerialNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SerialNumber({self})")
    }
}

impl FromStr for SerialNumber {
    type Err = SerialError;

    fn from_str(text: &str) -> Result<Self, SerialError> {
        let mut bytes = [0; Self::MAX_LEN];
        let digits = text.bytes().rev().filter(|byte| *byte != b':');
        for (n, digit) in digits.enumerate() {
            let value = match digit {
                b'0'..=b'9' => digit - b'0',
                b'a'..=b'f' => digit - b'a' + 10,
                b'A'..=b'F' => digit - b'A' + 10,
                _ => return Err(SerialError(Problem::NotHex)),
            };
            match bytes.len().checked_sub(n / 2 + 1) {
                Some(at) => bytes[at] |= value << (4 * (n % 2)),
                None if value == 0 => {}
                None => return Err(SerialError(Problem::TooLong)),
            }
        }
        Self::from_bytes(&bytes)
    }
}

/// Why something is not a serial number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SerialError(Problem);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Problem {
    Zero,
    TooLong,
    NotHex,
}

impl fmt::Display for SerialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let problem = match self.0 {
            Problem::Zero => "it is zero",
            Problem::TooLong => "it is longer than 20 bytes",
            Problem::NotHex => "it has other characters than hexadecimal digits and ':'",
        };
        write!(
            f,
            "not a serial number: {problem}; expected a positive number in hex, as 4f:02:9b"
        )
    }
}

impl std::error::Error for SerialError {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_longest_serial_number_fits_and_one_more_bit_does_not() {
        let mut longest = [0xff; 20];
        longest[0] = 0x7f;
        assert_eq!(
            SerialNumber::from_bytes(&longest).expect("20 bytes").as_bytes(),
            longest
        );
        assert!(SerialNumber::from_bytes(&[0xff; 20]).is_err());
        assert!(SerialNumber::from_bytes(&[1; 21]).is_err());
        assert!("ff".repeat(20).parse::<SerialNumber>().is_err());
        assert!("01".repeat(21).parse::<SerialNumber>().is_err());
    }

    #[test]
    fn nothing_and_nonsense_are_no_serial_numbers() {
        for text in ["", "0", "00:00", ":", "0x1f", "-1", "1 2", "ä"] {
            assert!(text.parse::<SerialNumber>().is_err(), "{text:?}");
        }
        assert!(SerialNumber::from_bytes(&[]).is_err());
        assert!(SerialNumber::from_u64(0).is_err());
    }

    #[test]
    fn an_odd_number_of_digits_is_read_from_the_right() {
        let serial: SerialNumber = "abc".parse().expect("hex");
        assert_eq!(serial.to_string(), "0abc");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(bytes in proptest::collection::vec(any::<u8>(), 1..=19)) {
            prop_assume!(bytes.iter().any(|byte| *byte != 0));
            let serial = SerialNumber::from_bytes(&bytes).expect("positive");
            let text = serial.to_string();
            prop_assert_eq!(text.parse(), Ok(serial));
            prop_assert_eq!(format!("000{}", text.to_uppercase()).parse(), Ok(serial));
        }

        #[test]
        fn they_are_ordered_as_numbers(a in 1..u64::MAX, b in 1..u64::MAX) {
            let serial = |n| SerialNumber::from_u64(n).expect("positive");
            prop_assert_eq!(serial(a).cmp(&serial(b)), a.cmp(&b));
        }

        #[test]
        fn no_text_breaks_the_reader(text in ".{0,80}") {
            let _ = text.parse::<SerialNumber>();
        }
    }
}
