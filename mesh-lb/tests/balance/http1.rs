use http::Request;
use http_body::Body as _;
use http_body_util::BodyExt;
use mesh_core::ErrorKind;
use mesh_core::body::Body;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep};

use crate::support::{HELLO, Net, endpoint, get, hello, over, read_head, seconds, send, text, whole, write};

/// One endpoint that reads a head and then says `answer`, for each request.
fn says(answer: &'static str) -> Net {
    Net::new().serves(1, move |mut io, _| async move {
        while read_head(&mut io).await.is_some() {
            if io.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_used_again_after_every_kind_of_whole_answer() {
    for (answer, body) in [
        (HELLO, "hello"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", ""),
        ("HTTP/1.1 204 No Content\r\n\r\n", ""),
        ("HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n", ""),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            "hello",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            "",
        ),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
            "",
        ),
    ] {
        let net = says(answer);
        let (balance, fleet) = over(&net, &[1]).start();
        for _ in 0..3 {
            assert_eq!(text(&balance, get()).await.expect(answer), body);
            assert_eq!(fleet.in_flight(endpoint(1).id()), 0);
        }
        assert_eq!(net.connects(1), 1, "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_request_keeps_the_length_it_is_told_and_has_no_body() {
    let net = says("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n");
    let (balance, _) = over(&net, &[1]).start();
    for _ in 0..2 {
        let request = Request::head("/")
            .header("host", "orders")
            .body(Body::empty())
            .expect("a request");
        let (response, _) = send(&balance, request).await.expect("answered");
        assert_eq!(response.headers()["content-length"], "1000");
        assert!(response.body().is_end_stream());
    }
    assert_eq!(net.connects(1), 1);
}

#[tokio::test(start_paused = true)]
async fn a_body_tells_its_length_as_long_as_it_is_known() {
    let net = Net::new().serves(1, |mut io, _| async move {
        read_head(&mut io).await.expect("a request");
        write(&mut io, "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello").await;
        sleep(seconds(1)).await;
        write(&mut io, "world").await;
        sleep(seconds(100)).await;
    });
    let (balance, _) = over(&net, &[1]).start();
    let (response, _) = send(&balance, get()).await.expect("answered");
    let mut body = response.into_body();
    assert_eq!(body.size_hint().exact(), Some(10));
    assert!(!body.is_end_stream());
    let first = body
        .frame()
        .await
        .expect("more")
        .expect("well")
        .into_data()
        .expect("data");
    assert_eq!(
        (first.as_ref(), body.size_hint().exact()),
        (&b"hello"[..], Some(5))
    );
    assert_eq!(whole(body).await.expect("whole"), "world");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_breaks_off_is_an_error_and_never_a_shorter_body() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n",
    ] {
        for pause in [0, 1] {
            let net = Net::new().serves(1, move |mut io, _| async move {
                read_head(&mut io).await.expect("a request");
                let end = answer.find("\r\n\r\n").expect("a head") + 4;
                if pause == 0 {
                    write(&mut io, answer).await;
                } else {
                    write(&mut io, &answer[..end]).await;
                    sleep(seconds(1)).await;
                    write(&mut io, &answer[end..]).await;
                }
            });
            let (balance, fleet) = over(&net, &[1]).start();
            let (response, _) = send(&balance, get()).await.expect("a head came");
            let error = whole(response.into_body()).await.expect_err(answer);
            assert_eq!(error.kind(), ErrorKind::UpstreamReset, "{answer}");
            assert_eq!(fleet.in_flight(endpoint(1).id()), 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_ends_with_its_connection_is_whole_and_the_connection_is_not_used_again() {
    let net = Net::new().serves(1, |mut io, _| async move {
        read_head(&mut io).await.expect("a request");
        write(&mut io, "HTTP/1.1 200 OK\r\n\r\nhel").await;
        sleep(seconds(1)).await;
        write(&mut io, "lo").await;
    });
    let (balance, fleet) = over(&net, &[1]).start();
    for connects in 1..3 {
        assert_eq!(text(&balance, get()).await.expect("whole"), "hello");
        assert_eq!(net.connects(1), connects);
        assert_eq!(fleet.in_flight(endpoint(1).id()), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_not_clean_is_not_used_again() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello",
        "HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged",
    ] {
        let net = says(answer);
        let (balance, _) = over(&net, &[1]).start();
        for connects in 1..4 {
            assert_eq!(text(&balance, get()).await.expect("answered"), "hello");
            assert_eq!(net.connects(1), connects, "{answer}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_malformed_answer_is_a_reset_and_the_request_is_not_sent_again() {
    let net = says("HTTP/9.9 what\r\n\r\n");
    let (balance, fleet) = over(&net, &[1]).start();
    let error = send(&balance, get()).await.expect_err("malformed");
    assert_eq!(error.kind(), ErrorKind::UpstreamReset);
    assert_eq!(net.connects(1), 1);
    assert_eq!(fleet.in_flight(endpoint(1).id()), 0);
}

#[tokio::test(start_paused = true)]
async fn a_switch_of_protocols_nobody_asked_for_does_not_come_back_to_the_pool() {
    let net = says("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n");
    let (balance, fleet) = over(&net, &[1]).start();
    for connects in 1..3 {
        let (response, _) = send(&balance, get()).await.expect("a head");
        assert_eq!(response.status(), 101);
        drop(response);
        assert_eq!(
            (net.connects(1), fleet.in_flight(endpoint(1).id())),
            (connects, 0)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_is_in_flight_until_its_body_is_read_or_dropped() {
    let net = Net::new().serves(1, |mut io, _| async move {
        while read_head(&mut io).await.is_some() {
            write(&mut io, "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello").await;
            sleep(seconds(1)).await;
            let _ = io.write_all(b"world").await;
        }
    });
    let (balance, fleet) = over(&net, &[1]).start();
    let load = fleet.load(endpoint(1).id()).expect("it is known");
    let (response, _) = send(&balance, get()).await.expect("answered");
    assert_eq!(load.in_flight(), 1);
    assert_eq!(whole(response.into_body()).await.expect("whole"), "helloworld");
    assert_eq!(load.in_flight(), 0);
    let (response, _) = send(&balance, get()).await.expect("answered");
    assert_eq!((load.in_flight(), net.connects(1)), (1, 1));
    drop(response);
    assert_eq!(load.in_flight(), 0);
    assert_eq!(text(&balance, get()).await.expect("answered"), "helloworld");
    assert_eq!(
        net.connects(1),
        2,
        "a connection with half an answer on it is closed"
    );
}

#[tokio::test(start_paused = true)]
async fn a_response_body_that_stands_still_times_out_and_moves_the_clock_when_it_moves() {
    let net = Net::new().serves(1, |mut io, _| async move {
        read_head(&mut io).await.expect("a request");
        write(&mut io, "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n").await;
        for piece in ["a", "b", "c"] {
            sleep(seconds(50)).await;
            write(&mut io, piece).await;
        }
        assert!(read_head(&mut io).await.is_none(), "the connection is closed");
    });
    let (balance, fleet) = over(&net, &[1]).start();
    let began = Instant::now();
    let error = text(&balance, get()).await.expect_err("it stood still");
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(
        (seconds(210)..seconds(211)).contains(&began.elapsed()),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(fleet.in_flight(endpoint(1).id()), 0);
}

#[tokio::test(start_paused = true)]
async fn an_absolute_target_becomes_a_path_and_a_host() {
    let net = Net::new().serves(1, |mut io, _| async move {
        let head = read_head(&mut io).await.expect("a request");
        assert!(head.starts_with("GET /a?b=c HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("host: orders:3001\r\n"), "{head}");
        write(&mut io, HELLO).await;
    });
    let (balance, _) = over(&net, &[1]).start();
    let request = Request::get("http://orders:3001/a?b=c")
        .body(Body::empty())
        .expect("a request");
    assert_eq!(text(&balance, request).await.expect("answered"), "hello");
}

#[tokio::test(start_paused = true)]
async fn many_requests_at_once_share_few_connections_afterwards() {
    let net = Net::new().serves(1, hello);
    let (balance, fleet) = over(&net, &[1]).start();
    for _ in 0..5 {
        let requests: Vec<_> = (0..20)
            .map(|_| {
                let balance = balance.clone();
                tokio::spawn(async move { text(&balance, get()).await })
            })
            .collect();
        for request in requests {
            assert_eq!(request.await.expect("no panic").expect("answered"), "hello");
        }
    }
    assert!(net.connects(1) <= 20, "{}", net.connects(1));
    assert_eq!(fleet.in_flight(endpoint(1).id()), 0);
}
