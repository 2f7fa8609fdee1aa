//! Through real sockets, from the mesh's client to the mesh's server.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use mesh_core::body::Body;
use mesh_core::drain::{DrainTrigger, drain};
use mesh_core::serve::Server;
use mesh_core::{Endpoint, EndpointSet, ErrorKind};
use mesh_lb::endpoint::Limits;
use mesh_lb::{Balance, Fleet, FleetPolicy, PoolSettings, Protocol};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::support::{get, post, text, whole};

async fn echo(request: Request<Body>) -> Result<Response<Body>, Infallible> {
    if request.method() == http::Method::GET {
        return Ok(Response::new(Body::full("hello")));
    }
    Ok(Response::new(request.into_body()))
}

/// hyper's service as tower's.
#[derive(Clone)]
struct Echo;

impl tower_service::Service<Request<Body>> for Echo {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(echo(request))
    }
}

async fn serve() -> (SocketAddr, DrainTrigger, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let (trigger, watcher) = drain();
    (
        address,
        trigger,
        tokio::spawn(Server::new().drain(watcher).serve(listener, Echo)),
    )
}

fn fleet(addresses: &[SocketAddr], limits: Limits) -> Fleet {
    let mut policy = FleetPolicy::default();
    policy.limits = limits;
    let fleet = Fleet::new("orders".parse().expect("a name"), policy);
    let endpoints = addresses.iter().map(|address| Endpoint::new((*address).into()));
    fleet.update(EndpointSet::new(endpoints), tokio::time::Instant::now());
    fleet
}

fn balance(protocol: Protocol, fleet: &Fleet) -> Balance {
    let mut settings = PoolSettings::default();
    settings.protocol = protocol;
    Balance::builder("orders".parse().expect("a name"))
        .fleet(fleet.clone())
        .settings(settings)
        .start()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tasks_on_two_threads_get_their_own_answers() {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let (address, trigger, server) = serve().await;
        let mut limits = Limits::default();
        // Few enough to be waited for.
        limits.max_connections = 8;
        limits.max_wait = Duration::from_secs(30);
        let fleet = fleet(&[address], limits);
        let balance = balance(protocol, &fleet);
        let tasks: Vec<_> = (0..32)
            .map(|task| {
                let balance = balance.clone();
                tokio::spawn(async move {
                    for round in 0..20 {
                        let sent = format!("{task}/{round}/").repeat(if round == 0 { 20_000 } else { 3 });
                        let got = text(&balance, post(Body::full(Bytes::from(sent.clone()))))
                            .await
                            .expect("answered");
                        assert!(got == sent, "another answer than the one to {task}/{round}");
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("no panic");
        }
        let endpoint = Endpoint::new(address.into());
        assert_eq!(fleet.in_flight(endpoint.id()), 0);
        trigger.start();
        tokio::time::timeout(Duration::from_secs(30), server)
            .await
            .expect("drained")
            .expect("no panic");
    }
}

#[tokio::test]
async fn an_endpoint_may_drain_amid_requests_and_no_request_is_lost() {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let (stays, _trigger, _server) = serve().await;
        let (leaves, trigger, server) = serve().await;
        let fleet = fleet(&[stays, leaves], Limits::default());
        let balance = balance(protocol, &fleet);
        let client = async {
            for request in 0..400 {
                if request == 200 {
                    trigger.start();
                }
                assert_eq!(text(&balance, get()).await.expect("answered"), "hello");
            }
        };
        client.await;
        tokio::time::timeout(Duration::from_secs(30), server)
            .await
            .expect("drained")
            .expect("no panic");
    }
}

#[tokio::test]
async fn balancers_of_two_runtimes_share_limits_and_waiting() {
    let (address, _trigger, _server) = serve().await;
    let mut limits = Limits::default();
    limits.max_connections = 1;
    limits.max_wait = Duration::from_secs(20);
    let fleet = fleet(&[address], limits);
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let fleet = fleet.clone();
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .expect("a runtime");
                runtime.block_on(async {
                    let balance = Arc::new(balance(Protocol::Http1, &fleet));
                    for _ in 0..100 {
                        assert_eq!(text(&balance, get()).await.expect("answered"), "hello");
                    }
                    let (response, _) = balance.send(get(), None).await.expect("answered");
                    whole(response.into_body()).await.expect("whole");
                });
            })
        })
        .collect();
    tokio::task::spawn_blocking(move || {
        threads
            .into_iter()
            .for_each(|thread| thread.join().expect("no panic"))
    })
    .await
    .expect("joined");
    assert_eq!(fleet.in_flight(Endpoint::new(address.into()).id()), 0);
}

/// Resets its first connection once a head has come, and answers on the others. Tells how many heads came.
async fn resets_once() -> (SocketAddr, Arc<std::sync::atomic::AtomicU32>) {
    use std::sync::atomic::Ordering;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let heads = Arc::new(std::sync::atomic::AtomicU32::new(0));
    let counted = Arc::clone(&heads);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await.expect("a head");
            if counted.fetch_add(1, Ordering::Relaxed) == 0 {
                stream.set_zero_linger().expect("a socket");
                continue;
            }
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
            stream.write_all(answer).await.expect("open");
        }
    });
    (address, heads)
}

#[tokio::test]
async fn a_get_on_a_fresh_connection_that_is_reset_is_sent_again_and_a_post_is_not() {
    use std::sync::atomic::Ordering;

    for (method, expected) in [
        (http::Method::GET, Ok(200)),
        (http::Method::POST, Err(ErrorKind::UpstreamReset)),
    ] {
        let (address, heads) = resets_once().await;
        let balance = Balance::builder("orders".parse().expect("a name"))
            .endpoints(EndpointSet::new([Endpoint::new(address.into())]))
            .start();
        let request = Request::builder()
            .method(&method)
            .uri("/")
            .header("host", "orders")
            .body(Body::empty())
            .expect("a request");
        let answered = balance.send(request, None).await;
        let answered = answered
            .map(|(response, _)| response.status().as_u16())
            .map_err(|error| error.kind());
        assert_eq!(answered, expected, "{method}");
        assert_eq!(
            heads.load(Ordering::Relaxed),
            if expected.is_ok() { 2 } else { 1 },
            "{method}"
        );
    }
}
