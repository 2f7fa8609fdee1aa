//! A value in a cookie, as the mesh writes it: 32 hexadecimal digits in lower case, and 32 of its signature.

use std::fmt;

use super::cookie_key::CookieKey;

const DIGITS: usize = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Signed {
    pub(super) value: u128,
    pub(super) signature: u128,
}

impl Signed {
    pub(super) fn read(text: &[u8]) -> Option<Self> {
        let (value, signature) = text.split_at_checked(DIGITS)?;
        Some(Self {
            value: number(value)?,
            signature: number(signature)?,
        })
    }

    /// The value, if this key has signed it.
    pub(super) fn verified(&self, key: &CookieKey) -> Option<u128> {
        key.has_signed(self).then_some(self.value)
    }
}

impl fmt::Display for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}{:032x}", self.value, self.signature)
    }
}

fn number(digits: &[u8]) -> Option<u128> {
    if digits.len() != DIGITS {
        return None;
    }
    digits.iter().try_fold(0, |number: u128, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_verified() {
        let key = CookieKey::new([7; CookieKey::LENGTH]);
        let signed = key.sign(0xff);
        let text = signed.to_string();
        assert!(text.starts_with("000000000000000000000000000000ff"), "{text}");
        assert_eq!(Signed::read(text.as_bytes()), Some(signed));
        assert_eq!(signed.verified(&key), Some(0xff));
        assert_eq!(signed.verified(&CookieKey::new([8; CookieKey::LENGTH])), None);
    }

    #[test]
    fn no_bit_of_it_can_be_another() {
        let key = CookieKey::new([7; CookieKey::LENGTH]);
        let signed = key.sign(0x0123_4567);
        for bit in 0..128 {
            let (value, signature) = (signed.value ^ 1 << bit, signed.signature ^ 1 << bit);
            assert_eq!(Signed { value, ..signed }.verified(&key), None);
            assert_eq!(Signed { signature, ..signed }.verified(&key), None);
        }
    }

    #[test]
    fn what_the_mesh_did_not_write_is_none() {
        let zeros = "0".repeat(64);
        assert!(Signed::read(zeros.as_bytes()).is_some());
        for text in [
            "",
            "always",
            &zeros[..32],
            &zeros[..63],
            &zeros.replacen('0', "A", 1),
            &zeros.replacen('0', "+", 1),
        ] {
            assert_eq!(Signed::read(text.as_bytes()), None, "{text}");
        }
        assert_eq!(Signed::read(format!("{zeros}0").as_bytes()), None);
    }

    /// The vector of SipHash's authors for 16 bytes of message, 128 bits of hash.
    #[test]
    fn signatures_are_the_same_on_every_machine_and_in_every_version() {
        let key = CookieKey::new(std::array::from_fn::<u8, { CookieKey::LENGTH }, _>(|n| n as u8));
        let signed = key.sign(0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f);
        let bytes = signed.signature.to_le_bytes();
        assert_eq!(
            bytes,
            [
                0x6e, 0xe2, 0xa4, 0xca, 0x67, 0xb0, 0x54, 0xbb, 0xfd, 0x33, 0x15, 0xbf, 0x85, 0x23, 0x05,
                0x77
            ]
        );
    }
}
