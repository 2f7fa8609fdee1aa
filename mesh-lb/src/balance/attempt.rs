//! One request: pick, send, and pick again when nothing was lost by it.

use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use mesh_core::body::Body;
use mesh_core::tried::TriedEndpoints;
use mesh_core::{
    AttemptInfo, Endpoint, EndpointId, Error, ErrorKind, GrpcCode, Outcome, RequestHead, Version,
};
use tokio::time::Instant;

use super::Balance;
use super::copy::Copy;
use super::under_way::{Patience, UnderWay};
use crate::balancer::PickContext;
use crate::endpoint::{Answered, EndpointPool, Guards, Limits, RequestPermit, Rested, SendFailure, Terms};
use crate::fleet::{Chosen, Group, NotChosen, Unjudged};
use crate::load::InFlight;

/// How often a request is sent at most, if it never reaches the application.
const MAX_ATTEMPTS: usize = 4;

/// An attempt that ended, as an observer is told.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Attempt<'a> {
    /// The endpoint.
    pub endpoint: &'a EndpointId,
    /// The version of that endpoint.
    pub version: Option<&'a Version>,
    /// How long it took, to the head of the answer.
    pub took: Duration,
    /// How much of that the client was waited for, to send its own body; none, unless the request has a
    /// [`Due`](mesh_core::due::Due) that watches its body.
    pub waited: Duration,
    /// How it ended.
    pub outcome: Outcome,
    /// Which attempt at its request it was, from 1.
    pub number: u32,
}

