//! What a leaf may say.

use super::error::{VerifyError, VerifyErrorKind};
use super::{Expected, Usage};
use crate::certificate::{Certificate, Purpose};

/// Checks what webpki leaves open.
pub(super) fn check(leaf: &Certificate, usage: Usage, expected: &Expected) -> Result<(), VerifyError> {
    let wrong = |kind, message: String| Err(VerifyError::new(kind, message).of(leaf));
    if leaf.is_ca() {
        return wrong(
            VerifyErrorKind::WrongUsage,
            "it is a CA's: expected a workload's".into(),
        );
    }
    if !leaf.key().is_strong() {
        let message = format!(
            "{} is too weak: expected ECDSA, Ed25519, or RSA of 2048 bits",
            leaf.key()
        );
        return wrong(VerifyErrorKind::WeakKey, message);
    }
    let of_mesh = matches!(expected, Expected::Member | Expected::Identity(_));
    match leaf.key_usage() {
        Some(usage) if usage.key_cert_sign || usage.crl_sign => {
            return wrong(
                VerifyErrorKind::WrongUsage,
                "its key may sign certificates or revocation lists".into(),
            );
        }
        Some(usage) if usage.digital_signature => {}
        None if !of_mesh => {}
        _ => {
            return wrong(
                VerifyErrorKind::WrongUsage,
                "its key may not sign a handshake (digitalSignature)".into(),
            );
        }
    }
    let needed = usage.purpose();
    let purposes = leaf.purposes().unwrap_or_default();
    let both = of_mesh && !(purposes.contains(&Purpose::Client) && purposes.contains(&Purpose::Server));
    if !purposes.contains(&needed) || both {
        let found = purposes
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", ");
        let expected = match of_mesh {
            true => "client and server".to_owned(),
            false => needed.to_string(),
        };
        let message = format!("its extended key usage is [{found}]: expected {expected}");
        return wrong(VerifyErrorKind::WrongUsage, message);
    }
    if purposes.contains(&Purpose::Any) {
        return wrong(VerifyErrorKind::WrongUsage, "it may be used for anything".into());
    }
    if leaf.name_constraints.is_some() {
        return wrong(
            VerifyErrorKind::Malformed,
            "it constrains names, which is a CA's to do".into(),
        );
    }
    let subject_is_empty = leaf.subject.text.is_empty();
    if leaf.names.invalid || !leaf.names.is_there {
        return wrong(
            VerifyErrorKind::Malformed,
            "it has no alternative names, or some that cannot be read".into(),
        );
    }
    if subject_is_empty && !leaf.names.critical {
        return wrong(
            VerifyErrorKind::Malformed,
            "its subject is empty, and its alternative names are not critical".into(),
        );
    }
    Ok(())
}
