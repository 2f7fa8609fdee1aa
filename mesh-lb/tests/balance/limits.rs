use std::time::Duration;

use mesh_core::ErrorKind;
use mesh_core::body::Body;
use mesh_lb::endpoint::Limits;
use mesh_lb::{Balance, FleetPolicy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tower_service::Service;

use crate::http2::{answers, serve_http2};
use crate::support::{Net, endpoint, get, hello, over, read_head, seconds, send, text, whole, write};

/// One endpoint that answers after a while.
fn slow(wait: Duration) -> Net {
    Net::new().serves(1, move |mut io, _| async move {
        while read_head(&mut io).await.is_some() {
            sleep(wait).await;
            if io.write_all(crate::support::HELLO.as_bytes()).await.is_err() {
                return;
            }
        }
    })
}

fn spawn(balance: &mesh_lb::Balance) -> JoinHandle<Result<String, mesh_core::Error>> {
    let balance = balance.clone();
    tokio::spawn(async move { text(&balance, get()).await })
}

#[tokio::test(start_paused = true)]
async fn a_request_beyond_the_limit_is_refused_until_a_body_is_read_or_dropped() {
    let net = Net::new().serves(1, |mut io, _| async move {
        while read_head(&mut io).await.is_some() {
            write(&mut io, "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello").await;
            sleep(seconds(1)).await;
            let _ = io.write_all(b"world").await;
        }
    });
    let (balance, _) = over(&net, &[1]).limits(|limits| limits.max_requests = 2).start();
    let (one, _) = send(&balance, get()).await.expect("first");
    let (two, _) = send(&balance, get()).await.expect("second");
    let refused = send(&balance, get()).await.expect_err("third");
    assert_eq!(refused.kind(), ErrorKind::Overloaded);
    assert!(refused.message().contains("maxRequests"), "{refused}");
    drop(one);
    let (three, _) = send(&balance, get()).await.expect("there is room");
    assert!(send(&balance, get()).await.is_err());
    for response in [two, three] {
        whole(response.into_body()).await.expect("whole");
    }
    assert!(send(&balance, get()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_for_a_connection_and_takes_the_one_that_comes_back() {
    let net = slow(seconds(1));
    let (balance, _) = over(&net, &[1])
        .limits(|limits| limits.max_connections = 1)
        .start();
    let requests = [spawn(&balance), spawn(&balance), spawn(&balance)];
    let began = Instant::now();
    for request in requests {
        request.await.expect("no panic").expect("answered");
    }
    assert_eq!((net.connects(1), began.elapsed().as_secs()), (1, 3));
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_no_longer_than_it_may() {
    let net = slow(seconds(100));
    let (balance, fleet) = over(&net, &[1])
        .limits(|limits| limits.max_connections = 1)
        .start();
    let first = spawn(&balance);
    sleep(seconds(1)).await;
    let began = Instant::now();
    let error = send(&balance, get())
        .await
        .expect_err("the only connection is in use");
    assert_eq!(
        (error.kind(), began.elapsed().as_secs()),
        (ErrorKind::Overloaded, 3)
    );
    assert!(error.message().contains("maxConnections"), "{error}");
    assert_eq!(fleet.in_flight(endpoint(1).id()), 1);
    first.await.expect("no panic").expect("answered");
}

#[tokio::test(start_paused = true)]
async fn no_more_requests_wait_than_may_and_one_given_up_makes_room() {
    let net = slow(seconds(2));
    let limits = |limits: &mut mesh_lb::endpoint::Limits| {
        limits.max_connections = 1;
        limits.max_pending = 1;
    };
    let (balance, _) = over(&net, &[1]).limits(limits).start();
    let first = spawn(&balance);
    sleep(Duration::from_millis(100)).await;
    let waiting = spawn(&balance);
    sleep(Duration::from_millis(100)).await;
    let error = send(&balance, get()).await.expect_err("one waits already");
    assert_eq!(error.kind(), ErrorKind::Overloaded);
    assert!(error.message().contains("maxPendingRequests"), "{error}");
    waiting.abort();
    assert!(waiting.await.is_err());
    assert_eq!(
        spawn(&balance)
            .await
            .expect("no panic")
            .expect("there was room to wait"),
        "hello"
    );
    first.await.expect("no panic").expect("answered");
}

#[tokio::test(start_paused = true)]
async fn connections_at_rest_at_one_endpoint_make_room_for_another() {
    for http2 in [false, true] {
        let net = match http2 {
            false => Net::new().serves(1, hello).serves(2, hello),
            true => {
                let serve = |io, _| serve_http2(io, answers(Duration::ZERO));
                Net::new().serves(1, serve).serves(2, serve)
            }
        };
        let setup = over(&net, &[1, 2]).limits(|limits| {
            limits.max_connections = 1;
            limits.max_pending = 1;
        });
        let (balance, _) = if http2 { setup.http2() } else { setup }.start();
        let began = Instant::now();
        for _ in 0..6 {
            assert_eq!(text(&balance, get()).await.expect("answered"), "hello");
        }
        assert_eq!((net.connects(1), net.connects(2)), (3, 3));
        assert!(began.elapsed() < seconds(1), "{:?}", began.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_waiting_for_one_endpoint_gets_the_place_of_a_connection_that_comes_to_rest_at_another() {
    let net = slow(seconds(1)).serves(2, hello);
    let (balance, _) = over(&net, &[1, 2])
        .limits(|limits| limits.max_connections = 1)
        .start();
    let first = spawn(&balance);
    sleep(Duration::from_millis(10)).await;
    let began = Instant::now();
    assert_eq!(text(&balance, get()).await.expect("answered"), "hello");
    assert!(began.elapsed() < seconds(2), "{:?}", began.elapsed());
    assert_eq!(net.connects(2), 1);
    first.await.expect("no panic").expect("answered");
}

#[tokio::test(start_paused = true)]
async fn requests_wait_for_the_streams_of_a_connection_when_there_may_be_no_other() {
    let net = Net::new().serves(1, |io, _| serve_http2(io, answers(seconds(1))));
    let (balance, fleet) = over(&net, &[1])
        .http2()
        .limits(|limits| limits.max_connections = 1)
        .start();
    text(&balance, get()).await.expect("answered");
    let began = Instant::now();
    let requests: Vec<_> = (0..30).map(|_| spawn(&balance)).collect();
    for request in requests {
        request.await.expect("no panic").expect("answered");
    }
    // Ten streams at once, as the endpoint allows.
    assert_eq!((net.connects(1), began.elapsed().as_secs()), (1, 3));
    assert_eq!(fleet.in_flight(endpoint(1).id()), 0);
}

#[tokio::test(start_paused = true)]
async fn requests_that_wait_for_one_handshake_fail_with_it() {
    let net = Net::new().hangs(1);
    let (balance, fleet) = over(&net, &[1]).http2().start();
    let began = Instant::now();
    let requests: Vec<_> = (0..50).map(|_| spawn(&balance)).collect();
    for request in requests {
        assert_eq!(
            request.await.expect("no panic").expect_err("hangs").kind(),
            ErrorKind::UpstreamConnect
        );
    }
    // One attempt of five seconds; after that the endpoint rests, and who is tried again fails at once.
    assert_eq!(began.elapsed().as_secs(), 5);
    assert!(net.connects(1) <= 2, "{}", net.connects(1));
    assert_eq!(fleet.in_flight(endpoint(1).id()), 0);
}

fn ask() -> http::Request<Body> {
    let request = http::Request::get("/")
        .header("host", "orders")
        .header("connection", "upgrade");
    request
        .header("upgrade", "websocket")
        .body(Body::empty())
        .expect("a request")
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_counts_as_a_connection_and_as_a_request_until_it_is_dropped() {
    let net = Net::new().serves(1, |mut io, _| async move {
        let head = read_head(&mut io).await.expect("a request");
        if !head.contains("upgrade: websocket") {
            write(&mut io, crate::support::HELLO).await;
            return;
        }
        write(
            &mut io,
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        )
        .await;
        let (mut read, mut write) = tokio::io::split(io);
        tokio::io::copy(&mut read, &mut write).await.expect("echoed");
    });
    let limited = |connections, requests| {
        over(&net, &[1])
            .limits(|limits| (limits.max_connections, limits.max_requests) = (connections, requests))
            .start()
    };
    for (balance, fleet) in [limited(1, 10), limited(10, 1)] {
        let (mut response, info) = balance.send_upgrade(ask(), None).await.expect("answered");
        assert_eq!((response.status().as_u16(), info.attempts), (101, 1));
        let mut tunnel =
            hyper_util::rt::TokioIo::new(hyper::upgrade::on(&mut response).await.expect("upgraded"));
        tunnel.write_all(b"ping").await.expect("open");
        let mut got = [0; 4];
        tunnel.read_exact(&mut got).await.expect("echoed");
        assert_eq!(&got, b"ping");
        sleep(seconds(1000)).await;
        assert_eq!(
            send(&balance, get())
                .await
                .expect_err("the place is taken")
                .kind(),
            ErrorKind::Overloaded
        );
        assert_eq!(fleet.in_flight(endpoint(1).id()), 1);
        drop(tunnel);
        assert_eq!(fleet.in_flight(endpoint(1).id()), 0);
        assert_eq!(text(&balance, get()).await.expect("answered"), "hello");
    }
}

#[tokio::test(start_paused = true)]
async fn an_upgrade_takes_the_place_of_a_connection_at_rest_and_is_tried_elsewhere_when_refused() {
    let net = Net::new().refuses(2).serves(1, |mut io, _| async move {
        while read_head(&mut io).await.is_some() {
            write(&mut io, crate::support::HELLO).await;
        }
    });
    let (balance, fleet) = over(&net, &[1, 2])
        .limits(|limits| limits.max_connections = 1)
        .start();
    for _ in 0..4 {
        text(&balance, get()).await.expect("answered");
        let asked = timeout(seconds(1), balance.send_upgrade(ask(), None))
            .await
            .expect("at once");
        let (response, info) = asked.expect("answered");
        assert_eq!(
            (response.status().as_u16(), info.endpoint),
            (200, endpoint(1).id().clone())
        );
        assert_eq!(
            whole(Body::from(response.into_body()))
                .await
                .expect("the endpoint did not agree"),
            "hello"
        );
        // Its connection is closed by a task of its own.
        sleep(seconds(1)).await;
        assert_eq!(fleet.in_flight(endpoint(1).id()), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn as_a_service_a_balancer_opens_tunnels_too() {
    let net = Net::new().serves(1, |mut io, _| async move {
        read_head(&mut io).await.expect("a request");
        write(
            &mut io,
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        )
        .await;
        let (mut read, mut write) = tokio::io::split(io);
        tokio::io::copy(&mut read, &mut write).await.expect("echoed");
    });
    let (mut balance, fleet) = over(&net, &[1]).start();
    let mut response = balance.call(ask()).await.expect("answered");
    assert_eq!(response.status(), 101);
    let info = response.extensions().get::<mesh_core::AttemptInfo>();
    assert_eq!(info.expect("told").endpoint, *endpoint(1).id());
    let upgraded = hyper::upgrade::on(&mut response).await.expect("upgraded");
    drop(response);
    let mut tunnel = hyper_util::rt::TokioIo::new(upgraded);
    tunnel.write_all(b"ping").await.expect("open");
    let mut got = [0; 4];
    tunnel.read_exact(&mut got).await.expect("echoed");
    assert_eq!((&got, fleet.in_flight(endpoint(1).id())), (b"ping", 1));
    drop(tunnel);
    assert_eq!(fleet.in_flight(endpoint(1).id()), 0);
}

/// A balancer over endpoint 1 under these limits, and one of the fleet that succeeds it.
fn succession(
    net: &Net,
    before: impl FnOnce(&mut Limits),
    after: impl FnOnce(&mut FleetPolicy),
) -> (Balance, Balance) {
    let (first, fleet) = over(net, &[1]).limits(before).start();
    let mut policy = fleet.policy().clone();
    after(&mut policy);
    let successor = fleet.succeeded_by(policy);
    successor.update(fleet.endpoints(), Instant::now());
    let second = Balance::builder("orders".parse().expect("a name"))
        .fleet(successor)
        .connect(net.clone())
        .succeeding(&first)
        .start();
    (first, second)
}

#[tokio::test(start_paused = true)]
async fn a_new_limit_of_connections_holds_at_endpoints_that_were_known_before() {
    let net = slow(seconds(10));
    let (_first, second) = succession(
        &net,
        |limits| limits.max_connections = 1,
        |policy| policy.limits.max_connections = 2,
    );
    let requests = [spawn(&second), spawn(&second)];
    for request in requests {
        request
            .await
            .expect("no panic")
            .expect("there are connections for both");
    }
    assert_eq!(net.connects(1), 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_in_use_of_unchanged_limits_counts_on_under_another_policy() {
    let net = slow(seconds(10));
    let (first, second) = succession(
        &net,
        |limits| limits.max_requests = 1,
        |policy| policy.panic_threshold = 0.0,
    );
    let held = spawn(&first);
    sleep(seconds(1)).await;
    let refused = send(&second, get()).await.expect_err("one is in flight");
    assert_eq!(refused.kind(), ErrorKind::Overloaded);
    held.await.expect("no panic").expect("answered");
}

#[tokio::test(start_paused = true)]
async fn connections_outlive_a_change_of_policy_that_leaves_the_limits() {
    let net = slow(seconds(0));
    let (first, fleet) = over(&net, &[1]).start();
    text(&first, get()).await.expect("answered");
    let mut policy = fleet.policy().clone();
    policy.panic_threshold = 0.0;
    let successor = fleet.succeeded_by(policy);
    successor.update(fleet.endpoints(), Instant::now());
    let second = Balance::builder("orders".parse().expect("a name"))
        .fleet(successor)
        .connect(net.clone())
        .succeeding(&first)
        .start();
    text(&second, get()).await.expect("answered");
    assert_eq!(net.connects(1), 1);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_rests_on_another_core_makes_room_for_one_to_the_same_endpoint() {
    let net = slow(seconds(0));
    let (first, fleet) = over(&net, &[1])
        .limits(|limits| limits.max_connections_per_endpoint = 1)
        .start();
    text(&first, get()).await.expect("answered");
    let other = Balance::builder("orders".parse().expect("a name"))
        .fleet(fleet)
        .connect(net.clone())
        .start();
    text(&other, get()).await.expect("answered");
    assert_eq!(net.connects(1), 2);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_rests_is_not_missed_by_who_waits_behind_one_it_is_of_no_use_to() {
    let (release, released) = tokio::sync::watch::channel(0_u16);
    let serve = move |port: u16| {
        let released = released.clone();
        move |mut io: tokio::io::DuplexStream, _: usize| {
            let mut released = released.clone();
            async move {
                while read_head(&mut io).await.is_some() {
                    let over = released
                        .wait_for(|last| *last == port || *last == 9)
                        .await
                        .is_err();
                    if over || io.write_all(crate::support::HELLO.as_bytes()).await.is_err() {
                        return;
                    }
                }
            }
        }
    };
    let net = Net::new().serves(1, serve(1)).serves(2, serve(2));
    let (balance, _) = over(&net, &[1, 2])
        .limits(|limits| limits.max_connections_per_endpoint = 1)
        .start();
    let mut requests = vec![spawn(&balance)];
    sleep(Duration::from_millis(10)).await;
    // They take turns, and which is first is chance.
    let second = if net.connects(1) == 1 { 2 } else { 1 };
    // One under way at each, and one that waits for each.
    for _ in 0..3 {
        requests.push(spawn(&balance));
        sleep(Duration::from_millis(10)).await;
    }
    let waits_for_second = requests.pop().expect("four");
    let began = Instant::now();
    release.send(second).expect("somebody listens");
    waits_for_second.await.expect("no panic").expect("answered");
    assert!(began.elapsed() < seconds(1), "{:?}", began.elapsed());
    release.send(9).expect("somebody listens");
    for request in requests {
        request.await.expect("no panic").expect("answered");
    }
}
