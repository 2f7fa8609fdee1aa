//! gRPC through the proxy: a tonic client, a tonic server, trailers in between.

use bytes::Bytes;
use e2e::{Proxy, listen};
use futures_util::{Stream, StreamExt, stream};
use http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};

#[path = "shared/echo.rs"]
mod echo;
#[path = "shared/raw.rs"]
mod raw;

use echo::answer;
use raw::Raw;

struct Mesh {
    client: tonic::client::Grpc<Channel>,
    proxy: Proxy,
}

async fn mesh() -> Mesh {
    let (listener, upstream) = listen().await;
    let app = axum::Router::new().fallback_service(tower::service_fn(answer));
    tokio::spawn(async move { axum::serve(listener, app).await });
    let services =
        format!("[ {{ name: echo, port: 1, hosts: [echo], endpoints: [\"{upstream}\"], protocol: http2 }} ]");
    let proxy = Proxy::start(&services).await;
    Mesh {
        client: client(&proxy, "echo").await,
        proxy,
    }
}

async fn client(proxy: &Proxy, host: &str) -> tonic::client::Grpc<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{}", proxy.address)).expect("a URI");
    let endpoint = endpoint.origin(format!("http://{host}").parse().expect("a URI"));
    let mut client = tonic::client::Grpc::new(endpoint.connect().await.expect("the proxy listens"));
    client.ready().await.expect("connected");
    client
}

const UNARY: PathAndQuery = PathAndQuery::from_static("/test.Echo/Unary");
const STREAM: PathAndQuery = PathAndQuery::from_static("/test.Echo/Stream");

#[tokio::test]
async fn a_unary_call_passes_with_its_metadata() {
    let mut mesh = mesh().await;
    let response = mesh
        .client
        .unary(Request::new(Bytes::from_static(b"hello")), UNARY, Raw)
        .await
        .expect("OK");
    assert_eq!(response.metadata().get("x-seen").expect("passed"), "yes");
    assert_eq!(response.into_inner(), "hello");
    let page = mesh.proxy.page("/metrics").await.expect("served");
    let counted = page
        .lines()
        .find(|line| line.starts_with("service_mesh_requests_total") && line.contains("protocol=\"grpc\""));
    assert!(counted.is_some_and(|line| line.ends_with(" 1")), "{page}");
}

#[tokio::test]
async fn a_status_in_the_trailers_arrives() {
    let mut mesh = mesh().await;
    let status = mesh
        .client
        .unary(Request::new(Bytes::from_static(b"fail")), UNARY, Raw)
        .await
        .expect_err("asked for");
    assert_eq!((status.code(), status.message()), (Code::DataLoss, "as asked"));
}

#[tokio::test]
async fn messages_stream_both_ways_at_once_and_the_status_comes_last() {
    let mut mesh = mesh().await;
    let (mut send, messages) = futures_channel();
    let request = Request::new(messages);
    let mut answers = mesh
        .client
        .streaming(request, STREAM, Raw)
        .await
        .expect("begun")
        .into_inner();
    for i in 0..100_u32 {
        let message = Bytes::from(vec![b'x'; 1000 * (i as usize % 50)]);
        send(message.clone());
        assert_eq!(answers.next().await.expect("an answer").expect("OK"), message);
    }
    send(Bytes::from_static(b"fail"));
    let status = answers.next().await.expect("a status").expect_err("asked for");
    assert_eq!(status.code(), Code::Aborted);
}

#[tokio::test]
async fn many_messages_stream_from_the_client_to_their_end() {
    let mut mesh = mesh().await;
    let messages = stream::iter((0..2000_u32).map(|i| Bytes::from(i.to_be_bytes().to_vec())));
    let answers = mesh
        .client
        .streaming(Request::new(messages), STREAM, Raw)
        .await
        .expect("begun")
        .into_inner();
    let answers: Vec<_> = answers.collect().await;
    assert_eq!(answers.len(), 2000);
    assert!(
        answers
            .iter()
            .enumerate()
            .all(|(i, a)| a.as_ref().is_ok_and(|a| **a == (i as u32).to_be_bytes()))
    );
}

#[tokio::test]
async fn a_refusal_of_the_mesh_is_a_grpc_status() {
    let mesh = mesh().await;
    let mut lost = client(&mesh.proxy, "nowhere").await;
    let status = lost
        .unary(Request::new(Bytes::new()), UNARY, Raw)
        .await
        .expect_err("no route");
    assert_eq!(status.code(), Code::Unimplemented);
    assert_eq!(status.metadata().get("x-mesh-error").expect("told"), "no_route");
}

/// A stream of messages that are sent by hand.
fn futures_channel() -> (impl FnMut(Bytes), impl Stream<Item = Bytes> + Send + 'static) {
    let (send, receive) = tokio::sync::mpsc::unbounded_channel();
    let messages = stream::unfold(
        receive,
        async |mut receive: tokio::sync::mpsc::UnboundedReceiver<Bytes>| {
            let message = receive.recv().await?;
            Some((message, receive))
        },
    );
    (
        move |message| send.send(message).expect("the call is alive"),
        messages,
    )
}
