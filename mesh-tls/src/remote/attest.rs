//! Who believes proofs.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use mesh_core::{PeerInfo, SpiffeId};

use super::{Proof, ProofKind};
use crate::authority::{CaError, CaErrorKind, DnsName};
use crate::erase::BoxFuture;

/// Whom a proof proves, and what a certificate for it may say.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attested {
    /// Who.
    pub spiffe_id: SpiffeId,
    /// The host names the certificate holds besides. Default none.
    pub dns_names: Vec<DnsName>,
    /// How long a certificate may be good for. Default: as long as the authority allows.
    pub longest: Option<Duration>,
    /// What the attestor finds the proof again by, for [`give_back`](Attestor::give_back). Never the proof itself.
    pub reference: Option<Box<str>>,
}

impl Attested {
    /// Somebody, without host names.
    pub fn new(spiffe_id: SpiffeId) -> Self {
        Self {
            spiffe_id,
            dns_names: Vec::new(),
            longest: None,
            reference: None,
        }
    }
}

/// Believes proofs of some kind: [`JoinTokens`](super::JoinTokens) is one; one that has Kubernetes review the token of a
/// service account, or asks a SPIRE agent, is written the same way.
///
/// ```
/// use mesh_core::PeerInfo;
/// use mesh_tls::remote::{AnyAttestor, Attested, Attestor, Attestors, Proof, ProofKind};
/// use mesh_tls::{CaError, CaErrorKind};
///
/// /// Believes whoever comes from the machine itself to be its agent.
/// struct Local;
///
/// impl Attestor for Local {
///     async fn attest(&self, _: &Proof, peer: &PeerInfo) -> Result<Attested, CaError> {
///         if !peer.address.ip().is_loopback() {
///             return Err(CaError::new(CaErrorKind::Denied, format!("{} is another machine", peer.address)));
///         }
///         let agent = "spiffe://cluster.local/ns/dept-barc/sa/agent".parse();
///         Ok(Attested::new(agent.map_err(|error| CaError::new(CaErrorKind::Internal, format!("{error}")))?))
///     }
/// }
///
/// # tokio::runtime::Builder::new_current_thread().build().expect("runtime").block_on(async {
/// let local = ProofKind::new("local")?;
/// let attestors = AnyAttestor::new(Attestors::new().with(local.clone(), Local));
/// let peer = PeerInfo::anonymous_tls(([127, 0, 0, 1], 55555).into());
/// let attested = attestors.attest(&Proof::new(local, "")?, &peer).await?;
/// assert_eq!(attested.spiffe_id.service(), Some("agent"));
///
/// let other = Proof::new(ProofKind::new("other")?, "")?;
/// assert_eq!(attestors.attest(&other, &peer).await.expect_err("nobody believes it").kind(), CaErrorKind::Denied);
/// # Ok::<(), CaError>(())
/// # }).expect("attested");
/// ```
pub trait Attestor: Send + Sync + 'static {
    /// Whom the proof proves. `peer` is the other end of the connection, with its certificate if it showed one.
    ///
    /// A proof that counts once is used up when this returns: it is called before a certificate is signed.
    ///
    /// # Errors
    /// [`CaErrorKind::Denied`] if nobody is proved. The message is for the log of the CA alone: who asked is told no
    /// more than that. Another kind if that cannot be found out now.
    fn attest(
        &self,
        proof: &Proof,
        peer: &PeerInfo,
    ) -> impl Future<Output = Result<Attested, CaError>> + Send;

    /// No certificate came of it, and none was handed out: a proof that counts once may count again. Does nothing unless
    /// it is implemented.
    fn give_back(&self, attested: &Attested) -> impl Future<Output = ()> + Send {
        let _ = attested;
        std::future::ready(())
    }
}

/// The twin of [`Attestor`] that a vtable can hold.
trait ErasedAttestor: Send + Sync {
    fn attest<'a>(&'a self, proof: &'a Proof, peer: &'a PeerInfo)
    -> BoxFuture<'a, Result<Attested, CaError>>;
    fn give_back<'a>(&'a self, attested: &'a Attested) -> BoxFuture<'a, ()>;
}

impl<A: Attestor> ErasedAttestor for A {
    fn attest<'a>(
        &'a self,
        proof: &'a Proof,
        peer: &'a PeerInfo,
    ) -> BoxFuture<'a, Result<Attested, CaError>> {
        Box::pin(Attestor::attest(self, proof, peer))
    }

    fn give_back<'a>(&'a self, attested: &'a Attested) -> BoxFuture<'a, ()> {
        Box::pin(Attestor::give_back(self, attested))
    }
}

/// Any [`Attestor`]. Clones share it.
#[derive(Clone)]
pub struct AnyAttestor(Arc<dyn ErasedAttestor>);

impl AnyAttestor {
    /// Takes an attestor.
    pub fn new(attestor: impl Attestor) -> Self {
        Self(Arc::new(attestor))
    }
}

impl Attestor for AnyAttestor {
    async fn attest(&self, proof: &Proof, peer: &PeerInfo) -> Result<Attested, CaError> {
        self.0.attest(proof, peer).await
    }

    async fn give_back(&self, attested: &Attested) {
        self.0.give_back(attested).await;
    }
}

impl fmt::Debug for AnyAttestor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnyAttestor").finish_non_exhaustive()
    }
}

/// An attestor for each kind of proof. A kind without one is denied.
#[derive(Clone, Debug, Default)]
pub struct Attestors {
    by_kind: HashMap<ProofKind, AnyAttestor>,
}

impl Attestors {
    /// None: who has no certificate gets none.
    pub fn new() -> Self {
        Self::default()
    }

    /// With one that believes proofs of this kind; in place of the one there was.
    #[must_use]
    pub fn with(mut self, kind: ProofKind, attestor: impl Attestor) -> Self {
        self.by_kind.insert(kind, AnyAttestor::new(attestor));
        self
    }
}

impl Attestor for Attestors {
    async fn attest(&self, proof: &Proof, peer: &PeerInfo) -> Result<Attested, CaError> {
        match self.by_kind.get(proof.kind()) {
            Some(attestor) => {
                let mut attested = Attestor::attest(attestor, proof, peer).await?;
                // So that it finds its way back to the same attestor.
                let reference = attested.reference.unwrap_or_default();
                attested.reference = Some(format!("{} {reference}", proof.kind()).into());
                Ok(attested)
            }
            None => {
                let message = format!("no proof of the kind {} is believed here", proof.kind());
                Err(CaError::new(CaErrorKind::Denied, message))
            }
        }
    }

    async fn give_back(&self, attested: &Attested) {
        let reference = attested
            .reference
            .as_deref()
            .and_then(|reference| reference.split_once(' '));
        let Some((kind, reference)) = reference else {
            return;
        };
        let attestor = self.by_kind.iter().find(|(known, _)| known.as_str() == kind);
        if let Some((_, attestor)) = attestor {
            let mut attested = attested.clone();
            attested.reference = Some(reference.into());
            Attestor::give_back(attestor, &attested).await;
        }
    }
}
