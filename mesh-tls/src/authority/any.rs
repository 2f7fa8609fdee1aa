//! Any authority, without a type parameter.

use std::fmt;
use std::sync::Arc;

use super::{
    BundleRequest, CaError, CaGeneration, CertAuthority, CertRequest, IssuedCert, ManagedAuthority,
    Revocation, RevokeRequest, RotateRequest, TrustBundle,
};
use crate::erase::BoxFuture;

/// The twin of [`CertAuthority`] that a vtable can hold.
trait ErasedAuthority: Send + Sync {
    fn issue(&self, request: CertRequest) -> BoxFuture<'_, Result<IssuedCert, CaError>>;
    fn next_bundle(&self, request: BundleRequest) -> BoxFuture<'_, Result<TrustBundle, CaError>>;
}

impl<A: CertAuthority> ErasedAuthority for A {
    fn issue(&self, request: CertRequest) -> BoxFuture<'_, Result<IssuedCert, CaError>> {
        Box::pin(CertAuthority::issue(self, request))
    }

    fn next_bundle(&self, request: BundleRequest) -> BoxFuture<'_, Result<TrustBundle, CaError>> {
        Box::pin(CertAuthority::next_bundle(self, request))
    }
}

/// The twin of [`ManagedAuthority`] that a vtable can hold.
trait ErasedManaged: ErasedAuthority {
    fn revoke(&self, request: RevokeRequest) -> BoxFuture<'_, Result<Revocation, CaError>>;
    fn rotate(&self, request: RotateRequest) -> BoxFuture<'_, Result<CaGeneration, CaError>>;
    fn generations(&self) -> BoxFuture<'_, Result<Vec<CaGeneration>, CaError>>;
}

impl<A: ManagedAuthority> ErasedManaged for A {
    fn revoke(&self, request: RevokeRequest) -> BoxFuture<'_, Result<Revocation, CaError>> {
        Box::pin(ManagedAuthority::revoke(self, request))
    }

    fn rotate(&self, request: RotateRequest) -> BoxFuture<'_, Result<CaGeneration, CaError>> {
        Box::pin(ManagedAuthority::rotate(self, request))
    }

    fn generations(&self) -> BoxFuture<'_, Result<Vec<CaGeneration>, CaError>> {
        Box::pin(ManagedAuthority::generations(self))
    }
}

/// Any [`CertAuthority`]. Clones share it.
#[derive(Clone)]
pub struct AnyAuthority(Arc<dyn ErasedAuthority>);

impl AnyAuthority {
    /// Takes an authority.
    pub fn new(authority: impl CertAuthority) -> Self {
        Self(Arc::new(authority))
    }
}

impl CertAuthority for AnyAuthority {
    async fn issue(&self, request: CertRequest) -> Result<IssuedCert, CaError> {
        self.0.issue(request).await
    }

    async fn next_bundle(&self, request: BundleRequest) -> Result<TrustBundle, CaError> {
        self.0.next_bundle(request).await
    }
}

impl fmt::Debug for AnyAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnyAuthority").finish_non_exhaustive()
    }
}

/// Any [`ManagedAuthority`]. Clones share it.
#[derive(Clone)]
pub struct AnyManagedAuthority(Arc<dyn ErasedManaged>);

impl AnyManagedAuthority {
    /// Takes an authority.
    pub fn new(authority: impl ManagedAuthority) -> Self {
        Self(Arc::new(authority))
    }
}

impl CertAuthority for AnyManagedAuthority {
    async fn issue(&self, request: CertRequest) -> Result<IssuedCert, CaError> {
        self.0.issue(request).await
    }

    async fn next_bundle(&self, request: BundleRequest) -> Result<TrustBundle, CaError> {
        self.0.next_bundle(request).await
    }
}

impl ManagedAuthority for AnyManagedAuthority {
    async fn revoke(&self, request: RevokeRequest) -> Result<Revocation, CaError> {
        self.0.revoke(request).await
    }

    async fn rotate(&self, request: RotateRequest) -> Result<CaGeneration, CaError> {
        self.0.rotate(request).await
    }

    async fn generations(&self) -> Result<Vec<CaGeneration>, CaError> {
        self.0.generations().await
    }
}

impl fmt::Debug for AnyManagedAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnyManagedAuthority").finish_non_exhaustive()
    }
}
