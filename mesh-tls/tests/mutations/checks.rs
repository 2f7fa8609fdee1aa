//! What has to be true of each parser, whatever it is given. Each check tells whether the input was accepted; the
//! fuzzers in `fuzz/` call the same ones.

use std::collections::BTreeSet;

use mesh_core::SpiffeId;
use mesh_tls::authority::{CertAuthority, CertRequest, LocalCa, TrustBundle, TrustRoot};
use mesh_tls::store::CertStore;
use mesh_tls::verify::{Expected, Usage, Verifier, VerifyErrorKind};
use mesh_tls::{Certificate, ServerName, pem};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};

use super::der;
use super::world::{BILLING, DAY, ORDERS, REVOKED, World, policy};
use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};

fn id(text: &str) -> SpiffeId {
    text.parse().expect("an ID")
}

/// A CSR is signed for if its own key signed it, bit by bit; then the certificate says what was asked for beside it.
pub(crate) fn csr(world: &World, input: &[u8]) -> bool {
    let Some(leaf) = issued(world, input) else {
        return false;
    };
    let parts = der::parts(input);
    let key = key_of(parts[0], 2);
    assert!(is_signed_by(&key, parts[0], parts[2]), "its key did not sign it");
    assert_eq!(key_of(der::signed(&leaf), 6), key);
    true
}

/// The same for what a key has signed indeed: nothing in it decides anything but the key.
pub(crate) fn signed_csr(world: &World, input: &[u8]) -> bool {
    let request = world.sign_request(input);
    let Some(leaf) = issued(world, &request) else {
        return false;
    };
    assert_eq!(key_of(der::signed(&leaf), 6), world.signer_key());
    true
}

/// Whether a key has signed a content: asked of the library that signs, not of the one that verifies.
fn is_signed_by(key: &[u8], content: &[u8], signature: &[u8]) -> bool {
    let bits = |value: &'_ [u8]| der::content(value).get(1..).unwrap_or_default().to_vec();
    let (key, signature) = (bits(der::parts(key)[1]), bits(signature));
    let algorithms: [&'static dyn VerificationAlgorithm; 8] = [
        &signature::ECDSA_P256_SHA256_ASN1,
        &signature::ECDSA_P256_SHA384_ASN1,
        &signature::ECDSA_P384_SHA256_ASN1,
        &signature::ECDSA_P384_SHA384_ASN1,
        &signature::RSA_PKCS1_2048_8192_SHA256,
        &signature::RSA_PKCS1_2048_8192_SHA384,
        &signature::RSA_PKCS1_2048_8192_SHA512,
        &signature::ED25519,
    ];
    algorithms.into_iter().any(|algorithm| {
        UnparsedPublicKey::new(algorithm, &key)
            .verify(content, &signature)
            .is_ok()
    })
}

/// The public key: a part of a certificate's or a request's content.
fn key_of(signed: &[u8], part: usize) -> Vec<u8> {
    der::parts(signed).get(part).expect("a key").to_vec()
}

fn issued(world: &World, csr: &[u8]) -> Option<CertificateDer<'static>> {
    let request = CertRequest::new(csr.to_vec(), id(ORDERS), DAY).ok()?;
    let issued = world.runtime.block_on(world.ca.issue(request)).ok()?;
    let leaf = Certificate::parse(issued.leaf()).expect("a certificate");
    assert_eq!(leaf.spiffe_id(), Ok(&id(ORDERS)));
    assert!(leaf.dns_names().is_empty() && leaf.ip_addresses().is_empty() && !leaf.is_ca());
    assert!(
        leaf.key_usage()
            .is_some_and(|usage| usage.digital_signature && !usage.key_cert_sign && !usage.crl_sign)
    );
    assert!(issued.lifetime() <= DAY + DAY / 10);
    assert_eq!(leaf.subject(), "CN=orders");
    Some(issued.leaf().clone())
}

