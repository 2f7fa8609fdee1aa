//! The engine: sends a request, and again, without a tower stack around it.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Request, Response};
use mesh_core::body::Body;
use mesh_core::forwarded::X_MESH_ATTEMPT;
use mesh_core::reject::{is_grpc, refusal_of};
use mesh_core::{Error, ErrorKind, MeshContext, RequestHead, duration};
use tokio::time::{Instant, timeout_at};

use super::budget::RetryBudget;
use super::discard::discard_until;
use super::hint::Hint;
use super::idempotent::Idempotent;
use super::judge::{Asked, Ended, Judged, judge};
use super::outcome::RetryOutcome;
use super::peek::{Peeked, peek};
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
    pub async fn send<F, R>(&self, mut request: Request<Body>, mut send: F) -> Result<Response<Body>, Error>
    where
        F: FnMut(Request<Body>) -> R,
        R: Future<Output = Result<Response<Body>, Error>>,
    {
        let Inner { policy, budget, .. } = &*self.0;
        let began = Instant::now();
        let told = request.extensions().get::<MeshContext>();
        let (before, deadline) = told.map_or((0, None), |context| (context.attempt, context.deadline));
        if before > 0 || policy.attempts == 0 {
            // Somebody above tries again, and this is such a try; or nobody here does.
            if before > 0 && !request.headers().contains_key(X_MESH_ATTEMPT) {
                request
                    .headers_mut()
                    .insert(X_MESH_ATTEMPT, HeaderValue::from(before));
            }
            return self.attempt(request, began, &mut send).await;
        }
        Counted::count(&mut request, budget, began);
        let asked = Asked {
            idempotent: policy.idempotent || Idempotent::is(&RequestHead::of(&request)),
            grpc: is_grpc(request.headers()),
        };
        let tries = Tries::of(&mut request);
        let (parts, body) = request.into_parts();
        let mut replay = Replay::new(body, policy.max_body);
        let mut next = replay.next().map(|body| Request::from_parts(parts, body));
        let mut backoff = policy.backoff;
        let mut random = fastrand::Rng::new();
        for attempt in 0.. {
            let Some(request) = next.take() else { break };
            let began = if attempt == 0 { began } else { Instant::now() };
            let tried = self.attempt(request, began, &mut send).await;
            let (tried, judged) = self.judged(asked, tried).await;
            if attempt > 0 {
                let is_final = matches!(judged, Judged::Keep(_));
                self.tell(if is_final {
                    RetryOutcome::Success
                } else {
                    RetryOutcome::Failure
                });
            }
            let Judged::Again(hint) = judged else {
                return tried;
            };
            let wait = hint.wait(policy.max_wait, &mut random, |random| backoff.next(random));
            let again = self.again(attempt, wait, deadline, &mut replay);
            let (body, until) = match again {
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
            next = Some(tries.request(body, attempt + 1, Instant::now()));
        }
        // Not reached: every try of the loop is followed by another or by an end.
        Err(Error::new(ErrorKind::UpstreamReset, "no try was made"))
    }

    /// The body of the next try and when to make it; or why there is none.
    fn again(
        &self,
        attempt: u32,
        wait: Option<Duration>,
        deadline: Option<Instant>,
        replay: &mut Replay,
    ) -> Result<(Body, Instant), RetryOutcome> {
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

    /// One try, for as long as one may take.
    async fn attempt<F, R>(
        &self,
        mut request: Request<Body>,
        began: Instant,
        send: &mut F,
    ) -> Result<Response<Body>, Error>
    where
        F: FnMut(Request<Body>) -> R,
        R: Future<Output = Result<Response<Body>, Error>>,
    {
        let limit = self.0.policy.per_try_timeout;
        let until = limit.and_then(|limit| began.checked_add(limit));
        let (Some(limit), Some(until)) = (limit, until) else {
            return send(request).await;
        };
        let context = context(&mut request, began);
        if context.deadline.is_some_and(|deadline| deadline <= until) {
            // Whoever set the deadline ends it.
            return send(request).await;
        }
        // Whoever drops a try after its deadline blames the endpoint.
        context.deadline = Some(until);
        match timeout_at(until, send(request)).await {
            Ok(tried) => tried,
            Err(_) => {
                let limit = duration::display(limit);
                let message = format!("the service did not answer within {limit} (perTryTimeout)");
                Err(Error::new(ErrorKind::Timeout, message))
            }
        }
    }

    /// What to make of a try. The response may have been looked into.
    async fn judged(
        &self,
        asked: Asked,
        tried: Result<Response<Body>, Error>,
    ) -> (Result<Response<Body>, Error>, Judged) {
        let on = &*self.0.policy.on;
        let peeked = match tried {
            Ok(response) if asked.grpc && asked.idempotent => peek(response).await,
            Ok(response) => Ok(Peeked {
                response,
                grpc: None,
                trailers: None,
            }),
            Err(error) => Err(error),
        };
        match peeked {
            Ok(peeked) => {
                let Peeked {
                    response,
                    grpc,
                    trailers,
                } = peeked;
                let today = std::time::SystemTime::now;
                let in_trailers = trailers.map_or(Hint::None, |trailers| Hint::in_fields(&trailers, today));
                let hint = Hint::in_fields(response.headers(), today).or(in_trailers);
                let judged = judge(
                    on,
                    asked,
                    &Ended::Response {
                        status: response.status(),
                        headers: response.headers(),
                        refusal: refusal_of(&response),
                        grpc,
                        hint,
                    },
                );
                (Ok(response), judged)
            }
            Err(error) => {
                let judged = judge(on, asked, &Ended::Failed(&error));
                (Err(error), judged)
            }
        }
    }

    fn tell(&self, outcome: RetryOutcome) {
        if let Some(observe) = &self.0.observe {
            observe(outcome);
        }
    }
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
