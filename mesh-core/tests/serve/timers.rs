use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use mesh_core::Error;
use mesh_core::body::Body;
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, sleep};
use tower::service_fn;

use crate::support::{data, fed, hello, open, open_with, read_to_end, read_until, seconds, send, server};

#[tokio::test(start_paused = true)]
async fn a_head_must_be_whole_within_its_time_from_the_first_byte() {
    let mut io = open(&server(|_| {}), hello());
    sleep(seconds(30)).await;
    send(&mut io, "GET / HTTP/1.1\r\nhost: a").await;
    let (got, after) = read_to_end(&mut io).await;
    assert_eq!((got.as_str(), after), ("", seconds(10)));
}

#[tokio::test(start_paused = true)]
async fn a_head_that_comes_byte_by_byte_gets_no_more_time() {
    let mut io = open(&server(|_| {}), hello());
    let began = Instant::now();
    for byte in "GET /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".chars() {
        if tokio::io::AsyncWriteExt::write_all(&mut io, byte.to_string().as_bytes())
            .await
            .is_err()
        {
            break;
        }
        sleep(seconds(1)).await;
    }
    assert!(began.elapsed() <= seconds(11), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_head_of_a_later_request_is_timed_too() {
    let mut io = open(&server(|_| {}), hello());
    send(&mut io, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    read_until(&mut io, "hello").await;
    sleep(seconds(20)).await;
    send(&mut io, "GET / HT").await;
    assert_eq!(read_to_end(&mut io).await.1, seconds(10));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_says_nothing_is_closed_after_keep_alive() {
    let mut io = open(&server(|_| {}), hello());
    assert_eq!(read_to_end(&mut io).await, (String::new(), seconds(60)));
}

#[tokio::test(start_paused = true)]
async fn keep_alive_runs_from_the_end_of_the_last_response() {
    let slow = service_fn(async |_: Request<Body>| {
        sleep(seconds(100)).await;
        Ok::<_, Infallible>(Response::new(Body::full("hello")))
    });
    let mut io = open(&server(|_| {}), slow);
    for _ in 0..2 {
        send(&mut io, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        read_until(&mut io, "hello").await;
    }
    assert_eq!(read_to_end(&mut io).await.1, seconds(60));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stops_sending_its_body_is_answered_with_408() {
    let reads = service_fn(async |request: Request<Body>| {
        let whole = request.into_body().collect().await.map_err(Error::wrap)?;
        Ok::<_, Error>(Response::new(Body::full(whole.to_bytes())))
    });
    let mut io = open(&server(|_| {}), reads);
    let began = Instant::now();
    send(
        &mut io,
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n",
    )
    .await;
    sleep(seconds(50)).await;
    send(&mut io, "half").await;
    let (got, _) = read_to_end(&mut io).await;
    assert!(got.starts_with("HTTP/1.1 408 "), "{got}");
    assert!(got.contains("x-mesh-error: bad_request"), "{got}");
    assert_eq!(began.elapsed(), seconds(110));
}

#[tokio::test(start_paused = true)]
async fn a_request_body_may_rest_while_the_response_moves() {
    let subscribe = service_fn(async |request: Request<Body>| {
        let (feed, fed) = fed();
        tokio::spawn(async move {
            let mut body = request.into_body();
            let first = body.frame().await.expect("a frame").expect("of data");
            feed.send(first).expect("open");
            let ended = async {
                let _ = body.frame().await;
            };
            let mut ended = std::pin::pin!(ended);
            for event in 0.. {
                let wait = if event < 20 { seconds(50) } else { seconds(1000) };
                tokio::select! {
                    () = &mut ended => return,
                    () = sleep(wait) => feed.send(data(b".")).expect("open"),
                }
            }
        });
        Ok::<_, Infallible>(Response::new(fed))
    });
    let mut io = open(&server(|_| {}), subscribe);
    send(
        &mut io,
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n",
    )
    .await;
    let (got, after) = read_to_end(&mut io).await;
    assert_eq!(got.matches("1\r\n.\r\n").count(), 20);
    assert!((seconds(1060)..seconds(1130)).contains(&after), "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_response_body_that_stands_still_is_cut() {
    let (feed, body) = fed();
    let body = std::sync::Mutex::new(Some(body));
    let still = std::sync::Arc::new(body);
    let mut io = open(
        &server(|_| {}),
        service_fn(move |_: Request<Body>| {
            let body = still.lock().expect("free").take().expect("one request");
            async move { Ok::<_, Infallible>(Response::new(body)) }
        }),
    );
    send(&mut io, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    read_until(&mut io, "\r\n\r\n").await;
    sleep(seconds(40)).await;
    feed.send(data(b"one")).expect("open");
    read_until(&mut io, "one\r\n").await;
    let (rest, after) = read_to_end(&mut io).await;
    assert_eq!((rest.as_str(), after), ("", seconds(60)), "cut, not ended");
}

fn big(_: Request<Body>) -> std::future::Ready<Result<Response<Body>, Infallible>> {
    std::future::ready(Ok(Response::new(Body::full(Bytes::from(vec![b'x'; 1_000_000])))))
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_cut() {
    let server = server(|_| {});
    let mut io = open_with(&server, 1024, 1, service_fn(big));
    send(&mut io, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    sleep(seconds(59)).await;
    assert_eq!(server.connections().len(), 1);
    sleep(seconds(2)).await;
    assert_eq!(server.connections().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_slowly_gets_everything_and_keeps_its_connection() {
    let mut io = open_with(&server(|_| {}), 8 * 1024, 1, service_fn(big));
    send(&mut io, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    read_until(&mut io, "\r\n\r\n").await;
    let mut got = 0;
    let mut buffer = vec![0; 8 * 1024];
    while got < 1_000_000 {
        sleep(seconds(40)).await;
        let n = io.read(&mut buffer).await.expect("open");
        assert_ne!(n, 0, "it ended after {got} bytes");
        got += n;
    }
    sleep(seconds(15)).await;
    send(&mut io, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(read_until(&mut io, "\r\n").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test(start_paused = true)]
async fn a_connection_of_age_says_close_with_its_next_response() {
    let server = server(|limits| {
        limits.max_connection_age = Some(seconds(100));
        limits.request_head = seconds(50);
    });
    let mut io = open(&server, hello());
    for _ in 0..2 {
        send(&mut io, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert!(!read_until(&mut io, "hello").await.contains("connection: close"));
        sleep(seconds(42)).await;
    }
    // It comes of age, after 90 to 110 s, while this is on its way.
    send(&mut io, "GET / HTTP/1.1\r\n").await;
    sleep(seconds(30)).await;
    send(&mut io, "host: a\r\n\r\n").await;
    let (got, after) = read_to_end(&mut io).await;
    assert!(
        got.contains("connection: close") && got.ends_with("hello"),
        "{got}"
    );
    assert_eq!(after, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_of_age_is_closed() {
    let mut io = open(
        &server(|limits| limits.max_connection_age = Some(seconds(30))),
        hello(),
    );
    send(&mut io, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    read_until(&mut io, "hello").await;
    let (_, after) = read_to_end(&mut io).await;
    assert!((seconds(27)..=seconds(33)).contains(&after), "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_head_too_large_or_of_too_many_fields_is_refused() {
    let fields = "a: b\r\n".repeat(101);
    let long = format!("a: {}\r\n", "b".repeat(70_000));
    for fields in [fields, long] {
        let mut io = open_with(&server(|_| {}), 200_000, 1, hello());
        send(&mut io, &format!("GET / HTTP/1.1\r\n{fields}\r\n")).await;
        let (got, after) = read_to_end(&mut io).await;
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE.as_u16();
        assert!(got.starts_with(&format!("HTTP/1.1 {status} ")), "{got}");
        assert_eq!(after, Duration::ZERO);
    }
}
