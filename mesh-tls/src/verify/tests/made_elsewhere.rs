//! What openssl makes and rcgen does not: tests/data, of which make.sh says how it was made.

use super::*;
use crate::pem;

macro_rules! data {
    ($name:literal) => {
        (
            $name,
            include_bytes!(concat!("../../../tests/data/", $name, ".pem")).as_slice(),
        )
    };
}

/// 2030: later than they were made.
fn later() -> SystemTime {
    SystemTime::UNIX_EPOCH + 21_915 * DAY
}

fn certificate((name, text): (&str, &[u8])) -> CertificateDer<'static> {
    pem::certificates(text).expect(name).swap_remove(0)
}

fn list((name, text): (&str, &[u8])) -> CertificateRevocationListDer<'static> {
    pem::crls(text).expect(name).swap_remove(0)
}

fn root() -> CertificateDer<'static> {
    certificate(data!("root"))
}

fn member(file: (&str, &[u8])) -> Result<Certificate, VerifyError> {
    trusting(&[&root()], &[]).verify(&[certificate(file)], Usage::Client, &Expected::Member, later())
}

/// Cases 29, 32 and 33.
#[test]
fn an_old_form_a_weak_key_and_a_weak_signature_are_refused_for_what_they_are() {
    assert!(member(data!("good")).is_ok());
    for (file, kind, why) in [
        (
            data!("version-1"),
            VerifyErrorKind::Malformed,
            "expected version 3",
        ),
        (
            data!("negative-serial"),
            VerifyErrorKind::Malformed,
            "is negative",
        ),
        (data!("sha1"), VerifyErrorKind::WeakKey, "not believed"),
        (data!("p192"), VerifyErrorKind::WeakKey, "too weak"),
        (data!("rsa1024"), VerifyErrorKind::WeakKey, "RSA 1024 is too weak"),
        (data!("rsa2041"), VerifyErrorKind::WeakKey, "RSA 2041 is too weak"),
        (data!("dsa"), VerifyErrorKind::WeakKey, "too weak"),
    ] {
        let name = file.0;
        let error = member(file).expect_err(name);
        assert_eq!(error.kind(), kind, "{name}: {error}");
        assert!(error.to_string().contains(why), "{name}: {error}");
    }
    let weak = refused_bundle(&[&certificate(data!("root-rsa1024"))], &[]);
    assert!(weak.contains("RSA 1024, which is too weak"), "{weak}");
}

/// Case 43.
#[test]
fn a_list_without_a_number_or_with_a_critical_one_or_of_changes_only_is_refused() {
    assert!(Verifier::new(&bundle(&[&root()], &[list(data!("list"))]), policy()).is_ok());
    for (file, why) in [
        (data!("list-without-number"), "has no number"),
        (data!("list-with-critical-number"), "has a critical number"),
        (data!("list-delta"), "UnsupportedDeltaCrl"),
        (data!("list-sha1"), "is not signed by it"),
    ] {
        let name = file.0;
        let error = refused_bundle(&[&root()], &[list(file)]);
        assert!(error.contains(why), "{name}: {error}");
    }
}
