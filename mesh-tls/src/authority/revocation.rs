//! Taking a certificate back.

use std::fmt;
use std::time::SystemTime;

use super::SerialNumber;

/// Why a certificate is taken back, as a CRL tells it (RFC 5280, section 5.3.1). Holding one back for a while,
/// and taking that back, are not among them: a revocation is for good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RevocationReason {
    /// Nobody says why.
    #[default]
    Unspecified,
    /// Its private key may be known to others.
    KeyCompromise,
    /// The key of its CA may be known to others.
    CaCompromise,
    /// Its holder's name or place changed.
    AffiliationChanged,
    /// Another one replaced it.
    Superseded,
    /// It is not needed any more.
    CessationOfOperation,
    /// Its holder may not have it any more.
    PrivilegeWithdrawn,
}

impl RevocationReason {
    /// Every reason.
    pub const ALL: [Self; 7] = [
        Self::Unspecified,
        Self::KeyCompromise,
        Self::CaCompromise,
        Self::AffiliationChanged,
        Self::Superseded,
        Self::CessationOfOperation,
        Self::PrivilegeWithdrawn,
    ];

    /// Its number in a CRL.
    pub const fn code(self) -> u8 {
        match self {
            Self::Unspecified => 0,
            Self::KeyCompromise => 1,
            Self::CaCompromise => 2,
            Self::AffiliationChanged => 3,
            Self::Superseded => 4,
            Self::CessationOfOperation => 5,
            Self::PrivilegeWithdrawn => 9,
        }
    }
}

impl fmt::Display for RevocationReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unspecified => "unspecified",
            Self::KeyCompromise => "key compromise",
            Self::CaCompromise => "CA compromise",
            Self::AffiliationChanged => "affiliation changed",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessation of operation",
            Self::PrivilegeWithdrawn => "privilege withdrawn",
        })
    }
}

/// Asks to take a certificate back.
///
/// ```
/// use mesh_tls::authority::{RevocationReason, RevokeRequest};
///
/// let request = RevokeRequest::new("4f:02:9b".parse()?).because(RevocationReason::KeyCompromise);
/// assert_eq!(request.reason.code(), 1);
/// # Ok::<(), mesh_tls::authority::SerialError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RevokeRequest {
    /// Which one.
    pub serial: SerialNumber,
    /// Why.
    pub reason: RevocationReason,
}

impl RevokeRequest {
    /// Takes back this one, without saying why.
    pub fn new(serial: SerialNumber) -> Self {
        Self {
            serial,
            reason: RevocationReason::Unspecified,
        }
    }

    /// Says why.
    #[must_use]
    pub fn because(mut self, reason: RevocationReason) -> Self {
        self.reason = reason;
        self
    }
}

/// A certificate was taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Revocation {
    /// Which one.
    pub serial: SerialNumber,
    /// Why.
    pub reason: RevocationReason,
    /// Since when.
    pub revoked_at: SystemTime,
    /// The number of the first CRL that holds it.
    pub crl_number: u64,
    /// The sequence of the first bundle that holds that CRL: who has it in force refuses the certificate.
    pub sequence: u64,
}

impl Revocation {
    /// The certificate of the request was taken back at this moment, and stands in the CRL of this number, in
    /// the bundle of this sequence.
    pub fn new(request: &RevokeRequest, revoked_at: SystemTime, crl_number: u64, sequence: u64) -> Self {
        Self {
            serial: request.serial,
            reason: request.reason,
            revoked_at,
            crl_number,
            sequence,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_reason_is_a_reserved_number_a_hold_or_its_end() {
        let codes: HashSet<u8> = RevocationReason::ALL
            .into_iter()
            .map(RevocationReason::code)
            .collect();
        assert_eq!(codes.len(), RevocationReason::ALL.len());
        assert!(codes.is_disjoint(&HashSet::from([6, 7, 8])));
    }
}
