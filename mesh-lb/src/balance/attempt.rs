//! One request: pick, send, and pick again when nothing was lost by it.

use std::sync::Arc;

use http::{HeaderName, HeaderValue, Method, Request, Response, Uri};
use http_body::Body as _;
use hyper::body::Incoming;
use mesh_core::body::Body;
use mesh_core::{AttemptInfo, EndpointId, Error, ErrorKind, MeshContext, Outcome, RequestHead, Version};
use tokio::time::Instant;

use super::Balance;
use crate::balancer::PickContext;
use crate::endpoint::{EndpointPool, Guards, Rested, SendFailure};
use crate::load::InFlight;

/// How often a request is sent at most, if it never reaches the application.
const MAX_ATTEMPTS: usize = 4;

/// An attempt that ended, as an observer is told.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Attempt<'a> {
    /// The endpoint.
    pub endpoint: &'a EndpointId,
    /// How it ended.
    pub outcome: Outcome,
    /// Which attempt at its request it was, from 1.
    pub number: u32,
}

/// Who is told of attempts.
pub(super) type Observer = Box<dyn Fn(&Attempt<'_>) + Send + Sync>;

impl Balance {
    /// Sends a request to an endpoint of this version; without one, to a stable endpoint.
    ///
    /// # Errors
    /// [`ErrorKind::NoHealthyEndpoint`] without an endpoint, [`ErrorKind::Overloaded`] at a limit,
    /// [`ErrorKind::UpstreamConnect`] and [`ErrorKind::UpstreamReset`] when the attempts are used up.
    pub async fn send(
        &self,
        mut request: Request<Body>,
        version: Option<&Version>,
    ) -> Result<(Response<Body>, AttemptInfo), Error> {
        let shared = &*self.shared;
        let mut tried = Tried::default();
        let mut rested = Rested::Use;
        for attempt in 1.. {
            let (slot, endpoint, pool, in_flight) = self.pick(&request, version, tried.slots())?;
            let guards = Guards {
                _in_flight: in_flight,
                _permit: shared.limits.request()?,
            };
            let copy = Copy::of(&request);
            let mut reused = false;
            let failure = match pool.send(request, guards, rested, &mut reused).await {
                Ok((response, peer)) => {
                    self.tell(&endpoint, Outcome::of_status(response.status()), attempt);
                    let info = AttemptInfo::new(endpoint.0, endpoint.1, attempt).with_peer(peer);
                    return Ok((response, info));
                }
                Err(failure) => failure,
            };
            // A stream may be refused for want of room: another endpoint has more.
            let avoid = !reused || matches!(failure, SendFailure::NotProcessed(_));
            let (error, again) = match failure {
                SendFailure::Unsent(error, request) => (error, Some(*request)),
                SendFailure::NotProcessed(error) => (error, copy.map(Copy::into_request)),
                SendFailure::Reset(error) => (error, copy.map(Copy::into_request)),
                SendFailure::Broken(error) if reused => (error, copy.map(Copy::into_request)),
                SendFailure::Broken(error) | SendFailure::Failed(error) => (error, None),
            };
            // That a rested connection was closed says nothing against its endpoint.
            if avoid || again.is_none() {
                self.tell(&endpoint, Outcome::Refused(error.kind()), attempt);
            }
            let hopeless = matches!(
                error.kind(),
                ErrorKind::Overloaded | ErrorKind::Timeout | ErrorKind::BadRequest
            );
            match again {
                Some(again) if !hopeless && (attempt as usize) < MAX_ATTEMPTS => {
                    tracing::debug!(%error, attempt, "sending again");
                    if !avoid {
                        // Where one broke, those beside it are about to: they must not use up the attempts.
                        rested = Rested::Avoid;
                    }
                    tried.add(slot);
                    request = again;
                }
                _ => return Err(error),
            }
        }
        Err(Error::new(ErrorKind::UpstreamConnect, "no attempt was made"))
    }

    /// Sends a request that asks for an upgrade, on a connection that serves no other request. The response
    /// carries hyper's upgrade if the endpoint agreed (101). The guard counts it in flight until dropped.
    ///
    /// # Errors
    /// As [`Balance::send`]. Only connecting is tried again.
    pub async fn send_upgrade(
        &self,
        mut request: Request<Body>,
        version: Option<&Version>,
    ) -> Result<(Response<Incoming>, AttemptInfo, InFlight), Error> {
        let mut tried = Tried::default();
        for attempt in 1.. {
            let (slot, endpoint, pool, in_flight) = self.pick(&request, version, tried.slots())?;
            let permit = self.shared.limits.request()?;
            match pool.send_upgrade(request, permit).await {
                Ok((response, peer)) => {
                    self.tell(&endpoint, Outcome::of_status(response.status()), attempt);
                    let info = AttemptInfo::new(endpoint.0, endpoint.1, attempt).with_peer(peer);
                    return Ok((response, info, in_flight));
                }
                Err(SendFailure::Unsent(error, again)) => {
                    self.tell(&endpoint, Outcome::Refused(error.kind()), attempt);
                    if attempt as usize >= MAX_ATTEMPTS || error.kind() != ErrorKind::UpstreamConnect {
                        return Err(error);
                    }
                    tried.add(slot);
                    request = *again;
                }
                Err(
                    SendFailure::NotProcessed(error)
                    | SendFailure::Broken(error)
                    | SendFailure::Reset(error)
                    | SendFailure::Failed(error),
                ) => {
                    self.tell(&endpoint, Outcome::Refused(error.kind()), attempt);
                    return Err(error);
                }
            }
        }
        Err(Error::new(ErrorKind::UpstreamConnect, "no attempt was made"))
    }

    #[expect(
        clippy::type_complexity,
        reason = "the four facts of a pick, used in two places right above"
    )]
    fn pick(
        &self,
        request: &Request<Body>,
        version: Option<&Version>,
        tried: &[usize],
    ) -> Result<(usize, (EndpointId, Option<Version>), Arc<EndpointPool>, InFlight), Error> {
        let snapshot = self.shared.snapshot.load();
        let context = request.extensions().get::<MeshContext>();
        let now = context.map_or_else(Instant::now, |context| context.received);
        let cx = PickContext::new(fastrand::u64(..), now)
            .for_request(RequestHead::of(request))
            .avoiding(tried);
        let subset = snapshot.subset(version);
        let Some((at, slot)) = subset.and_then(|subset| subset.pick(&cx)) else {
            return Err(self.nothing_to_pick(version, subset.map_or(0, |subset| subset.len())));
        };
        let endpoint = (slot.endpoint.id().clone(), slot.endpoint.version.clone());
        Ok((at, endpoint, Arc::clone(&slot.pool), slot.load.begin()))
    }

    fn nothing_to_pick(&self, version: Option<&Version>, known: usize) -> Error {
        let service = &self.shared.service;
        let of = version.map(|v| format!(" of version {v}")).unwrap_or_default();
        let message = if known == 0 {
            format!("service {service} has no endpoint{of}: check its endpoints or its discovery")
        } else {
            format!(
                "none of the {known} endpoints{of} of service {service} takes requests: check their weights"
            )
        };
        Error::new(ErrorKind::NoHealthyEndpoint, message)
    }

    fn tell(&self, endpoint: &(EndpointId, Option<Version>), outcome: Outcome, number: u32) {
        if let Some(observe) = &self.shared.observe {
            observe(&Attempt {
                endpoint: &endpoint.0,
                outcome,
                number,
            });
        }
    }
}

