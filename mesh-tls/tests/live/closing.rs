//! Open connections whose peer is not believed any more.

use std::time::Duration;

use mesh_core::connect::Connect as _;
use mesh_core::control::Order;
use mesh_core::{Endpoint, EventBus, MeshEvent, WallClock as _};
use mesh_tls::Identity;
use tokio::time::{Instant, sleep, sleep_until};

use crate::authority::TestAuthority;
use crate::clock::TokioClock;
use crate::connections::*;

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);
/// A connection that ends at once has ended within this: two tasks and a socket have to have their turn.
const AT_ONCE: Duration = Duration::from_millis(200);

/// Case 36: at most 10 seconds from the moment the bundle is published to the last byte. In fact: at once, or 5 seconds
/// for what is in flight.
#[tokio::test(start_paused = true)]
async fn a_revoked_client_is_cut_off_whatever_it_has_open_and_nobody_else_is() {
    let clock = TokioClock::new();
    let authority = TestAuthority::new(&clock);
    let events = EventBus::default();
    let mut told = events.subscribe();
    let orders = Identity::builder(id("orders")).authority(authority.clone());
    let orders = orders
        .clock(clock.clone())
        .events(events)
        .start()
        .await
        .expect("an identity");
    let frontend = identity(&authority, &clock, "frontend", 90 * DAY).await;
    let billing = identity(&authority, &clock, "billing", 90 * DAY).await;
    let address = serve(&orders).await;

    let (h1, h2) = (http1(&frontend, "orders"), frontend.connect_to(id("orders")));
    let mut idle = connect(&h1, address).await;
    ask(&mut idle, "/", "hello").await;
    let mut endless = connect(&h1, address).await;
    ask(&mut endless, "/endless", "tick").await;
    let mut tunnel = connect(&h1, address).await;
    ask(&mut tunnel, "/tunnel", "\r\n\r\n").await;
    assert!(echoes(&mut tunnel).await);
    let idle2 = http2_idle(connect(&h2, address).await).await;
    let (endless2, connection2) = http2_endless(connect(&h2, address).await).await;
    let other = http1(&billing, "orders");
    let mut others_tunnel = connect(&other, address).await;
    ask(&mut others_tunnel, "/tunnel", "\r\n\r\n").await;
    assert_eq!(orders.peer_counts().connections, 6);
    assert_eq!(orders.peer_counts().certificates, 2);

    // It goes on with what it has, as a stolen key would.
    authority.hang(true);
    let revoked = frontend.certificate();
    let published = Instant::now();
    authority.revoke(&revoked);
    for (what, closed) in [
        ("HTTP/1.1 at rest", until_closed(idle)),
        ("a tunnel", until_closed(tunnel)),
        ("HTTP/2 at rest", idle2),
    ] {
        let took = closed.await.expect("it ran") - published;
        assert!(took < AT_ONCE, "{what}: {took:?}");
    }
    for (what, closed) in [
        ("HTTP/1.1 with an answer under way", until_closed(endless)),
        ("the answer on HTTP/2", endless2),
        ("HTTP/2 with an answer under way", connection2),
    ] {
        let took = closed.await.expect("it ran") - published;
        assert!(
            took >= 4 * SECOND && took < 5 * SECOND + AT_ONCE,
            "{what}: {took:?}"
        );
    }
    assert!(echoes(&mut others_tunnel).await, "nobody else is cut");
    let counts = orders.peer_counts();
    assert_eq!((counts.ended_revoked, counts.connections), (5, 1));
    let event = told.next().await.expect("told");
    let MeshEvent::PeerUntrusted {
        peer,
        serial,
        connections,
        cause,
    } = &*event
    else {
        panic!("{event:?}");
    };
    assert_eq!((&**peer, *connections), (id("frontend").as_str(), 5));
    assert_eq!(**serial, *revoked.serial().to_string());
    assert!(cause.contains("revoked"), "{cause}");
    // Case 34: nor does it come in again. In TLS 1.3 the verdict comes behind the handshake.
    let mut again = connect(&h1, address).await;
    let error = tokio::io::AsyncReadExt::read_u8(&mut again)
        .await
        .expect_err("refused");
    assert!(error.to_string().contains("CertificateRevoked"), "{error}");
}

