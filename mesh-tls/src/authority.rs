//! Who signs certificates, and whom to trust.

use std::future::Future;

mod any;
mod bundle;
mod error;
mod follower;
mod generation;
mod issued;
mod local;
mod request;
mod revocation;
mod serial;

pub use any::{AnyAuthority, AnyManagedAuthority};
pub use bundle::{TrustBundle, TrustRoot, newer};
pub use error::{CaError, CaErrorKind};
pub use follower::{BundleRequest, Follower};
pub use generation::{CaGeneration, GenerationState, RotateRequest, RotationStep};
pub use issued::IssuedCert;
pub use local::{CaStatus, IssuedRecord, LocalCa, LocalCaOptions};
pub use request::{CertRequest, DnsName};
pub use revocation::{Revocation, RevocationReason, RevokeRequest};
pub use serial::{SerialError, SerialNumber};

/// Signs certificates for workloads and says whose certificates to trust.
///
/// The mesh's own CA is one, a CA behind an API, a SPIRE agent or files that somebody else renews are others.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use mesh_core::{Live, live};
/// use mesh_tls::authority::{BundleRequest, newer};
/// use mesh_tls::{CaError, CaErrorKind, CertAuthority, CertRequest, IssuedCert, SerialNumber, TrustBundle, TrustRoot};
///
/// /// Gives everybody who asks the one certificate that somebody signed by hand.
/// struct ByHand {
///     cert: IssuedCert,
///     bundle: Live<TrustBundle>,
/// }
///
/// impl CertAuthority for ByHand {
///     async fn issue(&self, request: CertRequest) -> Result<IssuedCert, CaError> {
///         if request.spiffe_id.service() != Some("orders") {
///             let message = format!("nothing was signed for {}: sign it and restart", request.spiffe_id);
///             return Err(CaError::new(CaErrorKind::Denied, message));
///         }
///         Ok(self.cert.clone())
///     }
///
///     async fn next_bundle(&self, request: BundleRequest) -> Result<TrustBundle, CaError> {
///         Ok(newer(&self.bundle, request.seen).await)
///     }
/// }
///
/// # tokio::runtime::Builder::new_current_thread().build().expect("runtime").block_on(async {
/// # let (leaf, root) = (b"leaf".to_vec(), b"root".to_vec());
/// let now = SystemTime::now();
/// let (publisher, bundle) = live(TrustBundle::new(1, [TrustRoot::new(root)]));
/// let cert = IssuedCert::new([leaf], (now, now + Duration::from_secs(86_400)), SerialNumber::from_u64(7)?)?;
/// let authority = mesh_tls::AnyAuthority::new(ByHand { cert, bundle }); // stored without a type parameter
///
/// # let csr = b"csr".to_vec();
/// let id = "spiffe://cluster.local/ns/dept-barc/sa/orders".parse()?;
/// let issued = authority.issue(CertRequest::new(csr, id, Duration::from_secs(86_400))?).await?;
/// assert_eq!(issued.serial().to_string(), "07");
///
/// let first = authority.next_bundle(BundleRequest::any()).await?;
/// publisher.publish(TrustBundle::new(2, first.roots));
/// assert_eq!(authority.next_bundle(BundleRequest::after(1)).await?.sequence, 2);
/// # Ok::<(), mesh_core::BoxError>(())
/// # }).expect("issued");
/// ```
pub trait CertAuthority: Send + Sync + 'static {
    /// Signs a certificate.
    ///
    /// Identity, names and lifetime are those of the [`CertRequest`]; only the public key and the proof that its
    /// private key is there are taken from the CSR. The lifetime may be cut short, so that the certificate ends
    /// before its issuer does.
    ///
    /// # Errors
    /// See [`CaErrorKind`]; whether asking again may help, and when, the error says itself.
    fn issue(&self, request: CertRequest) -> impl Future<Output = Result<IssuedCert, CaError>> + Send;

    /// The bundle, as soon as its sequence is above the one that was seen.
    ///
    /// To ask says which bundle is in force at the caller: an authority that rotates waits for every [`Follower`] it
    /// knows before it signs with a key that they have to trust. Sequences only grow, also over restarts. An authority that was restored from a backup and is
    /// asked with a sequence above its own continues above that one.
    ///
    /// Cancel-safe: a dropped call loses nothing. After an error the caller keeps the bundle it has and asks
    /// again, with back-off.
    fn next_bundle(
        &self,
        request: BundleRequest,
    ) -> impl Future<Output = Result<TrustBundle, CaError>> + Send;
}

/// What a CA of our own can do besides: take certificates back, and replace itself.
///
/// A CA lives in *generations*: each has a key and a name of its own, and while one replaces another both are
/// trusted (see [`GenerationState`]).
pub trait ManagedAuthority: CertAuthority {
    /// Revokes a certificate.
    ///
    /// When it returns, the revocation is stored, and the CRL that holds it is in the bundle of
    /// [`Revocation::sequence`]. To revoke a certificate twice changes nothing: the first reason stays.
    ///
    /// # Errors
    /// [`CaErrorKind::UnknownCertificate`] if it was not issued here.
    fn revoke(&self, request: RevokeRequest) -> impl Future<Output = Result<Revocation, CaError>> + Send;

    /// Takes one step of a rotation, and answers with the generation that the step was about.
    ///
    /// # Errors
    /// [`CaErrorKind::WrongState`] if the step is not possible now: the message says what has to happen before.
    fn rotate(&self, request: RotateRequest) -> impl Future<Output = Result<CaGeneration, CaError>> + Send;

    /// Every generation that is not gone, the oldest first.
    fn generations(&self) -> impl Future<Output = Result<Vec<CaGeneration>, CaError>> + Send;
}
