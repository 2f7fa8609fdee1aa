//! The layer around a client that makes a span of each try.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::SystemTime;

use http::{Request, Response};
use http_body::Body;
use mesh_core::body_end::{End, EndBody, OnEnd};
use mesh_core::context::Target;
use mesh_core::forwarded::set_parent_span;
use mesh_core::trace::{SpanContext, SpanId, TraceId};
use mesh_core::tried::TriedEndpoints;
use mesh_core::{AttemptInfo, ErrorKind, GrpcCode, MeshContext, Outcome, RequestHead, ServiceName};
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

use super::future::{Tell, TraceFuture};
use super::sampling::Went;
use super::tracer::Tracer;
use crate::metrics::mesh_error;
use crate::story::{Begun, Came, Clock, Facts, Fields, Subject, Tried, client_span};

/// A response body; the span of its try ends with it.
pub type AttemptBody<B> = EndBody<B, Call>;

/// Makes a span of kind client of each request that passes, from which the request then goes on.
///
/// It is a part of the span that the request's `traceparent` names, which is that of the request it is made for behind an
/// [`InheritLayer`](mesh_core::carry::InheritLayer). Put it inside of what tries again, so that each try has a span of its
/// own, and outside of what picks an endpoint, which tells it by [`AttemptInfo`]. Who is called, the target in
/// [`MeshContext`] says.
///
/// ```
/// use http::{Request, Response};
/// use mesh_core::body::Body;
/// use mesh_core::trace::SampleRatio;
/// use mesh_telemetry::Telemetry;
/// use mesh_telemetry::trace::{AttemptLayer, Sampling, SpanKind, Tracer, span_queue};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), mesh_core::BoxError> {
/// let (queue, mut spans) = span_queue(100, &Telemetry::new());
/// let tracer = Tracer::new(Sampling::new(SampleRatio::ALWAYS), [queue]);
/// let client = AttemptLayer::new(tracer, &"frontend".parse()?).layer(service_fn(async |request: Request<()>| {
///     let parent = request.headers()["traceparent"].to_str().expect("ASCII").to_owned();
///     Ok::<_, mesh_core::Error>(Response::new(Body::full(parent)))
/// }));
/// let response = client.oneshot(Request::new(())).await?;
/// let parent = http_body_util::BodyExt::collect(response).await?.to_bytes();
///
/// let span = spans.try_next().expect("the body is over");
/// assert_eq!((span.kind, &*span.service), (SpanKind::Client, "frontend"));
/// assert!(std::str::from_utf8(&parent)?.contains(&span.context.span.to_string()));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct AttemptLayer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    tracer: Tracer,
    service: Arc<str>,
}

impl AttemptLayer {
    /// Spans of this service, which calls.
    pub fn new(tracer: Tracer, service: &ServiceName) -> Self {
        let service = service.shared();
        Self(Arc::new(Inner { tracer, service }))
    }
}

impl<S> Layer<S> for AttemptLayer {
    type Service = AttemptService<S>;

    fn layer(&self, inner: S) -> AttemptService<S> {
        AttemptService {
            inner,
            layer: self.clone(),
        }
    }
}

/// A client behind an [`AttemptLayer`].
#[derive(Clone, Debug)]
pub struct AttemptService<S> {
    inner: S,
    layer: AttemptLayer,
}

/// A try that is under way: its span is made when this is dropped.
// In a box: it is moved with the future, with the answer and with its body.
pub struct Call(Box<UnderWay>);

struct UnderWay {
    layer: AttemptLayer,
    facts: Facts,
    target: Option<Target>,
    /// The span it is a part of; for the first of a trace, itself.
    parent: SpanContext,
    is_first: bool,
    /// How often the request was tried before.
    number: u32,
    tried: Tried,
    deadline: Option<Instant>,
    endpoints: TriedEndpoints,
    /// How its body ended.
    end: Option<End>,
}

