//! Roots, and paths to them.

use super::*;

/// Cases 6, 7 and 25.
#[test]
fn a_name_makes_no_ca() {
    let (ours, theirs) = (Ca::root("root"), Ca::root("root"));
    let verifier = trusting(&[&ours.cert], &[]);
    let stranger = theirs.sign(|_| {});
    assert!(matches!(
        verdict(&verifier, std::slice::from_ref(&stranger)),
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

/// Case 21, where webpki looks at no root.
#[test]
fn a_root_limits_the_cas_below_it_but_not_its_own_new_key() {
    let mut params = ca_params("root");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let root = Ca::with(params);
    let verifier = trusting(&[&root.cert], &[]);
    assert_eq!(verdict(&verifier, &[root.sign(|_| {})]), Ok(()));

    let middle = root.below(ca_params("middle"));
    let chain = [middle.sign(|_| {}), middle.cert.clone()];
    assert_eq!(verdict(&verifier, &chain), Err(VerifyErrorKind::Malformed));

    let renewed = root.below(ca_params("root"));
    let chain = [renewed.sign(|_| {}), renewed.cert.clone()];
    assert_eq!(verdict(&verifier, &chain), Ok(()));
}

#[test]
fn a_root_vouches_for_what_it_says_and_a_ca_is_no_workload() {
    let mut params = ca_params("root");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
    let ca = Ca::with(params);
    assert_eq!(
        verdict(&trusting(&[&ca.cert], &[]), &[ca.sign(|_| {})]),
        Err(VerifyErrorKind::WrongUsage)
    );

    let root = Ca::root("root");
    let verifier = trusting(&[&root.cert], &[]);
    for (id, is_fine) in [("spiffe://cluster.local", true), (ORDERS, false)] {
        let mut params = ca_params("middle");
        params.subject_alt_names = vec![uri(id)];
        let middle = root.below(params);
        let chain = [middle.sign(|_| {}), middle.cert.clone()];
        assert_eq!(verdict(&verifier, &chain).is_ok(), is_fine, "{id}");
    }
}

/// Case 7.
#[test]
fn a_ca_of_the_right_name_with_another_key_is_no_issuer_that_is_known() {
    let (ours, theirs) = (Ca::root("root"), Ca::root("root"));
    let error = trusting(&[&ours.cert], &[])
        .verify(&[theirs.sign(|_| {})], Usage::Client, &Expected::Member, now())
        .expect_err("not ours");
    assert_eq!(error.kind(), VerifyErrorKind::UnknownIssuer);
    assert!(error.to_string().contains("another key"), "{error}");
    assert!(matches!(
        rustls::Error::from(error),
        rustls::Error::InvalidCertificate(Tls::UnknownIssuer)
    ));
}

#[test]
fn an_odd_root_among_further_ones_is_left_out_and_one_without_a_number_is_not_odd() {
    let ours = Ca::root("root");
    let verifier = trusting(&[&ours.cert], &[]);
    let mut params = ca_params("old");
    params.serial_number = Some(SerialNumber::from(0_u64));
    let old = Ca::with(params);
    let more = [ours.sign(|_| {}), old.cert.clone()];
    let verifier = verifier.with_more_roots(&more).expect("one is fit");
    assert_eq!(verdict(&verifier, &[old.sign(|_| {})]), Ok(()));
    assert_eq!(verifier.root_subjects().len(), 2);
    let root = Certificate::parse(&old.cert).expect("a root");
    assert_eq!(root.serial().to_string(), "00");
}

#[test]
fn further_roots_ask_for_nothing_less_under_the_others() {
    let (ours, theirs) = (Ca::root("root"), Ca::root("theirs"));
    let middle = ours.below(ca_params("middle"));
    let chain = [middle.sign(|_| {}), middle.cert.clone()];
    let verifier = trusting(&[&ours.cert], &[ours.crl(1, &[], |_| {})]);
    assert_eq!(
        verdict(&verifier, &chain),
        Err(VerifyErrorKind::RevocationUnknown)
    );
    for more in [
        vec![theirs.cert.clone()],
        vec![theirs.cert.clone(), ours.cert.clone()],
    ] {
        let verifier = verifier.with_more_roots(&more).expect("roots");
        assert_eq!(
            verdict(&verifier, &chain),
            Err(VerifyErrorKind::RevocationUnknown)
        );
    }

    let ahead = ours.crl(2, &[77], |list| list.this_update = (now() + DAY).into());
    let verifier = trusting(&[&ours.cert], &[ahead])
        .with_more_roots(&[theirs.cert])
        .expect("roots");
    assert_eq!(
        verdict(&verifier, &[ours.sign(|_| {})]),
        Err(VerifyErrorKind::Revoked)
    );
    let other = ours.sign(|leaf| leaf.serial_number = Some(SerialNumber::from(78_u64)));
    assert_eq!(verdict(&verifier, &[other]), Err(VerifyErrorKind::StaleCrl));
}
