use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body::Frame;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use mesh_core::ErrorKind;
use mesh_core::body::Body;
use mesh_core::error::Sent;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::{sleep, timeout};

use crate::support::{
    Count, Net, data, endpoint, fed, get, over, post, read, seconds, send, text, until, whole,
};

/// Serves HTTP/2 until the connection ends.
pub(crate) async fn serve_http2<F>(
    io: DuplexStream,
    answer: impl Fn(Request<Incoming>) -> F + Clone + Send + 'static,
) where
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let service = service_fn(move |request| {
        let answer = answer(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .max_concurrent_streams(10)
        .serve_connection(TokioIo::new(io), service)
        .await;
}

/// Answers with `hello` after a while.
pub(crate) fn answers(
    wait: Duration,
) -> impl Fn(Request<Incoming>) -> std::pin::Pin<Box<dyn Future<Output = Response<Body>> + Send>>
+ Clone
+ Send
+ 'static {
    move |_| {
        Box::pin(async move {
            sleep(wait).await;
            Response::new(Body::full("hello"))
        })
    }
}

async fn echo(request: Request<Incoming>) -> Response<Body> {
    Response::new(Body::from(request.into_body()))
}

#[tokio::test(start_paused = true)]
async fn many_requests_share_one_handshake_and_one_connection() {
    let net = Net::new().serves(1, |io, _| serve_http2(io, answers(Duration::ZERO)));
    let (balance, fleet) = over(&net, &[1]).http2().start();
    let requests: Vec<_> = (0..10)
        .map(|_| {
            let balance = balance.clone();
            tokio::spawn(async move { text(&balance, get()).await })
        })
        .collect();
    for request in requests {
        assert_eq!(request.await.expect("no panic").expect("answered"), "hello");
    }
    assert_eq!(net.connects(1), 1);
    assert_eq!(fleet.in_flight(endpoint(1).id()), 0);
}

#[tokio::test(start_paused = true)]
async fn requests_beyond_the_streams_of_a_connection_get_another_one() {
    let net = Net::new().serves(1, |io, _| serve_http2(io, answers(seconds(5))));
    let (balance, _) = over(&net, &[1]).http2().start();
    // So that the limit of 10 streams is known.
    text(&balance, get()).await.expect("answered");
    let requests: Vec<_> = (0..25)
        .map(|_| {
            let balance = balance.clone();
            tokio::spawn(async move { text(&balance, get()).await })
        })
        .collect();
    for request in requests {
        request.await.expect("no panic").expect("answered");
    }
    assert_eq!(net.connects(1), 3);
}

#[tokio::test(start_paused = true)]
async fn the_authority_is_the_host_and_the_version_is_2() {
    let net = Net::new().serves(1, |io, _| {
        serve_http2(io, async |request: Request<Incoming>| {
            assert_eq!(request.version(), Version::HTTP_2);
            assert_eq!(request.uri().to_string(), "http://orders/");
            assert!(!request.headers().contains_key("host"));
            Response::new(Body::full("hello"))
        })
    });
    let (balance, _) = over(&net, &[1]).http2().start();
    assert_eq!(text(&balance, get()).await.expect("answered"), "hello");
}

#[tokio::test(start_paused = true)]
async fn a_large_body_is_echoed_and_trailers_go_both_ways() {
    let net = Net::new()
        .with_capacity(1000)
        .serves(1, |io, _| serve_http2(io, echo));
    let (balance, fleet) = over(&net, &[1]).http2().start();
    let (feed, body) = fed();
    for _ in 0..300 {
        feed.send(Frame::data(Bytes::from(vec![b'x'; 10_000])))
            .expect("open");
    }
    let mut trailers = http::HeaderMap::new();
    trailers.insert("x-sum", "7".parse().expect("a value"));
    feed.send(Frame::trailers(trailers)).expect("open");
    drop(feed);
    let (response, _) = send(&balance, post(body)).await.expect("answered");
    let whole = response.into_body().collect().await.expect("whole");
    assert_eq!(whole.trailers().expect("there are some")["x-sum"], "7");
    assert_eq!(whole.to_bytes().len(), 3_000_000);
    assert_eq!(fleet.in_flight(endpoint(1).id()), 0);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_response_resets_its_stream_and_leaves_the_others() {
    let dropped = Count::default();
    let seen = dropped.clone();
    let net = Net::new().serves(1, move |io, _| {
        let seen = seen.clone();
        serve_http2(io, move |request: Request<Incoming>| {
            let seen = seen.clone();
            async move {
                if request.uri().path() == "/" {
                    return Response::new(Body::full("hello"));
                }
                let (feed, body) = fed();
                feed.send(data(b"first")).expect("open");
                tokio::spawn(async move {
                    feed.closed().await;
                    seen.add();
                });
                Response::new(body)
            }
        })
    });
    let (balance, fleet) = over(&net, &[1]).http2().start();
    let request = Request::get("/endless")
        .header("host", "orders")
        .body(Body::empty())
        .expect("a request");
    let (response, _) = send(&balance, request).await.expect("answered");
    assert_eq!(fleet.in_flight(endpoint(1).id()), 1);
    drop(response);
    until("the endpoint is told", || dropped.get() == 1).await;
    assert_eq!(fleet.in_flight(endpoint(1).id()), 0);
    assert_eq!(text(&balance, get()).await.expect("answered"), "hello");
    assert_eq!(net.connects(1), 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_given_up_resets_its_stream() {
    let dropped = Count::default();
    let seen = dropped.clone();
    struct Told(Count);
    impl Drop for Told {
        fn drop(&mut self) {
            self.0.add();
        }
    }
    let net = Net::new().serves(1, move |io, _| {
        let seen = seen.clone();
        serve_http2(io, move |_| {
            let told = Told(seen.clone());
            async move {
                let _told = told;
                std::future::pending().await
            }
        })
    });
    let (balance, fleet) = over(&net, &[1]).http2().start();
    assert!(timeout(seconds(1), balance.send(get(), None)).await.is_err());
    until("the endpoint is told", || dropped.get() == 1).await;
    assert_eq!(fleet.in_flight(endpoint(1).id()), 0);
}

#[tokio::test(start_paused = true)]
async fn a_response_that_stands_still_times_out_and_one_that_is_reset_is_an_error() {
    let net = Net::new().serves(1, |io, _| {
        serve_http2(io, async |request: Request<Incoming>| {
            let (feed, body) = fed();
            feed.send(data(b"first")).expect("open");
            if request.uri().path() == "/reset" {
                // Later than the head, so that the head arrives.
                let broken = futures_util::stream::once(async {
                    sleep(seconds(1)).await;
                    Err::<Frame<Bytes>, _>("broken".into())
                });
                return Response::new(Body::boxed(Box::pin(http_body_util::StreamBody::new(broken))));
            }
            tokio::spawn(async move { feed.closed().await });
            Response::new(body)
        })
    });
    let (balance, fleet) = over(&net, &[1]).http2().start();
    for (path, kind) in [
        ("/reset", ErrorKind::UpstreamReset),
        ("/still", ErrorKind::Timeout),
    ] {
        let request = Request::get(path)
            .header("host", "orders")
            .body(Body::empty())
            .expect("a request");
        let (response, _) = send(&balance, request).await.expect("a head came");
        assert_eq!(whole(response.into_body()).await.expect_err(path).kind(), kind);
        assert_eq!(fleet.in_flight(endpoint(1).id()), 0);
    }
}

type Served = (Request<h2::RecvStream>, h2::server::SendResponse<Bytes>);
type Raw = h2::server::Connection<DuplexStream, Bytes>;

async fn raw(io: DuplexStream) -> Raw {
    h2::server::handshake(io).await.expect("HTTP/2")
}

async fn next(connection: &mut Raw) -> Served {
    connection.accept().await.expect("a request").expect("well")
}

fn say_hello(respond: &mut h2::server::SendResponse<Bytes>) {
    let mut body = respond.send_response(Response::new(()), false).expect("open");
    body.send_data(Bytes::from_static(b"hello"), true).expect("open");
}

/// Lets the connection go on until it ends, and answers what comes.
async fn go_on(mut connection: Raw) {
    while let Some(Ok((_, mut respond))) = connection.accept().await {
        say_hello(&mut respond);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_stream_is_sent_to_another_endpoint_if_it_has_no_body() {
    for (request, again) in [(get as fn() -> _, true), (|| post(Body::full("x")), false)] {
        let refusing = |io, _| async move {
            let mut connection = raw(io).await;
            while let Some(Ok((_, mut respond))) = connection.accept().await {
                respond.send_reset(h2::Reason::REFUSED_STREAM);
            }
        };
        let net = Net::new()
            .serves(1, refusing)
            .serves(2, |io, _| serve_http2(io, answers(Duration::ZERO)));
        let (balance, fleet) = over(&net, &[1, 2]).http2().start();
        let mut refused = 0;
        for _ in 0..4 {
            match send(&balance, request()).await {
                Ok((response, info)) => {
                    assert_eq!(info.endpoint, *endpoint(2).id());
                    whole(response.into_body()).await.expect("whole");
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::UpstreamReset);
                    assert_eq!(error.sent_upstream(), Sent::No);
                    refused += 1;
                }
            }
        }
        assert_eq!(refused > 0, !again, "{refused}");
        // Refusing a stream is no fault of the connection.
        assert_eq!(net.connects(1), 1);
        assert_eq!(fleet.in_flight(endpoint(1).id()), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn after_goaway_what_was_begun_ends_and_what_comes_next_takes_another_connection() {
    let net = Net::new().serves(1, |io, nth| async move {
        let mut connection = raw(io).await;
        let (_, mut respond) = next(&mut connection).await;
        if nth == 0 {
            connection.graceful_shutdown();
            tokio::spawn(async move {
                sleep(seconds(5)).await;
                say_hello(&mut respond);
            });
        } else {
            say_hello(&mut respond);
        }
        go_on(connection).await;
    });
    let (balance, fleet) = over(&net, &[1]).http2().start();
    let first = {
        let balance = balance.clone();
        tokio::spawn(async move { text(&balance, get()).await })
    };
    sleep(seconds(1)).await;
    assert_eq!(text(&balance, get()).await.expect("answered"), "hello");
    assert_eq!(net.connects(1), 2);
    assert_eq!(
        first.await.expect("no panic").expect("it was begun before"),
        "hello"
    );
    assert_eq!(fleet.in_flight(endpoint(1).id()), 0);
}

/// Speaks HTTP/2 frame by frame. Each request is answered with `answer`: its stream is told.
async fn frames(mut io: DuplexStream, answer: impl Fn(u32) -> (Vec<u8>, bool)) {
    read(&mut io, 24).await;
    io.write_all(&frame(4, 0, 0, &[])).await.expect("open");
    loop {
        let mut head = [0; 9];
        if io.read_exact(&mut head).await.is_err() {
            return;
        }
        let len = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut rest = vec![0; len as usize];
        io.read_exact(&mut rest).await.expect("a whole frame");
        // HEADERS
        if head[3] == 1 {
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            let (answer, goes_on) = answer(stream);
            io.write_all(&answer).await.expect("open");
            if !goes_on {
                return;
            }
        }
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0, 0, payload.len() as u8, kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// `:status: 204`, and no more.
fn no_content(stream: u32) -> Vec<u8> {
    frame(1, 0b101, stream, &[0x89])
}

/// GOAWAY without error: streams up to `last` were looked at.
fn goaway(last: u8) -> Vec<u8> {
    frame(7, 0, 0, &[0, 0, 0, last, 0, 0, 0, 0])
}

#[tokio::test(start_paused = true)]
async fn a_request_that_a_goaway_left_out_is_sent_again() {
    let net = Net::new().serves(1, |io, nth| {
        frames(io, move |stream| match (nth, stream) {
            (0, 3) => (goaway(1), true),
            _ => (no_content(stream), true),
        })
    });
    let (balance, fleet) = over(&net, &[1]).http2().start();
    for (attempts, connects) in [(1, 1), (2, 2), (1, 2)] {
        let (response, info) = send(&balance, get()).await.expect("answered");
        assert_eq!(
            (response.status().as_u16(), info.attempts, net.connects(1)),
            (204, attempts, connects)
        );
    }
    assert_eq!(fleet.in_flight(endpoint(1).id()), 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_a_goaway_took_in_and_nobody_answered_is_not_sent_again() {
    let net = Net::new().serves(1, |io, _| frames(io, |_| (goaway(1), false)));
    let (balance, fleet) = over(&net, &[1]).http2().start();
    assert_eq!(
        send(&balance, get()).await.expect_err("lost").kind(),
        ErrorKind::UpstreamReset
    );
    assert_eq!((net.connects(1), fleet.in_flight(endpoint(1).id())), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_breaks_fails_its_requests_and_the_next_one_connects_again() {
    let net = Net::new().serves(1, |io, nth| async move {
        let mut connection = raw(io).await;
        let (_, mut respond) = next(&mut connection).await;
        if nth > 0 {
            say_hello(&mut respond);
            go_on(connection).await;
        }
    });
    let (balance, fleet) = over(&net, &[1]).http2().start();
    assert_eq!(
        send(&balance, post(Body::full("x")))
            .await
            .expect_err("broken")
            .kind(),
        ErrorKind::UpstreamReset
    );
    assert_eq!(
        text(&balance, post(Body::full("x"))).await.expect("answered"),
        "hello"
    );
    assert_eq!((net.connects(1), fleet.in_flight(endpoint(1).id())), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_off_is_told_as_what_it_is_and_resets_its_stream() {
    let net = Net::new().serves(1, |io, _| serve_http2(io, echo_whole));
    let (balance, fleet) = over(&net, &[1]).http2().start();
    let broken = futures_util::stream::iter([
        Ok(data(b"first")),
        Err(mesh_core::Error::new(ErrorKind::BadRequest, "the client went away").into()),
    ]);
    let body = Body::boxed(Box::pin(http_body_util::StreamBody::new(broken)));
    let error = send(&balance, post(body)).await.expect_err("it was not whole");
    assert_eq!(error.kind(), ErrorKind::BadRequest);
    assert_eq!(fleet.in_flight(endpoint(1).id()), 0);
    assert_eq!(text(&balance, get()).await.expect("answered"), "");
    assert_eq!(net.connects(1), 1);
}

/// Answers when all of the request is there.
async fn echo_whole(request: Request<Incoming>) -> Response<Body> {
    match request.into_body().collect().await {
        Ok(whole) => Response::new(Body::full(whole.to_bytes())),
        Err(_) => std::future::pending().await,
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_falls_silent_while_it_owes_an_answer_is_given_up() {
    let net = Net::new().serves(1, |io, nth| async move {
        if nth > 0 {
            return serve_http2(io, answers(Duration::ZERO)).await;
        }
        let mut connection = raw(io).await;
        let (_request, _respond) = next(&mut connection).await;
        // The machine is gone: nothing is read, and no ping answered.
        std::future::pending().await
    });
    let (balance, fleet) = over(&net, &[1]).http2().start();
    let began = tokio::time::Instant::now();
    let error = send(&balance, post(Body::empty())).await.expect_err("no answer");
    assert_eq!(error.kind(), ErrorKind::UpstreamReset);
    assert_eq!(began.elapsed().as_secs(), 25);
    assert_eq!(fleet.in_flight(endpoint(1).id()), 0);
    assert_eq!(
        text(&balance, get()).await.expect("on another connection"),
        "hello"
    );
    assert_eq!(net.connects(1), 2);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_takes_its_time_answers_pings_and_is_waited_for() {
    let net = Net::new().serves(1, |io, _| serve_http2(io, answers(seconds(300))));
    let (balance, _) = over(&net, &[1]).http2().start();
    assert_eq!(text(&balance, get()).await.expect("answered"), "hello");
    assert_eq!(net.connects(1), 1);
}
