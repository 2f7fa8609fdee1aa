//! What is taken back stays so, and everybody is told.

use super::*;
use crate::authority::{ManagedAuthority, RevocationReason, RevokeRequest};
use crate::verify::VerifyErrorKind;

fn clocked() -> (Clock, LocalCa) {
    let clock = Clock::default();
    let ca = LocalCa::in_memory(options().with_clock(clock.clone())).expect("a CA");
    (clock, ca)
}

async fn bundle(ca: &LocalCa) -> TrustBundle {
    ca.next_bundle(BundleRequest::any()).await.expect("a bundle")
}

fn verify(bundle: &TrustBundle, cert: &IssuedCert, now: SystemTime) -> Result<(), VerifyErrorKind> {
    let verifier = Verifier::new(bundle, VerifyPolicy::new()).expect("a bundle");
    let verified = verifier.verify(cert.chain(), Usage::Client, &Expected::Member, now);
    verified.map(drop).map_err(|error| error.kind())
}

/// Case 34, the CA's side of it.
#[tokio::test(start_paused = true)]
async fn what_is_revoked_is_refused_by_the_next_bundle_and_nothing_else_is() {
    let (clock, ca) = clocked();
    let taken = ca.issue(request("orders", DAY)).await.expect("issued");
    let kept = ca.issue(request("billing", DAY)).await.expect("issued");
    let before = bundle(&ca).await;
    assert_eq!(
        (before.sequence, before.crls.len()),
        (1, 1),
        "with a list from the very first on"
    );
    let waiting = {
        let ca = ca.clone();
        tokio::spawn(async move { ca.next_bundle(BundleRequest::after(1)).await })
    };
    let wanted = RevokeRequest::new(taken.serial()).because(RevocationReason::KeyCompromise);
    let revoked = ca.revoke(wanted).await.expect("revoked");
    assert_eq!((revoked.crl_number, revoked.sequence), (2, 2));
    let after = waiting.await.expect("it ends").expect("a bundle");
    assert_eq!(after.sequence, revoked.sequence);
    let now = clock.now();
    assert_eq!(verify(&after, &taken, now), Err(VerifyErrorKind::Revoked));
    assert_eq!(verify(&after, &kept, now), Ok(()));
    assert_eq!(verify(&before, &taken, now), Ok(()));

    let told = Verifier::new(&after, VerifyPolicy::new()).expect("a bundle");
    let told = told.crls().next().expect("a list").clone();
    assert_eq!((told.number.as_str(), told.revoked), ("2", 1));
    let back = now.duration_since(told.this_update).expect("dated back");
    assert!(
        (5 * MINUTE..5 * MINUTE + Duration::from_secs(1)).contains(&back),
        "{back:?}"
    );
    let ahead = told.next_update.duration_since(now).expect("ahead");
    assert!(
        (7 * DAY - Duration::from_secs(1)..=7 * DAY).contains(&ahead),
        "{ahead:?}"
    );

    // Twice changes nothing: the first reason stays, and there is no new list.
    let again = ca
        .revoke(RevokeRequest::new(taken.serial()))
        .await
        .expect("revoked");
    assert_eq!(again, revoked);
    assert_eq!(ca.bundle().sequence, 2);
    let listed = ca.issued().expect("a list");
    assert_eq!(
        listed[0].revoked,
        Some((revoked.revoked_at, RevocationReason::KeyCompromise))
    );
    assert_eq!(listed[1].revoked, None);
}

#[tokio::test(start_paused = true)]
async fn what_was_not_issued_or_has_ended_cannot_be_taken_back() {
    let (clock, ca) = clocked();
    let issued = ca.issue(request("orders", DAY)).await.expect("issued");
    let unknown = RevokeRequest::new(SerialNumber::from_u64(7).expect("positive"));
    let error = ca.revoke(unknown).await.expect_err("unknown");
    assert_eq!(error.kind(), CaErrorKind::UnknownCertificate);
    assert!(error.to_string().contains("cert list"), "{error}");
    clock.advance(DAY + 60 * MINUTE + Duration::from_secs(1));
    let error = ca
        .revoke(RevokeRequest::new(issued.serial()))
        .await
        .expect_err("over");
    assert_eq!(error.kind(), CaErrorKind::WrongState);
    let root = Certificate::parse(&ca.root()).expect("a root").serial();
    let error = ca.revoke(RevokeRequest::new(root)).await.expect_err("a root");
    assert!(error.to_string().contains("Taint the generation"), "{error}");
    assert_eq!(ca.bundle().sequence, 1);
}

