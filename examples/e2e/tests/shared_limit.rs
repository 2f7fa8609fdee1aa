//! One limit of two proxies, counted in one Redis, which dies and comes back. Needs `redis-server`, and fails without.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use e2e::{Connection, Proxy, serve, until};
use http::Request;
use http::header::HOST;
use http_body_util::BodyExt;
use tokio::task::JoinSet;
use tokio::time::Instant;

#[path = "shared/redis.rs"]
mod redis;

use redis::Redis;

/// Requests a second.
const RATE: f64 = 200.0;
const BURST: f64 = 20.0;

impl Redis {
    async fn kill(&mut self) {
        self.process.kill().await.expect("it runs");
    }

    async fn again(&mut self) {
        self.process = Self::run(self.address, &self.folder);
        self.answers().await;
    }
}

fn services(app: SocketAddr, redis: SocketAddr) -> String {
    // The machine of a test may be slow; how long a request waits by default is not what is tried here.
    format!(
        "[ {{ name: app, port: 1, hosts: [\"*\"], endpoints: [\"{app}\"], rateLimiting: {{ requestsPerSecond: {RATE}, \
         burstSize: {BURST}, keyExtractor: none, shared: true, replicas: 2 }} }} ]\n  \
         trafficManagement: {{ limitStore: {{ redis: \"redis://{redis}\", timeout: 250ms }} }}\n"
    )
}

/// How many requests pass in so long a time, and how many should: with so many clients at each of the proxies.
async fn ask(clients: [(&Proxy, usize); 2], time: Duration) -> (f64, f64) {
    let start = Instant::now();
    let mut asking = JoinSet::new();
    for (proxy, count) in clients {
        for _ in 0..count {
            let mut connection = Connection::http1(proxy.address).await.expect("listening");
            asking.spawn(async move {
                let mut passed = 0;
                while start.elapsed() < time {
                    let request = Request::get("/").header(HOST, "app");
                    let request = request.body(Body::empty()).expect("a request");
                    let answer = connection.send(request).await.expect("an answer");
                    match answer.status().as_u16() {
                        200 => passed += 1,
                        429 => {}
                        other => panic!("{other}"),
                    }
                    answer.into_body().collect().await.expect("a whole body");
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                passed
            });
        }
    }
    let passed: u32 = asking.join_all().await.into_iter().sum();
    (f64::from(passed), RATE * start.elapsed().as_secs_f64())
}

async fn alone(proxy: &Proxy) -> f64 {
    proxy.sum("service_mesh_rate_limits_alone_total", &[]).await
}

fn is_about(found: f64, expected: f64) {
    let off = (found / expected - 1.0).abs();
    assert!(
        off <= 0.02,
        "{found} passed, expected {expected:.0}: {:.1} % off",
        off * 100.0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_proxies_share_a_limit_in_redis_and_divide_it_while_that_is_away() {
    let mut redis = Redis::start().await;
    let app = serve(Router::new().route("/", get(|| async { "hello" }))).await;
    let services = services(app, redis.address);
    let (one, other) = (Proxy::start(&services).await, Proxy::start(&services).await);

    // However unevenly they are asked.
    let (passed, of_the_rate) = ask([(&one, 1), (&other, 6)], Duration::from_secs(5)).await;
    is_about(passed, of_the_rate + BURST);
    assert_eq!((alone(&one).await, alone(&other).await), (0.0, 0.0));

    redis.kill().await;
    let (passed, of_the_rate) = ask([(&one, 4), (&other, 4)], Duration::from_secs(3)).await;
    // Each gives a half, and first its half of the burst.
    is_about(passed, of_the_rate + BURST);
    for proxy in [&one, &other] {
        let limit = async || (alone(proxy).await > 0.0).then_some(());
        until("it says that it counts alone", limit).await;
    }

    redis.again().await;
    until("both count together again", async || {
        let before = (alone(&one).await, alone(&other).await);
        ask([(&one, 1), (&other, 1)], Duration::from_millis(50)).await;
        (before == (alone(&one).await, alone(&other).await)).then_some(())
    })
    .await;
    // Longer than until the burst is whole again, so that it is known how much there is of it.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let (passed, of_the_rate) = ask([(&one, 6), (&other, 1)], Duration::from_secs(5)).await;
    is_about(passed, of_the_rate + BURST);
}
