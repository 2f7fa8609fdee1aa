//! A collector that proves who it is by a CA of its own, and asks for a key.

use std::net::SocketAddr;
use std::path::Path;

use axum::Router;
use axum::body::Body;
use e2e::{Connection, Proxy, binary, serve, until};
use http::header::HOST;
use http::{Request, StatusCode};
use tokio::process::Command;

#[path = "shared/collector.rs"]
#[expect(dead_code, reason = "that spans come is what counts here")]
mod collector;

use collector::Collector;

async fn cert(folder: &Path, arguments: &[&str]) {
    let mut command = Command::new(binary("mesh-proxy"));
    let made = command
        .arg("cert")
        .args(arguments)
        .current_dir(folder)
        .output()
        .await;
    let made = made.expect("it starts");
    assert!(made.status.success(), "{arguments:?}: {made:?}");
}

/// What speaks TLS for a collector: another proxy, whose certificate is for `localhost`.
async fn in_front_of(collector: SocketAddr, certs: &Path) -> Proxy {
    let file = |name: &str| certs.join(name).display().to_string();
    let (cert, key, ca) = (file("cert.pem"), file("key.pem"), file("ca.pem"));
    Proxy::start_file(&[], |address, metrics| {
        format!(
            "serviceMesh:\n  namespace: shop\n  identity: {{ service: collector }}\n  \
             listeners: [ {{ name: in, bind: \"{address}\", tls: strict }} ]\n  \
             metrics: {{ bind: \"{metrics}\" }}\n  \
             mutualTLS: {{ enabled: true, enforceClientCerts: false, \
             authority: {{ files: {{ cert: '{cert}', key: '{key}', ca: '{ca}' }} }} }}\n  \
             services: [ {{ name: real, port: 1, hosts: [\"*\"], endpoints: [\"{collector}\"] }} ]\n"
        )
    })
    .await
}

async fn ask(proxy: SocketAddr) {
    let mut connection = Connection::http1(proxy).await.expect("listening");
    let request = Request::get("/").header(HOST, "app").body(Body::empty());
    let answer = connection
        .send(request.expect("a request"))
        .await
        .expect("served");
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_collector_is_believed_by_a_ca_of_ones_own_only_and_gets_its_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    cert(
        folder,
        &["init", "--trust-domain", "cluster.local", "--state-dir", "ca"],
    )
    .await;
    let issue = [
        "issue",
        "--service",
        "collector",
        "--namespace",
        "shop",
        "--dns",
        "localhost",
        "--state-dir",
        "ca",
        "--out",
        "certs",
    ];
    cert(folder, &issue).await;
    std::fs::write(folder.join("key"), "s3cret-key\n").expect("written");
    let app = serve(Router::new().fallback(|| std::future::ready("hello"))).await;
    let collector = Collector::start().await;
    let secure = in_front_of(collector.address, &folder.join("certs")).await;
    let port = secure.address.port();
    let configured = |ca: &str| {
        format!(
            "[ {{ name: app, port: 1, hosts: [app], endpoints: [\"{app}\"] }} ]\n  \
             telemetry: {{ otlp: {{ endpoint: \"https://localhost:{port}\", {ca} \
             headers: {{ x-api-key: {{ file: '{}' }}, tenant: {{ value: shop }} }} }} }}",
            folder.join("key").display()
        )
    };

    let mut proxy = Proxy::start(&configured("")).await;
    ask(proxy.address).await;
    // At its end it sends what there is, for some seconds.
    proxy.signal("TERM").await;
    assert!(proxy.ended().await.success());
    let asked = secure.sum("service_mesh_requests_total", &[]).await;
    assert_eq!(asked, 0.0, "who is not believed is told nothing");

    let ca = format!("ca: '{}',", folder.join("certs/ca.pem").display());
    let proxy = Proxy::start(&configured(&ca)).await;
    ask(proxy.address).await;
    collector.has(2).await;
    until("they are counted", async || {
        let exported = proxy
            .sum("service_mesh_spans_total", &[("outcome", "exported")])
            .await;
        (exported >= 2.0).then_some(())
    })
    .await;
    assert!(!collector.heads().is_empty());
    for head in collector.heads() {
        assert_eq!(head["x-api-key"], "s3cret-key");
        assert_eq!(head["tenant"], "shop");
    }
}
