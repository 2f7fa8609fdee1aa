//! Certificates that must not be believed, and some that must.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CustomExtension, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    NameConstraints, RevokedCertParams, SanType, SerialNumber,
};
use rustls::CertificateError as Tls;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};

use super::*;
use crate::authority::TrustRoot;

const DAY: Duration = Duration::from_secs(86_400);
const ORDERS: &str = "spiffe://cluster.local/ns/dept-barc/sa/orders";

/// Noon of some day: dates of certificates are whole seconds.
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + 20_000 * DAY + DAY / 2
}

struct Ca {
    issuer: Issuer<'static, KeyPair>,
    cert: CertificateDer<'static>,
}

fn ca_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = (now() - 100 * DAY).into();
    params.not_after = (now() + 100 * DAY).into();
    params
}

fn key() -> KeyPair {
    KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key")
}

impl Ca {
    fn root(name: &str) -> Self {
        Self::with(ca_params(name))
    }

    fn with(params: CertificateParams) -> Self {
        let key = key();
        let cert = params.self_signed(&key).expect("signed").der().clone();
        Self {
            issuer: Issuer::new(params, key),
            cert,
        }
    }

    fn below(&self, params: CertificateParams) -> Self {
        let key = key();
        let cert = params
            .signed_by(&key, &self.issuer)
            .expect("signed")
            .der()
            .clone();
        Self {
            issuer: Issuer::new(params, key),
            cert,
        }
    }

    fn sign(&self, change: impl FnOnce(&mut CertificateParams)) -> CertificateDer<'static> {
        let mut params = leaf_params();
        change(&mut params);
        params
            .signed_by(&key(), &self.issuer)
            .expect("signed")
            .der()
            .clone()
    }

    fn crl(
        &self,
        number: u64,
        revoked: &[u64],
        change: impl FnOnce(&mut CertificateRevocationListParams),
    ) -> CertificateRevocationListDer<'static> {
        let revoked = revoked.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: (now() - DAY).into(),
            reason_code: None,
            invalidity_date: None,
        });
        let mut params = CertificateRevocationListParams {
            this_update: (now() - Duration::from_secs(60)).into(),
            next_update: (now() + 7 * DAY).into(),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        change(&mut params);
        params.signed_by(&self.issuer).expect("signed").into()
    }
}

fn leaf_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "orders");
    params.serial_number = Some(SerialNumber::from(77_u64));
    params.not_before = (now() - DAY).into();
    params.not_after = (now() + DAY).into();
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    params.use_authority_key_identifier_extension = true;
    params.subject_alt_names = vec![
        uri(ORDERS),
        SanType::DnsName("orders.example".try_into().expect("a name")),
    ];
    params
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().expect("ASCII"))
}

fn bundle(roots: &[&CertificateDer<'static>], crls: &[CertificateRevocationListDer<'static>]) -> TrustBundle {
    let roots = roots.iter().map(|root| TrustRoot::new((*root).clone()));
    TrustBundle::new(1, roots).with_crls(crls.iter().cloned())
}

fn policy() -> VerifyPolicy {
    VerifyPolicy {
        trust_domain: Some("cluster.local".into()),
        ..VerifyPolicy::new()
    }
}

fn trusting(roots: &[&CertificateDer<'static>], crls: &[CertificateRevocationListDer<'static>]) -> Verifier {
    Verifier::new(&bundle(roots, crls), policy()).expect("a bundle")
}

