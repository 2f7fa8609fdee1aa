//! What a certificate of the mesh has to be, beyond what TLS libraries ask.
//!
//! rustls and webpki find a path to a root and check its signatures, dates and constraints. They do not ask whether
//! the root itself has expired, whether a revocation list is the newest, how many certificates they are made to look
//! at, or anything SPIFFE demands. [`Verifier`] asks all of it, before and after webpki.

mod chain;
mod crl;
mod error;
mod leaf;
mod path;
#[cfg(test)]
mod tests;
mod trust;

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use mesh_core::SpiffeId;
use rustls::DistinguishedName;
use rustls_pki_types::{CertificateDer, ServerName, TrustAnchor};
use webpki::EndEntityCert;

use crate::authority::TrustBundle;
use crate::certificate::{Certificate, Purpose};
use crate::printable::shortened;
use crl::Crls;
use trust::Root;

pub use crl::CrlSummary;
pub(crate) use crl::uris;
pub use error::{TrustError, VerifyError, VerifyErrorKind};

/// What a certificate is shown as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Usage {
    /// By a client.
    Client,
    /// By a server.
    Server,
}

impl Usage {
    fn purpose(self) -> Purpose {
        match self {
            Self::Client => Purpose::Client,
            Self::Server => Purpose::Server,
        }
    }
}

/// Who it has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Expected {
    /// Any workload of the trust domain.
    Member,
    /// This workload.
    Identity(SpiffeId),
    /// Whoever has this DNS name or IP address, with or without a SPIFFE ID.
    Dns(ServerName<'static>),
    /// Whoever a root vouches for. It says that a certificate is good, and not whose it is: for tools.
    Anyone,
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Member => f.write_str("a member of the mesh"),
            Self::Identity(id) => id.fmt(f),
            Self::Dns(name) => f.write_str(&name.to_str()),
            Self::Anyone => f.write_str("anyone"),
        }
    }
}

/// What happens when a revocation list is past its `nextUpdate`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum StaleCrl {
    /// Certificates of its issuer are refused: who keeps a new list away cannot keep a stolen key in use.
    #[default]
    Deny,
    /// It counts as it is, and that is told in the log.
    Warn,
}

/// How strict a [`Verifier`] is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifyPolicy {
    /// The trust domain whose members are believed. `None`: that of any SPIFFE ID, which is for tools.
    pub trust_domain: Option<Box<str>>,
    /// The most certificates in a chain, the leaf included and the root not. Default 4. A longer one is refused
    /// before anybody looks at it: each certificate in it may cost a search for a path.
    pub max_chain: usize,
    /// Default: [`StaleCrl::Deny`].
    pub stale_crl: StaleCrl,
}

impl VerifyPolicy {
    /// The defaults, for any trust domain.
    pub fn new() -> Self {
        Self {
            trust_domain: None,
            max_chain: 4,
            stale_crl: StaleCrl::default(),
        }
    }
}

impl Default for VerifyPolicy {
    fn default() -> Self {
        Self::new()
    }
}

/// Whom to trust, compiled once for a bundle and used by every handshake. It never changes.
///
/// ```
/// use std::time::SystemTime;
/// use mesh_core::SpiffeId;
/// use mesh_tls::authority::{BundleRequest, CertAuthority};
/// use mesh_tls::verify::{Expected, Usage, Verifier, VerifyErrorKind, VerifyPolicy};
/// use mesh_tls::{CertRequest, LocalCa, PrivateKey};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), mesh_core::BoxError> {
/// let ca = LocalCa::in_memory("cluster.local")?;
/// let orders: SpiffeId = "spiffe://cluster.local/ns/dept-barc/sa/orders".parse()?;
/// let key = PrivateKey::generate(Default::default()).await?;
/// let day = std::time::Duration::from_secs(86_400);
/// let cert = ca.issue(CertRequest::new(key.certificate_request()?, orders.clone(), day)?).await?;
///
/// let verifier = Verifier::new(&ca.next_bundle(BundleRequest::any()).await?, VerifyPolicy::new())?;
/// let now = SystemTime::now();
/// verifier.verify(cert.chain(), Usage::Server, &Expected::Identity(orders), now)?;
///
/// let billing = Expected::Identity("spiffe://cluster.local/ns/dept-barc/sa/billing".parse()?);
/// let error = verifier.verify(cert.chain(), Usage::Server, &billing, now).expect_err("another one");
/// assert_eq!(error.kind(), VerifyErrorKind::WrongIdentity);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Verifier {
    policy: VerifyPolicy,
    roots: Vec<Root>,
    anchors: Vec<TrustAnchor<'static>>,
    crls: Arc<Crls>,
    subjects: Arc<[DistinguishedName]>,
}

