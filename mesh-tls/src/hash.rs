//! SHA-256, as text.

use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};

/// SHA-256 in lower-case hexadecimal: 64 digits.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(digest(&SHA256, bytes).as_ref())
}

/// The first half of it: where 128 bits are enough.
pub(crate) fn sha256_half(bytes: &[u8]) -> String {
    let hash = digest(&SHA256, bytes);
    hex(hash.as_ref().get(..16).unwrap_or_default())
}

/// SHA-256 as it is.
#[cfg(feature = "remote")]
pub(crate) fn sha256_bytes(bytes: &[u8]) -> [u8; 32] {
    // It has 32 bytes.
    digest(&SHA256, bytes)
        .as_ref()
        .first_chunk()
        .copied()
        .unwrap_or_default()
}

/// Bytes in lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a String does not fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_hash_that_others_compute() {
        // Of the empty text, as FIPS 180-4 has it.
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(sha256(b""), empty);
        assert_eq!(sha256_half(b""), empty[..32]);
    }
}