fn refused_bundle(
    roots: &[&CertificateDer<'static>],
    crls: &[CertificateRevocationListDer<'static>],
) -> String {
    Verifier::new(&bundle(roots, crls), policy())
        .map(|_| ())
        .expect_err("refused")
        .to_string()
}

fn verdict(verifier: &Verifier, chain: &[CertificateDer<'static>]) -> Result<(), VerifyErrorKind> {
    let both = [Usage::Server, Usage::Client].map(|usage| {
        verifier
            .verify(chain, usage, &Expected::Member, now())
            .map(|_| ())
            .map_err(|error| error.kind())
    });
    assert_eq!(both[0], both[1], "the same for both sides");
    both[0]
}

/// What becomes of a leaf that is changed so.
fn changed(change: impl FnOnce(&mut CertificateParams)) -> Result<(), VerifyErrorKind> {
    let ca = Ca::root("root");
    verdict(&trusting(&[&ca.cert], &[]), &[ca.sign(change)])
}

#[test]
fn a_member_is_believed_and_told() {
    let ca = Ca::root("root");
    let leaf = ca.sign(|_| {});
    let verifier = trusting(&[&ca.cert], &[]);
    let told = verifier
        .verify(&[leaf], Usage::Client, &Expected::Member, now())
        .expect("believed");
    assert_eq!(told.spiffe_id().expect("one").as_str(), ORDERS);
    assert_eq!(told.serial().to_string(), "4d");
}

/// Cases 1 and 2.
#[test]
fn a_certificate_counts_from_its_first_second_to_its_last_and_both_clocks_are_told() {
    let ca = Ca::root("root");
    let (verifier, leaf) = (trusting(&[&ca.cert], &[]), [ca.sign(|_| {})]);
    let at = |time| {
        verifier
            .verify(&leaf, Usage::Client, &Expected::Member, time)
            .map(|_| ())
    };
    let second = Duration::from_secs(1);
    assert!(at(now() - DAY).is_ok() && at(now() + DAY).is_ok());
    let late = at(now() + DAY + second).expect_err("late");
    assert_eq!(late.kind(), VerifyErrorKind::Expired);
    assert!(
        late.to_string().contains("ended 1 s ago") && late.to_string().contains("clock says"),
        "{late}"
    );
    let early = at(now() - DAY - second).expect_err("early");
    assert_eq!(early.kind(), VerifyErrorKind::NotYetValid);
    assert!(early.to_string().contains("begins in 1 s"), "{early}");
    let error = rustls::Error::from(late);
    assert!(
        matches!(
            error,
            rustls::Error::InvalidCertificate(Tls::ExpiredContext { .. })
        ),
        "{error:?}"
    );
}

/// Cases 3, 4 and F7.
#[test]
fn a_leaf_may_be_shown_by_clients_and_servers_or_is_no_members() {
    use ExtendedKeyUsagePurpose::{Any, ClientAuth, ServerAuth};
    for purposes in [
        vec![ServerAuth],
        vec![ClientAuth],
        vec![],
        vec![Any],
        vec![ServerAuth, ClientAuth, Any],
    ] {
        let result = changed(|leaf| leaf.extended_key_usages = purposes.clone());
        assert_eq!(result, Err(VerifyErrorKind::WrongUsage), "{purposes:?}");
    }
}

/// Cases 8 and 9, and F7.
#[test]
fn a_key_that_signs_certificates_signs_no_handshake() {
    use KeyUsagePurpose::{CrlSign, DigitalSignature, KeyCertSign, KeyEncipherment};
    for usages in [
        vec![KeyCertSign],
        vec![DigitalSignature, KeyCertSign],
        vec![DigitalSignature, CrlSign],
        vec![KeyEncipherment],
        vec![],
    ] {
        let result = changed(|leaf| leaf.key_usages = usages.clone());
        assert_eq!(result, Err(VerifyErrorKind::WrongUsage), "{usages:?}");
    }
    let result = changed(|leaf| leaf.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    assert_eq!(result, Err(VerifyErrorKind::WrongUsage));
}

/// Cases 10, 12, 13 and 17.
#[test]
fn exactly_one_spiffe_id_is_an_identity() {
    let long = |length: usize| format!("spiffe://cluster.local/{}", "a".repeat(length - 23));
    let names = |names: Vec<SanType>| changed(|leaf| leaf.subject_alt_names = names);
    let dns = || SanType::DnsName("orders.example".try_into().expect("a name"));
    assert_eq!(names(vec![uri(&long(2048))]), Ok(()));
    for bad in [
        vec![uri(ORDERS), uri("spiffe://cluster.local/ns/dept-barc/sa/billing")],
        vec![uri(ORDERS), uri(ORDERS)],
        vec![dns()],
        vec![uri(&long(2049))],
        vec![uri("spiffe://cluster.local")],
        vec![uri("https://cluster.local/ns/dept-barc/sa/orders")],
        vec![uri("spiffe://cluster.local/ns/../sa/orders")],
    ] {
        assert_eq!(names(bad.clone()), Err(VerifyErrorKind::BadSpiffeId), "{bad:?}");
    }
    let only_in_the_subject = changed(|leaf| {
        leaf.subject_alt_names = vec![];
        leaf.distinguished_name.push(DnType::CommonName, ORDERS);
    });
    assert_eq!(only_in_the_subject, Err(VerifyErrorKind::Malformed));
}

/// Case 14.
#[test]
fn an_identity_of_another_trust_domain_is_foreign_whoever_signed_it() {
    let foreign = uri("spiffe://other.example/ns/dept-barc/sa/orders");
    assert_eq!(
        changed(|leaf| leaf.subject_alt_names = vec![foreign]),
        Err(VerifyErrorKind::ForeignTrustDomain)
    );
}

/// Cases 18 and 62.
#[test]
fn another_ones_certificate_is_not_the_expected_one_and_both_are_told() {
    let ca = Ca::root("root");
    let leaf = ca.sign(|leaf| {
        leaf.subject_alt_names
            .push(SanType::DnsName("*.example".try_into().expect("a name")))
    });
    let verifier = trusting(&[&ca.cert], &[]);
    let billing: SpiffeId = "spiffe://cluster.local/ns/dept-barc/sa/billing"
        .parse()
        .expect("an ID");
    let expected = Expected::Identity(billing.clone());
    let error = verifier
        .verify(&[leaf], Usage::Server, &expected, now())
        .expect_err("another one");
    assert_eq!(error.kind(), VerifyErrorKind::WrongIdentity);
    let text = error.to_string();
    assert!(
        text.contains(ORDERS) && text.contains(billing.as_str()) && text.contains("serial 4d"),
        "{text}"
    );
}

/// Cases 6, 7 and 25.
#[test]
fn a_name_makes_no_ca() {
    let (ours, theirs) = (Ca::root("root"), Ca::root("root"));
    let verifier = trusting(&[&ours.cert], &[]);
    let stranger = theirs.sign(|_| {});
    assert!(matches!(
        verdict(&verifier, &[stranger.clone()]),
        Err(VerifyErrorKind::UnknownIssuer | VerifyErrorKind::Malformed)
    ));
    let with_its_root = [stranger, theirs.cert];
    assert!(verdict(&verifier, &with_its_root).is_err());
    let own = leaf_params().self_signed(&key()).expect("signed").der().clone();
    assert!(verdict(&verifier, &[own]).is_err());
}

/// Cases 19 and 20, and F7.
#[test]
fn name_constraints_hold_and_those_on_uris_make_no_root() {
    let only = |names: GeneralSubtree| {
        let mut params = ca_params("constrained");
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![names],
            excluded_subtrees: vec![],
        });
        params
    };
    let ca = Ca::with(only(GeneralSubtree::DnsName("example".into())));
    assert_eq!(verdict(&trusting(&[&ca.cert], &[]), &[ca.sign(|_| {})]), Ok(()));
    let ca = Ca::with(only(GeneralSubtree::DnsName("elsewhere".into())));
    assert!(verdict(&trusting(&[&ca.cert], &[]), &[ca.sign(|_| {})]).is_err());

    // An extension of URI constraints, as other tools write it: permitted, one subtree, tag 6.
    let mut params = ca_params("constrained");
    let content = [0x30, 0x0e, 0xa0, 0x0c, 0x30, 0x0a, 0x86, 0x08];
    let content = [&content[..], b"mesh.one"].concat();
    params
        .custom_extensions
        .push(CustomExtension::from_oid_content(&[2, 5, 29, 30], content));
    let error = refused_bundle(&[&Ca::with(params).cert], &[]);
    assert!(error.contains("constrains URIs"), "{error}");
}

/// Cases 21 and 22, and F8.
#[test]
fn a_chain_is_as_long_as_its_cas_allow_and_never_longer_than_four() {
    let root = Ca::root("root");
    let middle = root.below(ca_params("middle"));
    let verifier = trusting(&[&root.cert], &[]);
    assert_eq!(
        verdict(&verifier, &[middle.sign(|_| {}), middle.cert.clone()]),
        Ok(())
    );

    let mut last = ca_params("last");
    last.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let last = root.below(last);
    let beyond = last.below(ca_params("beyond"));
    let chain = [beyond.sign(|_| {}), beyond.cert.clone(), last.cert.clone()];
    assert_eq!(verdict(&verifier, &chain), Err(VerifyErrorKind::Malformed));

    let mut junk = vec![middle.sign(|_| {}), middle.cert.clone()];
    junk.extend((0..100).map(|_| middle.cert.clone()));
    assert_eq!(verdict(&verifier, &junk), Err(VerifyErrorKind::ChainTooLong));
}

/// Case 26.
#[test]
fn what_is_no_ca_is_no_root_and_every_bad_root_is_named() {
    let ca = Ca::root("root");
    let leaf = ca.sign(|_| {});
    let mut unable = ca_params("unable");
    unable.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let error = refused_bundle(&[&ca.cert, &leaf, &Ca::with(unable).cert], &[]);
    assert!(error.contains("root 2 ") && error.contains("is no CA"), "{error}");
    assert!(
        error.contains("root 3 ") && error.contains("keyCertSign"),
        "{error}"
    );
    assert!(!error.contains("root 1 "), "{error}");
    assert!(refused_bundle(&[], &[]).contains("there is no root"));
}

/// Case 27 and F2.
#[test]
fn an_expired_root_vouches_for_nobody() {
    let mut params = ca_params("root");
    params.not_after = (now() - Duration::from_secs(1)).into();
    let ca = Ca::with(params);
    assert_eq!(
        verdict(&trusting(&[&ca.cert], &[]), &[ca.sign(|_| {})]),
        Err(VerifyErrorKind::Expired)
    );
}

/// Case 29.
#[test]
fn weak_keys_are_refused() {
    let ca = Ca::root("root");
    let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key");
    let strong = leaf_params()
        .signed_by(&key, &ca.issuer)
        .expect("signed")
        .der()
        .clone();
    assert_eq!(verdict(&trusting(&[&ca.cert], &[]), &[strong]), Ok(()));
    use crate::certificate::PublicKey;
    for (key, is_strong) in [
        (PublicKey::Rsa(1024), false),
        (PublicKey::Rsa(2047), false),
        (PublicKey::Rsa(2048), true),
        (PublicKey::Rsa(3072), true),
        (PublicKey::Other("1.2.840.10045.3.1.1".into()), false),
    ] {
        assert_eq!(key.is_strong(), is_strong, "{key}");
    }
}

/// Case 31.
#[test]
fn an_unknown_critical_extension_is_refused_wherever_it_is() {
    let unknown = || {
        let mut extension = CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
        extension.set_criticality(true);
        extension
    };
    assert!(changed(|leaf| leaf.custom_extensions.push(unknown())).is_err());
    let mut params = ca_params("root");
    params.custom_extensions.push(unknown());
    assert!(refused_bundle(&[&Ca::with(params).cert], &[]).contains("critical extension"));
}

/// Case 33.
#[test]
fn a_serial_number_is_positive_and_not_too_long() {
    for (serial, is_fine) in [
        (vec![0x7f; 20], true),
        (vec![0x7f; 21], false),
        (vec![0xff; 20], false),
        (vec![0], false),
    ] {
        let result = changed(|leaf| leaf.serial_number = Some(SerialNumber::from(serial.clone())));
        assert_eq!(result.is_ok(), is_fine, "{serial:?}");
    }
}

/// Case 34.
#[test]
fn a_revoked_certificate_is_refused_and_another_one_is_not() {
    let ca = Ca::root("root");
    let verifier = trusting(&[&ca.cert], &[ca.crl(1, &[77], |_| {})]);
    assert_eq!(
        verdict(&verifier, &[ca.sign(|_| {})]),
        Err(VerifyErrorKind::Revoked)
    );
    let other = ca.sign(|leaf| leaf.serial_number = Some(SerialNumber::from(78_u64)));
    assert_eq!(verdict(&verifier, &[other]), Ok(()));
}

/// Case 37 and F6.
#[test]
fn a_revoked_ca_vouches_for_nobody_and_each_ca_needs_a_list() {
    let root = Ca::root("root");
    let mut params = ca_params("middle");
    params.serial_number = Some(SerialNumber::from(5_u64));
    let middle = root.below(params);
    let chain = [middle.sign(|_| {}), middle.cert.clone()];
    let of = |crls: &[CertificateRevocationListDer<'static>]| verdict(&trusting(&[&root.cert], crls), &chain);
    assert_eq!(
        of(&[root.crl(1, &[], |_| {}), middle.crl(1, &[], |_| {})]),
        Ok(())
    );
    assert_eq!(
        of(&[root.crl(1, &[5], |_| {}), middle.crl(1, &[], |_| {})]),
        Err(VerifyErrorKind::Revoked)
    );
    assert_eq!(
        of(&[root.crl(1, &[], |_| {})]),
        Err(VerifyErrorKind::RevocationUnknown)
    );
}

/// Cases 39 and 44, and F3.
#[test]
fn a_list_that_is_too_old_or_from_the_future_is_no_list() {
    let ca = Ca::root("root");
    let leaf = [ca.sign(|_| {})];
    let old = ca.crl(1, &[], |list| {
        list.next_update = (now() - Duration::from_secs(1)).into()
    });
    assert_eq!(
        verdict(&trusting(&[&ca.cert], std::slice::from_ref(&old)), &leaf),
        Err(VerifyErrorKind::StaleCrl)
    );
    let mut lenient = policy();
    lenient.stale_crl = StaleCrl::Warn;
    let lenient = Verifier::new(&bundle(&[&ca.cert], &[old]), lenient).expect("a bundle");
    assert_eq!(verdict(&lenient, &leaf), Ok(()));
    for (ahead, is_fine) in [
        (Duration::from_secs(240), true),
        (Duration::from_secs(3_600), false),
    ] {
        let list = ca.crl(1, &[], |list| list.this_update = (now() + ahead).into());
        assert_eq!(
            verdict(&trusting(&[&ca.cert], &[list]), &leaf).is_ok(),
            is_fine,
            "{ahead:?}"
        );
    }
}

/// Case 40.
#[test]
fn a_list_that_its_issuer_did_not_sign_is_refused_with_the_bundle() {
    let (ca, other) = (Ca::root("root"), Ca::root("root"));
    let mut flipped = ca.crl(1, &[], |_| {}).to_vec();
    if let Some(last) = flipped.last_mut() {
        *last ^= 1;
    }
    let cut = flipped[..flipped.len() / 2].to_vec();
    for list in [flipped, cut, other.crl(1, &[], |_| {}).to_vec()] {
        assert!(refused_bundle(&[&ca.cert], &[list.into()]).contains("revocation list 1"));
    }
}

/// Case 43.
#[test]
fn a_ca_that_may_not_sign_lists_signs_none() {
    let mut params = ca_params("root");
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let unable = Ca::with(params.clone());
    // The list is signed all the same: by the same key, under a name that says it may.
    params.key_usages.push(KeyUsagePurpose::CrlSign);
    let pair = KeyPair::try_from(unable.issuer.key().serialized_der()).expect("a key");
    let able = Ca {
        issuer: Issuer::new(params, pair),
        cert: unable.cert.clone(),
    };
    let error = refused_bundle(&[&unable.cert], &[able.crl(1, &[], |_| {})]);
    assert!(error.contains("cRLSign"), "{error}");
}

/// Case 41 within one bundle, and F4.
#[test]
fn of_two_lists_of_one_ca_the_newer_counts() {
    let ca = Ca::root("root");
    let (clean, revoking) = (ca.crl(1, &[], |_| {}), ca.crl(2, &[77], |_| {}));
    for lists in [[clean.clone(), revoking.clone()], [revoking, clean]] {
        let verifier = trusting(&[&ca.cert], &lists);
        assert_eq!(
            verdict(&verifier, &[ca.sign(|_| {})]),
            Err(VerifyErrorKind::Revoked)
        );
    }
}

/// Case 47 and F5.
#[test]
fn two_generations_have_two_names_or_no_lists() {
    let (first, second) = (Ca::root("root 1"), Ca::root("root 2"));
    let lists = [first.crl(1, &[], |_| {}), second.crl(1, &[], |_| {})];
    let verifier = trusting(&[&first.cert, &second.cert], &lists);
    assert_eq!(verdict(&verifier, &[first.sign(|_| {})]), Ok(()));
    assert_eq!(verdict(&verifier, &[second.sign(|_| {})]), Ok(()));
    let twin = Ca::root("root 1");
    let lists = [first.crl(1, &[], |_| {}), twin.crl(1, &[], |_| {})];
    assert!(refused_bundle(&[&first.cert, &twin.cert], &lists).contains("a name of its own"));
    let without = trusting(&[&first.cert, &twin.cert], &[]);
    assert_eq!(verdict(&without, &[twin.sign(|_| {})]), Ok(()));
}

#[test]
fn a_further_root_needs_no_list_and_the_others_still_do() {
    let (ours, theirs) = (Ca::root("root"), Ca::root("theirs"));
    let verifier = trusting(&[&ours.cert], &[ours.crl(1, &[77], |_| {})]);
    let more = verifier
        .with_more_roots(std::slice::from_ref(&theirs.cert))
        .expect("a root");
    assert_eq!(
        verdict(&more, &[ours.sign(|_| {})]),
        Err(VerifyErrorKind::Revoked)
    );
    assert_eq!(verdict(&more, &[theirs.sign(|_| {})]), Ok(()));
    assert!(verdict(&verifier, &[theirs.sign(|_| {})]).is_err());
    assert!(verifier.with_more_roots(&[ours.sign(|_| {})]).is_err());
}

#[test]
fn what_is_no_certificate_at_all_is_refused() {
    let ca = Ca::root("root");
    let verifier = trusting(&[&ca.cert], &[]);
    assert_eq!(verdict(&verifier, &[]), Err(VerifyErrorKind::Malformed));
    let leaf = ca.sign(|_| {}).to_vec();
    for length in 0..leaf.len() {
        let cut = CertificateDer::from(leaf[..length].to_vec());
        assert!(verdict(&verifier, &[cut]).is_err(), "cut at {length}");
    }
    let longer = CertificateDer::from([&leaf[..], &[0]].concat());
    assert_eq!(verdict(&verifier, &[longer]), Err(VerifyErrorKind::Malformed));
}
