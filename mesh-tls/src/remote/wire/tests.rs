use proptest::prelude::*;

use super::*;
use crate::key::{KeyType, PrivateKey};

fn ask() -> Ask {
    let key = PrivateKey::generate_blocking(KeyType::default()).expect("a key");
    Ask {
        csr: key.certificate_request().expect("signed"),
        proof: Proof::new(ProofKind::JOIN_TOKEN, "0f1e2d3c4b5a").expect("short"),
        ttl_seconds: 86_400,
    }
}

fn malformed(text: &str) -> String {
    match Ask::read(text.as_bytes()) {
        Err(Unreadable::Malformed(why)) => why,
        Err(Unreadable::TooLarge(why)) => panic!("{why}"),
        Ok(_) => panic!("{text} was understood"),
    }
}

#[test]
fn what_is_written_is_read() {
    let ask = ask();
    let read = Ask::read(&ask.written().expect("written")).expect("read");
    assert_eq!(read.csr, ask.csr);
    assert_eq!(read.proof.reveal(), ask.proof.reveal());
    assert_eq!(
        (read.proof.kind(), read.ttl_seconds),
        (ask.proof.kind(), ask.ttl_seconds)
    );
}

#[test]
fn a_field_that_is_not_known_or_there_twice_is_refused_without_a_part_of_the_proof_in_the_message() {
    let good = String::from_utf8(ask().written().expect("written").to_vec()).expect("text");
    for bad in [
        good.replacen('{', "{\"spiffeId\":\"spiffe://x/y\",", 1),
        good.replacen('{', "{\"ttlSeconds\":1,", 1),
        good.replace("\"kind\"", "\"sort\""),
        good.replace("join-token", "Join Token"),
        good.replace("join-token", "certificate"),
        good.replace("\"0f1e2d3c4b5a\"", "[\"0f1e2d3c4b5a\"]"),
        good.replace("86400", "-1"),
        good.replace("86400", "1e99"),
        good.replace("-----BEGIN CERTIFICATE REQUEST", "-----BEGIN CERTIFICATE"),
        format!("{good}{good}"),
        good[..good.len() - 1].to_owned(),
        String::new(),
        "[".repeat(10_000),
    ] {
        assert!(!malformed(&bad).contains("0f1e2d"), "{bad}");
    }
}

proptest! {
    /// Whatever byte is changed, cut or put in: it is read as something, or refused, and never more.
    #[test]
    fn no_mutation_breaks_the_reader(at in 0_usize..1000, byte: u8, what in 0_u8..3) {
        let mut text = ask().written().expect("written").to_vec();
        let at = at % text.len();
        match what {
            0 => text[at] = byte,
            1 => text.truncate(at),
            _ => text.insert(at, byte),
        }
        if let Ok(read) = Ask::read(&text) {
            prop_assert!(read.csr.len() <= CertRequest::MAX_CSR_LEN);
            prop_assert!(read.proof.reveal().len() <= Proof::MAX_LEN);
        }
    }

    #[test]
    fn no_text_breaks_the_readers(text in "[\\[{]?(\"(csr|proof|ttlSeconds|chain|bundle|roots|crls)\":?|[\\[\\]{},0-9ntf]|.){0,60}") {
        let _ = Ask::read(text.as_bytes());
        let bytes = Bytes::from(text);
        let _ = read::<Issued>(&bytes).map(Issued::parts);
        let _ = read::<BundleText>(&bytes).map(BundleText::bundle);
    }
}
