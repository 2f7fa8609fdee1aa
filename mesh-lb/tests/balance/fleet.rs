//! What is known of endpoints, as requests meet it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use mesh_core::body::Body;
use mesh_core::{EndpointSet, ErrorKind, live};
use mesh_lb::discovery::LiveWatch;
use mesh_lb::fleet::EndpointState;
use mesh_lb::{Balance, Fleet, FleetPolicy, RoundRobin};
use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio::time::{Instant, sleep};

use crate::support::{
    Count, HELLO, Net, endpoint, get, hello, over, post, read_head, seconds, send, text, until, write,
};

const FAILS: &str = "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n";

/// Answers `hello`, or 500 while it is ill.
fn ill_while(ill: &Arc<AtomicBool>) -> impl Fn(DuplexStream, usize) -> BoxedServe + Send + Sync + 'static {
    let ill = Arc::clone(ill);
    move |mut io, _| {
        let ill = Arc::clone(&ill);
        Box::pin(async move {
            while read_head(&mut io).await.is_some() {
                let answer = if ill.load(Ordering::SeqCst) { FAILS } else { HELLO };
                if io.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
        })
    }
}

type BoxedServe = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

fn state(fleet: &Fleet, at: usize) -> EndpointState {
    fleet.status(Instant::now())[at].state
}

#[tokio::test(start_paused = true)]
async fn an_ejected_endpoint_is_not_picked_until_its_trial() {
    let ill = Arc::new(AtomicBool::new(true));
    let net = Net::new().serves(1, ill_while(&ill)).serves(2, hello);
    let (balance, fleet) = over(&net, &[1, 2]).start();
    let mut failed = 0;
    while state(&fleet, 0) != EndpointState::Ejected {
        let (response, _) = send(&balance, get()).await.expect("an answer");
        failed += usize::from(response.status() == 500);
        // Bodies are empty or at hand: nothing is to be read.
    }
    assert_eq!(failed, 5);
    ill.store(false, Ordering::SeqCst);
    let picks = async |count| {
        let mut picked = Vec::new();
        for _ in 0..count {
            let (_, info) = send(&balance, get()).await.expect("an answer");
            picked.push(info.endpoint == *endpoint(1).id());
        }
        picked
    };
    sleep(seconds(29)).await;
    assert!(picks(20).await.iter().all(|ejected| !ejected));
    sleep(seconds(2)).await;
    assert!(picks(1).await[0], "its trial");
    sleep(seconds(1)).await;
    assert_eq!(state(&fleet, 0), EndpointState::Healthy);
    assert_eq!(picks(20).await.iter().filter(|back| **back).count(), 10);
}

#[tokio::test(start_paused = true)]
async fn two_endpoints_that_restart_one_after_the_other_lose_no_request() {
    let (one, two) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(false)));
    let net = Net::new().away_while(1, &one).away_while(2, &two);
    let (balance, fleet) = over(&net, &[1, 2]).start();
    while state(&fleet, 0) != EndpointState::Ejected {
        assert_eq!(text(&balance, get()).await.expect("the other answers"), "hello");
        sleep(seconds(1)).await;
    }
    // It is back, and still ejected when the other goes.
    one.store(false, Ordering::SeqCst);
    two.store(true, Ordering::SeqCst);
    for _ in 0..20 {
        assert_eq!(
            text(&balance, get()).await.expect("the first answers again"),
            "hello"
        );
    }
    assert_eq!(state(&fleet, 0), EndpointState::Healthy);
}

