//! The engine: sends a request, and again, without a tower stack around it.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Request, Response};
use mesh_core::body::Body;
use mesh_core::forwarded::X_MESH_ATTEMPT;
use mesh_core::reject::is_grpc;
use mesh_core::{Error, ErrorKind, MeshContext, RequestHead, duration};
use tokio::time::{Instant, timeout_at};

use super::budget::RetryBudget;
use super::discard::discard_until;
use super::hint::Hint;
use super::idempotent::Idempotent;
use super::judge::{Asked, Judged};
use super::judged::{judged, judged_by_head};
use super::outcome::RetryOutcome;
use super::policy::RetryPolicy;
use super::replay::Replay;
use super::tries::{Counted, Tries, context};

type Observer = Box<dyn Fn(RetryOutcome) + Send + Sync>;

/// A policy, the budget it draws on, and who is told. Clones are one.
///
/// A [`RetryLayer`](super::RetryLayer) is this as a tower layer; [`send`](Self::send) is for who calls its parts as
/// functions.
#[derive(Clone)]
pub struct Retries(Arc<Inner>);

struct Inner {
    policy: RetryPolicy,
    budget: RetryBudget,
    observe: Option<Observer>,
}

impl Retries {
    /// Tries again by this policy, as far as this budget goes.
    pub fn new(policy: RetryPolicy, budget: RetryBudget) -> Self {
        Self(Arc::new(Inner {
            policy,
            budget,
            observe: None,
        }))
    }

    /// Tells this of every retry that was made or wanted, instead of whom it told before. It is called by the request's
    /// own task and must not wait.
    #[must_use]
    pub fn observe(self, tell: impl Fn(RetryOutcome) + Send + Sync + 'static) -> Self {
        Self(Arc::new(Inner {
            policy: self.0.policy.clone(),
            budget: self.0.budget.clone(),
            observe: Some(Box::new(tell)),
        }))
    }

    /// Its policy.
    pub fn policy(&self) -> &RetryPolicy {
        &self.0.policy
    }

    /// Its budget.
    pub fn budget(&self) -> &RetryBudget {
        &self.0.budget
    }

    /// Sends the request by `send`, and again as [`RetryLayer`](super::RetryLayer) does.
    ///
    /// # Errors
    /// That of the last try.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), mesh_core::BoxError> {
    /// use http::{Request, Response};
    /// use mesh_core::body::Body;
    /// use mesh_core::{Error, ErrorKind};
    /// use mesh_traffic::retry::{Retries, RetryBudget, RetryPolicy};
    /// use tokio::time::Instant;
    ///
    /// let budget = RetryBudget::new(Default::default(), Instant::now());
    /// let retries = Retries::new(RetryPolicy::default(), budget);
    /// let mut tries = 0;
    /// let response = retries
    ///     .send(Request::get("/").body(Body::empty())?, |_request| {
    ///         tries += 1;
    ///         std::future::ready(match tries {
    ///             1 => Err(Error::new(ErrorKind::UpstreamReset, "it broke")),
    ///             _ => Ok(Response::new(Body::full("hello"))),
    ///         })
    ///     })
    ///     .await?;
    /// assert_eq!((response.status().as_u16(), tries), (200, 2));
    /// # Ok(()) }
    /// ```
    pub fn send<F, R>(
        &self,
        mut request: Request<Body>,
        mut send: F,
    ) -> impl Future<Output = Result<Response<Body>, Error>> + use<F, R>
    where
        F: FnMut(Request<Body>) -> R,
        R: Future<Output = Result<Response<Body>, Error>>,
    {
        // A block, and what seldom happens in boxes: as arguments of functions that wait, the request would lie in the
        // future several times.
        let this = self.clone();
        async move {
            let Inner { policy, budget, .. } = &*this.0;
            let began = Instant::now();
            let told = request.extensions().get::<MeshContext>();
            let (before, deadline) = told.map_or((0, None), |context| (context.attempt, context.deadline));
            let mut again = None;
            if before == 0 && policy.attempts > 0 {
                let asked = Asked {
                    idempotent: Idempotent::is_or_taken_for(policy.idempotent, &RequestHead::of(&request)),
                    grpc: is_grpc(request.headers()),
                };
                let tries = Tries::of(&mut request);
                Counted::count(&mut request, budget, began);
                let mut replay = Replay::new(std::mem::take(request.body_mut()), policy.max_body);
                // Always there the first time.
                *request.body_mut() = replay.next().unwrap_or_default();
                again = Some(Again {
                    asked,
                    tries,
                    replay,
                    deadline,
                });
            } else if before > 0 && !request.headers().contains_key(X_MESH_ATTEMPT) {
                // Somebody above tries again, and this is such a try.
                request
                    .headers_mut()
                    .insert(X_MESH_ATTEMPT, HeaderValue::from(before));
            }
            let tried = match limit(policy, &mut request, began) {
                None => send(request).await,
                Some((limit, until)) => timeout_at(until, send(request))
                    .await
                    .unwrap_or_else(|_| Err(too_late(limit))),
            };
            let Some(again) = again else {
                return tried;
            };
            let (tried, judged) = match again.asked.looks_inside() {
                true => Box::pin(judged(&policy.on, again.asked, tried)).await,
                false => {
                    let judged = judged_by_head(&policy.on, again.asked, &tried);
                    (tried, judged)
                }
            };
            match judged {
                Judged::Again(hint) => Box::pin(this.go_on(again, tried, hint, send)).await,
                Judged::Keep(_) => tried,
            }
        }
    }

