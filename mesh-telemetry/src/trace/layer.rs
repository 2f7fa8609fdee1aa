//! The layer around a service that tells of each request.

use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::Body;
use mesh_core::body_end::EndBody;
use mesh_core::context::Target;
use mesh_core::forwarded::set_parent_span;
use mesh_core::{MeshContext, RequestHead, ServiceName, Version};
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

use super::future::TraceFuture;
use crate::story::{Begun, Fields, Place, Story, Teller, Telling};

/// A response body; the request is told of when it is over.
pub type TraceBody<B> = EndBody<B, Telling<Box<Story>>>;

/// Tells of each request of the service it wraps: a span of kind server, a line in the access log.
///
/// The request then goes on from that span: its `traceparent` is rewritten, and what is
/// [carried](mesh_core::carry) on to the calls that are made for it is this span. Put it inside of the
/// [edge](mesh_core::edge), which finds out who asks, and outside of all that may refuse.
///
/// ```
/// use axum::{Router, routing::get};
/// use mesh_core::carry::CarryLayer;
/// use mesh_core::trace::SampleRatio;
/// use mesh_telemetry::Telemetry;
/// use mesh_telemetry::story::Teller;
/// use mesh_telemetry::trace::{Sampling, TraceLayer, Tracer, span_queue};
/// use tower::ServiceExt;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), mesh_core::BoxError> {
/// // In place of this queue: that of an `Exporter`.
/// let (queue, mut spans) = span_queue(100, &Telemetry::new());
/// let tracer = Tracer::new(Sampling::new(SampleRatio::ALWAYS), [queue]);
/// let layer = TraceLayer::new(Teller::new().tracer(Some(tracer)), "orders".parse()?);
/// let app: Router = Router::new()
///     .route("/orders/7", get(|| async { "order 7" }))
///     .layer(CarryLayer::new())
///     .layer(layer);
/// let request = http::Request::get("/orders/7").body(axum::body::Body::empty())?;
/// drop(app.oneshot(request).await?);
///
/// let span = spans.try_next().expect("it is over");
/// assert_eq!((&*span.service, &*span.name), ("orders", "GET"));
/// assert_eq!(span.attribute("url.path").and_then(|path| path.text()), Some("/orders/7"));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct TraceLayer {
    /// Nothing if nobody is told.
    place: Option<Place>,
}

impl TraceLayer {
    /// Tells this teller of the requests for `service`, to which their spans belong.
    pub fn new(teller: Teller, service: ServiceName) -> Self {
        let told = !teller.is_silent();
        let place = || Place::new(teller, service.shared(), Some(Target::service(service)));
        Self {
            place: told.then(place),
        }
    }

    /// The version of the service.
    #[must_use]
    pub fn with_version(self, version: Option<Version>) -> Self {
        let versioned = |place: Place| {
            let target = place.target().cloned();
            let target = target.map(|target| target.with_version(version));
            Place::new(place.teller().clone(), Arc::clone(place.service()), target)
        };
        Self {
            place: self.place.map(versioned),
        }
    }
}

impl<S> Layer<S> for TraceLayer {
    type Service = TraceService<S>;

    fn layer(&self, inner: S) -> TraceService<S> {
        TraceService {
            inner,
            layer: self.clone(),
        }
    }
}

/// A service behind a [`TraceLayer`].
#[derive(Clone, Debug)]
pub struct TraceService<S> {
    inner: S,
    layer: TraceLayer,
}

impl<S> TraceService<S> {
    fn begin<B>(&self, request: &mut Request<B>) -> Option<Box<Story>> {
        let place = self.layer.place.as_ref()?;
        let new;
        let context = match request.extensions().get::<MeshContext>() {
            Some(context) => context,
            None => {
                new = MeshContext::new(Instant::now());
                &new
            }
        };
        let fields = Fields::of(request.headers());
        let begun = Begun {
            head: RequestHead::of(request),
            version: request.version(),
            context,
            // What the edge made up is nobody's.
            parent: match context.begins_trace {
                true => None,
                false => fields.parent(request.headers()),
            },
            listener: None,
        };
        let story = place.begin_own(&begun, &fields)?;
        if place.makes_spans() || begun.parent.is_none() {
            set_parent_span(request.headers_mut(), story.span());
        }
        Some(story)
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for TraceService<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    S::Error: 'static,
    ResBody: Body,
{
    type Response = Response<TraceBody<ResBody>>;
    type Error = S::Error;
    type Future = TraceFuture<S::Future, Telling<Box<Story>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        let telling = Telling::of(self.begin(&mut request));
        TraceFuture::new(self.inner.call(request), telling)
    }
}