#[tokio::test(start_paused = true)]
async fn lists_are_signed_anew_every_hour_and_drop_what_ended_an_hour_ago() {
    let (clock, ca) = clocked();
    let issued = ca
        .issue(request("orders", 2 * 60 * MINUTE))
        .await
        .expect("issued");
    ca.revoke(RevokeRequest::new(issued.serial()))
        .await
        .expect("revoked");
    let listed = |bundle: &TrustBundle| {
        let verifier = Verifier::new(bundle, VerifyPolicy::new()).expect("a bundle");
        verifier.crls().map(|list| list.revoked).sum::<usize>()
    };
    let mut seen = 2;
    for (hours, expected) in [(1, 1), (2, 1), (3, 0)] {
        // Both clocks move: an hour passes, nobody sets anything.
        for _ in 0..60 {
            clock.advance(MINUTE);
            tokio::time::advance(MINUTE).await;
        }
        let next = ca
            .next_bundle(BundleRequest::after(seen))
            .await
            .expect("a bundle");
        assert_eq!(
            (next.sequence, listed(&next)),
            (seen + 1, expected),
            "after {hours} h"
        );
        seen = next.sequence;
    }
}

/// Case 82.
#[tokio::test(start_paused = true)]
async fn a_clock_that_went_back_signs_no_list_and_one_that_jumps_ahead_is_not_followed_at_once() {
    let (clock, ca) = clocked();
    let issued = ca.issue(request("orders", DAY)).await.expect("issued");
    let (before, told) = (clock.now(), bundle(&ca).await);
    clock.set(before - 6 * MINUTE);
    let error = ca
        .revoke(RevokeRequest::new(issued.serial()))
        .await
        .expect_err("behind");
    assert_eq!(error.kind(), CaErrorKind::Clock);
    assert_eq!(ca.issued().expect("a list")[0].revoked, None);

    // Ten years ahead: every step of a rotation and every list seems to be due.
    clock.set(before + 3_640 * DAY);
    tokio::time::advance(MINUTE).await;
    assert_eq!(bundle(&ca).await, told);
    // Whoever set it sees what it did, and sets it right.
    clock.set(before + 2 * MINUTE);
    tokio::time::advance(MINUTE).await;
    assert_eq!(bundle(&ca).await, told);
    ca.revoke(RevokeRequest::new(issued.serial()))
        .await
        .expect("revoked");
}

/// Cases 37, 47 and F6: with an issuing CA both have a list, and a revoked issuing CA takes all of its certificates with it.
#[tokio::test(start_paused = true)]
async fn a_revoked_issuing_ca_takes_all_it_signed_with_it_and_its_successor_is_believed() {
    use crate::authority::{RotateRequest, RotationStep};
    let clock = Clock::default();
    let ca = LocalCa::in_memory(options().with_intermediate().with_clock(clock.clone())).expect("a CA");
    let old = ca.issue(request("orders", DAY)).await.expect("issued");
    assert_eq!(old.chain().len(), 2);
    let issuing = Certificate::parse(&old.chain()[1]).expect("a CA");
    assert_eq!(bundle(&ca).await.crls.len(), 2);
    assert_eq!(verify(&ca.bundle(), &old, clock.now()), Ok(()));

    let error = ca
        .revoke(RevokeRequest::new(issuing.serial()))
        .await
        .expect_err("it signs");
    assert!(error.to_string().contains("Taint it"), "{error}");
    ca.rotate(RotateRequest::new(RotationStep::Taint))
        .await
        .expect("tainted");
    assert!(ca.bundle().roots[0].tainted);
    ca.rotate(RotateRequest::new(RotationStep::Prepare))
        .await
        .expect("prepared");
    ca.rotate(RotateRequest::new(RotationStep::Activate).forced())
        .await
        .expect("active");
    let new = ca.issue(request("orders", DAY)).await.expect("issued");
    for cert in [&old, &new] {
        assert_eq!(
            verify(&ca.bundle(), cert, clock.now()),
            Ok(()),
            "both generations have lists"
        );
    }
    let revoked = ca
        .revoke(RevokeRequest::new(issuing.serial()))
        .await
        .expect("revoked");
    let bundle = ca.bundle();
    assert_eq!((bundle.sequence, bundle.crls.len()), (revoked.sequence, 4));
    assert_eq!(verify(&bundle, &old, clock.now()), Err(VerifyErrorKind::Revoked));
    assert_eq!(verify(&bundle, &new, clock.now()), Ok(()));
    // A leaf of the new one is still taken back by its own issuer.
    ca.revoke(RevokeRequest::new(new.serial()))
        .await
        .expect("revoked");
    assert_eq!(
        verify(&ca.bundle(), &new, clock.now()),
        Err(VerifyErrorKind::Revoked)
    );
}

