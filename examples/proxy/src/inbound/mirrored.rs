//! Copies of requests, on their way to the service that a rule mirrors to.

use http::{HeaderName, HeaderValue, Request, Response};
use mesh_core::body::Body;
use mesh_core::breaker::State;
use mesh_core::{Error, ErrorKind, RequestHead, ServiceName, Version};
use mesh_traffic::mirror::Mirror;
use tokio::time::Instant;

use super::Serving;

const X_TARGET_SERVICE: HeaderName = HeaderName::from_static("x-target-service");

/// What copies the requests of a rule, and where copies go.
pub struct MirrorTo {
    mirror: Mirror,
    /// Among the plan's services.
    service: usize,
    version: Option<Version>,
    name: HeaderValue,
}

impl MirrorTo {
    /// To this version of this of the plan's services; without one, to its stable endpoints.
    pub fn new(mirror: Mirror, service: usize, name: &ServiceName, version: Option<Version>) -> Option<Self> {
        let name = HeaderValue::from_str(name.as_str()).ok()?;
        Some(Self {
            mirror,
            service,
            version,
            name,
        })
    }

    /// Sends perhaps a copy of the request on its way. A copy is no evidence for or against the breaker of its service,
    /// and is not sent to one that rests, nor to one whose authorization refuses it.
    pub(super) fn copy(&self, serving: &Serving, request: &mut Request<Body>, received: Instant) {
        let authorization = serving
            .plan
            .authorization
            .of(&serving.plan.services[self.service].name);
        if authorization.is_some_and(|asked| !asked.allows_copy(&RequestHead::of(request))) {
            return;
        }
        let Some(begun) = self.mirror.begin(fastrand::u32(..), received) else {
            return;
        };
        let (teed, mut copy) = begun.tee(std::mem::take(request));
        *request = teed.map(Body::new);
        copy.request_mut()
            .headers_mut()
            .insert(X_TARGET_SERVICE, self.name.clone());
        let balance = serving.balancers[self.service].clone();
        let version = self.version.clone();
        let breaker = serving.plan.services[self.service].breaker.as_ref();
        let breaker = breaker.map(|watched| watched.of(version.as_ref()).clone());
        let client = tower::service_fn(move |request: Request<Body>| {
            let (balance, breaker, version) = (balance.clone(), breaker.clone(), version.clone());
            async move {
                if breaker.is_some_and(|breaker| breaker.state() != State::Closed) {
                    let message = "the service that copies go to rests";
                    return Err(Error::new(ErrorKind::CircuitOpen, message));
                }
                let (response, _) = balance.send(request, version.as_ref()).await?;
                Ok::<Response<Body>, Error>(response)
            }
        });
        // It ends by itself, in its time.
        tokio::spawn(copy.send(client));
    }
}
