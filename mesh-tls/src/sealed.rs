//! Records that know whether they are whole.

use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::hash::sha256;

/// A record as JSON, and a line with its hash.
pub(crate) fn seal(record: &impl Serialize) -> Result<Zeroizing<Vec<u8>>, String> {
    let mut sealed = Growing(Zeroizing::new(Vec::with_capacity(16 * 1024)));
    serde_json::to_writer(&mut sealed, record).map_err(|error| error.to_string())?;
    let hash = sha256(&sealed.0);
    sealed.push(format!("\nsha256 {hash}\n").as_bytes());
    Ok(sealed.0)
}

/// Grows into a new buffer and overwrites the old one, which may hold a key: revocation lists behind it are of any size.
struct Growing(Zeroizing<Vec<u8>>);

impl Growing {
    fn push(&mut self, bytes: &[u8]) {
        let needed = self.0.len() + bytes.len();
        if needed > self.0.capacity() {
            let mut larger = Zeroizing::new(Vec::with_capacity(needed.max(2 * self.0.capacity())));
            larger.extend_from_slice(&self.0);
            self.0 = larger;
        }
        self.0.extend_from_slice(bytes);
    }
}

impl io::Write for Growing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The record, if it is whole.
pub(crate) fn open<T: DeserializeOwned>(sealed: &[u8]) -> Result<T, String> {
    let text = sealed.strip_suffix(b"\n").unwrap_or_default();
    let line = text
        .iter()
        .rposition(|byte| *byte == b'\n')
        .ok_or("it was cut short")?;
    let (record, said) = (&text[..line], text.get(line + 1..).unwrap_or_default());
    if said.strip_prefix(b"sha256 ") != Some(sha256(record).as_bytes()) {
        return Err("it was changed or cut short: its hash is another one".into());
    }
    // The parser's message may quote what it read.
    serde_json::from_slice(record).map_err(|error| {
        format!(
            "it cannot be understood, at column {}: was it written by a newer version?",
            error.column()
        )
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_was_sealed_opens_and_says_the_same() {
        let sealed = seal(&vec!["a", "b\n"]).expect("sealed");
        assert_eq!(open::<Vec<String>>(&sealed).expect("whole"), ["a", "b\n"]);
        assert!(
            open::<u8>(&sealed)
                .expect_err("another shape")
                .contains("newer version")
        );
    }

    #[test]
    fn what_is_larger_than_the_first_buffer_is_sealed_whole() {
        let large = "x".repeat(300_000);
        let sealed = seal(&[&large, &large]).expect("sealed");
        assert_eq!(open::<Vec<String>>(&sealed).expect("whole"), [&*large, &*large]);
    }

    proptest! {
        #[test]
        fn a_changed_byte_or_a_lost_end_is_seen(at in 0_usize..90, cut in 0_usize..90) {
            let sealed = seal(&"a record that is whole").expect("sealed");
            let mut changed = sealed.to_vec();
            let at = at % changed.len();
            changed[at] ^= 1;
            prop_assert!(open::<String>(&changed).is_err());
            prop_assert!(open::<String>(&sealed[..cut % sealed.len()]).is_err());
        }
    }
}