#[tokio::test(start_paused = true)]
async fn a_failed_trial_ejects_again_and_for_longer() {
    let ill = Arc::new(AtomicBool::new(true));
    let net = Net::new().serves(1, ill_while(&ill)).serves(2, hello);
    let (balance, fleet) = over(&net, &[1, 2]).start();
    for _ in 0..20 {
        send(&balance, get()).await.expect("an answer");
    }
    let mut failures = Vec::new();
    let began = Instant::now();
    while began.elapsed() < seconds(400) {
        let (response, _) = send(&balance, get()).await.expect("an answer");
        if response.status() == 500 {
            failures.push(began.elapsed().as_secs());
        }
        sleep(seconds(1)).await;
    }
    // 30 s, 60 s, 90 s, 120 s, one trial after each.
    assert_eq!(failures.len(), 4, "{failures:?}");
    assert!(failures.windows(2).all(|w| w[1] - w[0] >= 59), "{failures:?}");
    assert_eq!(state(&fleet, 0), EndpointState::Ejected);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_says_which_endpoints_why_and_since_when() {
    let net = Net::new().serves(1, hello).serves(2, hello);
    let mut setup = over(&net, &[1, 2]);
    setup.policy.panic_threshold = 0.0;
    let (balance, fleet) = setup.start();
    fleet.report(
        endpoint(1).id(),
        Err("GET /health answered 503".into()),
        Instant::now(),
    );
    sleep(seconds(12)).await;
    fleet.report(
        endpoint(2).id(),
        Err("no answer within 1s".into()),
        Instant::now(),
    );
    sleep(seconds(3)).await;
    let error = send(&balance, get()).await.expect_err("nobody is well");
    assert_eq!(error.kind(), ErrorKind::NoHealthyEndpoint);
    assert_eq!(
        error.message(),
        "none of the 2 endpoints of service orders takes requests: 10.0.0.1:1: unhealthy for 15s: GET /health \
         answered 503; 10.0.0.1:2: unhealthy for 3s: no answer within 1s"
    );
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_refuses_connections_is_avoided_at_once() {
    let net = Net::new().refuses(1).serves(2, hello);
    let (balance, _) = over(&net, &[1, 2]).start();
    for _ in 0..100 {
        assert_eq!(text(&balance, get()).await.expect("the other answers"), "hello");
    }
    assert!(net.connects(1) <= 2, "{}", net.connects(1));
}

#[tokio::test(start_paused = true)]
async fn a_full_endpoint_leaves_requests_to_others_and_then_they_wait() {
    let net = Net::new();
    let slow = |mut io: DuplexStream, _| async move {
        while read_head(&mut io).await.is_some() {
            sleep(seconds(2)).await;
            if io.write_all(HELLO.as_bytes()).await.is_err() {
                return;
            }
        }
    };
    let net = net.serves(1, slow).serves(2, slow);
    let (balance, fleet) = over(&net, &[1, 2])
        .limits(|limits| limits.max_requests_per_endpoint = 1)
        .start();
    let spawn = || {
        let balance = balance.clone();
        tokio::spawn(async move { text(&balance, get()).await })
    };
    let (first, second, waits) = (spawn(), spawn(), spawn());
    sleep(seconds(1)).await;
    assert_eq!([1, 2].map(|port| fleet.in_flight(endpoint(port).id())), [1, 1]);
    let began = Instant::now();
    for request in [first, second, waits] {
        assert_eq!(request.await.expect("no panic").expect("answered"), "hello");
    }
    assert_eq!(began.elapsed().as_secs(), 3, "one waited for room");
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_joins_is_connected_to_ahead() {
    let net = Net::new().serves(1, hello).serves(2, hello);
    let (publisher, set) = live(EndpointSet::new([endpoint(1)]));
    let balance = Balance::builder("orders".parse().expect("a name"))
        .discover(LiveWatch::following(set))
        .balancer(RoundRobin::new())
        .connect(net.clone())
        .policy(FleetPolicy::default())
        .start();
    assert_eq!(text(&balance, get()).await.expect("answered"), "hello");
    publisher.publish(EndpointSet::new([endpoint(1), endpoint(2)]));
    until("the new endpoint has a connection", || net.connects(2) == 1).await;
    sleep(seconds(1)).await;
    for _ in 0..4 {
        text(&balance, get()).await.expect("answered");
    }
    assert_eq!((net.connects(1), net.connects(2)), (1, 1), "it is used");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_closes_after_a_second_is_not_met_on_a_dying_connection_twice() {
    let net = Net::new().serves(1, |mut io, _| async move {
        while let Ok(Some(_)) = tokio::time::timeout(seconds(1), read_head(&mut io)).await {
            if io.write_all(HELLO.as_bytes()).await.is_err() {
                return;
            }
        }
    });
    let (balance, _) = over(&net, &[1]).start();
    for _ in 0..60 {
        assert_eq!(text(&balance, get()).await.expect("answered"), "hello");
        sleep(seconds(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_post_is_never_sent_on_a_connection_that_may_be_dying() {
    let reached = Count::default();
    let seen = reached.clone();
    let net = Net::new().serves(1, move |mut io, _| {
        let seen = seen.clone();
        async move {
            // It has decided to close a moment before that arrives, and reads no request meanwhile.
            let (decides, closes) = (Duration::from_millis(990), Duration::from_millis(1_010));
            let mut since = Instant::now();
            while let Ok(Some(_)) = tokio::time::timeout(closes, read_head(&mut io)).await {
                if since.elapsed() >= decides {
                    return;
                }
                seen.add();
                write(&mut io, HELLO).await;
                since = Instant::now();
            }
        }
    });
    let (balance, _) = over(&net, &[1]).start();
    for _ in 0..60 {
        assert_eq!(
            text(&balance, post(Body::empty())).await.expect("answered"),
            "hello"
        );
        sleep(seconds(1)).await;
    }
    assert_eq!(reached.get(), 60);
}

#[tokio::test(start_paused = true)]
async fn a_post_is_sent_on_a_connection_that_has_rested_for_less_than_another_one_does() {
    let net = Net::new().serves(1, |mut io, _| async move {
        while read_head(&mut io).await.is_some() {
            write(&mut io, HELLO).await;
        }
    });
    let (balance, _) = over(&net, &[1]).start();
    for (rest, connects) in [(100, 1), (3_000, 1), (3_000, 2), (3_000, 2), (100, 2)] {
        text(&balance, post(Body::empty())).await.expect("answered");
        assert_eq!(net.connects(1), connects);
        sleep(Duration::from_millis(rest)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_refused_connection_is_one_failure_however_many_requests_meet_it() {
    let net = Net::new().refuses(1);
    let (balance, _) = over(&net, &[1]).start();
    let failed = Arc::new(AtomicUsize::new(0));
    let requests = (0..200).map(|_| {
        let (balance, failed) = (balance.clone(), Arc::clone(&failed));
        async move {
            send(&balance, get()).await.expect_err("nobody listens");
            failed.fetch_add(1, Ordering::SeqCst);
        }
    });
    let began = Instant::now();
    futures_util::future::join_all(requests).await;
    // One after the other knocks, and with each time the next waits longer; who waits too long is told so.
    assert_eq!(failed.load(Ordering::SeqCst), 200);
    assert!(began.elapsed() <= seconds(3), "{:?}", began.elapsed());
    assert!(net.connects(1) < 40, "{}", net.connects(1));
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_for_the_only_endpoint_to_come_back() {
    let away = Arc::new(AtomicBool::new(true));
    let net = Net::new().away_while(1, &away);
    let (balance, _) = over(&net, &[1]).start();
    let requests: Vec<_> = (0..50)
        .map(|_| {
            let balance = balance.clone();
            tokio::spawn(async move { text(&balance, get()).await })
        })
        .collect();
    sleep(std::time::Duration::from_millis(20)).await;
    away.store(false, Ordering::SeqCst);
    for request in requests {
        assert_eq!(request.await.expect("no panic").expect("it is back"), "hello");
    }
}
