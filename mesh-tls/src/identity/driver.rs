//! Keeps an identity fresh: follows the authority's bundle, and renews the certificate in time. Neither waits for the
//! other.

use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use mesh_core::{Backoff, MeshEvent, Publisher};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use super::epoch::{Epoch, Prepared};
use super::lifecycle::{Action, Input, Lifecycle};
use super::renewal::{Failure, Renewal};
use super::status::{IdentityStatus, RenewalStatus, TrustStatus};
use super::{IdentityError, Standing};
use crate::authority::{BundleRequest, CaError, CaErrorKind, CertAuthority, IssuedCert, TrustBundle};
use crate::key::PrivateKey;
use crate::store::{CertStore, StoreError, StoredCert};

/// Revocation lists that are longer together, in bytes, are compiled beside the thread of connections.
const SHORT_LISTS: usize = 64 * 1024;
/// After how long it is tried again to save what could not be saved.
const SAVE_AGAIN: Duration = Duration::from_secs(60);

/// A task of an identity. It ends with the last clone of the identity.
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

type Job<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What a renewal has so far.
enum Progress {
    Key(Result<PrivateKey, Failure>),
    Issued(Result<(PrivateKey, IssuedCert), Failure>),
}

/// Keeps an identity fresh.
pub(super) struct Keeper {
    renewal: Renewal,
    state: StoredCert,
    lifecycle: Lifecycle,
    random: fastrand::Rng,
    /// The sequence of the newest bundle that was told, which may not be the one in force.
    seen: u64,
    bundle_retry: Backoff,
    /// The wait for the next bundle, which nothing but a new sequence interrupts.
    following: Option<Job<Result<Told, CaError>>>,
    job: Option<Job<Progress>>,
    staged: Option<(PrivateKey, IssuedCert)>,
    /// A certificate that the bundle in force does not vouch for: the next one may.
    early: Option<(PrivateKey, IssuedCert)>,
    saving: Option<Job<Result<(), StoreError>>>,
    save_at: Option<Instant>,
    last_error: Option<Arc<str>>,
    refused: Option<Arc<str>>,
    refusals: u64,
    unreachable: Option<Arc<str>>,
    unsaved: Option<Arc<str>>,
    told_trust: u64,
}

/// A bundle that the authority told, and what came of compiling it.
type Told = (TrustBundle, Result<Prepared, IdentityError>);

/// What ended a wait.
enum Woken {
    Bundle(Result<Told, CaError>),
    Progress(Progress),
    Saved(Result<(), StoreError>),
    Time,
}

impl Keeper {
    /// What takes care of the identity from its first state on.
    pub(super) fn new(renewal: Renewal, state: StoredCert, epoch: &Epoch) -> Self {
        let now = renewal.now();
        let lifecycle = Lifecycle::new(renewal.lease(&state.cert), epoch.standing(), now);
        Self {
            seen: state.bundle.sequence,
            renewal,
            state,
            lifecycle,
            random: fastrand::Rng::new(),
            bundle_retry: Backoff::new(Duration::from_secs(1), Duration::from_secs(60)),
            following: None,
            job: None,
            staged: None,
            early: None,
            saving: None,
            save_at: None,
            last_error: None,
            refused: None,
            refusals: 0,
            unreachable: None,
            unsaved: None,
            told_trust: epoch.trust_number,
        }
    }

    /// Runs until it is dropped.
    pub(super) async fn run(mut self, publisher: Publisher<Epoch>, status: Publisher<IdentityStatus>) {
        self.drive(Input::Time, &publisher);
        loop {
            let current = self.status(&publisher.current());
            if *status.current() != current {
                status.publish(current);
            }
            match self.woken().await {
                Woken::Bundle(Ok(told)) => self.take_bundle(told, &publisher),
                Woken::Bundle(Err(error)) => self.bundle_failed(&error, &publisher),
                Woken::Progress(progress) => self.take_progress(progress, &publisher),
                Woken::Saved(saved) => self.take_saved(saved),
                Woken::Time => {
                    let now = self.renewal.now();
                    if let Some(jump) = self.lifecycle.jumped(now) {
                        let direction = if jump.is_forth { "forth" } else { "back" };
                        tracing::warn!(id = %self.state.id, by = ?jump.by, direction, "the wall clock has jumped, or this host has slept; certificates are looked at by what it says now");
                    }
                    self.drive(Input::Time, &publisher);
                }
            }
        }
    }

    async fn woken(&mut self) -> Woken {
        let rest = self.lifecycle.rest(self.renewal.now());
        if self.following.is_none() {
            self.following = Some(self.follow(Duration::ZERO));
        }
        if self.saving.is_none() && self.save_at.is_some_and(|at| at <= Instant::now()) {
            let (store, state) = (self.renewal.store.clone(), self.state.clone());
            self.saving = Some(Box::pin(async move { store.save(&state).await }));
            self.save_at = None;
        }
        let save_at = self.save_at.filter(|_| self.saving.is_none());
        let save_due = async {
            match save_at {
                Some(at) => sleep_until(at).await,
                None => pending().await,
            }
        };
        tokio::select! {
            bundle = job(&mut self.following) => Woken::Bundle(bundle),
            progress = job(&mut self.job) => Woken::Progress(progress),
            saved = job(&mut self.saving) => Woken::Saved(saved),
            () = save_due => Woken::Time,
            () = sleep(rest) => Woken::Time,
        }
    }

