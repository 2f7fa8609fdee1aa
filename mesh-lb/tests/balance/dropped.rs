//! Requests whose caller goes away, at any point.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use mesh_core::body::Body;
use mesh_lb::fleet::EndpointState;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep};

use crate::support::{Net, get, over, post, read_head, seconds, send, text};

/// Polls a future so many times, with pauses in between, then drops it. Whether it had ended by then.
async fn dropped_after(polls: usize, future: impl Future) -> bool {
    let mut future = pin!(future);
    for _ in 0..polls {
        if future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_ready()
        {
            return true;
        }
        sleep(Duration::from_micros(300)).await;
    }
    false
}

/// Takes its time for a head and for a body.
fn hesitating(net: Net, port: u16) -> Net {
    net.serves(port, |mut io, _| async move {
        while read_head(&mut io).await.is_some() {
            sleep(Duration::from_millis(2)).await;
            for part in ["HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", "he", "llo"] {
                if io.write_all(part.as_bytes()).await.is_err() {
                    return;
                }
                sleep(Duration::from_millis(1)).await;
            }
        }
    })
}

#[tokio::test(start_paused = true)]
async fn nothing_is_held_by_a_request_that_was_dropped_at_whichever_point() {
    let net = hesitating(hesitating(Net::new(), 1), 2).refuses(3);
    let (balance, fleet) = over(&net, &[1, 2, 3])
        .limits(|limits| {
            limits.max_requests = 2;
            limits.max_connections = 2;
            limits.max_pending = 2;
        })
        .start();
    let mut random = fastrand::Rng::with_seed(11);
    for _ in 0..500 {
        let polls = random.usize(0..40);
        let body = random.bool();
        let request = if body { post(Body::full("body")) } else { get() };
        // Both at once, so that one of them may wait for what the other has.
        let one = dropped_after(polls, text(&balance, request));
        let other = dropped_after(random.usize(0..40), text(&balance, get()));
        let third = dropped_after(random.usize(0..40), text(&balance, get()));
        tokio::join!(one, other, third);
    }
    // What was dropped is closed by tasks of its own.
    sleep(seconds(1)).await;
    let in_flight: Vec<u32> = fleet.status(Instant::now()).iter().map(|e| e.in_flight).collect();
    assert_eq!(in_flight, [0, 0, 0]);
    let (one, two) = tokio::join!(text(&balance, get()), text(&balance, get()));
    assert_eq!(one.expect("there is room"), "hello");
    assert_eq!(two.expect("there is room for another"), "hello");
}

#[tokio::test(start_paused = true)]
async fn a_trial_whose_caller_goes_away_is_made_up_for_within_a_second() {
    let net = hesitating(Net::new(), 2).serves(1, |mut io, nth| async move {
        while read_head(&mut io).await.is_some() {
            // It fails at first, is silent then, and well after that.
            match nth {
                0 => drop(
                    io.write_all(b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n")
                        .await,
                ),
                1 => sleep(seconds(100)).await,
                _ => drop(io.write_all(crate::support::HELLO.as_bytes()).await),
            }
        }
    });
    let (balance, fleet) = over(&net, &[1, 2]).start();
    let state = || fleet.status(Instant::now())[0].state;
    while state() != EndpointState::Ejected {
        send(&balance, get()).await.expect("an answer");
    }
    // By then its first connection has rested for too long.
    sleep(seconds(40)).await;
    assert!(!dropped_after(10, send(&balance, get())).await, "the trial");
    assert_eq!(net.connects(1), 2);
    sleep(seconds(1)).await;
    for _ in 0..3 {
        text(&balance, get()).await.expect("an answer");
    }
    assert_eq!(state(), EndpointState::Healthy);
}
