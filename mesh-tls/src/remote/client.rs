//! The CA at another place, as an authority.

mod builder;
mod memory;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use mesh_core::SpiffeId;
use mesh_core::clock::WallClock;
use parking_lot::Mutex;
use rustls::sign::CertifiedKey;

use super::bootstrap;
use super::channel::{CaAddress, Channel};
use super::source::{AnyProofSource, Introduction, ProofSource};
use super::wire::{Ask, BundleText, Issued, MAX_ANSWER};
use super::{Proof, ProofKind};
use crate::authority::{
    BundleRequest, CaError, CaErrorKind, CertAuthority, CertRequest, IssuedCert, SerialNumber, TrustBundle,
};
use crate::certificate::Certificate;
use crate::client::{TlsConnect, member_config};
use crate::policy::{Crypto, Peers};
use crate::server::Trust;
use crate::store::{AnyStore, CertStore};
use crate::verify::{Expected, StaleCrl, Usage, Verifier, VerifyPolicy};
use memory::Memory;

pub use builder::RemoteCaBuilder;

/// How long the CA may take to sign: it lets who asks wait for up to 10 s.
const SIGNING: Duration = Duration::from_secs(25);
/// How long it may let a request for a bundle wait, and what the way takes.
const POLL: Duration = Duration::from_secs(40);

/// A CA at another place, asked over HTTPS.
///
/// It shows the certificate that is in the store, as long as that is good and the CA accepts it. Without one it joins with
/// what a [`ProofSource`] gives, which is asked anew at every attempt. Either way it speaks to the CA's server alone: the
/// connection is verified by the trust bundle, or on the first by the hashes that come with the proof, and the server
/// has to prove one certain SPIFFE ID. Redirects are not followed.
///
/// Until there is a certificate, its bundle is the roots that the proof names, with the sequence 0. The CA's own follows
/// with the certificate.
///
/// Give [`Identity::builder`](crate::Identity::builder) the same store. Clones share it.
///
/// [`CertificateApi`](super::CertificateApi) shows it at work.
#[derive(Clone)]
pub struct RemoteCa {
    inner: Arc<Inner>,
}

struct Inner {
    id: SpiffeId,
    address: CaAddress,
    proofs: Option<AnyProofSource>,
    store: AnyStore,
    crypto: Crypto,
    stale_crl: StaleCrl,
    clock: Arc<dyn WallClock>,
    memory: Memory,
    /// The newest bundle that was told.
    told: Mutex<Option<TrustBundle>>,
}

/// What is shown to the CA.
struct Credential {
    serial: SerialNumber,
    connect: TlsConnect,
}

impl RemoteCa {
    /// Begins to put one together: for the workload of this identity, at this URL (`https`, without a path).
    ///
    /// # Errors
    /// [`CaErrorKind::InvalidRequest`]: the URL is another.
    pub fn builder(id: SpiffeId, url: &str) -> Result<RemoteCaBuilder, CaError> {
        Ok(RemoteCaBuilder::new(id, CaAddress::read(url)?))
    }
}

impl Inner {
    /// The certificate in the store, if it is good for asking.
    ///
    /// # Errors
    /// Why it is not.
    async fn credential(&self) -> Result<Credential, String> {
        let stored = match self.store.load(&self.id).await {
            Ok(stored) => stored.ok_or("there is no certificate yet")?,
            Err(error) => return Err(format!("the stored certificate cannot be read: {error}")),
        };
        let server = match self.memory.server() {
            Some(server) => server,
            // Another URL, or a directory that was brought back: who lets this process join knows.
            None => self
                .introduced()
                .await
                .ok_or("it is not known who the server of the CA is, and no join token tells")?,
        };
        let newer = self.told.lock().clone();
        let bundle = newer
            .filter(|told| told.sequence >= stored.bundle.sequence)
            .unwrap_or(stored.bundle);
        let verifier = self.verifier(&bundle)?;
        // What the CA would refuse is not shown to it.
        verifier
            .verify(
                stored.cert.chain(),
                Usage::Client,
                &Expected::Identity(self.id.clone()),
                self.clock.now(),
            )
            .map_err(|error| error.to_string())?;
        let key = CertifiedKey::from_der(
            stored.cert.chain().to_vec(),
            stored.key.expose_secret().clone_key(),
            &self.crypto.provider,
        );
        let key = key.map_err(|error| format!("the stored key cannot be used: {error}"))?;
        Ok(Credential {
            serial: stored.cert.serial(),
            connect: self.connect(verifier, server, Some(Arc::new(key)))?,
        })
    }

