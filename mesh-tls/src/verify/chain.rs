//! What a certificate that signs others has to say.

use super::error::{VerifyError, VerifyErrorKind};
use crate::certificate::Certificate;
use crate::printable::shortened;

/// Checks a certificate between leaf and root.
pub(super) fn check(ca: &Certificate) -> Result<(), VerifyError> {
    match problems(ca).into_iter().next() {
        None => Ok(()),
        Some((kind, problem)) => Err(VerifyError::new(
            kind,
            format!("its issuer {} {problem}", shortened(ca.subject())),
        )),
    }
}

/// What is wrong with a CA's certificate, wherever it stands.
pub(super) fn problems(ca: &Certificate) -> Vec<(VerifyErrorKind, String)> {
    let mut problems = Vec::new();
    let mut wrong = |kind, message: &str| problems.push((kind, message.to_owned()));
    match ca.basic_constraints {
        Some(constraints) if constraints.ca => {
            if !constraints.critical {
                wrong(
                    VerifyErrorKind::Malformed,
                    "says that it is a CA in an extension that is not critical",
                );
            }
        }
        _ => wrong(VerifyErrorKind::WrongUsage, "is no CA (basicConstraints)"),
    }
    if ca.key_usage().is_some_and(|usage| !usage.key_cert_sign) {
        wrong(
            VerifyErrorKind::WrongUsage,
            "has a key that may not sign certificates (keyCertSign)",
        );
    }
    if ca.name_constraints.is_some_and(|constraints| constraints.of_uris) {
        wrong(
            VerifyErrorKind::Malformed,
            "constrains URIs, by which nobody could be believed: use a CA without URI name constraints",
        );
    }
    if ca.has_unknown_critical {
        wrong(
            VerifyErrorKind::Malformed,
            "has a critical extension that is not known here",
        );
    }
    if ca.spiffe_id.is_ok() {
        wrong(
            VerifyErrorKind::Malformed,
            "has the SPIFFE ID of a workload: expected none, or that of its trust domain",
        );
    }
    if ca.subject.text.is_empty() {
        wrong(VerifyErrorKind::Malformed, "has no name");
    }
    if !ca.key().is_strong() {
        let message = format!(
            "has {}, which is too weak: expected ECDSA, Ed25519, or RSA of 2048 bits",
            ca.key()
        );
        wrong(VerifyErrorKind::WeakKey, &message);
    }
    problems
}
