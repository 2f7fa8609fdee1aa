//! HTTP/1.1 requests: those with a body, those given up, those sent again.

use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;
use http_body_util::BodyExt;
use mesh_core::body::Body;
use mesh_core::{Error, ErrorKind};
use tokio::io::AsyncReadExt;
use tokio::time::{sleep, timeout};

use crate::support::{
    Count, HELLO, Net, data, endpoint, fed, get, over, post, read, read_head, seconds, send, text, until,
    whole, write,
};

#[tokio::test(start_paused = true)]
async fn giving_a_request_up_closes_its_connection() {
    let ended = Count::default();
    let seen = ended.clone();
    let net = Net::new().serves(1, move |mut io, _| {
        let seen = seen.clone();
        async move {
            read_head(&mut io).await.expect("a request");
            assert!(read_head(&mut io).await.is_none());
            seen.add();
        }
    });
    let (balance, fleet) = over(&net, &[1]).start();
    assert!(timeout(seconds(1), balance.send(get(), None)).await.is_err());
    until("the endpoint is told", || ended.get() == 1).await;
    assert_eq!(fleet.in_flight(endpoint(1).id()), 0);
}

#[tokio::test(start_paused = true)]
async fn a_rested_connection_that_was_closed_is_not_used_even_for_a_post() {
    let net = Net::new().serves(1, |mut io, _| async move {
        read_head(&mut io).await.expect("a request");
        write(&mut io, HELLO).await;
        sleep(Duration::from_millis(200)).await;
    });
    let (balance, _) = over(&net, &[1]).start();
    for connects in 1..4 {
        let (response, info) = send(&balance, post(Body::full("x"))).await.expect("answered");
        assert_eq!((info.attempts, net.connects(1)), (1, connects));
        whole(response.into_body()).await.expect("whole");
        sleep(Duration::from_millis(300)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_rested_connection_that_breaks_under_a_request_is_retried_for_get_and_never_for_post() {
    for (safe, body) in [(true, ""), (false, ""), (false, "x")] {
        let requests = Count::default();
        let seen = requests.clone();
        let net = Net::new().serves(1, move |mut io, nth| {
            let seen = seen.clone();
            async move {
                while read_head(&mut io).await.is_some() {
                    seen.add();
                    // The first connection breaks under its second request.
                    if nth == 0 && seen.get() == 2 {
                        return;
                    }
                    write(&mut io, HELLO).await;
                }
            }
        });
        let (balance, fleet) = over(&net, &[1]).start();
        text(&balance, get()).await.expect("answered");
        let request = if safe { get() } else { post(Body::full(body)) };
        let answer = send(&balance, request).await;
        if safe {
            let (response, info) = answer.expect("sent again");
            assert_eq!(
                (
                    whole(response.into_body()).await.expect("whole").as_str(),
                    info.attempts
                ),
                ("hello", 2)
            );
            assert_eq!(requests.get(), 3);
        } else {
            assert_eq!(
                answer.expect_err("not sent again").kind(),
                ErrorKind::UpstreamReset
            );
            assert_eq!(requests.get(), 2);
        }
        assert_eq!(fleet.in_flight(endpoint(1).id()), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_fresh_connection_that_breaks_before_an_answer_is_not_retried() {
    let net = Net::new().serves(1, |mut io, _| async move {
        read_head(&mut io).await;
    });
    let (balance, _) = over(&net, &[1]).start();
    let error = send(&balance, get()).await.expect_err("broken");
    assert_eq!((error.kind(), net.connects(1)), (ErrorKind::UpstreamReset, 1));
}

#[tokio::test(start_paused = true)]
async fn an_answer_before_the_end_of_the_upload_arrives_and_the_upload_goes_on() {
    let uploaded = Count::default();
    let seen = uploaded.clone();
    let net = Net::new().serves(1, move |mut io, _| {
        let seen = seen.clone();
        async move {
            read_head(&mut io).await.expect("a request");
            write(&mut io, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel").await;
            assert_eq!(read(&mut io, 20).await, "3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"[..20]);
            write(&mut io, "lo").await;
            seen.add();
            let mut rest = String::new();
            io.read_to_string(&mut rest).await.expect("closed");
            seen.add();
        }
    });
    let (balance, fleet) = over(&net, &[1])
        .limits(|limits| limits.max_connections = 1)
        .start();
    for round in 1..3 {
        let (feed, body) = fed();
        feed.send(data(b"one")).expect("open");
        let (response, _) = send(&balance, post(body)).await.expect("answered early");
        let reading = tokio::spawn(whole(response.into_body()));
        sleep(seconds(5)).await;
        feed.send(data(b"two")).expect("the upload goes on");
        drop(feed);
        assert_eq!(reading.await.expect("no panic").expect("whole"), "hello");
        until("the connection is closed, and its place free", || {
            uploaded.get() == 2 * round
        })
        .await;
        assert_eq!(fleet.in_flight(endpoint(1).id()), 0);
    }
    assert_eq!(net.connects(1), 2);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_followed_by_a_close_amid_the_upload_is_delivered() {
    let net = Net::new().with_capacity(4096).serves(1, |mut io, _| async move {
        read_head(&mut io).await.expect("a request");
        write(
            &mut io,
            "HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\nconnection: close\r\n\r\nbig",
        )
        .await;
    });
    let (balance, fleet) = over(&net, &[1]).start();
    let (response, _) = send(&balance, post(Body::full(vec![0; 1_000_000])))
        .await
        .expect("answered");
    assert_eq!(response.status(), 413);
    assert_eq!(whole(response.into_body()).await.expect("whole"), "big");
    assert_eq!(fleet.in_flight(endpoint(1).id()), 0);
}

#[tokio::test(start_paused = true)]
async fn a_large_body_is_echoed_through_narrow_pipes() {
    let net = Net::new().with_capacity(1000).serves(1, |mut io, _| async move {
        read_head(&mut io).await.expect("a request");
        write(&mut io, "HTTP/1.1 200 OK\r\ncontent-length: 3000000\r\n\r\n").await;
        let (read, mut write) = tokio::io::split(io);
        tokio::io::copy(&mut read.take(3_000_000), &mut write)
            .await
            .expect("echoed");
    });
    let (balance, fleet) = over(&net, &[1]).start();
    let (feed, body) = fed();
    for _ in 0..300 {
        feed.send(Frame::data(Bytes::from(vec![b'x'; 10_000])))
            .expect("open");
    }
    drop(feed);
    let mut request = post(body);
    request
        .headers_mut()
        .insert("content-length", "3000000".parse().expect("a value"));
    let (response, _) = send(&balance, request).await.expect("answered");
    assert_eq!(whole(response.into_body()).await.expect("whole").len(), 3_000_000);
    assert_eq!(fleet.in_flight(endpoint(1).id()), 0);
}

#[tokio::test(start_paused = true)]
async fn trailers_go_both_ways() {
    let net = Net::new().serves(1, |mut io, _| async move {
        let head = read_head(&mut io).await.expect("a request");
        assert!(head.contains("transfer-encoding: chunked"), "{head}");
        let expected = "2\r\nhi\r\n0\r\nx-sum: 7\r\n\r\n";
        assert_eq!(read(&mut io, expected.len()).await, expected);
        let answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n2\r\nho\r\n0\r\nx-sum: 8\r\n\r\n";
        write(&mut io, answer).await;
        sleep(seconds(1000)).await;
    });
    let (balance, fleet) = over(&net, &[1]).start();
    let (feed, body) = fed();
    let mut trailers = http::HeaderMap::new();
    trailers.insert("x-sum", "7".parse().expect("a value"));
    feed.send(data(b"hi")).expect("open");
    feed.send(Frame::trailers(trailers)).expect("open");
    drop(feed);
    let mut request = post(body);
    request
        .headers_mut()
        .insert("trailer", "x-sum".parse().expect("a value"));
    let (response, _) = send(&balance, request).await.expect("answered");
    let whole = response.into_body().collect().await.expect("whole");
    assert_eq!(whole.trailers().expect("there are some")["x-sum"], "8");
    assert_eq!(whole.to_bytes(), "ho");
    assert_eq!(fleet.in_flight(endpoint(1).id()), 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_body_that_fails_fails_the_request_with_its_own_error() {
    let net = Net::new().serves(1, hello_after_body);
    let (balance, fleet) = over(&net, &[1]).start();
    let own = || {
        Error::new(ErrorKind::BadRequest, "the client went away")
            .with_status(http::StatusCode::REQUEST_TIMEOUT)
    };
    let body = http_body_util::StreamBody::new(futures_util::stream::iter([Ok(data(b"some")), Err(own())]));
    let error = send(&balance, post(Body::new(body)))
        .await
        .expect_err("its body failed");
    assert_eq!(
        (error.kind(), error.http_status().as_u16()),
        (ErrorKind::BadRequest, 408)
    );
    assert_eq!((net.connects(1), fleet.in_flight(endpoint(1).id())), (1, 0));
}

async fn hello_after_body(mut io: tokio::io::DuplexStream, _: usize) {
    read_head(&mut io).await.expect("a request");
    let mut body = Vec::new();
    let _ = io.read_to_end(&mut body).await;
    write(&mut io, HELLO).await;
}