/// What is read of a certificate is in it.
pub(crate) fn certificate(input: &[u8]) -> bool {
    let der = CertificateDer::from(input);
    let Ok(read) = Certificate::parse(&der) else {
        return false;
    };
    let again = Certificate::parse(&der).expect("the same");
    assert_eq!(format!("{read:?}"), format!("{again:?}"));
    assert!(
        !read
            .subject()
            .chars()
            .chain(read.issuer().chars())
            .any(char::is_control)
    );
    // webpki reads it too before it is believed, and is the stricter one: what that refuses is only shown.
    if webpki::EndEntityCert::try_from(&der).is_err() {
        return true;
    }
    let signed = der::signed(input);
    let parts = der::parts(signed);
    assert_eq!(der::content(der::signed(parts[0])), [2], "version 3");
    assert!(der::content(parts[1]).len() <= 20 && der::content(parts[1])[0] < 0x80);
    assert_eq!(
        read.serial()
            .as_bytes()
            .iter()
            .copied()
            .skip_while(|byte| *byte == 0)
            .collect::<Vec<_>>(),
        der::number(parts[1])
    );
    assert_eq!(
        read.uris(),
        uris(signed)
            .into_iter()
            .map(String::from_utf8_lossy)
            .collect::<Vec<_>>()
    );
    if let Ok(id) = read.spiffe_id() {
        assert_eq!(uris(signed), [id.as_str().as_bytes()]);
    }
    true
}

/// The URIs among the alternative names of a certificate.
fn uris(signed: &[u8]) -> Vec<&[u8]> {
    let names = der::extension(signed, &[0x55, 0x1d, 0x11]).unwrap_or_default();
    let names = der::parts(names).into_iter();
    names.filter(|name| name[0] == 0x86).map(der::content).collect()
}

fn split(mut input: &[u8]) -> Vec<CertificateDer<'_>> {
    let mut chain = Vec::new();
    while let Some((certificate, rest)) = der::split(input).filter(|_| !input.is_empty()) {
        chain.push(CertificateDer::from(certificate));
        input = rest;
    }
    if !input.is_empty() {
        chain.push(CertificateDer::from(input));
    }
    chain
}

/// Of a chain is believed what its issuers signed, bit by bit, as whom they signed it, and nothing that was taken back.
pub(crate) fn chain(world: &World, input: &[u8]) -> bool {
    let chain = split(input);
    let mut accepted = false;
    for (expected, who) in expectations() {
        for usage in [Usage::Client, Usage::Server] {
            let Ok(leaf) = world.verifier.verify(&chain, usage, &expected, world.now) else {
                continue;
            };
            accepted = true;
            let signed = der::signed(&chain[0]);
            let original = world
                .leaves
                .iter()
                .find(|leaf| der::signed(&leaf.chain[0]) == signed);
            let original = original.expect("a leaf that the root vouches for");
            assert_eq!(leaf.spiffe_id(), Ok(&id(original.id)));
            assert!(who.is_none_or(|who| who == original.id));
        }
    }
    accepted
}