/// Case 34, and 36 for the other side.
#[tokio::test(start_paused = true)]
async fn a_revoked_server_gets_no_further_request_and_no_new_connection() {
    let clock = TokioClock::new();
    let authority = TestAuthority::new(&clock);
    let orders = identity(&authority, &clock, "orders", 90 * DAY).await;
    let frontend = identity(&authority, &clock, "frontend", 90 * DAY).await;
    let address = serve(&orders).await;
    // One that does not learn of it itself, so that it goes on with the certificate it has.
    authority.hang(true);
    let connect = frontend.connect_to(id("orders"));
    let endpoint = Endpoint::new(address.into());
    let connected = connect.connect(&endpoint).await.expect("connected");
    let control = connected.control.clone().expect("a mesh connection has one");
    assert!(control.is_free());
    authority.revoke(&orders.certificate());
    let published = Instant::now();
    while !control.is_told(Order::Leave) {
        sleep(Duration::from_millis(10)).await;
    }
    assert!(published.elapsed() < AT_ONCE);
    assert!(!control.is_told(Order::Close));
    sleep_until(published + 5 * SECOND + AT_ONCE).await;
    assert!(control.is_told(Order::Close));
    let error = connect
        .connect(&endpoint)
        .await
        .map(|_| ())
        .expect_err("refused")
        .to_string();
    assert!(error.to_lowercase().contains("revoked"), "{error}");
}

/// Case 63.
#[tokio::test(start_paused = true)]
async fn connections_end_with_the_certificate_of_their_peer_though_that_one_has_a_new_one_by_then() {
    let clock = TokioClock::new();
    let authority = TestAuthority::new(&clock);
    let orders = identity(&authority, &clock, "orders", DAY).await;
    let frontend = identity(&authority, &clock, "frontend", 3600 * SECOND).await;
    let address = serve(&orders).await;
    let h1 = http1(&frontend, "orders");
    let mut tunnel = connect(&h1, address).await;
    ask(&mut tunnel, "/tunnel", "\r\n\r\n").await;
    let (endless2, _) = http2_endless(connect(&frontend.connect_to(id("orders")), address).await).await;
    let first = frontend.certificate();
    let left = first.not_after().duration_since(clock.now()).expect("valid");
    let end = Instant::now() + left;
    sleep_until(end - SECOND).await;
    assert_ne!(
        frontend.certificate().serial(),
        first.serial(),
        "it was renewed in time"
    );
    assert!(echoes(&mut tunnel).await, "renewing closes nothing");
    let mut young = connect(&h1, address).await;
    ask(&mut young, "/tunnel", "\r\n\r\n").await;
    let closed = until_closed(tunnel).await.expect("it ran");
    assert!(closed >= end && closed < end + AT_ONCE, "{:?}", closed - end);
    let closed = endless2.await.expect("it ran");
    assert!(closed < end + 5 * SECOND + AT_ONCE, "{:?}", closed - end);
    assert!(echoes(&mut young).await, "of the new certificate");
    assert_eq!(orders.peer_counts().ended_expired, 2);
}

/// Case 82: a host that has slept finds expired peers as soon as it is awake.
#[tokio::test(start_paused = true)]
async fn a_wall_clock_that_jumps_past_the_end_of_peers_ends_their_connections() {
    let clock = TokioClock::new();
    let authority = TestAuthority::new(&clock);
    let orders = identity(&authority, &clock, "orders", 90 * DAY).await;
    let frontend = identity(&authority, &clock, "frontend", DAY).await;
    let address = serve(&orders).await;
    let mut tunnel = connect(&http1(&frontend, "orders"), address).await;
    ask(&mut tunnel, "/tunnel", "\r\n\r\n").await;
    clock.jump(3 * DAY);
    let jumped = Instant::now();
    let closed = until_closed(tunnel).await.expect("it ran");
    assert!(closed - jumped < 3 * SECOND, "{:?}", closed - jumped);
}

