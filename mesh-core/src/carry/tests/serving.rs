//! Where it is carried, and where not.

use std::convert::Infallible;
use std::future::{pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::BodyExt;
use tokio::sync::Barrier;
use tokio::time::{Instant, advance, sleep};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};

use super::{PARENT, Stock, due_in, id, request, text};
use crate::body::Body;
use crate::carry::{self, CarryLayer, InheritService};
use crate::context::MeshContext;
use crate::edge::EdgeLayer;
use crate::error::{Error, ErrorKind};
use crate::identity::SpiffeId;
use crate::peer::PeerInfo;

const SECOND: Duration = Duration::from_secs(1);

fn of(id: &str) -> Request<()> {
    request(&[("x-request-id", id)])
}

#[tokio::test]
async fn requests_at_once_do_not_mix() {
    let stock = Stock::default();
    let client = stock.client();
    // Each waits for the other in between, so that both are asked in turns.
    let barrier = Arc::new(Barrier::new(2));
    let app = CarryLayer::new().layer(service_fn(move |request: Request<()>| {
        let (client, barrier) = (client.clone(), Arc::clone(&barrier));
        async move {
            for _ in 0..100 {
                barrier.wait().await;
                let call = Request::builder().header("made-for", &request.headers()["x-request-id"]);
                client.clone().oneshot(call.body(()).unwrap()).await?;
            }
            Ok::<_, Error>(Response::new(Body::empty()))
        }
    }));
    // In one task, which is the harder of the two.
    let (one, other) = tokio::join!(app.clone().oneshot(of("r-1")), app.oneshot(of("r-2")));
    assert!(one.is_ok() && other.is_ok());
    let sent = stock.take();
    assert_eq!(sent.len(), 200);
    for call in &sent {
        assert_eq!(text(call.headers(), "made-for"), id(call));
    }
}

#[tokio::test]
async fn a_task_carries_what_it_was_begun_with_by_the_helper_only() {
    let stock = Stock::default();
    let client = stock.client();
    let app = CarryLayer::new().layer(service_fn(move |_: Request<()>| {
        let call = |path: &'static str| client.clone().oneshot(Request::get(path).body(()).unwrap());
        let (plain, helped, nested) = (call("/plain"), call("/helped"), call("/nested"));
        async move {
            tokio::spawn(plain).await.unwrap()?;
            carry::spawn(helped).await.unwrap()?;
            let nested = carry::spawn(async { carry::spawn(nested).await });
            nested.await.unwrap().unwrap()?;
            Ok::<_, Error>(Response::new(Body::empty()))
        }
    }));
    app.oneshot(of("r-7")).await.expect("answered");
    let sent: Vec<_> = stock.take();
    let sent: Vec<_> = sent.iter().map(|call| (call.uri().path(), id(call))).collect();
    assert_eq!(
        sent,
        [
            ("/plain", None),
            ("/helped", Some("r-7")),
            ("/nested", Some("r-7"))
        ]
    );
}

#[tokio::test]
async fn outside_of_a_request_nothing_is_carried_and_a_call_goes_as_it_is() {
    let stock = Stock::default();
    assert!(carry::current().is_none());
    let call = request(&[("accept", "*/*")]);
    stock.client().oneshot(call.clone()).await.expect("answered");
    carry::spawn(stock.client().oneshot(call.clone()))
        .await
        .unwrap()
        .expect("answered");
    carry::scope(None, stock.client().oneshot(call.clone()))
        .await
        .expect("answered");
    for sent in stock.take() {
        assert_eq!(sent.headers(), call.headers());
        assert!(sent.extensions().is_empty());
    }
}

#[tokio::test]
async fn between_two_polls_and_after_a_request_was_given_up_nothing_is_carried() {
    let app = CarryLayer::new().layer(service_fn(|_: Request<()>| async {
        assert!(carry::current().is_some());
        pending::<Result<Response<Body>, Infallible>>().await
    }));
    let mut answer = Box::pin(app.oneshot(of("r-7")));
    for _ in 0..3 {
        let polled = poll_fn(|cx| Poll::Ready(answer.as_mut().poll(cx).is_ready())).await;
        assert!(!polled);
        assert!(carry::current().is_none());
    }
    drop(answer);
    assert!(carry::current().is_none());
}

#[tokio::test]
async fn a_call_that_a_service_makes_before_its_future_is_asked_carries_as_well() {
    let stock = Stock::default();
    let mut client = stock.client();
    let app = CarryLayer::new().layer(service_fn(move |request: Request<()>| {
        let (parts, ()) = request.into_parts();
        let call = Request::get(parts.uri).body(()).unwrap();
        client.call(call)
    }));
    app.oneshot(of("r-7")).await.expect("answered");
    assert_eq!(id(&stock.take()[0]), Some("r-7"));
}