impl AttemptLayer {
    fn begin<B>(&self, request: &mut Request<B>) -> Call {
        let now = Instant::now();
        let mut random = fastrand::Rng::new();
        let endpoints = request
            .extensions_mut()
            .get_or_insert_with(TriedEndpoints::default)
            .clone();
        let fields = Fields::of(request.headers());
        let told = fields.parent(request.headers());
        let own = SpanId::random(&mut random);
        let parent = told.unwrap_or_else(|| {
            let trace = TraceId::random(&mut random);
            SpanContext {
                trace,
                span: own,
                sampled: self.0.tracer.sampling().samples(None, trace),
            }
        });
        let begun = Begun {
            head: RequestHead::of(request),
            version: request.version(),
            context: &MeshContext::new(now),
            parent: told,
            listener: None,
        };
        let context = request.extensions().get::<MeshContext>();
        // It is large: made elsewhere, it would have to be moved here.
        let room = Box::new_uninit();
        let mut under_way = Box::write(
            room,
            UnderWay {
                layer: self.clone(),
                facts: Facts::of(&begun, &fields, None),
                target: context.and_then(|context| context.target.clone()),
                parent,
                is_first: told.is_none(),
                number: context.map_or(0, |context| context.attempt),
                tried: Tried::begun(own, now),
                deadline: context.and_then(|context| context.deadline),
                endpoints,
                end: None,
            },
        );
        under_way.facts.keep(request.uri(), &fields, None);
        set_parent_span(request.headers_mut(), parent.with_span(own));
        Call(under_way)
    }
}

impl Tell for Call {
    fn head<B>(&mut self, response: &Response<B>) {
        self.0.tried.came = Came::Answer(
            response.status().as_u16(),
            GrpcCode::in_fields(response.headers()),
        );
        if let Some(info) = response.extensions().get::<AttemptInfo>() {
            self.0.tried.answered_by(info);
        }
    }

    fn error(&mut self, error: &dyn Any) {
        let kind = mesh_error(error).map_or(ErrorKind::UpstreamReset, mesh_core::Error::kind);
        self.0.tried.came = Came::Failure(kind);
    }
}

impl OnEnd for Call {
    fn on_end(mut self, end: End, _at: Instant) {
        self.0.end = Some(end);
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let now = Instant::now();
        let late = self.deadline.is_some_and(|deadline| deadline <= now);
        match (self.tried.came, self.end) {
            (Came::Nothing, _) if late => self.tried.came = Came::Failure(ErrorKind::Timeout),
            (Came::Answer(..), Some(End::Failed)) => {
                self.tried.came = Came::Failure(ErrorKind::UpstreamReset);
            }
            (Came::Answer(status, _), Some(End::Complete(Some(code)))) => {
                self.tried.came = Came::Answer(status, Some(code));
            }
            _ => {}
        }
        self.tried.ended = now;
        let failed = match self.tried.came {
            Came::Answer(status, code) => {
                status >= 500 || code.map(Outcome::of_grpc) == Some(Outcome::Failure)
            }
            Came::Failure(_) => true,
            Came::Nothing => false,
        };
        let took = now.saturating_duration_since(self.tried.begun);
        let sampled = self.parent.sampled;
        let Inner { tracer, service } = &*self.layer.0;
        if !tracer.sampling().keeps(sampled, Went { failed, took }) {
            return;
        }
        if self.tried.endpoint.is_none() {
            self.tried.endpoint = self.endpoints.iter().last().cloned();
        }
        let clock = Clock {
            now,
            wall: SystemTime::now(),
        };
        let number = self.number as usize;
        let subject = Subject {
            facts: &self.facts,
            service,
            target: self.target.as_ref(),
        };
        let mut span = client_span(subject, &self.tried, number, self.parent, &clock);
        if self.is_first {
            span.parent = None;
        }
        if !sampled {
            let kept = if failed { "error" } else { "slow" };
            span.attributes.push(("mesh.kept", kept.into()));
        }
        tracer.give(span);
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for AttemptService<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    S::Error: 'static,
    ResBody: Body,
{
    type Response = Response<AttemptBody<ResBody>>;
    type Error = S::Error;
    type Future = TraceFuture<S::Future, Call>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        let call = self.layer.begin(&mut request);
        TraceFuture::new(self.inner.call(request), call)
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("span", &self.0.parent.with_span(self.0.tried.span))
            .finish_non_exhaustive()
    }
}