    /// Who the server of the CA is, as a join token says.
    async fn introduced(&self) -> Option<SpiffeId> {
        let introduction = self.proofs.as_ref()?.introduction().await.ok()?;
        self.memory.remember(introduction.server.clone()).await;
        Some(introduction.server)
    }

    fn verifier(&self, bundle: &TrustBundle) -> Result<Verifier, String> {
        let mut policy = VerifyPolicy::new();
        policy.trust_domain = Some(self.id.trust_domain().into());
        policy.stale_crl = self.stale_crl;
        Verifier::new(bundle, policy).map_err(|error| format!("the trust bundle cannot be used: {error}"))
    }

    fn connect(
        &self,
        verifier: Verifier,
        server: SpiffeId,
        key: Option<Arc<CertifiedKey>>,
    ) -> Result<TlsConnect, String> {
        let trust = Trust {
            verifier: Arc::new(verifier),
            // Whoever else may pose as anyone: the CA's server has to be the CA's server.
            peers: Peers::Verified,
            clock: Arc::clone(&self.clock),
        };
        let expected = Expected::Identity(server);
        let config = member_config(&self.crypto, trust, expected.clone(), key);
        let config = config.map_err(|error| format!("TLS cannot be spoken: {error}"))?;
        Ok(TlsConnect::by(config, expected))
    }

    async fn renew(&self, request: &CertRequest, credential: Credential) -> Result<IssuedCert, CaError> {
        let proof = Proof::new(ProofKind::CERTIFICATE, "")?;
        self.sign(credential.connect, request, proof).await
    }

    async fn join(&self, request: &CertRequest, introduction: Introduction) -> Result<IssuedCert, CaError> {
        let roots = bootstrap::roots(&self.address, &self.crypto, &introduction.roots).await?;
        let unusable = |why: String| CaError::new(CaErrorKind::InvalidAnswer, why);
        let verifier = self.verifier(&roots).map_err(unusable)?;
        let connect = self
            .connect(verifier, introduction.server.clone(), None)
            .map_err(unusable)?;
        let issued = self.sign(connect, request, introduction.proof).await?;
        self.memory.remember(introduction.server).await;
        Ok(issued)
    }

    async fn sign(
        &self,
        connect: TlsConnect,
        request: &CertRequest,
        proof: Proof,
    ) -> Result<IssuedCert, CaError> {
        let ask = Ask {
            csr: request.csr.clone(),
            proof,
            ttl_seconds: request.ttl.as_secs(),
        };
        let body = Bytes::copy_from_slice(&ask.written()?);
        let mut channel = Channel::open(connect, &self.address).await?;
        let issued: Option<Issued> = channel
            .ask(Method::POST, "/v1/certificates", body, SIGNING, MAX_ANSWER)
            .await?;
        let unusable =
            |why: String| CaError::new(CaErrorKind::InvalidAnswer, format!("{}: {why}", self.address.url));
        let issued = issued.ok_or_else(|| unusable("the CA answered without a certificate".into()))?;
        let (cert, bundle) = issued.parts()?;
        let leaf = Certificate::parse(cert.leaf()).map_err(|error| unusable(error.to_string()))?;
        match leaf.spiffe_id() {
            Ok(id) if *id == self.id => {}
            Ok(other) => {
                return Err(unusable(format!(
                    "what proves this process is bound to {other}, and it is configured to be {}: make a join token for that \
                     one",
                    self.id
                )));
            }
            Err(error) => return Err(unusable(error.to_string())),
        }
        for name in &request.dns_names {
            if !leaf
                .dns_names()
                .iter()
                .any(|held| held.eq_ignore_ascii_case(name.as_ref()))
            {
                tracing::warn!(
                    id = %self.id,
                    name = name.as_ref(),
                    "the certificate holds no such DNS name: the CA says which, so make a join token with --dns"
                );
            }
        }
        self.learn(bundle);
        Ok(cert)
    }