/// The slots that were tried.
#[derive(Default)]
struct Tried {
    slots: [usize; MAX_ATTEMPTS],
    len: usize,
}

impl Tried {
    fn add(&mut self, slot: usize) {
        if let Some(place) = self.slots.get_mut(self.len) {
            *place = slot;
            self.len += 1;
        }
    }

    fn slots(&self) -> &[usize] {
        &self.slots[..self.len]
    }
}

/// What is left of a request that may be sent twice: one without a body, whose method changes nothing. A list
/// costs less to copy than a map does, and few are ever made a request again.
struct Copy {
    method: Method,
    uri: Uri,
    fields: Vec<(HeaderName, HeaderValue)>,
}

impl Copy {
    fn of(request: &Request<Body>) -> Option<Self> {
        let safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
        if !safe || !request.body().is_end_stream() {
            return None;
        }
        let mut fields = Vec::with_capacity(request.headers().len());
        fields.extend(
            request
                .headers()
                .iter()
                .map(|(name, value)| (name.clone(), value.clone())),
        );
        Some(Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            fields,
        })
    }

    fn into_request(self) -> Request<Body> {
        let mut request = Request::new(Body::empty());
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        for (name, value) in self.fields {
            request.headers_mut().append(name, value);
        }
        request
    }
}