    /// Waits for a bundle newer than the newest that was told. A long one is compiled beside this thread, where
    /// connections may be waiting.
    fn follow(&self, wait: Duration) -> Job<Result<Told, CaError>> {
        let request = BundleRequest::after(self.seen)
            .in_force(self.state.bundle.sequence)
            .by(self.renewal.follower.clone());
        let (authority, compiler) = (self.renewal.authority.clone(), self.renewal.compiler.clone());
        Box::pin(async move {
            sleep(wait).await;
            let bundle = authority.next_bundle(request).await?;
            let len: usize = bundle.crls.iter().map(|crl| crl.len()).sum();
            if len <= SHORT_LISTS {
                let prepared = compiler.prepare(&bundle);
                return Ok((bundle, prepared));
            }
            let compiled = tokio::task::spawn_blocking(move || {
                let prepared = compiler.prepare(&bundle);
                (bundle, prepared)
            });
            compiled.await.map_err(|error| {
                CaError::new(CaErrorKind::Internal, "the bundle could not be compiled").with_source(error)
            })
        })
    }

    fn bundle_failed(&mut self, error: &CaError, publisher: &Publisher<Epoch>) {
        let epoch = publisher.current();
        let drawn = self.bundle_retry.next(&mut self.random);
        let wait = error.retry_after().map_or(drawn, |asked| {
            // Whoever is refused for an hour would not hear of a revocation.
            asked.min(Duration::from_secs(60)) + drawn.min(asked / 4)
        });
        tracing::warn!(id = %self.state.id, %error, ?wait, "the trust bundle cannot be followed; the last one stays in force");
        self.unreachable = Some(error.to_string().into());
        self.following = Some(self.follow(wait));
        // An authority that does not believe this certificate tells it nothing, not even that it was revoked.
        if error.kind() == CaErrorKind::Denied && epoch.standing() == Standing::Good {
            self.drive(Input::Trust(Standing::Untrusted), publisher);
        }
    }

    /// A new bundle counts at once, whatever it says of the own certificate: whom it does not trust must not come in
    /// meanwhile. One that cannot be used, or would give back what was taken back, changes nothing.
    fn take_bundle(&mut self, (bundle, prepared): Told, publisher: &Publisher<Epoch>) {
        self.bundle_retry.reset();
        self.unreachable = None;
        self.seen = self.seen.max(bundle.sequence);
        let before = publisher.current();
        let (key, cert) = (&self.state.key, &self.state.cert);
        let compiled = prepared.and_then(|prepared| {
            let compiler = &self.renewal.compiler;
            compiler.compile_prepared(key, cert, (&bundle, prepared), Some(&before))
        });
        let compiled = compiled.and_then(|epoch| {
            epoch.may_replace(&before)?;
            Ok(epoch)
        });
        match compiled {
            Ok(epoch) => {
                self.refused = None;
                self.state.bundle = bundle;
                if let Err(error) = &epoch.own {
                    tracing::warn!(id = %self.state.id, %error, "the own certificate is not believed by the new bundle, which counts all the same; asking for a new one");
                }
                let standing = epoch.standing();
                publisher.publish(epoch);
                self.save_soon();
                self.drive(Input::Trust(standing), publisher);
                self.install_early(publisher);
            }
            Err(error) => {
                tracing::error!(id = %self.state.id, sequence = bundle.sequence, %error, "the new bundle is refused; the last one stays in force");
                self.refused = Some(error.to_string().into());
                self.refusals += 1;
            }
        }
    }

    fn take_progress(&mut self, progress: Progress, publisher: &Publisher<Epoch>) {
        let input = match progress {
            Progress::Key(Ok(key)) => {
                self.job = Some(Box::pin({
                    let asked = self.renewal.request(key);
                    async move { Progress::Issued(asked.await) }
                }));
                Input::KeyReady
            }
            Progress::Issued(Ok(issued)) => {
                self.staged = Some(issued);
                Input::Issued
            }
            Progress::Key(Err(failure)) | Progress::Issued(Err(failure)) => self.failed(failure),
        };
        self.drive(input, publisher);
    }

    fn failed(&mut self, Failure { error, retry_after }: Failure) -> Input {
        let now = self.renewal.now().wall;
        let left = self.state.cert.remaining(now);
        tracing::error!(%error, ?left, "the certificate could not be renewed; the old one stays in use");
        self.last_error = Some(error.to_string().into());
        if self.lifecycle.is_ending(now) {
            self.emit(MeshEvent::CertificateExpiring {
                identity: self.state.id.clone(),
                serial: self.state.cert.serial().to_string().into(),
                left: Some(left).filter(|left| !left.is_zero()),
                cause: error.to_string().into(),
            });
        }
        Input::Failed(retry_after)
    }