    fn learn(&self, bundle: TrustBundle) {
        let mut told = self.told.lock();
        if told.as_ref().is_none_or(|told| told.sequence < bundle.sequence) {
            *told = Some(bundle);
        }
    }

    /// One request after the other, over one connection, until there is a newer bundle or another certificate to show.
    async fn follow(
        &self,
        credential: Credential,
        request: &BundleRequest,
    ) -> Result<Option<TrustBundle>, CaError> {
        let mut path = format!("/v1/bundle?seen={}&in_force={}", request.seen, request.in_force);
        if let Some(follower) = &request.follower {
            path.push_str(&format!("&instance={:016x}", follower.instance));
        }
        let mut channel = Channel::open(credential.connect, &self.address).await?;
        loop {
            let told: Option<BundleText> = channel
                .ask(Method::GET, &path, Bytes::new(), POLL, MAX_ANSWER)
                .await?;
            if let Some(told) = told {
                let bundle = told.bundle()?;
                if bundle.sequence <= request.seen {
                    let message = format!("{}: the CA told an old bundle for a new one", self.address.url);
                    return Err(CaError::new(CaErrorKind::InvalidAnswer, message));
                }
                self.learn(bundle.clone());
                return Ok(Some(bundle));
            }
            if !self
                .credential()
                .await
                .is_ok_and(|now| now.serial == credential.serial)
            {
                return Ok(None);
            }
        }
    }
}

impl CertAuthority for RemoteCa {
    async fn issue(&self, request: CertRequest) -> Result<IssuedCert, CaError> {
        let inner = &self.inner;
        if request.spiffe_id != inner.id {
            let message = format!(
                "this asks for certificates of {}, and not of {}",
                inner.id, request.spiffe_id
            );
            return Err(CaError::new(CaErrorKind::InvalidRequest, message));
        }
        let without = match inner.credential().await {
            Ok(credential) => match inner.renew(&request, credential).await {
                Err(error) if error.kind() == CaErrorKind::Denied => error,
                done => return done,
            },
            Err(why) => CaError::new(CaErrorKind::Denied, why),
        };
        let Some(proofs) = &inner.proofs else {
            let message = format!("{without}; and no join token is configured");
            return Err(CaError::new(without.kind(), message));
        };
        let introduction = proofs
            .introduction()
            .await
            .map_err(|error| CaError::new(error.kind(), format!("{without}; and {error}")))?;
        tracing::info!(id = %inner.id, ca = %inner.address.url, because = %without, "joining the mesh");
        inner.join(&request, introduction).await
    }

    async fn next_bundle(&self, request: BundleRequest) -> Result<TrustBundle, CaError> {
        let inner = &self.inner;
        loop {
            let told = inner.told.lock().clone();
            if let Some(told) = told.filter(|told| told.sequence > request.seen) {
                return Ok(told);
            }
            match inner.credential().await {
                Ok(credential) => {
                    if let Some(bundle) = inner.follow(credential, &request).await? {
                        return Ok(bundle);
                    }
                }
                Err(why) => {
                    // Who begins gets the roots that its token names. Who follows has a bundle, and gets what is newer with its
                    // next certificate: roots alone would take the place of lists.
                    let begins = request.seen == 0 && request.follower.is_none();
                    let Some(proofs) = inner.proofs.as_ref().filter(|_| begins) else {
                        let message = format!(
                            "{}: the bundle is told to who has a certificate: {why}",
                            inner.address.url
                        );
                        return Err(CaError::new(CaErrorKind::Denied, message));
                    };
                    let introduction = proofs.introduction().await?;
                    return bootstrap::roots(&inner.address, &inner.crypto, &introduction.roots).await;
                }
            }
        }
    }
}

impl fmt::Debug for RemoteCa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteCa")
            .field("id", &self.inner.id)
            .field("url", &self.inner.address.url)
            .finish_non_exhaustive()
    }
}