#[tokio::test(start_paused = true)]
async fn another_process_is_heard_within_seconds_and_a_restored_ca_counts_on_above_what_was_seen() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("ca");
    let proxy = LocalCa::open_or_init(&path, options()).expect("a CA");
    let issued = proxy.issue(request("orders", DAY)).await.expect("issued");
    let backup = std::fs::read(path.join("ca.record")).expect("read");
    let waiting = {
        let proxy = proxy.clone();
        tokio::spawn(async move { proxy.next_bundle(BundleRequest::after(1)).await })
    };
    let shell = LocalCa::open(&path).expect("the CA");
    shell
        .revoke(RevokeRequest::new(issued.serial()))
        .await
        .expect("revoked");
    let told = waiting.await.expect("it ends").expect("a bundle");
    assert_eq!(
        verify(&told, &issued, SystemTime::now()),
        Err(VerifyErrorKind::Revoked)
    );

    // The record of before is brought back. The revocation is not lost, nor is any number given again.
    std::fs::write(path.join("ca.record"), &backup).expect("brought back");
    let next = proxy
        .next_bundle(BundleRequest::after(told.sequence))
        .await
        .expect("a bundle");
    assert_eq!(next.sequence, told.sequence + 1);
    assert_eq!(
        verify(&next, &issued, SystemTime::now()),
        Err(VerifyErrorKind::Revoked)
    );

    // All of the directory is, from a time before it knew of anything: a follower knows.
    std::fs::write(path.join("ca.record"), &backup).expect("brought back");
    std::fs::remove_file(path.join("ca.marks")).expect("lost");
    let restored = LocalCa::open(&path).expect("the CA");
    let next = restored
        .next_bundle(BundleRequest::after(4_000))
        .await
        .expect("a bundle");
    assert_eq!(next.sequence, 4_001);
    let verifier = Verifier::new(&next, VerifyPolicy::new()).expect("a bundle");
    assert_eq!(verifier.crls().next().expect("a list").number, "4001");
    let error = restored
        .next_bundle(BundleRequest::after(u64::MAX))
        .await
        .expect_err("nonsense");
    assert_eq!(error.kind(), CaErrorKind::InvalidRequest);
}

/// Case 75.
#[tokio::test]
async fn of_two_processes_that_revoke_at_once_each_finds_both_on_the_list() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("ca");
    let (here, there) = (
        LocalCa::init(&path, options()).expect("a CA"),
        LocalCa::open(&path).expect("the CA"),
    );
    let certs = [
        here.issue(request("orders", DAY)).await.expect("issued"),
        there.issue(request("billing", DAY)).await.expect("issued"),
    ];
    let before = here.bundle().sequence;
    let (first, second) = tokio::join!(
        here.revoke(RevokeRequest::new(certs[0].serial())),
        there.revoke(RevokeRequest::new(certs[1].serial())),
    );
    let mut numbers = [
        first.expect("revoked").crl_number,
        second.expect("revoked").crl_number,
    ];
    numbers.sort_unstable();
    assert_eq!(numbers, [before + 1, before + 2]);
    for ca in [&here, &there, &LocalCa::open(&path).expect("the CA")] {
        ca.issued().expect("what the other did is read");
        let bundle = ca.bundle();
        assert_eq!(bundle.sequence, before + 2);
        for cert in &certs {
            let verdict = verify(&bundle, cert, SystemTime::now());
            assert_eq!(verdict, Err(VerifyErrorKind::Revoked));
        }
    }
}

#[tokio::test]
async fn a_list_of_what_was_issued_that_has_lost_a_revocation_is_not_gone_by() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("ca");
    let ca = LocalCa::init(&path, options()).expect("a CA");
    let taken = ca.issue(request("orders", DAY)).await.expect("issued");
    let list = path.join(super::super::index::FILE);
    let old = std::fs::read(&list).expect("read");
    ca.revoke(RevokeRequest::new(taken.serial()))
        .await
        .expect("revoked");
    drop(ca);
    std::fs::write(&list, old).expect("an older one is brought back");

    let ca = LocalCa::open(&path).expect("the CA");
    let error = ca
        .issue(request("billing", DAY))
        .await
        .expect_err("it issues nothing");
    assert_eq!(error.kind(), CaErrorKind::Storage);
    assert!(
        error
            .to_string()
            .contains("1 revocations that were told are not in it"),
        "{error}"
    );
    assert!(ca.revoke(RevokeRequest::new(taken.serial())).await.is_err());
    // What was told stays told.
    let verdict = verify(&ca.bundle(), &taken, SystemTime::now());
    assert_eq!(verdict, Err(VerifyErrorKind::Revoked));
}