    /// Lets the machine move, and does what it says until it says nothing more.
    fn drive(&mut self, input: Input, publisher: &Publisher<Epoch>) {
        let mut input = Some(input);
        while let Some(next) = input.take() {
            let now = self.renewal.now();
            match self.lifecycle.on(next, now, &mut self.random) {
                None => {}
                Some(Action::MakeKey) => {
                    let made = self.renewal.make_key();
                    self.job = Some(Box::pin(async move { Progress::Key(made.await) }));
                }
                // The request is under way: it holds the key.
                Some(Action::Request) => {}
                Some(Action::Install) => input = Some(self.install(publisher)),
            }
        }
    }

    /// A certificate that could not serve never takes a good one's place.
    fn install(&mut self, publisher: &Publisher<Epoch>) -> Input {
        let Some((key, issued)) = self.staged.take() else {
            let error = IdentityError::new("there is nothing to install");
            return self.failed(Failure {
                error,
                retry_after: None,
            });
        };
        let before = publisher.current();
        let bundle = &self.state.bundle;
        let compiled = self
            .renewal
            .compiler
            .compile(&key, &issued, bundle, Some(&before));
        let staged = compiled
            .and_then(|epoch| epoch.fit(&self.state.id))
            .and_then(|epoch| {
                let is_good = self.lifecycle.standing(self.renewal.now().wall) == Standing::Good;
                if is_good && issued.not_after() < self.state.cert.not_after() {
                    return Err(IdentityError::new(format!(
                        "the new certificate {} of {} ends before the one in use, which is good: does its CA end soon, \
                         or was its longest lifetime made shorter?",
                        issued.serial(),
                        self.state.id
                    )));
                }
                Ok(epoch)
            });
        match staged {
            Ok(epoch) => {
                let standing = epoch.standing();
                let lease = self.renewal.lease(&issued);
                (self.last_error, self.early) = (None, None);
                self.state = StoredCert::new(self.state.id.clone(), key, issued, bundle.clone());
                tracing::info!(id = %self.state.id, serial = %self.state.cert.serial(), "the certificate was renewed");
                publisher.publish(epoch);
                self.emit(MeshEvent::CertificateRotated {
                    identity: self.state.id.clone(),
                    serial: self.state.cert.serial().to_string().into(),
                    not_after: self.state.cert.not_after(),
                });
                self.save_soon();
                Input::Installed(lease, standing)
            }
            Err(error) => {
                self.early = (issued.not_after() >= self.state.cert.not_after()).then_some((key, issued));
                self.failed(Failure {
                    error,
                    retry_after: None,
                })
            }
        }
    }

    /// A CA that has another generation by now signs with it before its bundle is here: such a certificate is not thrown
    /// away, since what proved who asked for it may count once.
    fn install_early(&mut self, publisher: &Publisher<Epoch>) {
        if let Some(early) = self.early.take() {
            self.job = None;
            self.staged = Some(early);
            let input = self.install(publisher);
            self.drive(input, publisher);
        }
    }

    fn save_soon(&mut self) {
        self.save_at = Some(Instant::now());
    }

    /// What cannot be saved serves all the same, until the next restart.
    pub(super) fn take_saved(&mut self, saved: Result<(), StoreError>) {
        match saved {
            Ok(()) => self.unsaved = None,
            Err(error) => {
                tracing::error!(id = %self.state.id, %error, "the identity could not be saved; a restart asks for a new one");
                self.unsaved = Some(error.to_string().into());
                self.save_at.get_or_insert_with(|| Instant::now() + SAVE_AGAIN);
            }
        }
    }

    fn emit(&self, event: MeshEvent) {
        if let Some(events) = &self.renewal.events {
            events.emit(event);
        }
    }

    fn status(&mut self, epoch: &Epoch) -> IdentityStatus {
        let now = self.renewal.now().wall;
        if std::mem::replace(&mut self.told_trust, epoch.trust_number) != epoch.trust_number {
            tracing::info!(id = %self.state.id, sequence = epoch.sequence, epoch = epoch.trust_number, "another trust bundle is in force");
        }
        let renewal = RenewalStatus {
            due: Some(self.lifecycle.due()),
            step: self.lifecycle.step(),
            overdue_since: self.lifecycle.overdue_since(),
            failures: self.lifecycle.failures(),
            last_error: self.last_error.clone(),
        };
        let trust = TrustStatus {
            seen: self.seen,
            refused: self.refused.clone(),
            refusals: self.refusals,
            unreachable: self.unreachable.clone(),
            ..TrustStatus::of(epoch)
        };
        IdentityStatus {
            id: self.state.id.clone(),
            certificate: self.state.cert.clone(),
            standing: self.lifecycle.standing(now),
            renewal,
            trust,
            unsaved: self.unsaved.clone(),
        }
    }

    /// The status before anything has happened.
    pub(super) fn first_status(&mut self, epoch: &Epoch) -> IdentityStatus {
        self.status(epoch)
    }
}

/// Waits for a job, if there is one, and forgets it when it is done.
async fn job<T>(job: &mut Option<Job<T>>) -> T {
    let done = match job {
        Some(job) => job.await,
        None => pending().await,
    };
    *job = None;
    done
}
