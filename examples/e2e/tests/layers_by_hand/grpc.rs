//! Calls of gRPC, in all four kinds.

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::uri::PathAndQuery;
use http::{Request, Response};
use mesh_core::body::Body;
use mesh_core::connect::HttpProtocol;
use mesh_traffic::hedge::HedgeOutcome;
use mesh_traffic::retry::RetryOutcome;
use tonic::Code;
use tower::{Service, ServiceExt};

use crate::raw::Raw;
use crate::stacks::{Calling, Served};
use crate::web::{SIZE, text};
use crate::{echo, is_over, measured, pieces};

/// A client of gRPC over the whole stack.
fn over(
    calling: &Calling,
) -> tonic::client::Grpc<
    impl Service<Request<tonic::body::Body>, Response = Response<Body>, Error = mesh_core::Error, Future: Send>
    + Clone,
> {
    let client = calling
        .client
        .clone()
        .map_request(|request: Request<tonic::body::Body>| request.map(Body::new));
    tonic::client::Grpc::with_origin(client, "http://app".parse().expect("a URI"))
}

const UNARY: PathAndQuery = PathAndQuery::from_static("/test.Echo/Unary");
const MANY: PathAndQuery = PathAndQuery::from_static("/test.Echo/Many");
const JOINED: PathAndQuery = PathAndQuery::from_static("/test.Echo/Joined");
const BOTH: PathAndQuery = PathAndQuery::from_static("/test.Echo/Stream");

async fn served_grpc() -> (Served, Calling) {
    let app = Router::new()
        .route("/ping", get(async || ()))
        .fallback_service(tower::service_fn(echo::answer));
    let served = Served::start(app).await;
    let calling = served.calling(HttpProtocol::Http2).await;
    (served, calling)
}

#[tokio::test]
async fn a_unary_call_is_answered_tried_again_and_given_company() {
    let (served, calling) = served_grpc().await;
    let mut client = over(&calling);
    let mut call = async |message: &'static str| {
        client.ready().await.expect("ready");
        let message = tonic::Request::new(Bytes::from_static(message.as_bytes()));
        client.unary(message, UNARY, Raw).await
    };
    let answer = call("hello").await.expect("OK");
    assert_eq!(answer.metadata().get("x-seen").expect("passed"), "yes");
    assert_eq!(answer.into_inner(), "hello");
    let status = call("fail").await.expect_err("asked for");
    assert_eq!((status.code(), status.message()), (Code::DataLoss, "as asked"));

    assert_eq!(call("flaky").await.expect("the second").into_inner(), "flaky");
    assert_eq!(*calling.retried.lock().expect("free"), [RetryOutcome::Success]);
    measured(&calling).await;
    calling.hedged.lock().expect("free").clear();
    assert_eq!(call("slow").await.expect("the second").into_inner(), "slow");
    assert_eq!(*calling.hedged.lock().expect("free"), [HedgeOutcome::Won]);
    is_over(&served, &calling).await;
}

#[tokio::test]
async fn a_service_may_stream_its_answers() {
    let (served, calling) = served_grpc().await;
    measured(&calling).await;
    let mut client = over(&calling);
    client.ready().await.expect("ready");
    let message = text().slice(..SIZE / echo::MANY);
    let answers = client.server_streaming(tonic::Request::new(message.clone()), MANY, Raw);
    let mut answers = answers.await.expect("begun").into_inner();
    for _ in 0..echo::MANY {
        assert!(answers.next().await.expect("an answer").expect("OK") == message);
    }
    assert!(answers.next().await.is_none(), "it ended well");
    is_over(&served, &calling).await;
}

#[tokio::test]
async fn a_client_may_stream_what_it_asks() {
    let (served, calling) = served_grpc().await;
    measured(&calling).await;
    let mut client = over(&calling).max_decoding_message_size(2 * SIZE);
    client.ready().await.expect("ready");
    let answer = client.client_streaming(tonic::Request::new(pieces()), JOINED, Raw);
    let joined = answer.await.expect("OK").into_inner();
    assert!(joined == text(), "{}", joined.len());
    is_over(&served, &calling).await;
}

#[tokio::test]
async fn both_may_stream_and_neither_waits_for_more_than_a_message() {
    let (served, calling) = served_grpc().await;
    measured(&calling).await;
    let mut client = over(&calling);
    client.ready().await.expect("ready");
    let (sender, messages) = tokio::sync::mpsc::unbounded_channel::<Bytes>();
    let messages = stream::unfold(messages, async |mut messages| {
        Some((messages.recv().await?, messages))
    });
    let answers = client.streaming(tonic::Request::new(messages), BOTH, Raw).await;
    let mut answers = answers.expect("begun").into_inner();
    // One after the other: a layer that held a message back would end this.
    let mut pieces = std::pin::pin!(pieces());
    while let Some(message) = pieces.next().await {
        sender.send(message.clone()).expect("it listens");
        assert!(answers.next().await.expect("an answer").expect("OK") == message);
    }
    drop(sender);
    assert!(answers.next().await.is_none(), "it ended well");
    is_over(&served, &calling).await;

    let (sender, messages) = tokio::sync::mpsc::unbounded_channel::<Bytes>();
    let messages = stream::unfold(messages, async |mut messages| {
        Some((messages.recv().await?, messages))
    });
    client.ready().await.expect("ready");
    let answers = client.streaming(tonic::Request::new(messages), BOTH, Raw).await;
    let mut answers = answers.expect("begun").into_inner();
    sender.send(Bytes::from_static(b"fail")).expect("it listens");
    let status = answers.next().await.expect("an end").expect_err("asked for");
    assert_eq!((status.code(), status.message()), (Code::Aborted, "as asked"));
}
