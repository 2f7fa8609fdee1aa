//! Revocation lists.

use super::*;

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

/// Case 41.
#[test]
fn a_bundle_whose_list_goes_back_takes_no_place() {
    let ca = Ca::root("root");
    let of = |crl| trusting(&[&ca.cert], &[crl]);
    let (old, new) = (of(ca.crl(1, &[], |_| {})), of(ca.crl(2, &[77], |_| {})));
    assert_eq!(new.may_replace(&old), Ok(()));
    assert_eq!(new.may_replace(&new), Ok(()));
    let error = old.may_replace(&new).expect_err("it goes back");
    assert!(error.to_string().contains("from number 2 to 1"), "{error}");
    let forged = of(ca.crl(2, &[], |_| {}));
    assert!(
        forged
            .may_replace(&new)
            .expect_err("two of one number")
            .to_string()
            .contains("number 2")
    );
    let without = trusting(&[&ca.cert], &[]);
    assert_eq!(
        without.may_replace(&new),
        Ok(()),
        "to have no lists at all is another decision"
    );
}

/// F4.
#[test]
fn two_lists_of_one_number_that_differ_are_refused() {
    let ca = Ca::root("root");
    let (clean, revoking) = (ca.crl(2, &[], |_| {}), ca.crl(2, &[77], |_| {}));
    let twice = trusting(&[&ca.cert], &[clean.clone(), clean.clone()]);
    assert_eq!(twice.crls().count(), 1);
    let error = refused_bundle(&[&ca.cert], &[clean, revoking]);
    assert!(
        error.contains("revocation list 2: there are two of CN=root with the number 2"),
        "{error}"
    );
}

/// Case 40: the wrong issuer.
#[test]
fn lists_of_others_only_are_refused_with_the_bundle() {
    let (ca, other) = (Ca::root("root"), Ca::root("other"));
    let error = refused_bundle(&[&ca.cert], &[other.crl(1, &[], |_| {})]);
    assert!(error.contains("no revocation list is of a root"), "{error}");
    let both = trusting(
        &[&ca.cert],
        &[other.crl(1, &[77], |_| {}), ca.crl(1, &[], |_| {})],
    );
    assert_eq!(verdict(&both, &[ca.sign(|_| {})]), Ok(()));
}

/// A list of a CA below the root is verified with the key that a chain shows, whatever stands before it.
#[test]
fn of_the_lists_of_a_ca_below_a_root_those_count_that_it_signed() {
    let root = Ca::root("root");
    let (middle, impostor) = (root.below(ca_params("middle")), Ca::root("middle"));
    let chain = [middle.sign(|_| {}), middle.cert.clone()];
    let of = |lists: Vec<CertificateRevocationListDer<'static>>| {
        let lists = [vec![root.crl(1, &[], |_| {})], lists].concat();
        verdict(&trusting(&[&root.cert], &lists), &chain)
    };
    let forged = impostor.crl(9, &[], |_| {});
    assert_eq!(of(vec![forged.clone()]), Err(VerifyErrorKind::RevocationUnknown));
    assert_eq!(of(vec![forged.clone(), middle.crl(1, &[], |_| {})]), Ok(()));
    assert_eq!(
        of(vec![
            middle.crl(2, &[77], |_| {}),
            forged,
            middle.crl(1, &[], |_| {})
        ]),
        Err(VerifyErrorKind::Revoked)
    );

    let mut unable = ca_params("middle");
    unable.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let unable = root.below(unable);
    let pair = KeyPair::try_from(unable.issuer.key().serialized_der()).expect("a key");
    let able = Ca {
        issuer: Issuer::new(ca_params("middle"), pair),
        cert: unable.cert.clone(),
    };
    let lists = [root.crl(1, &[], |_| {}), able.crl(1, &[], |_| {})];
    let chain = [unable.sign(|_| {}), unable.cert.clone()];
    assert_eq!(
        verdict(&trusting(&[&root.cert], &lists), &chain),
        Err(VerifyErrorKind::StaleCrl)
    );
}

#[test]
fn what_was_revoked_stays_so_when_its_list_is_too_old() {
    let ca = Ca::root("root");
    let old = ca.crl(1, &[77], |list| {
        list.next_update = (now() - Duration::from_secs(1)).into()
    });
    assert_eq!(
        verdict(&trusting(&[&ca.cert], &[old]), &[ca.sign(|_| {})]),
        Err(VerifyErrorKind::Revoked)
    );
}

#[test]
fn a_list_for_some_certificates_says_nothing_of_the_others() {
    let ca = Ca::root("root");
    let point = |uri: &str| CrlDistributionPoint {
        uris: vec![uri.to_owned()],
    };
    let (here, elsewhere) = ("https://ca.example/1", "https://ca.example/2");
    let list = |scope| {
        ca.crl(1, &[], |list| {
            list.issuing_distribution_point = Some(CrlIssuingDistributionPoint {
                distribution_point: point(here),
                scope,
            });
        })
    };
    let leaf =
        |at: Option<&str>| ca.sign(|leaf| leaf.crl_distribution_points = at.map(point).into_iter().collect());
    for (scope, at, verdict_of) in [
        (None, None, Ok(())),
        (None, Some(here), Ok(())),
        (None, Some(elsewhere), Err(VerifyErrorKind::RevocationUnknown)),
        (Some(CrlScope::UserCertsOnly), Some(here), Ok(())),
        (
            Some(CrlScope::CaCertsOnly),
            Some(here),
            Err(VerifyErrorKind::RevocationUnknown),
        ),
    ] {
        let verifier = trusting(&[&ca.cert], &[list(scope)]);
        assert_eq!(verdict(&verifier, &[leaf(at)]), verdict_of, "{scope:?} {at:?}");
    }
}

/// Case 45.
#[test]
fn a_list_is_looked_into_and_not_read_again_and_one_that_is_too_large_is_refused() {
    let ca = Ca::root("root");
    let many: Vec<u64> = (1_000..31_000).chain([77]).collect();
    let verifier = trusting(&[&ca.cert], &[ca.crl(3, &many, |_| {})]);
    assert_eq!(
        verdict(&verifier, &[ca.sign(|_| {})]),
        Err(VerifyErrorKind::Revoked)
    );
    let told: Vec<_> = verifier.crls().collect();
    assert_eq!((told.len(), &*told[0].number, told[0].revoked), (1, "3", 30_001));
    assert_eq!(
        (told[0].issuer, told[0].next_update),
        ("CN=root", now() + 7 * DAY)
    );

    let large = CertificateRevocationListDer::from(vec![0x30; 8 * 1024 * 1024 + 1]);
    assert!(refused_bundle(&[&ca.cert], &[large]).contains("expected at most 8388608"));
}
