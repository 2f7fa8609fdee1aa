//! Records that know whether they are whole.

use aws_lc_rs::digest::{SHA256, digest};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

/// A record as JSON, and a line with its hash.
pub(crate) fn seal(record: &impl Serialize) -> Result<Zeroizing<Vec<u8>>, String> {
    // Sized ahead, so that growing leaves no copy of a key behind.
    let mut sealed = Zeroizing::new(Vec::with_capacity(64 * 1024));
    serde_json::to_writer(&mut *sealed, record).map_err(|error| error.to_string())?;
    let hash = hash(&sealed);
    sealed.extend_from_slice(b"\nsha256 ");
    sealed.extend_from_slice(hash.as_bytes());
    sealed.push(b'\n');
    Ok(sealed)
}

/// The record, if it is whole.
pub(crate) fn open<T: DeserializeOwned>(sealed: &[u8]) -> Result<T, String> {
    let text = sealed.strip_suffix(b"\n").unwrap_or_default();
    let line = text
        .iter()
        .rposition(|byte| *byte == b'\n')
        .ok_or("it was cut short")?;
    let (record, said) = (&text[..line], text.get(line + 1..).unwrap_or_default());
    if said.strip_prefix(b"sha256 ") != Some(hash(record).as_bytes()) {
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

fn hash(bytes: &[u8]) -> String {
    digest(&SHA256, bytes)
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
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
