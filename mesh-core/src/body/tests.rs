use http_body::Body as _;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

fn frames(frames: Vec<Result<Frame<Bytes>, &'static str>>) -> Body {
    Body::new(StreamBody::new(futures_util::stream::iter(frames)))
}

/// Serves one HTTP/1 request that hyper reads from `request`, and answers the name of the body's kind and its
/// text.
async fn echo(request: &str) -> String {
    let (mut client, server) = tokio::io::duplex(4096);
    client.write_all(request.as_bytes()).await.expect("room");
    let echo = service_fn(|request: http::Request<Incoming>| async {
        let body = Body::new(request.into_body());
        let kind = format!("{body:?}");
        let text = body.collect().await?.to_bytes();
        Ok::<_, BoxError>(http::Response::new(Body::full(format!(
            "{kind} {}",
            text.escape_ascii()
        ))))
    });
    let mut http1 = hyper::server::conn::http1::Builder::new();
    let connection = http1
        .keep_alive(false)
        .serve_connection(TokioIo::new(server), echo);
    connection.await.expect("served");
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.expect("text");
    answer.split_once("\r\n\r\n").expect("a head").1.to_owned()
}

#[tokio::test]
async fn an_empty_body_ends_at_once() {
    for mut empty in [
        Body::empty(),
        Body::default(),
        Body::full(""),
        Body::full(Bytes::new()),
    ] {
        assert!(empty.is_end_stream());
        assert_eq!(empty.size_hint().exact(), Some(0));
        assert!(empty.frame().await.is_none());
    }
}

#[tokio::test]
async fn a_full_body_is_one_frame_and_then_ends() {
    let mut body = Body::full("hello");
    assert!(!body.is_end_stream());
    let frame = body.frame().await.expect("a frame").expect("no error");
    assert_eq!(frame.into_data().expect("data"), "hello");
    assert!(body.is_end_stream());
    assert_eq!(body.size_hint().exact(), Some(0));
    assert!(body.frame().await.is_none());
}

#[test]
fn a_body_of_this_kind_is_not_boxed_again() {
    assert_eq!(format!("{:?}", Body::new(Body::full("x"))), "Body(full)");
    assert_eq!(
        format!("{:?}", Body::new(Body::new(Body::empty()))),
        "Body(empty)"
    );
    assert_eq!(
        format!("{:?}", Body::new(Full::new(Bytes::from("x")))),
        "Body(boxed)"
    );
}

#[tokio::test]
async fn hypers_own_body_is_taken_as_it_is() {
    let with_body = "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello";
    assert_eq!(echo(with_body).await, "Body(incoming) hello");
    assert_eq!(echo("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await, "Body(empty) ");
}

#[tokio::test]
async fn any_other_body_keeps_length_frames_and_trailers() {
    let body = Body::new(Full::new(Bytes::from("hello")));
    assert_eq!(body.size_hint().exact(), Some(5));
    assert_eq!(body.collect().await.expect("no error").to_bytes(), "hello");

    let mut trailers = http::HeaderMap::new();
    trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
    let body = frames(vec![
        Ok(Frame::data("a".into())),
        Ok(Frame::trailers(trailers.clone())),
    ]);
    let collected = body.collect().await.expect("no error");
    assert_eq!(collected.trailers(), Some(&trailers));
    assert_eq!(collected.to_bytes(), "a");

    assert!(Body::new(Empty::<Bytes>::new()).is_end_stream());
}

#[tokio::test]
async fn the_error_of_a_body_is_boxed_and_not_lost() {
    let mut body = frames(vec![Ok(Frame::data("a".into())), Err("broken")]);
    assert!(body.frame().await.expect("a frame").is_ok());
    let error = body.frame().await.expect("a frame").expect_err("broken");
    assert_eq!(error.to_string(), "broken");
}

#[tokio::test]
async fn a_boxed_body_is_taken_as_it_is() {
    let boxed = Box::pin(Body::full("hello"));
    let body = Body::boxed(boxed);
    assert_eq!(body.size_hint().exact(), Some(5));
    assert_eq!(body.collect().await.expect("no error").to_bytes(), "hello");
}

#[test]
fn a_body_can_be_sent_to_another_thread() {
    fn sends<T: Send + 'static>() {}
    sends::<Body>();
}
