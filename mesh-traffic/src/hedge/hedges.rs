//! The engine: sends a request, and beside it another if it takes long.

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{Request, Response};
use mesh_core::body::Body;
use mesh_core::{Error, MeshContext, RequestHead};
use tokio::time::{Instant, timeout_at};

use super::latencies::Latencies;
use super::policy::HedgePolicy;
use super::race::{Winner, is_good, race};
use crate::retry::replay::Replay;
use crate::retry::tries::{Counted, Tries};
use crate::retry::{Idempotent, RetryBudget};

type Observer = Box<dyn Fn(HedgeOutcome) + Send + Sync>;

/// What came of a second request that was sent or wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HedgeOutcome {
    /// It was sent, and its answer was the one.
    Won,
    /// It was sent, and the first answered nevertheless.
    Lost,
    /// It was wanted, but the budget had nothing left.
    BudgetExhausted,
    /// It was wanted, but the request's body was not read to its end yet, or was too long to be kept.
    NotReplayable,
}

/// A policy, the budget it draws on, what was measured, and who is told. Clones are one.
///
/// A [`HedgeLayer`](super::HedgeLayer) is this as a tower layer; [`send`](Self::send) is for who calls its parts as
/// functions.
#[derive(Clone)]
pub struct Hedges(Arc<Inner>);

struct Inner {
    policy: HedgePolicy,
    budget: RetryBudget,
    latencies: Latencies,
    origin: Instant,
    /// In nanoseconds; 0 while too little is known.
    delay: AtomicU64,
    /// When that is found anew, in nanoseconds since the origin.
    renew_at: AtomicU64,
    observe: Option<Observer>,
}

/// How often the delay is found anew: walking all latencies is nothing for every request.
const RENEWED: Duration = Duration::from_millis(100);

impl Hedges {
    /// Sends a second time by this policy, as far as this budget goes. Measuring begins at `now`.
    pub fn new(policy: HedgePolicy, budget: RetryBudget, now: Instant) -> Self {
        Self::made(policy, budget, now, None)
    }

    /// The same, but with nothing measured yet, and this is told of every second request that was sent or wanted. It is
    /// called by the request's own task and must not wait.
    #[must_use]
    pub fn observe(self, tell: impl Fn(HedgeOutcome) + Send + Sync + 'static) -> Self {
        let Inner {
            policy,
            budget,
            origin,
            ..
        } = &*self.0;
        Self::made(*policy, budget.clone(), *origin, Some(Box::new(tell)))
    }

    fn made(policy: HedgePolicy, budget: RetryBudget, origin: Instant, observe: Option<Observer>) -> Self {
        Self(Arc::new(Inner {
            policy,
            budget,
            latencies: Latencies::new(policy.config().window, origin),
            origin,
            delay: AtomicU64::new(0),
            renew_at: AtomicU64::new(0),
            observe,
        }))
    }

    /// After how long a request is sent a second time now. `None` while too little is known.
    pub fn delay(&self, now: Instant) -> Option<Duration> {
        let inner = &*self.0;
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let since = nanos(now.saturating_duration_since(inner.origin));
        let renew_at = inner.renew_at.load(Ordering::Relaxed);
        let next = since.saturating_add(nanos(RENEWED));
        if since >= renew_at
            && inner
                .renew_at
                .compare_exchange(renew_at, next, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        {
            let config = inner.policy.config();
            let found = inner
                .latencies
                .percentile(config.percentile, config.min_samples, now);
            let delay = found.map_or(0, |found| nanos(found.max(config.min_delay)).max(1));
            inner.delay.store(delay, Ordering::Relaxed);
        }
        match inner.delay.load(Ordering::Relaxed) {
            0 => None,
            delay => Some(Duration::from_nanos(delay)),
        }
    }

    /// Sends the request by `send`, and a second one as [`HedgeLayer`](super::HedgeLayer) does.
    ///
    /// # Errors
    /// That of the later of those that were sent.
    pub fn send<F, R>(
        &self,
        mut request: Request<Body>,
        mut send: F,
    ) -> impl Future<Output = Result<Response<Body>, Error>> + use<F, R>
    where
        F: FnMut(Request<Body>) -> R,
        R: Future<Output = Result<Response<Body>, Error>>,
    {
        // A block, so that the request does not lie in the future twice.
        let this = self.clone();
        async move {
            let Inner { policy, budget, .. } = &*this.0;
            let config = policy.config();
            let told = request.extensions().get::<MeshContext>();
            let (before, deadline) = told.map_or((0, None), |context| (context.attempt, context.deadline));
            if before > 0 {
                // A retry is company already.
                return send(request).await;
            }
            let began = Instant::now();
            let is_idempotent = Idempotent::is_or_taken_for(config.idempotent, &RequestHead::of(&request));
            let at = this.delay(began).and_then(|delay| began.checked_add(delay));
            let at = at.filter(|at| is_idempotent && deadline.is_none_or(|deadline| *at < deadline));
            let Some(at) = at else {
                Counted::count(&mut request, budget, began);
                let answer = send(request).await;
                this.measure(&answer, began);
                return answer;
            };
            let tries = Tries::of(&mut request);
            Counted::count(&mut request, budget, began);
            let mut replay = Replay::new(std::mem::take(request.body_mut()), config.max_body);
            // Always there the first time.
            *request.body_mut() = replay.next().unwrap_or_default();
            let mut first = pin!(send(request));
            if let Ok(answer) = timeout_at(at, first.as_mut()).await {
                this.measure(&answer, began);
                return answer;
            }
            let now = Instant::now();
            let second = match replay.beside() {
                None => Err(HedgeOutcome::NotReplayable),
                Some(_) if !budget.try_spend(now) => Err(HedgeOutcome::BudgetExhausted),
                Some(body) => Ok(Box::pin(send(tries.request(body, 1, now)))),
            };
            match second {
                Ok(mut second) => Box::pin(this.beside(first, began, second.as_mut(), now)).await,
                Err(why) => {
                    this.tell(why);
                    let answer = first.await;
                    this.measure(&answer, began);
                    answer
                }
            }
        }
    }

    /// Both are under way, the second since `now`.
    async fn beside<R>(
        &self,
        first: Pin<&mut R>,
        began: Instant,
        second: Pin<&mut R>,
        now: Instant,
    ) -> Result<Response<Body>, Error>
    where
        R: Future<Output = Result<Response<Body>, Error>>,
    {
        let (winner, answer) = race(first, second).await;
        match winner {
            Winner::First => {
                self.tell(HedgeOutcome::Lost);
                self.measure(&answer, began);
            }
            Winner::Second => {
                self.tell(HedgeOutcome::Won);
                self.measure(&answer, now);
                // The first took at least so long: without it, slow ones would be forgotten and the delay would shrink.
                let ended = Instant::now();
                self.0
                    .latencies
                    .record(ended.saturating_duration_since(began), ended);
            }
        }
        answer
    }

    /// How long a good answer took. Failures are often quick, and say nothing about how long to wait.
    fn measure(&self, answer: &Result<Response<Body>, Error>, began: Instant) {
        if is_good(answer) {
            let now = Instant::now();
            self.0.latencies.record(now.saturating_duration_since(began), now);
        }
    }

    fn tell(&self, outcome: HedgeOutcome) {
        if let Some(observe) = &self.0.observe {
            observe(outcome);
        }
    }
}

impl fmt::Debug for Hedges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hedges")
            .field("policy", &self.0.policy)
            .field("budget", &self.0.budget)
            .finish_non_exhaustive()
    }
}
