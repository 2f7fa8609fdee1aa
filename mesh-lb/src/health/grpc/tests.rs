use http::Response;
use tokio::io::DuplexStream;
use tokio::sync::mpsc::UnboundedReceiver;

use super::super::connection::tests::{Far, Piped};
use super::*;

/// What an endpoint answers.
#[derive(Clone, Default)]
struct Reply {
    http_status: Option<u16>,
    /// `grpc-status` in the head, of an answer without a body.
    head_only: Option<&'static str>,
    data: Vec<u8>,
    trailer: Option<&'static str>,
}

fn serving(status: u8) -> Reply {
    Reply {
        data: vec![0, 0, 0, 0, 2, 8, status],
        trailer: Some("0"),
        ..Reply::default()
    }
}

fn code(code: &'static str) -> Reply {
    Reply {
        head_only: Some(code),
        ..Reply::default()
    }
}

fn fields(code: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(
        HeaderName::from_static("grpc-status"),
        HeaderValue::from_static(code),
    )])
}

/// Answers one call, and gives its head and its message.
async fn serve(io: DuplexStream, reply: Reply) -> (http::request::Parts, Vec<u8>) {
    let mut connection = h2::server::handshake(io).await.expect("HTTP/2");
    let (request, mut respond) = connection.accept().await.expect("a call").expect("a good one");
    let (head, mut body) = request.into_parts();
    let exchange = async move {
        let mut message = Vec::new();
        while let Some(data) = body.data().await {
            message.extend_from_slice(&data.expect("sent"));
        }
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::from_u16(reply.http_status.unwrap_or(200)).expect("a status");
        response.headers_mut().insert(CONTENT_TYPE, GRPC);
        if let Some(code) = reply.head_only {
            response.headers_mut().extend(fields(code));
        }
        let ends = reply.data.is_empty() && reply.trailer.is_none();
        let mut stream = respond.send_response(response, ends).expect("open");
        if !ends {
            stream
                .send_data(reply.data.into(), reply.trailer.is_none())
                .expect("open");
        }
        if let Some(code) = reply.trailer {
            stream.send_trailers(fields(code)).expect("open");
        }
        message
    };
    let rest = async { while connection.accept().await.is_some_and(|next| next.is_ok()) {} };
    let (message, ()) = tokio::join!(exchange, rest);
    (head, message)
}

fn check(service: &str) -> (GrpcCheck, UnboundedReceiver<DuplexStream>) {
    let (connect, far) = Piped::new(Far::Pipe);
    (GrpcCheck::new(service).connect(connect), far)
}

async fn found(reply: Reply) -> Option<String> {
    let (check, mut far) = check("");
    let endpoint = Piped::endpoint();
    let serve = async { serve(far.recv().await.expect("a connection"), reply).await };
    let (found, _) = tokio::join!(check.check(&endpoint), serve);
    found.err().map(|error| error.to_string())
}

#[tokio::test(start_paused = true)]
async fn the_call_is_what_grpc_asks_for() {
    let (check, mut far) = check("shop.Orders");
    let endpoint = Piped::endpoint();
    let check = check.limit(Duration::from_millis(1500));
    let serve = async { serve(far.recv().await.expect("a connection"), serving(1)).await };
    let (found, (head, message)) = tokio::join!(check.check(&endpoint), serve);
    found.expect("it serves");
    assert_eq!(head.method, http::Method::POST);
    assert_eq!(head.uri, "http://10.0.0.7:3001/grpc.health.v1.Health/Check");
    assert_eq!(head.headers["content-type"], "application/grpc");
    assert_eq!(head.headers["te"], "trailers");
    assert_eq!(head.headers["grpc-timeout"], "1500m");
    assert_eq!(message, b"\0\0\0\0\x0d\x0a\x0bshop.Orders");
}

#[tokio::test(start_paused = true)]
async fn well_is_who_serves_or_was_never_taught_to_say_so() {
    assert_eq!(found(serving(1)).await, None);
    assert_eq!(found(code("12")).await, None);
    let in_trailers = Reply {
        trailer: Some("12"),
        ..Reply::default()
    };
    assert_eq!(found(in_trailers).await, None);
}

#[tokio::test(start_paused = true)]
async fn whatever_else_is_said_is_not_well_and_is_named() {
    let without_status = Reply {
        data: vec![0, 0, 0, 0, 2, 8, 1],
        ..Reply::default()
    };
    let not_grpc = Reply {
        http_status: Some(404),
        ..Reply::default()
    };
    let malformed = Reply {
        data: vec![0, 0, 0, 0, 9, 8, 1],
        trailer: Some("0"),
        ..Reply::default()
    };
    for (reply, expected) in [
        (serving(0), "says that it is UNKNOWN"),
        (serving(2), "says that it is NOT_SERVING"),
        (serving(3), "says that it is SERVICE_UNKNOWN"),
        (serving(9), "says that it is in the unknown status 9"),
        (code("5"), "does not know the service (grpc-status 5)"),
        (code("14"), "answered with grpc-status 14"),
        (without_status, "answered without a grpc-status"),
        (not_grpc, "answered with HTTP status 404 and no grpc-status"),
        (
            malformed,
            "answered with a message that is malformed (its length is not what it says, or it is not one message)",
        ),
    ] {
        let expected = format!("10.0.0.7:3001 {expected}: expected SERVING");
        assert_eq!(found(reply).await, Some(expected));
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_does_not_end_is_cut_off() {
    let long = Reply {
        data: vec![0; 2000],
        trailer: Some("0"),
        ..Reply::default()
    };
    assert_eq!(
        found(long).await.as_deref(),
        Some(
            "10.0.0.7:3001 gave no answer to /grpc.health.v1.Health/Check: its answer is longer than 1024 bytes"
        )
    );
}

#[tokio::test(start_paused = true)]
async fn who_is_silent_is_not_well_after_the_limit() {
    let (check, mut far) = check("");
    let (endpoint, begun) = (Piped::endpoint(), Instant::now());
    let (found, _io) = tokio::join!(check.check(&endpoint), far.recv());
    assert_eq!(
        found.expect_err("silent").to_string(),
        "10.0.0.7:3001 gave no answer to /grpc.health.v1.Health/Check within 1s"
    );
    assert_eq!(begun.elapsed(), Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn who_agrees_on_http1_cannot_speak_grpc() {
    let (connect, _far) = Piped::new(Far::Pipe);
    let check = GrpcCheck::new("").connect(connect.agreeing(HttpProtocol::Http1));
    let error = check.check(&Piped::endpoint()).await.expect_err("HTTP/1.1");
    assert_eq!(
        error.to_string(),
        "10.0.0.7:3001 gave no answer to /grpc.health.v1.Health/Check: \
         TLS agreed on HTTP/1.1, and gRPC needs HTTP/2"
    );
}
