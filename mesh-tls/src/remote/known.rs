//! What an authority knows of the certificates it issued.

use std::future::Future;
use std::time::SystemTime;

use mesh_core::SpiffeId;

use crate::authority::{CaError, LocalCa, SerialNumber};

/// A certificate that an authority issued.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KnownCert {
    /// Whose it is.
    pub spiffe_id: SpiffeId,
    /// Until when it is good.
    pub not_after: SystemTime,
}

impl KnownCert {
    /// One of this identity, good until then.
    pub fn new(spiffe_id: SpiffeId, not_after: SystemTime) -> Self {
        Self { spiffe_id, not_after }
    }
}

/// An authority that knows what it issued: without that, a certificate cannot be renewed by showing it.
///
/// What was revoked is told by the revocation lists of the authority's bundle, not here.
pub trait KnownCerts: Send + Sync + 'static {
    /// The certificate of this number; `None` if it was not issued here. It is asked once for a certificate that the API
    /// did not issue itself.
    ///
    /// # Errors
    /// That cannot be found out now.
    fn known(&self, serial: SerialNumber) -> impl Future<Output = Result<Option<KnownCert>, CaError>> + Send;
}

impl KnownCerts for LocalCa {
    async fn known(&self, serial: SerialNumber) -> Result<Option<KnownCert>, CaError> {
        let ca = self.clone();
        let found = tokio::task::spawn_blocking(move || {
            let issued = ca.issued()?;
            let record = issued.into_iter().rev().find(|record| record.serial == serial);
            Ok(record.map(|record| KnownCert::new(record.spiffe_id, record.not_after)))
        });
        found.await.unwrap_or_else(|error| {
            let message = format!("the list of what was issued could not be read: {error}");
            Err(CaError::new(crate::authority::CaErrorKind::Internal, message))
        })
    }
}
