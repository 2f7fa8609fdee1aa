//! How a certificate is asked for, and what an identity begins with.

use std::future::Future;
use std::time::Duration;

use mesh_core::{BoxError, EventBus};
use tokio::time::timeout;

use super::IdentityError;
use super::epoch::{Compiler, Epoch};
use super::lifecycle::Lease;
use super::now::Now;
use crate::authority::{
    AnyAuthority, BundleRequest, CaError, CaErrorKind, CertAuthority, CertRequest, DnsName, Follower,
    IssuedCert, TrustBundle,
};
use crate::certificate::Certificate;
use crate::key::{KeyType, PrivateKey};
use crate::rotation::{renewal_due, share};
use crate::store::{AnyStore, CertStore, StoreError, StoreErrorKind, StoredCert};

/// How long an authority may take for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a certificate is asked for.
pub(super) struct Renewal {
    pub(super) compiler: Compiler,
    pub(super) authority: AnyAuthority,
    /// Who this process is to the authority, as one that follows its bundle.
    pub(super) follower: Follower,
    pub(super) store: AnyStore,
    pub(super) key_type: KeyType,
    pub(super) dns_names: Vec<DnsName>,
    pub(super) ttl: Duration,
    pub(super) before: Duration,
    pub(super) events: Option<EventBus>,
}

/// Why a step of a renewal failed.
pub(super) struct Failure {
    pub(super) error: IdentityError,
    pub(super) retry_after: Option<Duration>,
}

/// What an identity begins with.
pub(super) struct First {
    pub(super) state: StoredCert,
    pub(super) epoch: Epoch,
    /// What became of saving it.
    pub(super) saved: Result<(), StoreError>,
}

impl Renewal {
    /// The first state: the one that is stored, if it still serves, or a new one.
    pub(super) async fn first(&mut self) -> Result<First, IdentityError> {
        let id = self.compiler.id.clone();
        let stored = match self.store.load(&id).await {
            Ok(stored) => stored,
            Err(error) if error.kind() == StoreErrorKind::Corrupt => {
                tracing::warn!(%id, %error, "the stored identity cannot be read; asking for a new one");
                None
            }
            Err(error) => {
                return Err(IdentityError::because(
                    format_args!("the identity of {id} cannot be loaded"),
                    error,
                ));
            }
        };
        let bundle = match (self.any_bundle().await, &stored) {
            (Ok(bundle), Some(stored)) => self.newer_of(bundle, &stored.bundle)?,
            (Ok(bundle), None) => bundle,
            (Err(error), Some(stored)) => {
                tracing::warn!(%id, %error, "the authority tells no bundle; the stored one is used");
                stored.bundle.clone()
            }
            (Err(error), None) => {
                let message = format_args!("the authority does not say whom {id} may trust");
                return Err(IdentityError::because(message, error));
            }
        };
        if let Some(mut stored) = stored {
            let is_newer = stored.bundle.sequence != bundle.sequence;
            stored.bundle = bundle.clone();
            let compiled = self
                .compiler
                .compile(&stored.key, &stored.cert, &stored.bundle, None);
            match compiled.and_then(|epoch| epoch.fit(&id)) {
                Ok(epoch) => {
                    if !self.is_as_asked(&stored) {
                        match self.renewed(bundle).await {
                            Ok(first) => return Ok(first),
                            Err(error) => {
                                tracing::warn!(%error, "the stored certificate is of another kind or lives longer than asked for, and stays in use");
                            }
                        }
                    }
                    let saved = match is_newer {
                        true => self.store.save(&stored).await,
                        false => Ok(()),
                    };
                    return Ok(First {
                        state: stored,
                        epoch,
                        saved,
                    });
                }
                Err(error) => {
                    tracing::info!(%error, "the stored identity serves no more; asking for a new one")
                }
            }
        }
        self.renewed(bundle).await
    }

    /// The authority's bundle, unless it would give back what the stored one takes back: an authority that was restored
    /// from a backup is not to be believed in that until it has caught up.
    fn newer_of(&self, told: TrustBundle, stored: &TrustBundle) -> Result<TrustBundle, IdentityError> {
        if told.sequence < stored.sequence {
            tracing::warn!(id = %self.compiler.id, told = told.sequence, stored = stored.sequence, "the authority's bundle is older than the stored one, which is used");
            return Ok(stored.clone());
        }
        let verifier = self.compiler.verifier(&told)?;
        let Ok(before) = self.compiler.verifier(stored) else {
            return Ok(told);
        };
        match verifier.may_replace(&before) {
            Ok(()) => Ok(told),
            Err(error) => {
                tracing::error!(id = %self.compiler.id, %error, "the authority's bundle goes back behind the stored one, which is used");
                Ok(stored.clone())
            }
        }
    }

