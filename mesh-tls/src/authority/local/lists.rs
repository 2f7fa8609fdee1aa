//! Signs revocation lists.
//!
//! All lists of a bundle are made together, and their number is the bundle's sequence. So the one counter that no
//! follower lets go back keeps both from going back, also over a restore from a backup, and no list is ever missing.

use std::time::{Duration, SystemTime};

use rcgen::{CertificateRevocationListParams, KeyIdMethod, RevokedCertParams};
use rustls_pki_types::CertificateRevocationListDer;

use super::index::{Index, Revoked};
use super::material::{Material, Signer, date, internal};
use super::times::SKEW;
use crate::authority::{CaError, CaErrorKind, RevocationReason};

/// How long a list is good for: whoever gets no newer one goes on for so long.
const GOOD_FOR: Duration = Duration::from_secs(7 * 86_400);
/// How often a list is replaced by a newer one: being good and being fresh are not the same.
pub(super) const FRESH_FOR: Duration = Duration::from_secs(3_600);
/// How long a certificate stays in the list behind its end, for verifiers whose clocks are late.
pub(super) const KEPT: Duration = Duration::from_secs(3_600);
/// What a list may weigh: nobody takes a larger one.
const MAX_LEN: usize = 8 * 1024 * 1024;

/// The lists of a generation: that of its root, and that of its issuing CA if it has one.
pub(super) fn sign(
    material: &Material,
    generation: u64,
    index: &Index,
    sequence: u64,
    now: SystemTime,
) -> Result<Vec<CertificateRevocationListDer<'static>>, CaError> {
    let signers = material.signers()?;
    let lowest = signers.len().saturating_sub(1);
    let listed = |place: usize, revoked: &Revoked| {
        let is_still_listed = revoked.not_after.checked_add(KEPT).is_none_or(|end| now <= end);
        // Leaves stand in the list of the lowest, CAs in that of who signed them.
        let is_of = if revoked.is_ca {
            place < lowest
        } else {
            place == lowest
        };
        revoked.generation == generation && is_of && is_still_listed
    };
    let list = |(place, signer): (usize, &Signer)| {
        let revoked = index
            .revocations()
            .iter()
            .filter(|revoked| listed(place, revoked));
        sign_one(signer, revoked, sequence, now)
    };
    signers.iter().enumerate().map(list).collect()
}

fn sign_one<'r>(
    signer: &Signer,
    revoked: impl Iterator<Item = &'r Revoked>,
    number: u64,
    now: SystemTime,
) -> Result<CertificateRevocationListDer<'static>, CaError> {
    let entry = |revoked: &Revoked| {
        Ok(RevokedCertParams {
            serial_number: rcgen::SerialNumber::from_slice(revoked.serial.as_bytes()),
            revocation_time: date(revoked.at)?,
            reason_code: reason(revoked.reason),
            invalidity_date: None,
        })
    };
    let this_update = now.checked_sub(SKEW).unwrap_or(now);
    let next_update = now.checked_add(GOOD_FOR).unwrap_or(now);
    let params = CertificateRevocationListParams {
        this_update: date(this_update)?,
        next_update: date(next_update)?,
        crl_number: rcgen::SerialNumber::from(number),
        issuing_distribution_point: None,
        revoked_certs: revoked.map(entry).collect::<Result<_, CaError>>()?,
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let signed = params
        .signed_by(&signer.issuer)
        .map_err(|error| internal(&error))?;
    let length = signed.der().len();
    if length > MAX_LEN {
        let message = format!(
            "the revocation list would have {length} bytes, and nobody takes more than {MAX_LEN}: rotate the CA, or issue \
             certificates of shorter lives, which leave the list sooner"
        );
        return Err(CaError::new(CaErrorKind::WrongState, message));
    }
    Ok(signed.der().clone())
}

/// Without a reason the entry says nothing, as RFC 5280 asks (section 5.3.1).
fn reason(reason: RevocationReason) -> Option<rcgen::RevocationReason> {
    use rcgen::RevocationReason as Told;
    match reason {
        RevocationReason::Unspecified => None,
        RevocationReason::KeyCompromise => Some(Told::KeyCompromise),
        RevocationReason::CaCompromise => Some(Told::CaCompromise),
        RevocationReason::AffiliationChanged => Some(Told::AffiliationChanged),
        RevocationReason::Superseded => Some(Told::Superseded),
        RevocationReason::CessationOfOperation => Some(Told::CessationOfOperation),
        RevocationReason::PrivilegeWithdrawn => Some(Told::PrivilegeWithdrawn),
    }
}
