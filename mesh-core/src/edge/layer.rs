//! The edge as a layer, for who embeds the mesh.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use arc_swap::ArcSwapOption;
use http::{Request, Response};
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

use super::{EdgePolicy, admit};
use crate::context::{Direction, MeshContext};
use crate::forward::{self, Outgoing};
use crate::forwarded::{PeerMarks, RequestMarks, TargetMarks, Trust, mark_response};
use crate::name::ServiceName;
use crate::peer::PeerInfo;
use crate::reject::{RejectBody, is_grpc};

/// The outermost layer of a service that is part of the mesh.
///
/// It refuses what is malformed, brings the rest into one canonical form, takes away what only the mesh may say, and
/// tells the application who calls, in the request's headers and in its [`MeshContext`]: `x-source-service`,
/// `x-mesh-mtls`, `x-mesh-cert-fingerprint` and the rest come from the verified peer, never from the wire. The response
/// gets `x-request-id`, `x-service-mesh-version` and `x-mesh-mtls`.
///
/// Put it outside of a router, not into it: a path has to be canonical before it is matched. The peer is in the context
/// that [`Server`](crate::serve::Server) makes; without one, the caller is nobody, at no address. An application may
/// take over the connection for a WebSocket as ever; other upgrades are not seen by it.
///
/// ```
/// use std::convert::Infallible;
/// use http::{Request, Response};
/// use mesh_core::edge::EdgeLayer;
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), mesh_core::BoxError> {
/// let app = service_fn(async |request: Request<&'static str>| {
///     assert_eq!(request.uri(), "/orders");
///     assert_eq!(request.headers()["x-source-service"], "unknown");
///     Ok::<_, Infallible>(Response::new("hello"))
/// });
/// let service = ServiceBuilder::new().layer(EdgeLayer::new("orders".parse()?)).service(app);
/// let request = Request::get("/a/../orders").header("host", "orders").header("x-source-service", "admin");
/// let response = service.oneshot(request.body("")?).await?;
/// assert_eq!(response.headers()["x-mesh-mtls"], "false");
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct EdgeLayer {
    service: ServiceName,
    policy: EdgePolicy,
    trust: Trust,
}

impl EdgeLayer {
    /// The edge of this service.
    pub fn new(service: ServiceName) -> Self {
        Self {
            service,
            policy: EdgePolicy::default(),
            trust: Trust::default(),
        }
    }

    /// What is let in.
    #[must_use]
    pub fn policy(mut self, policy: EdgePolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Whose `x-forwarded-*` is believed. Default: nobody's.
    #[must_use]
    pub fn trust(mut self, trust: Trust) -> Self {
        self.trust = trust;
        self
    }
}

impl<S> Layer<S> for EdgeLayer {
    type Service = EdgeService<S>;

    fn layer(&self, inner: S) -> EdgeService<S> {
        EdgeService {
            inner,
            edge: Arc::new(Edge {
                policy: self.policy.clone(),
                trust: self.trust.clone(),
                target: TargetMarks::new(&self.service),
                service: self.service.clone(),
                marks: std::array::from_fn(|_| ArcSwapOption::empty()),
            }),
        }
    }
}

/// How many connections' marks are remembered. More connections are served as well, and their marks made again.
const REMEMBERED: usize = 64;

#[derive(Debug)]
struct Edge {
    policy: EdgePolicy,
    trust: Trust,
    target: TargetMarks,
    service: ServiceName,
    /// What is told of a peer is the same for each request of its connection.
    marks: [ArcSwapOption<PeerMarks>; REMEMBERED],
}

impl Edge {
    fn marks(&self, peer: Option<&Arc<PeerInfo>>) -> Arc<PeerMarks> {
        let make = |peer: &Arc<PeerInfo>| {
            Arc::new(PeerMarks::new(
                peer,
                &self.trust,
                Direction::Inbound,
                Some(&self.service),
            ))
        };
        let Some(peer) = peer else {
            let nobody = PeerInfo::plaintext(([0, 0, 0, 0], 0).into());
            return make(&Arc::new(nobody));
        };
        // Allocations stand at least 16 bytes apart.
        let slot = Arc::as_ptr(peer).addr() / 16 % REMEMBERED;
        let Some(slot) = self.marks.get(slot) else {
            return make(peer);
        };
        // The marks hold their peer, so that its address is nobody else's.
        if let Some(marks) = &*slot.load()
            && Arc::ptr_eq(marks.peer(), peer)
        {
            return Arc::clone(marks);
        }
        let marks = make(peer);
        slot.store(Some(Arc::clone(&marks)));
        marks
    }
}

/// A service behind an [`EdgeLayer`].
#[derive(Clone, Debug)]
pub struct EdgeService<S> {
    inner: S,
    edge: Arc<Edge>,
}

impl<S, B, R> Service<Request<B>> for EdgeService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<RejectBody<R>>;
    type Error = S::Error;
    type Future = EdgeFuture<S::Future, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> EdgeFuture<S::Future, R> {
        let (mut parts, body) = request.into_parts();
        let context = parts.extensions.remove::<MeshContext>();
        let mut context = context.unwrap_or_else(|| MeshContext::new(Instant::now()));
        let peer = self.edge.marks(context.peer.as_ref());
        let received = admit(&mut parts, &self.edge.policy)
            .and_then(|facts| forward::receive(&mut parts, facts, &mut context, &peer, true));
        let received = match received {
            Ok(received) => received,
            Err(error) => {
                let marks = RequestMarks::of_refused(&parts.headers, &peer);
                let grpc = is_grpc(&parts.headers);
                return EdgeFuture::refused(forward::refuse(&error, grpc, parts.version, marks, &peer));
            }
        };
        context.begins_trace = !received.believed.has_parent();
        let Outgoing { marks, upgrade } =
            forward::prepare(&mut parts, received, &context, &peer, &self.edge.target);
        if let Some(upgrade) = upgrade {
            parts.extensions.insert(upgrade);
        }
        parts.extensions.insert(context);
        EdgeFuture::called(self.inner.call(Request::from_parts(parts, body)), marks, peer)
    }
}

pin_project_lite::pin_project! {
    /// What an [`EdgeService`] answers with.
    pub struct EdgeFuture<F, R> {
        #[pin]
        step: Step<F, R>,
    }
}

pin_project_lite::pin_project! {
    #[project = StepProj]
    enum Step<F, R> {
        Refused { response: Option<Response<RejectBody<R>>> },
        Called { #[pin] future: F, marks: Option<RequestMarks>, peer: Arc<PeerMarks> },
    }
}

impl<F, R> EdgeFuture<F, R> {
    fn refused(response: Response<RejectBody<R>>) -> Self {
        Self {
            step: Step::Refused {
                response: Some(response),
            },
        }
    }

    fn called(future: F, marks: RequestMarks, peer: Arc<PeerMarks>) -> Self {
        Self {
            step: Step::Called {
                future,
                marks: Some(marks),
                peer,
            },
        }
    }
}

impl<F, R, E> Future for EdgeFuture<F, R>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<RejectBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().step.project() {
            // Asked again after its answer, a future may do anything but panic.
            StepProj::Refused { response } => match response.take() {
                Some(response) => Poll::Ready(Ok(response)),
                None => Poll::Pending,
            },
            StepProj::Called { future, marks, peer } => {
                let mut response = ready!(future.poll(cx))?;
                if let Some(marks) = marks.take() {
                    mark_response(response.headers_mut(), marks, peer);
                }
                Poll::Ready(Ok(response.map(RejectBody::inner)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, StatusCode};
    use tower::{ServiceBuilder, ServiceExt, service_fn};

    use super::*;
    use crate::identity::SpiffeId;

    fn orders() -> EdgeLayer {
        EdgeLayer::new("orders".parse().expect("a name"))
    }

    fn frontend() -> Arc<PeerInfo> {
        let identity = SpiffeId::of_service("cluster.local", "dept-barc", "frontend").expect("valid parts");
        Arc::new(PeerInfo::mtls(([127, 0, 0, 1], 5).into(), identity, "ab12", "01"))
    }

    /// What the application is given of a request, and what comes back.
    async fn through(
        peer: Option<Arc<PeerInfo>>,
        request: http::request::Builder,
    ) -> (Option<HeaderMap>, Response<RejectBody<()>>) {
        let (tell, told) = std::sync::mpsc::channel();
        let app = service_fn(move |request: Request<()>| {
            let told = tell.send(request.headers().clone());
            async move { told.map(|()| Response::new(())) }
        });
        let mut request = request.body(()).expect("a request");
        if let Some(peer) = peer {
            let mut context = MeshContext::new(Instant::now());
            context.peer = Some(peer);
            request.extensions_mut().insert(context);
        }
        let service = ServiceBuilder::new().layer(orders()).service(app);
        let response = service.oneshot(request).await.expect("answered");
        (told.try_recv().ok(), response)
    }

    const MESH: [&str; 9] = [
        "x-source-service",
        "x-target-service",
        "x-mesh-mtls",
        "x-mesh-cert-fingerprint",
        "x-forwarded-client-cert",
        "x-service-mesh-version",
        "x-mesh-deadline-ms",
        "x-mesh-attempt",
        "x-forwarded-for",
    ];

    /// A request with every field of the mesh, more than once and in the spelling that some applications take for it.
    fn forged() -> http::request::Builder {
        let request = Request::get("/").header("host", "orders");
        MESH.iter().fold(request, |request, name| {
            let twin = name.replace('-', "_");
            request
                .header(*name, "forged")
                .header(*name, "forged too")
                .header(twin, "forged")
        })
    }

    #[tokio::test]
    async fn what_only_the_mesh_may_say_is_never_the_clients_word() {
        let (seen, response) = through(None, forged()).await;
        let seen = seen.expect("it got through");
        assert!(!format!("{seen:?}").contains("forged"), "{seen:?}");
        assert_eq!(seen["x-source-service"], "unknown");
        assert_eq!(seen["x-mesh-mtls"], "false");
        assert_eq!(response.headers()["x-mesh-mtls"], "false");
        let (seen, _) = through(None, forged().header("connection", "x-mesh-mtls")).await;
        assert!(
            seen.is_none(),
            "a field of the mesh is not for one hop to take away"
        );
    }

    #[tokio::test]
    async fn a_trace_that_was_made_up_here_is_told_from_one_that_came() {
        const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        for (trace, begins) in [(TRACE, false), ("00-malformed", true), ("", true)] {
            let (tell, told) = std::sync::mpsc::channel();
            let app = service_fn(move |request: Request<()>| {
                let context = request.extensions().get::<MeshContext>();
                let told = tell.send(context.map(|context| context.begins_trace));
                async move { told.map(|()| Response::new(())) }
            });
            let request = Request::get("/")
                .header("host", "orders")
                .header("traceparent", trace);
            let service = ServiceBuilder::new().layer(orders()).service(app);
            let answered = service.oneshot(request.body(()).expect("a request")).await;
            assert!(answered.is_ok());
            assert_eq!(told.try_recv(), Ok(Some(begins)), "{trace}");
        }
    }

    #[tokio::test]
    async fn the_application_is_told_who_the_peer_proved_to_be() {
        let request = Request::get("/")
            .header("host", "orders")
            .header("x-request-id", "of-a-friend");
        let (seen, response) = through(Some(frontend()), request).await;
        let seen = seen.expect("it got through");
        assert_eq!(seen["x-source-service"], "frontend");
        assert_eq!(seen["x-target-service"], "orders");
        assert_eq!(seen["x-mesh-mtls"], "true");
        assert_eq!(seen["x-mesh-cert-fingerprint"], "ab12");
        assert!(
            seen["x-forwarded-client-cert"]
                .to_str()
                .expect("text")
                .contains("sa/frontend")
        );
        assert_eq!(response.headers()["x-request-id"], "of-a-friend");
        assert_eq!(response.headers()["x-mesh-mtls"], "true");
    }

    #[tokio::test]
    async fn what_is_malformed_does_not_reach_the_application_and_ends_the_connection() {
        let (seen, response) = through(Some(frontend()), Request::get("/%00").header("host", "orders")).await;
        assert!(seen.is_none());
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        assert_eq!(response.headers()["x-mesh-error"], "bad_request");
        assert_eq!(response.headers()["connection"], "close");
    }

    #[tokio::test]
    async fn peers_that_share_a_place_are_not_taken_for_each_other() {
        let layer = orders();
        let service = layer.layer(());
        let peers: Vec<_> = (0..1000_u16)
            .map(|port| Arc::new(PeerInfo::plaintext(([127, 0, 0, 1], port).into())))
            .collect();
        for _ in 0..2 {
            for peer in &peers {
                assert!(Arc::ptr_eq(service.edge.marks(Some(peer)).peer(), peer));
            }
        }
    }
}
