//! Endpoints that the configuration does not list.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use e2e::{Connection, Proxy, serve, until};
use http::header::HOST;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use tokio::time::Instant;

async fn instance(name: &'static str) -> SocketAddr {
    serve(Router::new().route("/", get(move || async move { name }))).await
}

/// Who answers, or with which status nobody does.
async fn ask(connection: &mut Connection) -> String {
    let request = Request::get("/").header(HOST, "app").body(Body::empty());
    let answer = connection
        .send(request.expect("a request"))
        .await
        .expect("an answer");
    if answer.status() != StatusCode::OK {
        return answer.status().as_u16().to_string();
    }
    let body = answer.into_body().collect().await.expect("a whole body");
    String::from_utf8(body.to_bytes().into()).expect("text")
}

/// Replaces the file whole, as a deployment does.
fn write(path: &Path, content: &str) {
    let new = path.with_extension("new");
    fs::write(&new, content).expect("writable");
    fs::rename(&new, path).expect("renamed");
}

fn content(address: SocketAddr) -> String {
    format!(r#"{{ "services": {{ "app": ["{address}"] }} }}"#)
}

#[tokio::test]
async fn endpoints_in_a_file_are_followed_and_a_broken_file_changes_nothing() {
    let (a, b) = (instance("a").await, instance("b").await);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("endpoints.json");
    write(&path, &content(a));
    let discovery = format!(
        "[ {{ name: app, port: 1, replicas: 2, discovery: {{ file: {{ path: {} }} }} }} ]",
        path.display()
    );
    let proxy = Proxy::start(&discovery).await;
    let mut connection = Connection::http1(proxy.address).await.expect("a connection");
    assert_eq!(
        ask(&mut connection).await,
        "a",
        "what is known at the start serves the first request"
    );
    let missing = [("target_service", "app"), ("state", "missing")];
    until("the missing endpoint is counted", async || {
        (proxy.sum("service_mesh_endpoints", &missing).await == 1.0).then_some(())
    })
    .await;

    write(&path, &content(b));
    until("the file is followed", async || {
        (ask(&mut connection).await == "b").then_some(())
    })
    .await;

    write(&path, "{ \"services\": ");
    let end = Instant::now() + Duration::from_secs(1);
    while Instant::now() < end {
        assert_eq!(ask(&mut connection).await, "b", "a broken file changes nothing");
    }
    write(&path, &content(a));
    until("it is good again", async || {
        (ask(&mut connection).await == "a").then_some(())
    })
    .await;

    write(&path, r#"{ "services": { "app": [] } }"#);
    until("an empty list is taken", async || {
        (ask(&mut connection).await == "503").then_some(())
    })
    .await;
}

#[tokio::test]
async fn endpoints_in_dns_are_found_and_listed_ones_count_as_well() {
    let address = instance("a").await;
    // A name that every resolver knows by itself. It has two addresses, and only one of them listens.
    let discovery = |endpoints: &str| {
        format!(
            "[ {{ name: app, port: {}, discovery: {{ dns: {{ name: localhost. }} }}{endpoints} }} ]",
            address.port()
        )
    };
    let proxy = Proxy::start(&discovery("")).await;
    let mut connection = Connection::http1(proxy.address).await.expect("a connection");
    for _ in 0..10 {
        assert_eq!(ask(&mut connection).await, "a");
    }
    // In whichever state.
    let known = [("target_service", "app")];
    assert_eq!(proxy.sum("service_mesh_endpoints", &known).await, 2.0);

    let listed = instance("listed").await;
    proxy
        .configure(&discovery(&format!(", endpoints: [\"{listed}\"]")))
        .await;
    until("the listed one serves, too", async || {
        (ask(&mut connection).await == "listed").then_some(())
    })
    .await;
    assert_eq!(proxy.sum("service_mesh_endpoints", &known).await, 3.0);
}