fn expectations() -> [(Expected, Option<&'static str>); 5] {
    let name = ServerName::try_from("a.example").expect("a name");
    [
        (Expected::Anyone, None),
        (Expected::Member, None),
        (Expected::Dns(name), None),
        (Expected::Identity(id(ORDERS)), Some(ORDERS)),
        (Expected::Identity(id(BILLING)), Some(BILLING)),
    ]
}

/// The content of a leaf, that the root has signed indeed: it is believed as whom it says, if that can be told, and if
/// its number was not taken back.
pub(crate) fn signed_leaf(world: &World, input: &[u8]) -> bool {
    let chain = [CertificateDer::from(world.root.sign(input))];
    let mut accepted = false;
    for (expected, who) in expectations() {
        for usage in [Usage::Client, Usage::Server] {
            let verified = world.verifier.verify(&chain, usage, &expected, world.now);
            let Ok(leaf) = verified else { continue };
            let signed = der::signed(&chain[0]);
            assert_ne!(
                der::number(der::parts(signed)[1]),
                der::number(&der::value(2, &REVOKED.to_be_bytes()))
            );
            assert!(!leaf.is_ca());
            if matches!(expected, Expected::Member | Expected::Identity(_)) {
                accepted = true;
                let id = leaf.spiffe_id().expect("an identity");
                assert_eq!(uris(signed), [id.as_str().as_bytes()]);
                assert_eq!(id.trust_domain(), "cluster.local");
                assert!(who.is_none_or(|who| who == id.as_str()));
                let key_usage = der::extension(signed, &[0x55, 0x1d, 0x0f]).expect("a key usage");
                // digitalSignature, neither keyCertSign nor cRLSign.
                assert_eq!(der::content(key_usage)[1] & 0b1000_0110, 0b1000_0000);
            }
        }
    }
    accepted
}

/// Roots from a text: another reader finds the same, and no stranger gets in.
pub(crate) fn bundle(world: &World, input: &[u8]) -> bool {
    let Ok(roots) = pem::certificates(input) else {
        return false;
    };
    let written = pem::encode_certificates(&roots);
    assert_eq!(pem::certificates(written.as_bytes()).as_ref(), Ok(&roots));
    assert_eq!(
        roots
            .iter()
            .map(|root| root.as_ref())
            .collect::<BTreeSet<_>>()
            .len(),
        roots.len()
    );
    // The other reader is stricter with what stands in a line, so that it may find less, but nothing else.
    let others: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(input)
        .filter_map(Result::ok)
        .collect();
    assert!(
        others.iter().all(|other| roots.contains(other)),
        "the other reader found more"
    );

    let trusted = TrustBundle::new(1, roots.into_iter().map(TrustRoot::new));
    let Ok(verifier) = Verifier::new(&trusted, policy()) else {
        return false;
    };
    for usage in [Usage::Client, Usage::Server] {
        let stranger = [world.stranger.clone(), world.stranger_root.clone()];
        assert!(
            verifier
                .verify(&stranger, usage, &Expected::Anyone, world.now)
                .is_err()
        );
    }
    true
}

/// A revocation list counts if its issuer signed it, bit by bit; a damaged one never gives a certificate back, nor takes
/// one that is good.
pub(crate) fn revocation_list(world: &World, input: &[u8]) -> bool {
    let Ok(lists) = pem::crls(input) else {
        return false;
    };
    let accepted = with_lists(world, lists.clone());
    let originals: Vec<_> = world.lists.iter().map(|list| der::signed(list)).collect();
    match accepted {
        None => false,
        Some((good, revoked)) => {
            assert_eq!(
                revoked,
                Err(VerifyErrorKind::Revoked),
                "and {good:?} for the other"
            );
            assert_eq!(good, Ok(()));
            assert!(lists.iter().any(|list| originals.contains(&der::signed(list))));
            true
        }
    }
}

/// The content of a list that the root has signed indeed: it takes back what it names.
pub(crate) fn signed_list(world: &World, input: &[u8]) -> bool {
    let list = world.root.sign(input);
    let Some((good, revoked)) = with_lists(world, vec![list.clone().into()]) else {
        return false;
    };
    let taken_back = taken_back(der::signed(&list));
    let names = |serial: u64| taken_back.contains(der::number(&der::value(2, &serial.to_be_bytes())));
    match (good, revoked) {
        (Ok(()), _) if names(7) => panic!("it is named, and still good"),
        (_, Ok(())) if names(REVOKED) => panic!("it is named, and still good"),
        (Err(VerifyErrorKind::Revoked), _) => assert!(names(7), "nobody named it"),
        (_, Err(VerifyErrorKind::Revoked)) => assert!(names(REVOKED), "nobody named it"),
        _ => {}
    }
    true
}

/// The serial numbers in a list: behind its dates, each first in its entry.
fn taken_back(signed: &[u8]) -> BTreeSet<Vec<u8>> {
    let is_time = |part: &&[u8]| matches!(part.first(), Some(0x17 | 0x18));
    let entries = der::parts(signed)
        .into_iter()
        .skip_while(|part| !is_time(part))
        .find(|part| part[0] == 0x30);
    let entries = entries.map(der::parts).unwrap_or_default();
    let is_positive = |serial: &&[u8]| der::content(serial).first().is_some_and(|first| *first < 0x80);
    let serials = entries
        .into_iter()
        .filter_map(|entry| der::parts(entry).first().copied());
    serials
        .filter(is_positive)
        .map(|serial| der::number(serial).to_vec())
        .collect()
}

type Verdict = Result<(), VerifyErrorKind>;

/// What becomes, by these lists, of a leaf that is good and of one that was taken back; `None` if the lists are refused.
fn with_lists(
    world: &World,
    lists: Vec<CertificateRevocationListDer<'static>>,
) -> Option<(Verdict, Verdict)> {
    let bundle = TrustBundle::new(1, [TrustRoot::new(world.root.cert.clone())]).with_crls(lists);
    let verifier = Verifier::new(&bundle, policy()).ok()?;
    let verdict = |leaf: &CertificateDer<'static>| {
        let leaf = std::slice::from_ref(leaf);
        let verified = verifier.verify(leaf, Usage::Client, &Expected::Member, world.now);
        verified.map(|_| ()).map_err(|error| error.kind())
    };
    Some((verdict(&world.leaves[0].chain[0]), verdict(&world.revoked)))
}