    /// Tries again what was tried once, as long as it may.
    async fn go_on<F, R>(
        &self,
        mut again: Again,
        mut tried: Result<Response<Body>, Error>,
        mut hint: Hint,
        mut send: F,
    ) -> Result<Response<Body>, Error>
    where
        F: FnMut(Request<Body>) -> R,
        R: Future<Output = Result<Response<Body>, Error>>,
    {
        let policy = &self.0.policy;
        let mut backoff = policy.backoff;
        let mut random = fastrand::Rng::new();
        let mut attempt = 0;
        loop {
            let wait = hint.wait(policy.max_wait, &mut random, |random| backoff.next(random));
            let (body, until) = match self.again(attempt, wait, &mut again) {
                Ok(again) => again,
                Err(why) => {
                    self.tell(why);
                    return given_up(tried, attempt + 1, why);
                }
            };
            let nobodys = match tried {
                Ok(response) => {
                    tracing::debug!(status = %response.status(), attempt, "trying again");
                    Some(response.into_body())
                }
                Err(error) => {
                    tracing::debug!(%error, attempt, "trying again");
                    None
                }
            };
            discard_until(nobodys, until).await;
            attempt += 1;
            let now = Instant::now();
            let mut request = again.tries.request(body, attempt, now);
            let next = match limit(policy, &mut request, now) {
                None => send(request).await,
                Some((limit, until)) => timeout_at(until, send(request))
                    .await
                    .unwrap_or_else(|_| Err(too_late(limit))),
            };
            let (next, judged) = judged(&policy.on, again.asked, next).await;
            tried = next;
            match judged {
                Judged::Again(next) => {
                    self.tell(RetryOutcome::Failure);
                    hint = next;
                }
                Judged::Keep(_) => {
                    self.tell(RetryOutcome::Success);
                    return tried;
                }
            }
        }
    }

    /// The body of the next try and when to make it; or why there is none.
    fn again(
        &self,
        attempt: u32,
        wait: Option<Duration>,
        again: &mut Again,
    ) -> Result<(Body, Instant), RetryOutcome> {
        let Again { replay, deadline, .. } = again;
        if attempt >= self.0.policy.attempts {
            return Err(RetryOutcome::AttemptsExhausted);
        }
        if !replay.can_repeat() {
            return Err(RetryOutcome::NotReplayable);
        }
        let now = Instant::now();
        let until = wait
            .and_then(|wait| now.checked_add(wait))
            .filter(|until| deadline.is_none_or(|deadline| *until < deadline))
            .ok_or(RetryOutcome::TooLate)?;
        if !self.0.budget.try_spend(now) {
            return Err(RetryOutcome::BudgetExhausted);
        }
        // It may have outgrown the cap a moment ago: the try before may still read it.
        let body = replay.next().ok_or(RetryOutcome::NotReplayable)?;
        Ok((body, until))
    }

    fn tell(&self, outcome: RetryOutcome) {
        if let Some(observe) = &self.0.observe {
            observe(outcome);
        }
    }
}

/// What is kept of a request to try it again.
struct Again {
    asked: Asked,
    tries: Tries,
    replay: Replay,
    deadline: Option<Instant>,
}

/// How long one try may take, and until when, if the policy says so.
fn limit(policy: &RetryPolicy, request: &mut Request<Body>, began: Instant) -> Option<(Duration, Instant)> {
    let limit = policy.per_try_timeout?;
    let until = began.checked_add(limit)?;
    let context = context(request, began);
    if context.deadline.is_some_and(|deadline| deadline <= until) {
        // Whoever set the deadline ends it.
        return None;
    }
    // Whoever drops a try after its deadline blames the endpoint.
    context.deadline = Some(until);
    Some((limit, until))
}

fn too_late(limit: Duration) -> Error {
    let limit = duration::display(limit);
    let message = format!("the service did not answer within {limit} (perTryTimeout)");
    Error::new(ErrorKind::Timeout, message)
}

/// The last try, with a word to whoever called that it is of no use to try again.
fn given_up(
    tried: Result<Response<Body>, Error>,
    attempts: u32,
    why: RetryOutcome,
) -> Result<Response<Body>, Error> {
    // Who has a shorter body, or none, may still.
    if why == RetryOutcome::NotReplayable {
        return tried;
    }
    match tried {
        Ok(mut response) => {
            response
                .headers_mut()
                .insert(X_MESH_ATTEMPT, HeaderValue::from(attempts));
            Ok(response)
        }
        Err(error) => Err(error.with_attempts(attempts)),
    }
}

impl fmt::Debug for Retries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retries")
            .field("policy", &self.0.policy)
            .field("budget", &self.0.budget)
            .finish_non_exhaustive()
    }
}