#[tokio::test(start_paused = true)]
async fn a_late_call_is_refused_and_not_sent() {
    let stock = Stock::default();
    let client = stock.client();
    let app = CarryLayer::new().layer(service_fn(move |_: Request<()>| {
        let client = client.clone();
        async move {
            client.clone().oneshot(Request::new(())).await?;
            sleep(SECOND).await;
            client.oneshot(Request::new(())).await
        }
    }));
    let began = Instant::now();
    let error = app.oneshot(due_in(of("r-7"), SECOND)).await.err().expect("late");
    assert_eq!((error.kind(), began.elapsed()), (ErrorKind::Timeout, SECOND));
    assert_eq!(stock.take().len(), 1, "the first one only");
}

/// Makes a call for each of its pieces.
struct Calling {
    client: InheritService<Stock>,
    pieces: usize,
}

impl http_body::Body for Calling {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.pieces == 0 {
            return Poll::Ready(None);
        }
        self.pieces -= 1;
        let called = pin!(self.client.clone().oneshot(Request::new(())));
        called
            .poll(cx)
            .map_ok(|_| Frame::data(Bytes::from_static(b"piece")))
            .map(Some)
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_carries_for_as_long_as_it_is_read_and_not_within_the_deadline_of_the_head() {
    let stock = Stock::default();
    let client = stock.client();
    let app = CarryLayer::new().layer(service_fn(move |_: Request<()>| {
        let client = client.clone();
        async { Ok::<_, Infallible>(Response::new(Calling { client, pieces: 3 })) }
    }));
    let response = app.oneshot(due_in(of("r-7"), SECOND)).await.expect("answered");
    advance(5 * SECOND).await;
    let mut body = response.into_body();
    for _ in 0..3 {
        let piece = body.frame().await.expect("a piece").expect("its call was made");
        assert!(piece.is_data());
        assert!(carry::current().is_none());
    }
    assert!(body.frame().await.is_none());
    let sent = stock.take();
    assert_eq!(sent.len(), 3);
    for call in &sent {
        assert_eq!(id(call), Some("r-7"));
        assert_eq!(text(call.headers(), "x-mesh-deadline-ms"), None);
    }
}

#[tokio::test(start_paused = true)]
async fn behind_the_edge_only_a_peer_with_an_identity_tells_deadline_and_attempt() {
    let identity = SpiffeId::of_service("cluster.local", "dept-barc", "frontend").expect("valid parts");
    let frontend = PeerInfo::mtls(([127, 0, 0, 1], 5).into(), identity, "ab12", "01");
    let stranger = PeerInfo::plaintext(([127, 0, 0, 1], 5).into());
    for (peer, believed) in [(frontend, true), (stranger, false)] {
        let stock = Stock::default();
        let client = stock.client();
        let app = ServiceBuilder::new()
            .layer(EdgeLayer::new("orders".parse().expect("a name")))
            .layer(CarryLayer::new())
            .service(service_fn(move |_: Request<()>| {
                client.clone().oneshot(Request::new(()))
            }));
        let mut request = request(&[
            ("host", "orders"),
            ("x-request-id", "r-7"),
            ("traceparent", PARENT),
            ("x-mesh-attempt", "2"),
            ("x-mesh-deadline-ms", "1500"),
            ("x-trace-id", "forged"),
        ]);
        let mut context = MeshContext::new(Instant::now());
        context.peer = Some(Arc::new(peer));
        request.extensions_mut().insert(context);
        app.oneshot(request).await.expect("answered");
        let sent = stock.take();
        let told = |name| text(sent[0].headers(), name);
        assert_eq!(told("x-mesh-attempt"), believed.then_some("2"));
        assert_eq!(told("x-mesh-deadline-ms"), believed.then_some("1500"));
        assert_eq!(told("x-request-id") == Some("r-7"), believed);
        // A stranger's request has an id of the edge's.
        assert!(told("x-request-id").is_some());
        assert_eq!(told("traceparent"), Some(PARENT));
        assert_eq!(told("x-trace-id"), Some(super::TRACE));
    }
}

#[cfg(feature = "testkit")]
#[tokio::test]
async fn both_layers_call_the_service_that_was_polled() {
    use crate::testkit::{NotReadyClone, Scripted, Step};

    let steps = || {
        [Step::<Response<Body>, Error>::Answer(
            Response::new(Body::empty()),
        )]
    };
    let (inner, calls) = Scripted::new(steps());
    let service = CarryLayer::new().layer(NotReadyClone::new(inner));
    service.oneshot(Request::new(())).await.expect("answered");
    assert_eq!(calls.count(), 1);
    let (inner, calls) = Scripted::new(steps());
    let service = carry::InheritLayer::new().layer(NotReadyClone::new(inner));
    carry::scope(carry::Carried::of(&of("r-7")), service.oneshot(Request::new(())))
        .await
        .expect("answered");
    assert_eq!(calls.count(), 1);
}

#[tokio::test]
async fn an_answer_asked_for_again_does_not_panic() {
    let app = CarryLayer::new().layer(service_fn(async |_: Request<()>| {
        Ok::<_, Infallible>(Response::new(Body::empty()))
    }));
    let mut answer = pin!({
        let mut app = app;
        app.call(of("r-7"))
    });
    assert!(answer.as_mut().await.is_ok());
    let again = poll_fn(|cx| Poll::Ready(answer.as_mut().poll(cx).is_pending())).await;
    assert!(again);
}
