//! A collector that takes spans, is killed while there is load, and comes back.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use e2e::{Proxy, serve, until};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

#[path = "shared/collector.rs"]
#[expect(dead_code, reason = "that spans come is what counts here")]
mod collector;
#[path = "shared/load.rs"]
mod load;

use collector::Collector;
use load::{load, percentile};

/// The way to a collector: cut, all that is under way there is cut, and nobody listens.
struct Way {
    address: SocketAddr,
    to: SocketAddr,
    open: JoinSet<()>,
}

impl Way {
    async fn to(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let mut way = Self {
            address: listener.local_addr().expect("it is bound"),
            to,
            open: JoinSet::new(),
        };
        way.open.spawn(pass(listener, to));
        way
    }

    async fn cut(&mut self) {
        self.open.shutdown().await;
    }

    async fn mend(&mut self) {
        let listener = TcpListener::bind(self.address)
            .await
            .expect("its port is free again");
        self.open.spawn(pass(listener, self.to));
    }
}

async fn pass(listener: TcpListener, to: SocketAddr) {
    // Dropped with this.
    let mut connections = JoinSet::new();
    loop {
        let (mut here, _) = listener.accept().await.expect("listening");
        connections.spawn(async move {
            let mut there = TcpStream::connect(to).await.expect("the collector listens");
            // Either side may go.
            let _ended = tokio::io::copy_bidirectional(&mut here, &mut there).await;
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_killed_under_load_slows_no_request_and_gets_spans_again_when_it_is_back() {
    /// What waits for a collector: a queue, and a batch that is tried and one that is gathered; in spans, two a request.
    const WAITING: usize = 4096 + 2 * 512;
    const REQUESTS: usize = 8000;
    let app = serve(Router::new().fallback(|| std::future::ready("hello"))).await;
    let collector = Collector::start().await;
    let mut way = Way::to(collector.address).await;
    let proxy = Proxy::start(&format!(
        "[ {{ name: app, port: 1, hosts: [app], endpoints: [\"{app}\"] }} ]\n  \
         telemetry: {{ otlp: {{ endpoint: \"http://{}\" }} }}",
        way.address
    ))
    .await;
    let spans = async |outcome| {
        let count = proxy
            .sum("service_mesh_spans_total", &[("outcome", outcome)])
            .await;
        count as usize
    };

    let calm = load(proxy.address, 2000).await;
    until("all spans are there", async || {
        (collector.spans().len() == 2 * calm.len()).then_some(())
    })
    .await;
    let address = proxy.address;
    let under_way = tokio::spawn(async move { load(address, REQUESTS).await });
    collector.has(2 * calm.len() + 1).await;
    way.cut().await;
    let troubled = under_way.await.expect("all were answered");
    let limit = 10 * percentile(&calm, 99) + Duration::from_millis(250);
    let slowest = percentile(&troubled, 99);
    assert!(
        slowest < limit,
        "99 of 100 took {slowest:?} at most, of {limit:?}"
    );

    let filled = load(proxy.address, REQUESTS).await;
    let (dropped, exported) = (spans("dropped").await, spans("exported").await);
    assert!(
        dropped >= 2 * filled.len() - WAITING,
        "{dropped} of {}",
        2 * filled.len()
    );
    assert_eq!(spans("failed").await, 0, "nothing is given up within a minute");
    let all = 2 * (calm.len() + troubled.len() + filled.len());
    let waiting = all - dropped - exported;
    assert!(waiting <= WAITING, "{waiting} wait, more than there is room for");
    let before = proxy.peak_memory();
    load(proxy.address, 1000).await;
    let more = proxy.peak_memory().saturating_sub(before);
    assert!(more < 16 << 20, "{more} bytes more");

    way.mend().await;
    until("what waited is taken", async || {
        (spans("exported").await >= exported + waiting).then_some(())
    })
    .await;
    let (taken, lost) = (collector.spans().len(), spans("dropped").await);
    load(proxy.address, 80).await;
    collector.has(taken + 2 * 80).await;
    assert_eq!(spans("dropped").await, lost, "there is room again");
}