#[tokio::test(start_paused = true)]
async fn new_bundles_and_new_certificates_close_nothing_as_long_as_the_peer_is_believed() {
    let clock = TokioClock::new();
    let authority = TestAuthority::new(&clock);
    let orders = identity(&authority, &clock, "orders", DAY).await;
    let frontend = identity(&authority, &clock, "frontend", 90 * DAY).await;
    let address = serve(&orders).await;
    let mut tunnel = connect(&http1(&frontend, "orders"), address).await;
    ask(&mut tunnel, "/tunnel", "\r\n\r\n").await;
    let serials = || orders.certificate().serial();
    let first = serials();
    for _ in 0..20 {
        authority.publish();
        sleep(3600 * SECOND).await;
        assert!(echoes(&mut tunnel).await);
    }
    assert_ne!(serials(), first);
    authority.prepare();
    authority.taint();
    sleep(3600 * SECOND).await;
    assert!(echoes(&mut tunnel).await, "a tainted CA is still trusted");
    assert_eq!(orders.status().trust.sequence, authority.sequence());
}

/// The CA of a peer is not in the bundle any more: a generation was removed.
#[tokio::test(start_paused = true)]
async fn connections_end_with_the_trust_in_the_ca_of_their_peer() {
    let clock = TokioClock::new();
    let authority = TestAuthority::new(&clock);
    let orders = identity(&authority, &clock, "orders", 90 * DAY).await;
    let frontend = identity(&authority, &clock, "frontend", 90 * DAY).await;
    let address = serve(&orders).await;
    let mut tunnel = connect(&http1(&frontend, "orders"), address).await;
    ask(&mut tunnel, "/tunnel", "\r\n\r\n").await;
    authority.prepare();
    sleep(60 * SECOND).await;
    assert!(echoes(&mut tunnel).await);
    authority.activate();
    authority.remove_oldest();
    let removed = Instant::now();
    let closed = until_closed(tunnel).await.expect("it ran");
    assert!(closed - removed < AT_ONCE);
    assert_eq!(orders.peer_counts().ended_untrusted, 1);
    // Both have new certificates of the new CA by now, or in a moment.
    sleep(10 * SECOND).await;
    let mut again = connect(&http1(&frontend, "orders"), address).await;
    ask(&mut again, "/", "hello").await;
}

/// `axum::serve` cannot be asked to end a connection: it is cut when the time for what is in flight is over.
#[cfg(feature = "axum")]
#[tokio::test(start_paused = true)]
async fn a_connection_of_axum_is_cut_too() {
    use axum::{Router, routing::get};
    let clock = TokioClock::new();
    let authority = TestAuthority::new(&clock);
    let orders = identity(&authority, &clock, "orders", 90 * DAY).await;
    let frontend = identity(&authority, &clock, "frontend", 90 * DAY).await;
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a socket");
    let address = socket.local_addr().expect("bound");
    let app = Router::new().route("/", get(async || "hello"));
    let listener = orders.listen(socket);
    tokio::spawn(async move { axum::serve(listener, mesh_tls::axum::with_peer(app)).await });
    let mut io = connect(&http1(&frontend, "orders"), address).await;
    ask(&mut io, "/", "hello").await;
    authority.revoke(&frontend.certificate());
    let revoked = Instant::now();
    let closed = until_closed(io).await.expect("it ran");
    assert!(closed - revoked < 5 * SECOND + AT_ONCE, "{:?}", closed - revoked);
}
