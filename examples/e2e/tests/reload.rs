//! A new configuration under load, and a broken one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Body;
use e2e::{Connection, Proxy, serve, until};
use http::header::HOST;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use sample_service::{Instance, router};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

const RELOADS: usize = 20;
const EVERY: Duration = Duration::from_millis(200);

async fn instance(name: &str) -> String {
    let address = serve(router(Instance {
        name: name.into(),
        version: "v1".into(),
    }))
    .await;
    format!("\"{address}\"")
}

/// The services, and a rule that tells which generation of the configuration is in use.
fn generation(number: usize, endpoints: &[&str]) -> String {
    format!(
        "[ {{ name: app, port: 1, hosts: [app], endpoints: [{}], timeout: {}s }} ]\n  \
         trafficManagement: {{ rules: [ {{ id: generation-{number}, name: g, priority: 1, enabled: true, \
         conditions: [ {{ type: path, operator: equals, value: /generation }} ], \
         respond: {{ status: 200, body: \"{number}\" }} }} ] }}",
        endpoints.join(", "),
        10 + number,
    )
}

fn request(method: &str, path: &str, body: impl Into<Body>) -> Request<Body> {
    let builder = Request::builder().method(method).uri(path).header(HOST, "app");
    builder.body(body.into()).expect("a request")
}

async fn text(connection: &mut Connection, request: Request<Body>) -> String {
    let answer = connection
        .send(request)
        .await
        .expect("a connection outlives a reload");
    assert_eq!(answer.status(), StatusCode::OK);
    let body = answer.into_body().collect().await.expect("a whole body");
    String::from_utf8(body.to_bytes().into()).expect("text")
}

struct Load {
    stop: AtomicBool,
    answered: AtomicU64,
}

impl Load {
    /// Asks on one connection, for things that may be sent twice and things that may not, until told to stop.
    async fn run(self: Arc<Self>, mut connection: Connection) {
        while !self.stop.load(Ordering::Relaxed) {
            let who = text(&mut connection, request("GET", "/", Body::empty())).await;
            assert!(["a v1\n", "b v1\n"].contains(&who.as_str()), "{who}");
            let number = self.answered.fetch_add(2, Ordering::Relaxed).to_string();
            let echo = text(&mut connection, request("POST", "/echo", number.clone())).await;
            assert_eq!(echo, number);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloads_under_load_lose_no_request_and_take_effect() {
    let (a, b) = (instance("a").await, instance("b").await);
    let sets: [&[&str]; 3] = [&[&a, &b], &[&a], &[&b]];
    let proxy = Proxy::start(&generation(0, sets[0])).await;

    let load = Arc::new(Load {
        stop: AtomicBool::new(false),
        answered: AtomicU64::new(0),
    });
    let mut clients = JoinSet::new();
    for _ in 0..16 {
        let connection = Connection::http1(proxy.address).await.expect("listening");
        clients.spawn(Arc::clone(&load).run(connection));
    }
    for _ in 0..2 {
        let connection = Connection::http2(proxy.address).await.expect("listening");
        for stream in connection.streams(8) {
            clients.spawn(Arc::clone(&load).run(stream));
        }
    }

    let mut asking = Connection::http1(proxy.address).await.expect("listening");
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 1..=RELOADS {
        ticks.tick().await;
        let before = load.answered.load(Ordering::Relaxed);
        proxy
            .configure(&generation(number, sets[number % sets.len()]))
            .await;
        until("the new rule answers", async || {
            let seen = text(&mut asking, request("GET", "/generation", Body::empty())).await;
            (seen == number.to_string()).then_some(())
        })
        .await;
        until("the load goes on", async || {
            (load.answered.load(Ordering::Relaxed) > before).then_some(())
        })
        .await;
    }

    // The last set names one instance; the other is asked no more.
    let only = ["a v1\n", "a v1\n", "b v1\n"][RELOADS % sets.len()];
    for _ in 0..20 {
        assert_eq!(text(&mut asking, request("GET", "/", Body::empty())).await, only);
    }
    load.stop.store(true, Ordering::Relaxed);
    while let Some(ended) = clients.join_next().await {
        ended.expect("no request is lost");
    }
    let successes = proxy
        .sum("service_mesh_config_reloads_total", &[("result", "success")])
        .await;
    assert!(successes >= RELOADS as f64, "{successes} reloads were counted");
    assert_eq!(
        proxy
            .sum("service_mesh_config_reloads_total", &[("result", "failure")])
            .await,
        0.0
    );
    let sum = proxy
        .sum(
            "service_mesh_requests_total",
            &[("target_service", "app"), ("status", "200")],
        )
        .await;
    assert!(
        sum >= load.answered.load(Ordering::Relaxed) as f64,
        "counters outlive a reload: {sum}"
    );
}

#[tokio::test]
async fn a_broken_file_is_counted_and_changes_nothing() {
    let proxy = Proxy::start(&generation(1, &[&instance("a").await])).await;
    let mut connection = Connection::http1(proxy.address).await.expect("listening");
    for broken in [
        "serviceMesh: [",
        "serviceMesh: { services: [ { name: app, prot: 1 } ] }\n",
        "",
    ] {
        let failure = [("result", "failure")];
        let before = proxy.sum("service_mesh_config_reloads_total", &failure).await;
        proxy.replace(broken).await;
        until("the failure is counted", async || {
            (proxy.sum("service_mesh_config_reloads_total", &failure).await > before).then_some(())
        })
        .await;
        assert_eq!(
            text(&mut connection, request("GET", "/generation", Body::empty())).await,
            "1"
        );
        assert_eq!(
            text(&mut connection, request("GET", "/", Body::empty())).await,
            "a v1\n"
        );
    }
    proxy.configure(&generation(2, &[&instance("b").await])).await;
    until("a good file is adopted after broken ones", async || {
        let seen = text(&mut connection, request("GET", "/generation", Body::empty())).await;
        (seen == "2").then_some(())
    })
    .await;
    assert_eq!(
        text(&mut connection, request("GET", "/", Body::empty())).await,
        "b v1\n"
    );
}
