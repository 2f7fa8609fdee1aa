use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::{Instant, sleep};

use crate::http2::{answers, serve_http2};
use crate::support::{Count, HELLO, Net, get, over, read_head, seconds, text, until, write};

/// When each connection ended, after its last answer.
#[derive(Clone, Default)]
struct Ends(Arc<Mutex<Vec<Duration>>>);

impl Ends {
    async fn wait(&self, mut io: DuplexStream) {
        let began = Instant::now();
        io.read_to_end(&mut Vec::new()).await.expect("closed");
        self.0.lock().expect("free").push(began.elapsed());
    }

    fn get(&self) -> Vec<Duration> {
        self.0.lock().expect("free").clone()
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_rests_no_longer_than_it_may() {
    let ends = Ends::default();
    let seen = ends.clone();
    let net = Net::new().serves(1, move |mut io, _| {
        let seen = seen.clone();
        async move {
            read_head(&mut io).await.expect("a request");
            write(&mut io, HELLO).await;
            seen.wait(io).await;
        }
    });
    let (balance, _) = over(&net, &[1]).start();
    text(&balance, get()).await.expect("answered");
    sleep(seconds(100)).await;
    let after = ends.get();
    assert!(
        after.len() == 1 && (seconds(29)..=seconds(32)).contains(&after[0]),
        "{after:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_connection_in_use_now_and_then_stays() {
    let net = Net::new().serves(1, crate::support::hello);
    let (balance, _) = over(&net, &[1]).start();
    for _ in 0..10 {
        text(&balance, get()).await.expect("answered");
        sleep(seconds(25)).await;
    }
    assert_eq!(net.connects(1), 1);
}

#[tokio::test(start_paused = true)]
async fn every_rested_connection_the_endpoint_closed_is_closed_with_the_next_sweep() {
    let ends = Ends::default();
    let seen = ends.clone();
    let open = Count::default();
    let all = open.clone();
    let net = Net::new().serves(1, move |mut io, _| {
        let (seen, all) = (seen.clone(), all.clone());
        async move {
            read_head(&mut io).await.expect("a request");
            all.add();
            until("all are here", || all.get() == 250).await;
            write(&mut io, HELLO).await;
            sleep(seconds(5)).await;
            // Half closed: if the other half stays open, it lingers.
            io.shutdown().await.expect("open");
            seen.wait(io).await;
        }
    });
    let (balance, _) = over(&net, &[1]).start();
    let requests: Vec<_> = (0..250)
        .map(|_| {
            let balance = balance.clone();
            tokio::spawn(async move { text(&balance, get()).await })
        })
        .collect();
    for request in requests {
        request.await.expect("no panic").expect("answered");
    }
    sleep(seconds(8)).await;
    let after = ends.get();
    assert_eq!(after.len(), 250);
    // More than a task may usually look at in one turn.
    assert!(after.iter().all(|after| *after <= seconds(1)), "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_will_not_be_used_again_is_closed_at_once() {
    let ends = Ends::default();
    let seen = ends.clone();
    let net = Net::new().serves(1, move |mut io, _| {
        let seen = seen.clone();
        async move {
            read_head(&mut io).await.expect("a request");
            write(
                &mut io,
                "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello",
            )
            .await;
            seen.wait(io).await;
        }
    });
    let (balance, _) = over(&net, &[1]).start();
    text(&balance, get()).await.expect("answered");
    sleep(seconds(5)).await;
    assert_eq!(ends.get(), [Duration::ZERO]);
}

#[tokio::test(start_paused = true)]
async fn an_http2_connection_rests_no_longer_than_it_may_and_not_while_it_carries_anything() {
    let (began, ended) = (Instant::now(), Arc::new(Mutex::new(None)));
    let seen = Arc::clone(&ended);
    let net = Net::new().serves(1, move |io, _| {
        let seen = Arc::clone(&seen);
        async move {
            serve_http2(io, answers(seconds(50))).await;
            *seen.lock().expect("free") = Some(began.elapsed());
        }
    });
    let (balance, _) = over(&net, &[1]).http2().start();
    for _ in 0..2 {
        assert_eq!(text(&balance, get()).await.expect("answered"), "hello");
        sleep(seconds(20)).await;
    }
    assert_eq!(net.connects(1), 1);
    sleep(seconds(100)).await;
    // 50 s at work, 20 s at rest, 50 s at work, and 30 s at rest.
    let ended = ended.lock().expect("free").expect("closed");
    assert!((seconds(149)..seconds(153)).contains(&ended), "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn connections_end_with_the_balancer() {
    let ends = Ends::default();
    let seen = ends.clone();
    let net = Net::new().serves(1, move |mut io, _| {
        let seen = seen.clone();
        async move {
            read_head(&mut io).await.expect("a request");
            write(&mut io, HELLO).await;
            seen.wait(io).await;
        }
    });
    let (balance, _) = over(&net, &[1]).start();
    text(&balance, get()).await.expect("answered");
    drop(balance);
    until("the connection is closed", || ends.get().len() == 1).await;
}
