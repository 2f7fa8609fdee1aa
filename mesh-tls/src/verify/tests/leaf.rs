//! Leaves.

use super::*;

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

/// Who nobody knows writes no line of the log, and not much into one.
#[test]
fn an_error_shows_little_of_what_a_stranger_wrote_and_nothing_that_moves_a_cursor() {
    let (ours, theirs) = (Ca::root("root"), Ca::root("theirs"));
    let verifier = trusting(&[&ours.cert], &[]);
    let long = "a\n\u{1b}[31mgood".repeat(1_000);
    let nameless = |leaf: &mut CertificateParams| {
        leaf.distinguished_name.push(DnType::CommonName, long.as_str());
        leaf.subject_alt_names = (0..3)
            .map(|n| uri(&format!("https://{n}.{}", "b".repeat(9_000))))
            .collect();
    };
    for ca in [&ours, &theirs] {
        let error = verifier
            .verify(&[ca.sign(nameless)], Usage::Client, &Expected::Member, now())
            .expect_err("nobody");
        let text = error.to_string();
        assert!(text.len() < 1_500 && !text.contains(char::is_control), "{text:?}");
    }
}

#[test]
fn a_dns_name_is_proved_without_a_spiffe_id_and_still_by_a_server() {
    let ca = Ca::root("root");
    let verifier = trusting(&[&ca.cert], &[]);
    let outside = |purposes: Vec<ExtendedKeyUsagePurpose>, dns: &str| {
        let dns = SanType::DnsName(dns.try_into().expect("a name"));
        let leaf = ca.sign(|leaf| {
            leaf.subject_alt_names = vec![dns];
            leaf.extended_key_usages = purposes;
            leaf.key_usages = vec![];
        });
        let name = ServerName::try_from("api.svc.example").expect("a name");
        let verified = verifier.verify(&[leaf], Usage::Server, &Expected::Dns(name), now());
        verified.map(|_| ()).map_err(|error| error.kind())
    };
    use ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
    assert_eq!(outside(vec![ServerAuth], "api.svc.example"), Ok(()));
    assert_eq!(outside(vec![ServerAuth], "*.svc.example"), Ok(()));
    assert_eq!(
        outside(vec![ServerAuth], "web.svc.example"),
        Err(VerifyErrorKind::WrongIdentity)
    );
    assert_eq!(
        outside(vec![ClientAuth], "api.svc.example"),
        Err(VerifyErrorKind::WrongUsage)
    );
    assert_eq!(
        outside(vec![], "api.svc.example"),
        Err(VerifyErrorKind::WrongUsage)
    );
}

proptest::proptest! {
    #[test]
    fn no_change_of_a_byte_makes_a_certificate_good_or_panics(place in 0..2_000_usize, bits in 1..=255_u8) {
        thread_local! {
            static FIXTURE: (Verifier, Vec<u8>) = {
                let root = Ca::root("root");
                (trusting(&[&root.cert], &[root.crl(1, &[], |_| {})]), root.sign(|_| {}).to_vec())
            };
        }
        FIXTURE.with(|(verifier, leaf)| {
            let mut leaf = leaf.clone();
            let place = place % leaf.len();
            leaf[place] ^= bits;
            let changed = [CertificateDer::from(leaf)];
            let verified = verifier.verify(&changed, Usage::Client, &Expected::Member, now());
            proptest::prop_assert!(verified.is_err(), "byte {place}");
            Ok(())
        })?;
    }
}