impl Verifier {
    /// Compiles a bundle.
    ///
    /// # Errors
    /// Nobody could be trusted by it, or it would trust more than it seems to. Every reason is told at once.
    pub fn new(bundle: &TrustBundle, policy: VerifyPolicy) -> Result<Self, TrustError> {
        let roots = bundle.roots.iter().map(|root| &root.cert);
        trust::compile(roots, &bundle.crls, policy)
    }

    /// The same, with further roots. Under those, an issuer without a revocation list is believed: who signs under a
    /// root of somebody else may have none. Under the others nothing changes.
    ///
    /// One that is not fit to be a root is left out, and that is told in the log.
    ///
    /// # Errors
    /// None of them is fit to be a root.
    pub fn with_more_roots(&self, roots: &[CertificateDer<'static>]) -> Result<Self, TrustError> {
        trust::with_more_roots(self, roots)
    }

    /// The names of the roots: what a server tells its clients, so that they choose the right certificate.
    pub fn root_subjects(&self) -> Arc<[DistinguishedName]> {
        Arc::clone(&self.subjects)
    }

    /// The revocation lists, the newest of each issuer.
    pub fn crls(&self) -> impl Iterator<Item = CrlSummary<'_>> {
        self.crls.summaries()
    }

    /// Whether this one may take the place of `before`: a revocation list never goes back to an older one, which
    /// would give a stolen key its certificate back.
    ///
    /// # Errors
    /// A list has a lower number than that of the same issuer before, or the same number and another content.
    pub fn may_replace(&self, before: &Self) -> Result<(), TrustError> {
        let problems = self.crls.steps_back_from(&before.crls);
        match problems.is_empty() {
            true => Ok(()),
            false => Err(TrustError::new(problems)),
        }
    }

    /// Verifies a chain, the leaf first, and answers with what the leaf says.
    ///
    /// # Errors
    /// The first reason that was found why not to believe it.
    pub fn verify(
        &self,
        chain: &[CertificateDer<'_>],
        usage: Usage,
        expected: &Expected,
        now: SystemTime,
    ) -> Result<Certificate, VerifyError> {
        let [first, intermediates @ ..] = chain else {
            return Err(VerifyError::new(
                VerifyErrorKind::Malformed,
                "there is no certificate in the chain",
            ));
        };
        if chain.len() > self.policy.max_chain {
            return Err(VerifyError::new(
                VerifyErrorKind::ChainTooLong,
                format!(
                    "the chain has {} certificates: expected at most {}, the root left out",
                    chain.len(),
                    self.policy.max_chain
                ),
            ));
        }
        let leaf = Certificate::parse(first).map_err(|error| VerifyError::malformed(&error))?;
        leaf::check(&leaf, usage, expected)?;
        self.path(&leaf, first, intermediates, usage, now)
            .map_err(|error| error.of(&leaf))?;
        self.identity(first, &leaf, expected)?;
        Ok(leaf)
    }

    fn identity(
        &self,
        der: &CertificateDer<'_>,
        leaf: &Certificate,
        expected: &Expected,
    ) -> Result<(), VerifyError> {
        let wrong = |found: String| {
            Err(VerifyError::new(
                VerifyErrorKind::WrongIdentity,
                format!("expected {expected}, found {found}, serial {}", leaf.serial()),
            ))
        };
        let id = match expected {
            Expected::Anyone => return Ok(()),
            Expected::Dns(name) => {
                let parsed = EndEntityCert::try_from(der);
                let names = || shortened(&[leaf.dns_names(), leaf.uris()].concat().join(", "));
                return match parsed.and_then(|parsed| parsed.verify_is_valid_for_subject_name(name)) {
                    Ok(()) => Ok(()),
                    Err(_) => wrong(format!("a certificate for [{}]", names())),
                };
            }
            Expected::Member | Expected::Identity(_) => leaf.spiffe_id(),
        };
        let id =
            id.map_err(|error| VerifyError::new(VerifyErrorKind::BadSpiffeId, error.to_string()).of(leaf))?;
        if let Some(domain) = self.policy.trust_domain.as_deref()
            && domain != id.trust_domain()
        {
            return Err(VerifyError::new(
                VerifyErrorKind::ForeignTrustDomain,
                format!(
                    "{id} is not of the trust domain {domain}, serial {}",
                    leaf.serial()
                ),
            ));
        }
        match expected {
            Expected::Identity(expected) if expected != id => wrong(id.to_string()),
            _ => Ok(()),
        }
    }
}