/// A CA that opens is the one that was made, whatever became of its record.
pub(crate) fn record(world: &World, input: &[u8]) -> bool {
    world.put("ca/issued.jsonl", &world.kept.issued);
    world.put("ca/ca.record", input);
    let Ok(ca) = LocalCa::open(world.kept.dir.path().join("ca")) else {
        return false;
    };
    assert_eq!(
        (ca.root(), ca.trust_domain()),
        (world.kept.root.clone(), "cluster.local")
    );
    true
}

/// What a CA issued is what it remembers.
pub(crate) fn issued_list(world: &World, input: &[u8]) -> bool {
    world.put("ca/ca.record", &world.kept.record);
    world.put("ca/issued.jsonl", input);
    let Ok(ca) = LocalCa::open(world.kept.dir.path().join("ca")) else {
        return false;
    };
    let saved: Vec<_> = world.kept.saved.iter().map(|saved| saved.cert.serial()).collect();
    for record in ca.issued().expect("a list") {
        let place = saved
            .iter()
            .position(|serial| *serial == record.serial)
            .expect("one that was issued");
        let cert = &world.kept.saved[place].cert;
        assert_eq!(
            (record.not_before, record.not_after),
            (cert.not_before(), cert.not_after())
        );
        assert_eq!(record.spiffe_id, id(ORDERS));
    }
    true
}

/// An identity that is loaded is one that was saved, its key with its certificate.
pub(crate) fn identity(world: &World, input: &[u8]) -> bool {
    let [(newest, _), (before, content)] = &*world.kept.identities else {
        panic!("expected two files");
    };
    for (path, content) in [(newest, input), (before, content)] {
        std::fs::write(path, content).expect("writable");
    }
    let loaded = world.runtime.block_on(world.kept.store.load(&id(ORDERS)));
    let loaded = loaded.expect("the one before is whole").expect("it is there");
    let saved = world.kept.saved.iter().rev().position(|saved| {
        saved.key.expose_secret() == loaded.key.expose_secret()
            && saved.cert.chain() == loaded.cert.chain()
            && saved.bundle == loaded.bundle
    });
    saved.expect("one that was saved") == 0
}