/// Who is told of attempts.
pub(super) type Observer = Box<dyn Fn(&Attempt<'_>) + Send + Sync>;

/// Who is told of the attempts at one request, besides.
pub(super) type Watch<'w> = &'w mut (dyn FnMut(&Attempt<'_>) + Send);

impl Balance {
    /// Sends a request to an endpoint of this version; without one, to a stable endpoint.
    ///
    /// It waits as long as it takes: dropping the future ends that. If it is dropped after the deadline in the
    /// request's [`MeshContext`](mesh_core::MeshContext), or when its answer was [`Due`](mesh_core::due::Due), that counts against the endpoint, as an error would: so one
    /// that accepts requests and never answers is found out.
    ///
    /// A request with [`TriedEndpoints`] avoids those, as far as there are others, and is told which it was sent to.
    ///
    /// # Errors
    /// [`ErrorKind::NoHealthyEndpoint`] without an endpoint that takes requests, [`ErrorKind::Overloaded`] when a
    /// limit left no room in time, [`ErrorKind::UpstreamConnect`] and [`ErrorKind::UpstreamReset`] when the
    /// attempts are used up.
    pub async fn send(
        &self,
        mut request: Request<Body>,
        version: Option<&Version>,
    ) -> Result<(Response<Body>, AttemptInfo), Error> {
        self.send_watched(&mut request, version, &mut |_| {}).await
    }

    /// The same, and `watch` is told of each attempt at this request when it has ended, as the
    /// [observer](super::BalanceBuilder::observe) is of those at all. The request stays in its place until a connection takes
    /// it, and leaves an empty one there: it is long, and need not be moved from future to future.
    ///
    /// # Errors
    /// As [`Balance::send`].
    pub async fn send_watched(
        &self,
        request: &mut Request<Body>,
        version: Option<&Version>,
        watch: Watch<'_>,
    ) -> Result<(Response<Body>, AttemptInfo), Error> {
        let blame = Patience::with(request);
        let mut tried = Tried::of(request);
        let mut rested = None;
        let mut patience = None;
        for number in 1.. {
            let claim = self.begin(request, version, tried.endpoints()).await?;
            let Claim {
                endpoint,
                pool,
                in_flight,
                permit,
                attempt,
            } = claim;
            tried.begun(endpoint.id());
            let copy = Copy::of(request);
            let at_best = if copy.is_some() {
                Rested::Use
            } else {
                Rested::Proven
            };
            let terms = Terms {
                rested: rested.unwrap_or(at_best),
                begun: attempt.begun(),
                patience: *patience.get_or_insert_with(|| self.patience(attempt.begun())),
            };
            let under_way = self.under_way(endpoint, attempt, number, &blame, &mut *watch);
            let guards = Guards {
                _in_flight: in_flight,
                _permit: permit,
            };
            let mut reused = false;
            let failure = match pool.send(request, guards, &terms, &mut reused).await {
                Ok(Answered { response, peer, at }) => {
                    let info = under_way.answered(outcome_of(&response), peer, at);
                    return Ok((response, info));
                }
                Err(failure) => failure,
            };
            // A stream may be refused for want of room: another endpoint has more.
            let avoid = !reused || matches!(failure, SendFailure::NotProcessed(_));
            let is_news = !matches!(failure, SendFailure::Untried(_));
            let (error, again) = match failure {
                SendFailure::Unsent(error) | SendFailure::Untried(error) => (error, Some(None)),
                SendFailure::NotProcessed(error) => (error.not_processed(), copy.map(Some)),
                SendFailure::Reset(error) => (error, copy.map(Some)),
                SendFailure::Broken(error) if reused => (error, copy.map(Some)),
                SendFailure::Broken(error) | SendFailure::Failed(error) => (error, None),
            };
            // That a rested connection was closed says nothing against its endpoint, and a failure counts once.
            let endpoint = under_way.endpoint.id().clone();
            if is_news && (avoid || again.is_none()) {
                under_way.failed(error.kind());
            } else {
                under_way.came_to_nothing();
            }
            let hopeless = matches!(
                error.kind(),
                ErrorKind::Overloaded | ErrorKind::Timeout | ErrorKind::BadRequest
            );
            match again {
                Some(again) if !hopeless && (number as usize) < MAX_ATTEMPTS => {
                    tracing::debug!(%error, attempt = number, "sending again");
                    if !avoid {
                        // Where one broke, those beside it are about to: they must not use up the attempts.
                        rested = Some(Rested::Avoid);
                    }
                    tried.add(endpoint);
                    if let Some(copy) = again {
                        *request = copy.into_request();
                    }
                }
                _ => {
                    tracing::debug!(%error, attempt = number, reused, "not sent again");
                    return Err(error);
                }
            }
        }
        Err(Error::new(ErrorKind::UpstreamConnect, "no attempt was made"))
    }

    /// Sends a request that asks for an upgrade, on a connection that serves no other request. The response
    /// carries hyper's upgrade if the endpoint agreed (101). It is in flight until that connection is closed: a tunnel,
    /// when it is dropped.
    ///
    /// # Errors
    /// As [`Balance::send`]. Only connecting is tried again.
    pub async fn send_upgrade(
        &self,
        mut request: Request<Body>,
        version: Option<&Version>,
    ) -> Result<(Response<Incoming>, AttemptInfo), Error> {
        self.send_upgrade_watched(&mut request, version, &mut |_| {})
            .await
    }

    /// The same, and `watch` is told of each attempt at this request when it has ended.
    ///
    /// # Errors
    /// As [`Balance::send_upgrade`].
    pub async fn send_upgrade_watched(
        &self,
        request: &mut Request<Body>,
        version: Option<&Version>,
        watch: Watch<'_>,
    ) -> Result<(Response<Incoming>, AttemptInfo), Error> {
        let blame = Patience::with(request);
        let mut tried = Tried::of(request);
        let mut patience = None;
        for number in 1.. {
            let Claim {
                endpoint,
                pool,
                in_flight,
                permit,
                attempt,
            } = self.begin(request, version, tried.endpoints()).await?;
            tried.begun(endpoint.id());
            let patience = *patience.get_or_insert_with(|| self.patience(attempt.begun()));
            let under_way = self.under_way(endpoint, attempt, number, &blame, &mut *watch);
            let guards = Guards {
                _in_flight: in_flight,
                _permit: permit,
            };
            let sent = pool.send_upgrade(request, guards, patience).await;
            let is_news = !matches!(sent, Err(SendFailure::Untried(_)));
            match sent {
                Ok(Answered { response, peer, at }) => {
                    let info = under_way.answered(outcome_of(&response), peer, at);
                    return Ok((response, info));
                }
                Err(SendFailure::Unsent(error) | SendFailure::Untried(error)) => {
                    tried.add(under_way.endpoint.id().clone());
                    match is_news {
                        true => under_way.failed(error.kind()),
                        false => under_way.came_to_nothing(),
                    }
                    if number as usize >= MAX_ATTEMPTS || error.kind() != ErrorKind::UpstreamConnect {
                        return Err(error);
                    }
                }
                Err(
                    SendFailure::NotProcessed(error)
                    | SendFailure::Broken(error)
                    | SendFailure::Reset(error)
                    | SendFailure::Failed(error),
                ) => {
                    under_way.failed(error.kind());
                    return Err(error);
                }
            }
        }
        Err(Error::new(ErrorKind::UpstreamConnect, "no attempt was made"))
    }

    /// How long a request that began then may wait for an endpoint that could not be connected to.
    fn patience(&self, begun: Instant) -> Instant {
        const LONG: Duration = Duration::from_secs(24 * 3600);
        begun + self.shared.fleet.limits().limits().max_wait.min(LONG)
    }

    /// An endpoint and room for a request; waits for room if there is none.
    async fn begin(
        &self,
        request: &mut Request<Body>,
        version: Option<&Version>,
        tried: &[EndpointId],
    ) -> Result<Claim, Error> {
        // Borrowed for this alone, not shared: a body cannot be, and this waits.
        let mut claim = || {
            let request = &mut *request;
            self.claim(RequestHead::of(request), version, tried)
        };
        let full = match claim()? {
            Ok(claim) => return Ok(claim),
            Err(full) => full,
        };
        let limits = self.shared.fleet.limits();
        let full = full.tell(limits.limits());
        // Boxed, since it is rare and would make every request's future as large as its own.
        Box::pin(limits.wait_for_room(&full, || Ok(claim()?.ok()))).await
    }

    fn claim(
        &self,
        head: RequestHead<'_>,
        version: Option<&Version>,
        tried: &[EndpointId],
    ) -> Result<Result<Claim, Full>, Error> {
        let Some(permit) = self.shared.fleet.limits().request() else {
            return Ok(Err(Full::Service));
        };
        let now = Instant::now();
        let pools = self.shared.pools.load();
        let cx = PickContext::new(fastrand::u64(..), now).for_request(head);
        let Chosen {
            endpoint,
            link,
            in_flight,
            attempt,
        } = match pools.choose(version, cx, tried) {
            Ok(chosen) => chosen,
            Err(NotChosen::Full) => {
                permit.give_up();
                return Ok(Err(Full::Endpoints));
            }
            Err(NotChosen::Nobody) => return Err(self.nobody(pools.group(version), version, now)),
        };
        Ok(Ok(Claim {
            endpoint: Arc::clone(endpoint),
            pool: Arc::clone(link),
            in_flight,
            permit,
            attempt,
        }))
    }

    /// No endpoint takes requests: which there are, why they do not, and since when.
    fn nobody(&self, group: Option<&Group>, version: Option<&Version>, now: Instant) -> Error {
        const SHOWN: usize = 5;
        let service = self.service();
        let of = version.map(|v| format!(" of version {v}")).unwrap_or_default();
        let seats = group.map(|group| &*group.seats).unwrap_or_default();
        let message = if seats.is_empty() {
            format!("service {service} has no endpoint{of}: check its endpoints or its discovery")
        } else {
            let shown = seats.iter().take(SHOWN).map(|seat| {
                let trouble = seat.member.trouble(now);
                let trouble = trouble.unwrap_or_else(|| "it has weight 0".to_owned());
                format!("{}: {trouble}", seat.endpoint.id())
            });
            let shown = shown.collect::<Vec<_>>().join("; ");
            let more = match seats.len().saturating_sub(SHOWN) {
                0 => String::new(),
                more => format!("; and {more} more"),
            };
            format!(
                "none of the {} endpoints{of} of service {service} takes requests: {shown}{more}",
                seats.len()
            )
        };
        Error::new(ErrorKind::NoHealthyEndpoint, message)
    }

    fn under_way<'a>(
        &'a self,
        endpoint: Arc<Endpoint>,
        attempt: Unjudged,
        number: u32,
        patience: &Patience,
        watch: Watch<'a>,
    ) -> UnderWay<'a> {
        UnderWay {
            balance: self,
            watch,
            endpoint,
            waited_before: patience.waited(attempt.begun()),
            attempt: Some(attempt),
            number,
            patience: patience.clone(),
        }
    }
}

/// An endpoint for a request, and room for it.
struct Claim {
    endpoint: Arc<Endpoint>,
    pool: Arc<EndpointPool>,
    in_flight: InFlight,
    permit: RequestPermit,
    attempt: Unjudged,
}

/// What has no room for one more request.
enum Full {
    Service,
    Endpoints,
}

impl Full {
    fn tell(&self, limits: &Limits) -> String {
        match self {
            Self::Service => {
                let max = limits.max_requests;
                format!("{max} requests to the service are in flight (circuitBreaker.maxRequests)")
            }
            Self::Endpoints => {
                let max = limits.max_requests_per_endpoint;
                format!("{max} requests are in flight at every endpoint that takes any")
            }
        }
    }
}

/// How a response counts: by its status, or by the gRPC status in its head.
fn outcome_of<B>(response: &Response<B>) -> Outcome {
    let outcome = Outcome::of_status(response.status());
    match GrpcCode::in_fields(response.headers()) {
        Some(code) if outcome == Outcome::Success => Outcome::of_grpc(code),
        _ => outcome,
    }
}

/// The endpoints that were tried.
struct Tried {
    endpoints: Vec<EndpointId>,
    /// What is told to who may send the request again.
    told: Option<TriedEndpoints>,
}

impl Tried {
    /// Those of former tries of this request.
    fn of<B>(request: &Request<B>) -> Self {
        let told = request.extensions().get::<TriedEndpoints>().cloned();
        Self {
            endpoints: told.iter().flat_map(TriedEndpoints::iter).cloned().collect(),
            told,
        }
    }

    /// The request is about to be sent there.
    fn begun(&self, endpoint: &EndpointId) {
        if let Some(told) = &self.told {
            told.add(endpoint);
        }
    }

    fn add(&mut self, endpoint: EndpointId) {
        if !self.endpoints.contains(&endpoint) {
            self.endpoints.push(endpoint);
        }
    }

    fn endpoints(&self) -> &[EndpointId] {
        &self.endpoints
    }
}
