//! Copies of requests go to another service, and the client notices nothing of it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use axum::routing::{get, post};
use e2e::{Connection, Proxy, listen, serve, until};
use http::header::HOST;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use tokio::time::Instant;

/// What a service was sent.
type Seen = Arc<Mutex<Vec<(HeaderMap, Bytes)>>>;

/// A service that remembers what it was sent, and answers with its name.
async fn remembering(name: &'static str, seen: &Seen) -> String {
    let seen = Arc::clone(seen);
    let answer = move |fields: HeaderMap, body: Bytes| async move {
        seen.lock().expect("no panic").push((fields, body));
        name
    };
    let app = Router::new().route("/", get(answer.clone()).post(answer));
    serve(app.layer(axum::extract::DefaultBodyLimit::disable()))
        .await
        .to_string()
}

fn services(app: &str, next: &str, mirror: &str) -> String {
    format!(
        "[ {{ name: app, port: 1, hosts: [app], endpoints: [\"{app}\"] }}, \
         {{ name: next, port: 1, hosts: [next], stableVersion: v1, endpoints: [\"127.0.0.1:1\", \
         {{ address: \"{next}\", version: v2 }}], loadBalancing: {{ healthCheck: {{ enabled: false }} }} }} ]\n  \
         trafficManagement: {{ rules: [ {{ id: copied, conditions: [ {{ type: host, operator: equals, value: app }} ], \
         destinations: [ {{ service: app }} ], mirror: {{ service: next, {mirror} }} }} ] }}"
    )
}

async fn ask(
    connection: &mut Connection,
    request: http::request::Builder,
    body: Bytes,
) -> (StatusCode, Bytes) {
    let request = request.header(HOST, "app").body(Body::from(body));
    let answer = connection
        .send(request.expect("a request"))
        .await
        .expect("an answer");
    let status = answer.status();
    (
        status,
        answer.into_body().collect().await.expect("whole").to_bytes(),
    )
}

async fn ended(proxy: &Proxy, outcome: &str, count: f64) {
    until("the copies are over", async || {
        let labels = [("outcome", outcome)];
        (proxy.sum("service_mesh_mirrored_total", &labels).await == count).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_version_sees_each_request_once_more_and_nobody_gets_its_answers() {
    let (seen, copies) = (Seen::default(), Seen::default());
    let (app, next) = (
        remembering("app", &seen).await,
        remembering("next", &copies).await,
    );
    let proxy = Proxy::start(&services(&app, &next, "version: v2")).await;
    let large = Bytes::from((0..3_000_000_u32).map(|n| (n % 251) as u8).collect::<Vec<_>>());
    for http2 in [false, true] {
        let mut connection = match http2 {
            false => Connection::http1(proxy.address).await.expect("listening"),
            true => Connection::http2(proxy.address).await.expect("listening"),
        };
        let (status, body) = ask(&mut connection, Request::get("/"), Bytes::new()).await;
        assert_eq!((status, &body[..]), (StatusCode::OK, &b"app"[..]));
        let small = ask(
            &mut connection,
            Request::post("/").header("x-tag", "a"),
            "an order".into(),
        );
        assert_eq!(small.await.1, "app");
    }
    ended(&proxy, "answered", 4.0).await;
    {
        let (seen, copies) = (seen.lock().expect("no panic"), copies.lock().expect("no panic"));
        assert_eq!(copies.len(), 4);
        let bodies =
            |all: &[(HeaderMap, Bytes)]| all.iter().map(|(_, body)| body.clone()).collect::<Vec<_>>();
        let (mut sent, mut copied) = (bodies(&seen), bodies(&copies));
        sent.sort();
        copied.sort();
        assert_eq!(sent, copied);
        for (fields, _) in copies.iter() {
            assert_eq!(fields["host"], "app");
            assert_eq!(fields["x-mesh-mirror"], "true");
            assert_eq!(fields["x-target-service"], "next");
        }
        assert!(
            seen.iter()
                .all(|(fields, _)| !fields.contains_key("x-mesh-mirror"))
        );
        assert!(seen.iter().all(|(fields, _)| fields["x-target-service"] == "app"));
    }
    // A large one is copied whole, or not at all and counted.
    let mut connection = Connection::http1(proxy.address).await.expect("listening");
    assert_eq!(
        ask(&mut connection, Request::post("/"), large.clone()).await.1,
        "app"
    );
    until("the copy is over", async || {
        let over = proxy.sum("service_mesh_mirrored_total", &[]).await;
        (over == 5.0).then_some(())
    })
    .await;
    assert!(
        seen.lock()
            .expect("no panic")
            .iter()
            .any(|(_, body)| *body == large)
    );
    let copies = copies.lock().expect("no panic");
    assert!(copies.iter().all(|(_, body)| body.len() < 100 || *body == large));
}

#[tokio::test]
async fn a_service_that_hangs_fails_or_is_gone_costs_no_client_anything() {
    let seen = Seen::default();
    let app = remembering("app", &seen).await;
    let hangs = serve(Router::new().route("/", post(std::future::pending::<()>))).await;
    let (listener, nobody) = listen().await;
    drop(listener);
    for (next, outcome) in [(hangs, "lagging"), (nobody, "failed")] {
        let proxy = Proxy::start(&services(&app, &next.to_string(), "version: v2")).await;
        let mut connection = Connection::http1(proxy.address).await.expect("listening");
        let body = Bytes::from(vec![7; 16 << 20]);
        let start = Instant::now();
        let (status, answer) = ask(&mut connection, Request::post("/"), body).await;
        assert_eq!((status, &answer[..]), (StatusCode::OK, &b"app"[..]), "{outcome}");
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "{outcome}: {:?}",
            start.elapsed()
        );
        until("the copy was given up", async || {
            let over = proxy.sum("service_mesh_mirrored_total", &[]).await;
            (over == 1.0).then_some(())
        })
        .await;
        let answered = proxy
            .sum("service_mesh_mirrored_total", &[("outcome", "answered")])
            .await;
        assert_eq!(answered, 0.0, "{outcome}");
    }
}

#[tokio::test]
async fn a_share_is_copied() {
    const ASKED: usize = 1000;
    let (seen, copies) = (Seen::default(), Seen::default());
    let (app, next) = (
        remembering("app", &seen).await,
        remembering("next", &copies).await,
    );
    let proxy = Proxy::start(&services(&app, &next, "version: v2, percentage: 20")).await;
    let mut connection = Connection::http1(proxy.address).await.expect("listening");
    for _ in 0..ASKED {
        assert_eq!(
            ask(&mut connection, Request::get("/"), Bytes::new()).await.1,
            "app"
        );
    }
    assert_eq!(seen.lock().expect("no panic").len(), ASKED);
    let copied = proxy.sum("service_mesh_mirrored_total", &[]).await;
    // Five standard deviations.
    assert!((136.0..=264.0).contains(&copied), "{copied}");
}
