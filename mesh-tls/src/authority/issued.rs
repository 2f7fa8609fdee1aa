//! What a CA answers with.

use std::time::{Duration, SystemTime};

use rustls_pki_types::CertificateDer;

use super::{CaError, CaErrorKind, SerialNumber};
use crate::certificate::Certificate;

/// A certificate and the chain up to, but without, a root.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use mesh_tls::{IssuedCert, SerialNumber};
///
/// # let (leaf, issuing_ca) = (vec![0x30], vec![0x30]);
/// let from = SystemTime::UNIX_EPOCH;
/// let until = from + Duration::from_secs(3600);
/// let cert = IssuedCert::new([leaf, issuing_ca], (from, until), SerialNumber::from_u64(0x2a)?)?;
/// assert_eq!(cert.lifetime(), Duration::from_secs(3600));
/// assert_eq!(cert.remaining(from + Duration::from_secs(600)), Duration::from_secs(3000));
/// assert!(cert.remaining(until + Duration::from_secs(1)).is_zero());
/// # Ok::<(), mesh_core::BoxError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedCert {
    chain: Vec<CertificateDer<'static>>,
    not_before: SystemTime,
    not_after: SystemTime,
    serial: SerialNumber,
}

impl IssuedCert {
    /// The longest chain, in certificates: what peers accept before they look at it.
    pub const MAX_CHAIN_LEN: usize = 4;

    /// A chain in DER, the leaf first, with the leaf's validity (first and last moment) and serial number.
    ///
    /// # Errors
    /// [`CaErrorKind::InvalidAnswer`]: the chain is empty or longer than
    /// [`MAX_CHAIN_LEN`](Self::MAX_CHAIN_LEN), or the validity ends before it begins.
    pub fn new<C: Into<CertificateDer<'static>>>(
        chain: impl IntoIterator<Item = C>,
        (not_before, not_after): (SystemTime, SystemTime),
        serial: SerialNumber,
    ) -> Result<Self, CaError> {
        let chain: Vec<_> = chain.into_iter().map(Into::into).collect();
        let refuse = |message| Err(CaError::new(CaErrorKind::InvalidAnswer, message));
        if chain.is_empty() || chain.len() > Self::MAX_CHAIN_LEN {
            return refuse(format!(
                "the chain of certificate {serial} has {} certificates: expected 1 to {}",
                chain.len(),
                Self::MAX_CHAIN_LEN
            ));
        }
        if not_after <= not_before {
            return refuse(format!(
                "certificate {serial} ends before it begins: expected a later end"
            ));
        }
        Ok(Self {
            chain,
            not_before,
            not_after,
            serial,
        })
    }

    /// A chain in DER, the leaf first; validity and serial number are what the leaf says.
    ///
    /// # Errors
    /// As [`new`](Self::new), or the leaf cannot be read.
    pub fn of_chain(chain: Vec<CertificateDer<'static>>) -> Result<Self, CaError> {
        let invalid = |message| CaError::new(CaErrorKind::InvalidAnswer, message);
        let leaf = chain
            .first()
            .ok_or_else(|| invalid("there is no certificate in the chain".into()))?;
        let leaf = Certificate::parse(leaf).map_err(|error| invalid(error.to_string()))?;
        Self::new(chain, (leaf.not_before(), leaf.not_after()), leaf.serial())
    }

    /// The chain in DER, the leaf first.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// The leaf in DER.
    pub fn leaf(&self) -> &CertificateDer<'static> {
        // `new` takes no empty chain.
        &self.chain[0]
    }

    /// The first moment of the leaf's validity. It may lie before the moment of issue, for peers whose clocks
    /// are late.
    pub fn not_before(&self) -> SystemTime {
        self.not_before
    }

    /// The last moment of the leaf's validity.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// The leaf's serial number.
    pub fn serial(&self) -> SerialNumber {
        self.serial
    }

    /// How long the leaf is valid in all.
    pub fn lifetime(&self) -> Duration {
        self.remaining(self.not_before)
    }

    /// How long the leaf is still valid; zero once it has expired.
    pub fn remaining(&self, now: SystemTime) -> Duration {
        self.not_after.duration_since(now).unwrap_or(Duration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cert(chain: usize, from: u64, until: u64) -> Result<IssuedCert, CaError> {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let serial = SerialNumber::from_u64(1).expect("positive");
        IssuedCert::new((1..=chain).map(|n| vec![n as u8]), (at(from), at(until)), serial)
    }

    #[test]
    fn an_answer_that_cannot_be_used_is_refused() {
        for (answer, why) in [
            (cert(0, 0, 1), "has 0 certificates"),
            (cert(5, 0, 1), "has 5 certificates"),
            (cert(1, 1, 1), "ends before it begins"),
            (cert(1, 2, 1), "ends before it begins"),
        ] {
            let error = answer.expect_err(why);
            assert_eq!(error.kind(), CaErrorKind::InvalidAnswer);
            assert!(error.to_string().contains(why), "{error}");
        }
    }

    #[test]
    fn the_leaf_is_the_first_of_the_chain() {
        let cert = cert(4, 0, 1).expect("four certificates");
        assert_eq!((cert.leaf().as_ref(), cert.chain().len()), ([1].as_slice(), 4));
    }
}
