//! One trace through three services that embed the mesh: none of them touches a field.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::http::StatusCode;
use http::{Request, Response};
use http_body_util::BodyExt;
use mesh_core::body::Body;
use mesh_core::carry::{CarryLayer, InheritLayer};
use mesh_core::context::Target;
use mesh_core::edge::EdgeLayer;
use mesh_core::trace::SampleRatio;
use mesh_core::{MeshContext, ServiceName};
use mesh_telemetry::Telemetry;
use mesh_telemetry::story::Teller;
use mesh_telemetry::trace::{AttemptLayer, Sampling, Span, SpanKind, Spans, TraceLayer, Tracer, span_queue};
use mesh_traffic::{RetryBudget, RetryLayer, RetryPolicy};
use tokio::time::Instant;
use tower::util::BoxCloneSyncService;
use tower::{ServiceBuilder, ServiceExt, service_fn};

type Called = BoxCloneSyncService<Request<Body>, Response<Body>, mesh_core::Error>;

fn name(text: &str) -> ServiceName {
    ServiceName::new(text).expect("a name")
}

fn tracer(ratio: SampleRatio) -> (Tracer, Spans) {
    let (queue, spans) = span_queue(100, &Telemetry::new());
    (Tracer::new(Sampling::new(ratio), [queue]), spans)
}

/// The service of this name behind the layers that serve.
fn serving(service: &'static str, tracer: &Tracer, app: Router) -> Called {
    let teller = Teller::new().tracer(Some(tracer.clone()));
    let layers = ServiceBuilder::new()
        .layer(EdgeLayer::new(name(service)))
        .layer(TraceLayer::new(teller, name(service)))
        .layer(CarryLayer::new())
        .service(app);
    let answer = service_fn(move |request: Request<Body>| {
        let layers = layers.clone();
        async move {
            let answer: Result<_, Infallible> = layers.oneshot(request).await;
            answer
                .map(|response| response.map(Body::new))
                .map_err(|never| match never {})
        }
    });
    BoxCloneSyncService::new(answer)
}

/// A client of `from` that calls `to`, behind the layers that call.
fn calling(from: &'static str, to: &'static str, tracer: &Tracer, called: Called) -> Called {
    let budget = RetryBudget::new(Default::default(), Instant::now());
    let client = ServiceBuilder::new()
        .layer(InheritLayer::new())
        .map_request(move |mut request: Request<Body>| {
            let now = Instant::now();
            let context = request
                .extensions_mut()
                .get_or_insert_with(|| MeshContext::new(now));
            context.target = Some(Target::service(name(to)));
            request
        })
        .layer(RetryLayer::new(RetryPolicy::default(), budget))
        .layer(AttemptLayer::new(tracer.clone(), &name(from)))
        .service(called)
        .map_response(|response| response.map(Body::new));
    BoxCloneSyncService::new(client)
}

/// Asks the next service by this client.
fn asking(next: Called) -> Router {
    Router::new().fallback(move || {
        let next = next.clone();
        async move {
            let request = Request::get("/next").header("host", "next").body(Body::empty());
            match next.oneshot(request.expect("a request")).await {
                Ok(answer) => {
                    let status = answer.status();
                    answer.into_body().collect().await.expect("whole");
                    status
                }
                Err(error) => error.http_status(),
            }
        }
    })
}

/// Frontend, orders and stock, which is broken so many times.
async fn ask(tracer: &Tracer, broken: usize) -> StatusCode {
    let asked = Arc::new(AtomicUsize::new(0));
    let stock = Router::new().fallback(move || {
        std::future::ready(match asked.fetch_add(1, Ordering::Relaxed) < broken {
            true => StatusCode::SERVICE_UNAVAILABLE,
            false => StatusCode::OK,
        })
    });
    let stock = calling("orders", "stock", tracer, serving("stock", tracer, stock));
    let orders = calling(
        "frontend",
        "orders",
        tracer,
        serving("orders", tracer, asking(stock)),
    );
    let frontend = serving("frontend", tracer, asking(orders));
    let request = Request::get("/cart")
        .header("host", "frontend")
        .body(Body::empty());
    let answer = frontend
        .oneshot(request.expect("a request"))
        .await
        .expect("answered");
    let status = answer.status();
    answer.into_body().collect().await.expect("whole");
    status
}

fn all(mut spans: Spans) -> Vec<Span> {
    std::iter::from_fn(|| spans.try_next()).collect()
}

fn of<'s>(spans: &'s [Span], service: &str, kind: SpanKind) -> Vec<&'s Span> {
    let is_it = |span: &&Span| &*span.service == service && span.kind == kind;
    spans.iter().filter(is_it).collect()
}

#[tokio::test(start_paused = true)]
async fn a_chain_of_services_is_one_trace_and_retries_are_siblings() {
    let (tracer, spans) = tracer(SampleRatio::ALWAYS);
    assert_eq!(ask(&tracer, 1).await, StatusCode::OK);
    let spans = all(spans);
    assert_eq!(spans.len(), 7, "{spans:#?}");
    assert!(
        spans
            .iter()
            .all(|span| span.context.trace == spans[0].context.trace)
    );
    let [root] = of(&spans, "frontend", SpanKind::Server)[..] else {
        panic!("{spans:#?}");
    };
    let [asks] = of(&spans, "frontend", SpanKind::Client)[..] else {
        panic!("{spans:#?}");
    };
    let [orders] = of(&spans, "orders", SpanKind::Server)[..] else {
        panic!("{spans:#?}");
    };
    let [first, second] = of(&spans, "orders", SpanKind::Client)[..] else {
        panic!("{spans:#?}");
    };
    let [failed, well] = of(&spans, "stock", SpanKind::Server)[..] else {
        panic!("{spans:#?}");
    };
    for (span, parent) in [
        (asks, root),
        (orders, asks),
        (first, orders),
        (second, orders),
        (failed, first),
        (well, second),
    ] {
        assert_eq!(span.parent, Some(parent.context.span), "{span:#?}");
    }
    let called = |span: &Span| {
        span.attribute("peer.service")
            .and_then(|called| called.text())
            .map(str::to_owned)
    };
    assert_eq!(
        [asks, first].map(called),
        ["orders", "stock"].map(|name| Some(name.to_owned()))
    );
    assert_eq!(
        [first.failed, second.failed, failed.failed, root.failed],
        [true, false, true, false]
    );
    assert!(second.attribute("http.request.resend_count").is_some());
}

#[tokio::test(start_paused = true)]
async fn of_a_trace_that_is_not_sampled_those_tell_who_saw_the_trouble() {
    let (tracer, spans) = tracer(SampleRatio::NEVER);
    assert_eq!(ask(&tracer, 1).await, StatusCode::OK);
    let spans = all(spans);
    assert_eq!(spans.len(), 2, "{spans:#?}");
    assert_eq!(of(&spans, "stock", SpanKind::Server).len(), 1);
    assert_eq!(of(&spans, "orders", SpanKind::Client).len(), 1);
    assert_eq!(spans[0].context.trace, spans[1].context.trace);
}
