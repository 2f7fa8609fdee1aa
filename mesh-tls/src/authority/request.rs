//! What a workload asks a CA for.

use std::time::Duration;

use mesh_core::SpiffeId;
use rustls_pki_types::CertificateSigningRequestDer;

use super::{CaError, CaErrorKind};

/// A DNS name, as a certificate holds it.
pub type DnsName = rustls_pki_types::DnsName<'static>;

/// Asks for a certificate.
///
/// Whoever checks requests of others compares [`spiffe_id`](Self::spiffe_id) and
/// [`dns_names`](Self::dns_names) with what the caller proved to be; a CSR proves only that its key is there.
///
/// ```
/// use std::time::Duration;
/// use mesh_tls::CertRequest;
///
/// # let csr = vec![0x30];
/// let id = "spiffe://cluster.local/ns/dept-barc/sa/orders".parse()?;
/// let request = CertRequest::new(csr, id, Duration::from_secs(90 * 86_400))?
///     .with_dns_name("orders.dept-barc.svc.cluster.local".try_into()?);
/// assert_eq!(request.dns_names.len(), 1);
///
/// let trust_domain = "spiffe://cluster.local".parse()?;
/// assert!(CertRequest::new(vec![0x30], trust_domain, Duration::from_secs(60)).is_err());
/// # Ok::<(), mesh_core::BoxError>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CertRequest {
    /// The certificate signing request (PKCS #10): the public key, signed with its private key. What else it
    /// asks for is ignored.
    pub csr: CertificateSigningRequestDer<'static>,
    /// Who the certificate is to name, as its one URI.
    pub spiffe_id: SpiffeId,
    /// Host names it is to hold besides, for clients that know no SPIFFE IDs. Default none.
    pub dns_names: Vec<DnsName>,
    /// How long it is to be valid from now on.
    pub ttl: Duration,
}

impl CertRequest {
    /// The largest CSR, in bytes: a key of 4096 bits takes a tenth of it.
    pub const MAX_CSR_LEN: usize = 16 * 1024;

    /// Asks for a certificate of this identity.
    ///
    /// # Errors
    /// [`CaErrorKind::InvalidRequest`]: the CSR is empty or larger than
    /// [`MAX_CSR_LEN`](Self::MAX_CSR_LEN), the ID names a whole trust domain, or the lifetime is zero.
    pub fn new(
        csr: impl Into<CertificateSigningRequestDer<'static>>,
        spiffe_id: SpiffeId,
        ttl: Duration,
    ) -> Result<Self, CaError> {
        let csr = csr.into();
        let refuse = |message| Err(CaError::new(CaErrorKind::InvalidRequest, message));
        if csr.is_empty() || csr.len() > Self::MAX_CSR_LEN {
            return refuse(format!(
                "the CSR for {spiffe_id} has {} bytes: expected 1 to {}",
                csr.len(),
                Self::MAX_CSR_LEN
            ));
        }
        if spiffe_id.path().is_empty() {
            return refuse(format!(
                "{spiffe_id} names a trust domain: expected a workload, as {spiffe_id}/ns/<namespace>/sa/<service>"
            ));
        }
        if ttl.is_zero() {
            return refuse(format!(
                "the certificate for {spiffe_id} is to be valid for 0s: expected more"
            ));
        }
        Ok(Self {
            csr,
            spiffe_id,
            dns_names: Vec::new(),
            ttl,
        })
    }

    /// With a host name besides.
    #[must_use]
    pub fn with_dns_name(mut self, name: DnsName) -> Self {
        self.dns_names.push(name);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> SpiffeId {
        text.parse().expect("an ID")
    }

    fn refused(csr: usize, spiffe_id: &str, ttl: u64) -> CaError {
        CertRequest::new(vec![0x30; csr], id(spiffe_id), Duration::from_secs(ttl)).expect_err("refused")
    }

    #[test]
    fn a_request_that_no_ca_may_sign_is_refused_before_it_is_sent() {
        let orders = "spiffe://cluster.local/ns/dept-barc/sa/orders";
        let cases = [
            (refused(0, orders, 60), "has 0 bytes"),
            (
                refused(CertRequest::MAX_CSR_LEN + 1, orders, 60),
                "has 16385 bytes",
            ),
            (refused(1, "spiffe://cluster.local", 60), "names a trust domain"),
            (refused(1, orders, 0), "valid for 0s"),
        ];
        for (error, why) in cases {
            assert_eq!(error.kind(), CaErrorKind::InvalidRequest);
            assert!(error.to_string().contains(why), "{error}");
            assert!(!error.is_transient());
        }
        assert!(
            CertRequest::new(
                vec![0x30; CertRequest::MAX_CSR_LEN],
                id(orders),
                Duration::from_nanos(1)
            )
            .is_ok()
        );
    }
}
