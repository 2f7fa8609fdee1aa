//! Keeps an identity fresh: follows the authority's bundle, and renews the certificate in time.

use std::future::Future;
use std::time::Duration;

use mesh_core::{Backoff, Publisher};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::IdentityError;
use super::epoch::{Compiler, Epoch};
use crate::authority::{
    AnyAuthority, BundleRequest, CertAuthority, CertRequest, DnsName, Follower, TrustBundle,
};
use crate::certificate::Certificate;
use crate::key::{KeyType, PrivateKey};
use crate::rotation::renewal_due;
use crate::store::{AnyStore, CertStore, StoreErrorKind, StoredCert};

/// How long an authority may take for an answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest sleep: the wall clock may be set, or the machine may have slept meanwhile.
const GLANCE: Duration = Duration::from_secs(60);

/// The task that keeps an identity fresh. It ends with the last clone of the identity.
pub(super) struct Driver(JoinHandle<()>);

impl Driver {
    pub(super) fn start(task: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(task))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

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
}

/// What happens next.
enum Next {
    Bundle(TrustBundle),
    BundleFailed(crate::authority::CaError),
    Renew,
}

impl Renewal {
    /// The first state: the one that is stored, if it still serves, or a new one.
    pub(super) async fn first(&mut self) -> Result<(StoredCert, Epoch), IdentityError> {
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
            (Ok(bundle), _) => bundle,
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
            stored.bundle = bundle.clone();
            match self.compiler.compile(&stored.key, &stored.cert, &stored.bundle) {
                Ok(epoch) if self.is_as_asked(&stored) => return Ok((stored, epoch)),
                Ok(epoch) => {
                    return self.renewed(bundle).await.or_else(|error| {
                        tracing::warn!(%error, "the stored certificate is of another kind or lives longer than asked for, and stays in use");
                        Ok((stored, epoch))
                    });
                }
                Err(error) => {
                    tracing::info!(%error, "the stored identity serves no more; asking for a new one")
                }
            }
        }
        self.renewed(bundle).await
    }

    /// Whether the kind of key and the lifetime are those that are asked for now: what was stored may be of before a
    /// change of the configuration.
    fn is_as_asked(&self, stored: &StoredCert) -> bool {
        let key = Certificate::parse(stored.cert.leaf()).map(|leaf| leaf.key().clone());
        // It is dated back by minutes.
        let longest = self.ttl.saturating_add(self.ttl / 10);
        key.is_ok_and(|key| key.is_of(self.key_type)) && stored.cert.lifetime() <= longest
    }

    /// A new key, with a new certificate, saved.
    async fn renewed(&self, bundle: TrustBundle) -> Result<(StoredCert, Epoch), IdentityError> {
        let id = &self.compiler.id;
        let failed = |cause: mesh_core::BoxError| {
            IdentityError::because(format_args!("there is no certificate for {id}"), cause)
        };
        let key = PrivateKey::generate(self.key_type)
            .await
            .map_err(|error| failed(error.into()))?;
        let csr = key.certificate_request().map_err(|error| failed(error.into()))?;
        let mut request =
            CertRequest::new(csr, id.clone(), self.ttl).map_err(|error| failed(error.into()))?;
        request.dns_names.clone_from(&self.dns_names);
        let issued = match timeout(PATIENCE, self.authority.issue(request)).await {
            Ok(issued) => issued.map_err(|error| failed(error.into()))?,
            Err(_) => {
                return Err(failed(
                    format!("the authority did not answer within {PATIENCE:?}").into(),
                ));
            }
        };
        let epoch = self.compiler.compile(&key, &issued, &bundle)?;
        let state = StoredCert::new(id.clone(), key, issued, bundle);
        self.save(&state).await;
        Ok((state, epoch))
    }

    /// What cannot be saved serves all the same, until the next restart.
    async fn save(&self, state: &StoredCert) {
        if let Err(error) = self.store.save(state).await {
            tracing::error!(id = %state.id, %error, "the identity could not be saved; a restart asks for a new one");
        }
    }

    async fn any_bundle(&self) -> Result<TrustBundle, crate::authority::CaError> {
        match timeout(PATIENCE, self.authority.next_bundle(BundleRequest::any())).await {
            Ok(bundle) => bundle,
            Err(_) => Err(crate::authority::CaError::new(
                crate::authority::CaErrorKind::Unavailable,
                format!("no bundle within {PATIENCE:?}"),
            )),
        }
    }

    /// A bundle newer than the newest that was told, which may not be the one in use.
    async fn next_bundle(
        &self,
        seen: u64,
        state: &StoredCert,
    ) -> Result<TrustBundle, crate::authority::CaError> {
        let request = BundleRequest::after(seen).in_force(state.bundle.sequence);
        self.authority
            .next_bundle(request.by(self.follower.clone()))
            .await
    }

    /// Runs until it is dropped.
    pub(super) async fn keep_fresh(self, mut state: StoredCert, publisher: Publisher<Epoch>) {
        let mut random = fastrand::Rng::new();
        let mut bundle_retry = Backoff::new(Duration::from_secs(1), Duration::from_secs(300));
        let mut renew_retry = bundle_retry;
        let mut seen = state.bundle.sequence;
        loop {
            let next = tokio::select! {
                bundle = self.next_bundle(seen, &state) => match bundle {
                    Ok(bundle) => Next::Bundle(bundle),
                    Err(error) => Next::BundleFailed(error),
                },
                () = self.until_due(&state) => Next::Renew,
            };
            match next {
                Next::Bundle(bundle) => {
                    bundle_retry.reset();
                    seen = bundle.sequence;
                    self.adopt(&mut state, bundle, &publisher).await;
                }
                Next::BundleFailed(error) => {
                    let wait = error
                        .retry_after()
                        .unwrap_or_else(|| bundle_retry.next(&mut random));
                    tracing::warn!(id = %state.id, %error, ?wait, "the trust bundle cannot be followed; the last one stays in use");
                    tokio::select! {
                        () = sleep(wait) => {}
                        () = self.until_due(&state) => {}
                    }
                }
                Next::Renew => match self.renewed(state.bundle.clone()).await {
                    Ok((renewed, epoch)) => {
                        renew_retry.reset();
                        tracing::info!(id = %renewed.id, serial = %renewed.cert.serial(), "the certificate was renewed");
                        publisher.publish(epoch);
                        state = renewed;
                    }
                    Err(error) => {
                        let wait = renew_retry.next(&mut random);
                        tracing::error!(%error, ?wait, left = ?state.cert.remaining(self.compiler.clock.now()), "the certificate could not be renewed; the old one stays in use");
                        sleep(wait).await;
                    }
                },
            }
        }
    }

    /// A bundle by which this identity itself would be nobody asks for a new certificate first; one that cannot be
    /// used at all changes nothing.
    async fn adopt(&self, state: &mut StoredCert, bundle: TrustBundle, publisher: &Publisher<Epoch>) {
        match self.compiler.compile(&state.key, &state.cert, &bundle) {
            Ok(epoch) => match epoch.may_replace(&publisher.current()) {
                Ok(()) => {
                    state.bundle = bundle;
                    publisher.publish(epoch);
                    self.save(state).await;
                }
                Err(error) => {
                    tracing::error!(id = %state.id, %error, "the new bundle is refused; the last one stays in use");
                }
            },
            Err(error) => {
                tracing::warn!(id = %state.id, %error, "the new bundle does not fit the certificate; asking for a new one");
                let renewed = self.renewed(bundle).await.and_then(|(renewed, epoch)| {
                    epoch.may_replace(&publisher.current())?;
                    Ok((renewed, epoch))
                });
                match renewed {
                    Ok((renewed, epoch)) => {
                        publisher.publish(epoch);
                        *state = renewed;
                    }
                    Err(error) => {
                        tracing::error!(id = %state.id, %error, "the new bundle cannot be used; the last one stays in use");
                    }
                }
            }
        }
    }

    async fn until_due(&self, state: &StoredCert) {
        let due = renewal_due(&state.cert, &state.id, self.before.min(state.cert.lifetime() / 2));
        while let Ok(left) = due.duration_since(self.compiler.clock.now()) {
            // One that has not begun was issued by a clock that was set back since: nobody believes it.
            let has_begun = state.cert.not_before() <= self.compiler.clock.now();
            if left.is_zero() || !has_begun {
                return;
            }
            sleep(left.min(GLANCE)).await;
        }
    }
}