    /// Whether the kind of key and the lifetime are those that are asked for now: what was stored may be of before a
    /// change of the configuration.
    fn is_as_asked(&self, stored: &StoredCert) -> bool {
        let key = Certificate::parse(stored.cert.leaf()).map(|leaf| leaf.key().clone());
        // It is dated back by minutes.
        let longest = self.ttl.saturating_add(self.ttl / 10);
        key.is_ok_and(|key| key.is_of(self.key_type)) && stored.cert.lifetime() <= longest
    }

    /// A new key, with a new certificate, saved if that is possible.
    async fn renewed(&self, bundle: TrustBundle) -> Result<First, IdentityError> {
        let id = &self.compiler.id;
        let key = self.make_key().await.map_err(|failure| failure.error)?;
        let (key, issued) = self.request(key).await.map_err(|failure| failure.error)?;
        let epoch = self.compiler.compile(&key, &issued, &bundle, None)?.fit(id)?;
        let state = StoredCert::new(id.clone(), key, issued, bundle);
        let saved = self.store.save(&state).await;
        Ok(First { state, epoch, saved })
    }

    fn failure(&self, cause: impl Into<BoxError>) -> Failure {
        let id = &self.compiler.id;
        Failure {
            error: IdentityError::because(format_args!("there is no certificate for {id}"), cause),
            retry_after: None,
        }
    }

    pub(super) fn make_key(&self) -> impl Future<Output = Result<PrivateKey, Failure>> + Send + 'static {
        let made = PrivateKey::generate(self.key_type);
        let failure = self.failure_maker();
        async move { made.await.map_err(|error| failure(error.into())) }
    }

    /// Makes failures without the renewal itself.
    fn failure_maker(&self) -> impl Fn(BoxError) -> Failure + Send + Sync + 'static {
        let id = self.compiler.id.clone();
        move |cause| Failure {
            error: IdentityError::because(format_args!("there is no certificate for {id}"), cause),
            retry_after: None,
        }
    }

    pub(super) fn request(
        &self,
        key: PrivateKey,
    ) -> impl Future<Output = Result<(PrivateKey, IssuedCert), Failure>> + Send + 'static {
        let request = key
            .certificate_request()
            .map_err(|error| self.failure(error))
            .and_then(|csr| {
                CertRequest::new(csr, self.compiler.id.clone(), self.ttl).map_err(|error| self.failure(error))
            })
            .map(|mut request| {
                request.dns_names.clone_from(&self.dns_names);
                request
            });
        let (authority, failure) = (self.authority.clone(), self.failure_maker());
        async move {
            match timeout(PATIENCE, authority.issue(request?)).await {
                Ok(Ok(issued)) => Ok((key, issued)),
                Ok(Err(error)) => {
                    let retry_after = error.retry_after();
                    let hint = match error.kind() {
                        CaErrorKind::IssuerExpiring => {
                            "; the CA has to be rotated before it signs anything again"
                        }
                        _ => "",
                    };
                    let mut failed = failure(format!("{error}{hint}").into());
                    failed.retry_after = retry_after;
                    Err(failed)
                }
                Err(_) => Err(failure(
                    format!("the authority did not answer within {PATIENCE:?}").into(),
                )),
            }
        }
    }

    async fn any_bundle(&self) -> Result<TrustBundle, CaError> {
        match timeout(PATIENCE, self.authority.next_bundle(BundleRequest::any())).await {
            Ok(bundle) => bundle,
            Err(_) => Err(CaError::new(
                CaErrorKind::Unavailable,
                format!("no bundle within {PATIENCE:?}"),
            )),
        }
    }

    pub(super) fn lease(&self, cert: &IssuedCert) -> Lease {
        let id = &self.compiler.id;
        Lease {
            not_before: cert.not_before(),
            not_after: cert.not_after(),
            due: renewal_due(cert, id, self.before.min(cert.lifetime() / 2)),
            share: share(cert, id),
        }
    }

    pub(super) fn now(&self) -> Now {
        Now::of(&*self.compiler.clock)
    }
}
