//! Whatever is done with requests and in whichever order: in the end nothing is counted.

use std::time::Duration;

use mesh_core::body::Body;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;

use crate::http2::serve_http2;
use crate::support::{Net, data, endpoint, fed, get, over, post, read_head, send, text};

/// What is done with one request.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// Its body is read to the end.
    Read,
    /// The response is dropped unread.
    Drop,
    /// It is given up after so many milliseconds, wherever it is then.
    Abandon(u64),
    /// It uploads, slower than it is answered.
    Upload(u64),
}

fn fates() -> impl Strategy<Value = Vec<(u64, Fate)>> {
    let fate = prop_oneof![
        Just(Fate::Read),
        Just(Fate::Drop),
        (0_u64..40).prop_map(Fate::Abandon),
        (0_u64..40).prop_map(Fate::Upload),
    ];
    prop::collection::vec((0_u64..60, fate), 1..40)
}

/// An endpoint whose answers take from no time to some, some of which break off.
async fn moody(mut io: tokio::io::DuplexStream, nth: usize) {
    let mut turn = nth;
    while let Some(head) = read_head(&mut io).await {
        turn += 1;
        sleep(Duration::from_millis(turn as u64 * 7 % 23)).await;
        let answer = match turn % 5 {
            0 => "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nbroken",
            1 => "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            _ => crate::support::HELLO,
        };
        if io.write_all(answer.as_bytes()).await.is_err() || turn.is_multiple_of(5) {
            return;
        }
        if head.contains("transfer-encoding") && read_chunks(&mut io).await.is_none() {
            return;
        }
    }
}

/// Reads a chunked body; nothing if the connection ends instead.
async fn read_chunks(io: &mut tokio::io::DuplexStream) -> Option<()> {
    let mut got = Vec::new();
    while !got.ends_with(b"0\r\n\r\n") {
        got.push(io.read_u8().await.ok()?);
    }
    Some(())
}

async fn moody_http2(io: tokio::io::DuplexStream, nth: usize) {
    let turn = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(nth as u64));
    serve_http2(io, move |request: http::Request<hyper::body::Incoming>| {
        let turn = turn.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        async move {
            sleep(Duration::from_millis(turn * 7 % 23)).await;
            http::Response::new(if turn.is_multiple_of(4) {
                request.into_body().into()
            } else {
                Body::full("hello")
            })
        }
    })
    .await;
}

async fn live_through(http2: bool, fates: Vec<(u64, Fate)>) {
    let net = if http2 {
        Net::new().serves(1, moody_http2)
    } else {
        Net::new().serves(1, moody)
    };
    let setup = over(&net, &[1]).limits(|limits| {
        limits.max_connections = 3;
        limits.max_requests = 8;
        limits.max_pending = 5;
        limits.max_wait = Duration::from_millis(30);
    });
    let (balance, fleet) = if http2 { setup.http2() } else { setup }.start();
    let tasks: Vec<_> = fates
        .into_iter()
        .map(|(wait, fate)| {
            let balance = balance.clone();
            tokio::spawn(async move {
                sleep(Duration::from_millis(wait)).await;
                // Errors are as good an end as answers here.
                match fate {
                    Fate::Read => drop(text(&balance, get()).await),
                    Fate::Drop => drop(send(&balance, get()).await),
                    Fate::Abandon(after) => {
                        let request = text(&balance, get());
                        drop(tokio::time::timeout(Duration::from_millis(after), request).await);
                    }
                    Fate::Upload(after) => {
                        let (feed, body) = fed();
                        let uploading = tokio::spawn(async move {
                            let _ = feed.send(data(b"some"));
                            sleep(Duration::from_millis(after)).await;
                            let _ = feed.send(data(b"more"));
                        });
                        drop(text(&balance, post(body)).await);
                        uploading.await.expect("no panic");
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic");
    }
    sleep(Duration::from_secs(1)).await;
    assert_eq!(fleet.in_flight(endpoint(1).id()), 0);
    // Every place is free: as many requests as may be at once, over all the connections there may be.
    let held: Vec<_> = (0..3)
        .map(|_| {
            let balance = balance.clone();
            tokio::spawn(async move {
                balance
                    .send_upgrade(get(), None)
                    .await
                    .map(|(response, ..)| response)
            })
        })
        .collect();
    for held in held {
        if let Err(error) = held.await.expect("no panic") {
            assert_ne!(error.kind(), mesh_core::ErrorKind::Overloaded, "{error}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn in_the_end_nothing_is_in_flight_and_every_place_is_free(http2: bool, fates in fates()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime").block_on(live_through(http2, fates));
    }
}
