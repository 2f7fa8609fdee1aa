//! Which endpoint a request goes to, and which it no longer does.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use e2e::{Connection, Proxy, serve};
use http::header::HOST;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;

async fn three() -> [SocketAddr; 3] {
    let instance =
        async |name: &'static str| serve(Router::new().route("/", get(move || async move { name }))).await;
    [instance("a").await, instance("b").await, instance("c").await]
}

async fn ask(connection: &mut Connection, user: &str) -> (StatusCode, String) {
    let request = Request::get("/")
        .header(HOST, "app")
        .header("x-user", user)
        .body(Body::empty());
    let answer = connection
        .send(request.expect("a request"))
        .await
        .expect("an answer");
    let status = answer.status();
    let body = answer.into_body().collect().await.expect("a whole body");
    (status, String::from_utf8(body.to_bytes().into()).expect("text"))
}

fn services(addresses: &[SocketAddr], keys: &str) -> String {
    let addresses: Vec<String> = addresses.iter().map(|address| format!("\"{address}\"")).collect();
    format!(
        "[ {{ name: app, port: 1, hosts: [app], endpoints: [{}], {keys} }} ]",
        addresses.join(", ")
    )
}

#[tokio::test]
async fn requests_of_one_key_stay_at_one_endpoint_and_keys_are_spread() {
    let addresses = three().await;
    for algorithm in ["ring_hash", "maglev"] {
        let by_client = services(
            &addresses,
            &format!("loadBalancing: {{ algorithm: {algorithm} }}"),
        );
        let proxy = Proxy::start(&by_client).await;
        let mut connection = Connection::http1(proxy.address).await.expect("a connection");
        let mut met = BTreeSet::new();
        for user in 0..30 {
            met.insert(ask(&mut connection, &format!("user-{user}")).await.1);
        }
        assert_eq!(met.len(), 1, "{algorithm}: one client, {met:?}");

        let keys = format!("loadBalancing: {{ algorithm: {algorithm}, hashKey: 'header:x-user' }}");
        let proxy = Proxy::start(&services(&addresses, &keys)).await;
        let mut connection = Connection::http1(proxy.address).await.expect("a connection");
        let mut met = BTreeSet::new();
        for user in 0..30 {
            let user = format!("user-{user}");
            let (_, first) = ask(&mut connection, &user).await;
            let (_, again) = ask(&mut connection, &user).await;
            assert_eq!(first, again, "{algorithm}: {user}");
            met.insert(first);
        }
        assert_eq!(met.len(), 3, "{algorithm}: many keys");
    }
}

#[tokio::test]
async fn an_endpoint_that_never_answers_is_ejected_for_the_deadlines_it_misses() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&asked);
    let hangs = serve(Router::new().route(
        "/",
        get(move || {
            counting.fetch_add(1, Ordering::SeqCst);
            std::future::pending::<&'static str>()
        }),
    ))
    .await;
    let well = serve(Router::new().route("/", get(|| async { "well" }))).await;
    let keys = "timeout: 50ms, loadBalancing: { algorithm: round_robin }";
    let proxy = Proxy::start_with(&["--workers", "1"], &services(&[hangs, well], keys)).await;
    let mut connection = Connection::http1(proxy.address).await.expect("a connection");
    let mut late = 0;
    for _ in 0..40 {
        let (status, _) = ask(&mut connection, "anybody").await;
        late += usize::from(status == StatusCode::GATEWAY_TIMEOUT);
    }
    assert_eq!((late, asked.load(Ordering::SeqCst)), (5, 5));
    let ejected = [("target_service", "app"), ("state", "ejected")];
    e2e::until("the ejection is counted", async || {
        (proxy.sum("service_mesh_endpoints", &ejected).await == 1.0).then_some(())
    })
    .await;
}
