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
use mesh_core::{Endpoint, EndpointSet};
use mesh_lb::balance::SharedLoad;
use mesh_lb::endpoint::Limits;
use mesh_lb::{Balance, PoolSettings, Protocol};
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

fn balance(addresses: &[SocketAddr], protocol: Protocol, load: &SharedLoad) -> Balance {
    let mut settings = PoolSettings::default();
    settings.protocol = protocol;
    Balance::builder("orders".parse().expect("a name"))
        .endpoints(EndpointSet::new(
            addresses.iter().map(|address| Endpoint::new((*address).into())),
        ))
        .settings(settings)
        .shared(load.clone())
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
        let load = SharedLoad::new(limits);
        let balance = balance(&[address], protocol, &load);
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
        assert_eq!(load.of(endpoint.id()).in_flight(), 0);
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
        let load = SharedLoad::new(Limits::default());
        let balance = balance(&[stays, leaves], protocol, &load);
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
    let load = SharedLoad::new(limits);
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let load = load.clone();
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .expect("a runtime");
                runtime.block_on(async {
                    let balance = Arc::new(balance(&[address], Protocol::Http1, &load));
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
    assert_eq!(load.of(Endpoint::new(address.into()).id()).in_flight(), 0);
}
