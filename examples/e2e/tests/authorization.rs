//! Who may do what, by the certificate a client shows: curl by mutual TLS and in plaintext, tonic, and a changed file.
//!
//! Numbers are those of the list of attacks the project keeps.

#[path = "shared/raw.rs"]
mod raw;

use std::convert::Infallible;
use std::path::Path;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ws::WebSocketUpgrade;
use axum::http::Uri;
use axum::routing::get;
use bytes::Bytes;
use e2e::{Connection, Proxy, binary, serve, until};
use futures_util::{SinkExt, StreamExt, stream};
use http_body_util::BodyExt;
use raw::Raw;
use tokio::process::Command;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use tonic::transport::Endpoint;
use tonic::{Code, Request};

/// Frontend may read the API, but not what is internal there.
const RULES: &str = r#"
          - { action: allow, from: ["spiffe://cluster.local/ns/shop/sa/frontend"], methods: [GET, POST], paths: ["/api/**"] }
          - { action: deny, paths: ["/api/internal/**"] }"#;

/// A proxy that takes TLS and plaintext, and certificates of its mesh.
struct Mesh {
    proxy: Proxy,
    state: tempfile::TempDir,
    app: String,
}

impl Mesh {
    async fn start(mode: &str, rules: &str) -> Self {
        let state = tempfile::tempdir().expect("a folder");
        let app = Router::new()
            .route("/stream", get(numbers))
            .route("/ws", get(echo))
            .fallback(async |uri: Uri| format!("app: {}", uri.path()));
        let app = serve(app).await.to_string();
        let folder = state.path().join("ca");
        let cert = ["cert", "init", "--trust-domain", "cluster.local"];
        run(&cert, "--state-dir", &folder).await;
        let file = |address, metrics| file(&folder, &app, (address, metrics), mode, rules);
        let proxy = Proxy::start_file(&[], file).await;
        Self { proxy, state, app }
    }

    /// The file, with other rules.
    fn file(&self, mode: &str, rules: &str) -> String {
        let addresses = (self.proxy.address, self.proxy.metrics);
        file(&self.state.path().join("ca"), &self.app, addresses, mode, rules)
    }

    /// Makes a certificate of a service.
    async fn issue(&self, service: &str) {
        let (folder, out) = (self.state.path().join("ca"), self.state.path().join(service));
        let folder = folder.to_str().expect("text");
        let arguments = [
            "cert",
            "issue",
            "--namespace",
            "shop",
            "--service",
            service,
            "--state-dir",
            folder,
        ];
        run(&arguments, "--out", &out).await;
    }

    /// What curl prints of an answer to a service, or to nobody in plaintext.
    async fn curl(&self, service: Option<&str>, path: &str, arguments: &[&str]) -> String {
        let mut curl = Command::new("curl");
        curl.args(["-sik", "--path-as-is", "--max-time", "20"])
            .args(arguments);
        let scheme = match service {
            Some(service) => {
                let pair = self.state.path().join(service);
                curl.arg("--cert").arg(pair.join("cert.pem"));
                curl.arg("--key").arg(pair.join("key.pem"));
                "https"
            }
            None => "http",
        };
        curl.arg(format!("{scheme}://{}{path}", self.proxy.address));
        let output = curl.output().await.expect("curl is installed");
        assert!(output.status.success(), "{path}: {output:?}");
        String::from_utf8(output.stdout).expect("text")
    }

    async fn status(&self, service: Option<&str>, path: &str) -> u16 {
        let answer = self.curl(service, path, &[]).await;
        let status = answer.split(' ').nth(1).expect("a status");
        status.parse().expect("a number")
    }

    /// Waits until so many requests were refused for this reason.
    async fn refused(&self, source: &str, count: f64) {
        let labels = [
            ("reason", "unauthorized"),
            ("status", "403"),
            ("source_service", source),
        ];
        until("the refusals are counted", async || {
            let sum = self.proxy.sum("service_mesh_requests_total", &labels).await;
            (sum == count).then_some(())
        })
        .await;
    }
}

fn file(
    state: &Path,
    app: &str,
    (address, metrics): (std::net::SocketAddr, std::net::SocketAddr),
    mode: &str,
    rules: &str,
) -> String {
    format!(
        r#"
serviceMesh:
  namespace: shop
  trustDomain: cluster.local
  identity: {{ service: gate }}
  listeners: [ {{ name: inbound, bind: "{address}", tls: permissive }} ]
  metrics: {{ bind: "{metrics}" }}
  mutualTLS: {{ enabled: true, stateDir: "{}" }}
  services:
    - name: app
      port: 1
      hosts: ["*"]
      endpoints: ["{app}"]
      authorization:
        mode: {mode}
        rules: {rules}
"#,
        state.display()
    )
}

/// A response that never ends.
async fn numbers() -> Body {
    let ticks = tokio::time::interval(Duration::from_millis(20));
    let numbers = stream::unfold((ticks, 0_u64), async |(mut ticks, number)| {
        ticks.tick().await;
        Some((Ok::<_, Infallible>(format!("{number} ")), (ticks, number + 1)))
    });
    Body::from_stream(numbers)
}

async fn echo(upgrade: WebSocketUpgrade) -> axum::response::Response {
    upgrade.on_upgrade(async |mut socket| {
        while let Some(Ok(message)) = socket.recv().await {
            if socket.send(message).await.is_err() {
                return;
            }
        }
    })
}

async fn run(arguments: &[&str], option: &str, path: &Path) {
    let output = Command::new(binary("mesh-proxy"))
        .args(arguments)
        .arg(option)
        .arg(path)
        .output()
        .await
        .expect("it starts");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

#[tokio::test]
async fn one_identity_may_and_another_may_not() {
    let mesh = Mesh::start("enforce", RULES).await;
    mesh.issue("frontend").await;
    mesh.issue("printer").await;

    for version in ["--http1.1", "--http2"] {
        let answer = mesh.curl(Some("frontend"), "/api/x", &[version]).await;
        assert!(answer.ends_with("app: /api/x"), "{answer}");
    }
    let refused = mesh.curl(Some("printer"), "/api/x", &[]).await;
    assert!(refused.contains(" 403"), "{refused}");
    assert!(refused.contains("x-mesh-error: unauthorized"), "{refused}");
    assert!(
        refused.contains("spiffe://cluster.local/ns/shop/sa/printer may not do this"),
        "{refused}"
    );
    assert!(
        !refused.contains("internal") && !refused.contains("frontend"),
        "{refused}"
    );

    assert_eq!(mesh.status(Some("frontend"), "/other").await, 403);
    let deleted = mesh.curl(Some("frontend"), "/api/x", &["-X", "DELETE"]).await;
    assert!(deleted.contains(" 403"), "{deleted}");
    mesh.refused("printer", 1.0).await;
    mesh.refused("frontend", 2.0).await;
}

/// Cases 83 and 86.
#[tokio::test]
async fn no_header_and_no_spelling_of_a_path_walks_around_a_rule() {
    let mesh = Mesh::start("enforce", RULES).await;
    mesh.issue("frontend").await;
    for path in [
        "/api/internal",
        "/api/internal/",
        "/api/internal/users",
        "//api/internal/users",
        "/api//internal/users",
        "/api/x/../internal/users",
        "/api/x/%2e%2e/internal/users",
        "/api/%69nternal/users",
        "/api/./internal",
        "/api/Internal/users",
        "/API/../api/INTERNAL",
        "/api/internal;x=1/users",
        "/api/x/..;/internal",
        "/api%2finternal",
        "/api/x/..%2finternal",
        "/api/internal%5cusers",
        "/api/internal%00",
        "/api/internal?x=/api/x",
    ] {
        let status = mesh.status(Some("frontend"), path).await;
        assert!([400, 403].contains(&status), "{path}: {status}");
    }
    // As do all that are let in, this one arrives as the rules saw it.
    let answer = mesh.curl(Some("frontend"), "/x/..//api/%69nternals", &[]).await;
    assert!(answer.ends_with("app: /api/internals"), "{answer}");

    let spoofed = [
        "-H",
        "x-source-service: frontend",
        "-H",
        "x-mesh-mtls: true",
        "-H",
        "x-forwarded-client-cert: URI=spiffe://cluster.local/ns/shop/sa/frontend",
    ];
    let answer = mesh.curl(None, "/api/x", &spoofed).await;
    assert!(answer.contains(" 403"), "{answer}");
}

#[tokio::test]
async fn who_shows_no_certificate_is_denied_and_told_what_to_do() {
    let mesh = Mesh::start("enforce", RULES).await;
    let refused = mesh.curl(None, "/api/x", &[]).await;
    assert!(refused.starts_with("HTTP/1.1 403"), "{refused}");
    assert!(refused.contains("mutual TLS"), "{refused}");
    mesh.refused("unknown", 1.0).await;

    let endpoint = Endpoint::from_shared(format!("http://{}", mesh.proxy.address)).expect("a URI");
    let mut client = tonic::client::Grpc::new(endpoint.connect().await.expect("the proxy listens"));
    client.ready().await.expect("connected");
    let path = http::uri::PathAndQuery::from_static("/api/Call");
    let call = client.unary(Request::new(Bytes::new()), path, Raw).await;
    let status = call.expect_err("it is denied");
    assert_eq!(status.code(), Code::PermissionDenied, "{status}");
    assert!(status.message().contains("mutual TLS"), "{status}");
}

#[tokio::test]
async fn an_audit_counts_what_it_would_refuse() {
    let mesh = Mesh::start("audit", RULES).await;
    mesh.issue("frontend").await;
    assert_eq!(mesh.status(None, "/api/internal").await, 200);
    assert_eq!(mesh.status(Some("frontend"), "/api/x").await, 200);
    until("it is counted", async || {
        let sum = mesh
            .proxy
            .sum("service_mesh_authorization_audited_total", &[])
            .await;
        (sum == 1.0).then_some(())
    })
    .await;
}

/// Case 87.
#[tokio::test]
async fn a_changed_policy_is_in_force_after_a_reload_and_a_broken_one_never() {
    let mesh = Mesh::start("enforce", RULES).await;
    mesh.issue("frontend").await;
    assert_eq!(mesh.status(Some("frontend"), "/api/x").await, 200);

    mesh.proxy
        .replace(&mesh.file("enforce", "[ { action: allow, form: [\"*\"] } ]"))
        .await;
    until("it is refused", async || {
        let labels = [("result", "failure")];
        let sum = mesh.proxy.sum("service_mesh_config_reloads_total", &labels).await;
        (sum == 1.0).then_some(())
    })
    .await;
    assert_eq!(
        mesh.status(None, "/api/x").await,
        403,
        "a misspelt key lets nobody in"
    );
    assert_eq!(mesh.status(Some("frontend"), "/api/x").await, 200);

    mesh.proxy
        .replace(&mesh.file("enforce", "[ { action: allow, from: [unauthenticated] } ]"))
        .await;
    until("the new rules are in force", async || {
        (mesh.status(None, "/api/x").await == 200).then_some(())
    })
    .await;
    assert_eq!(mesh.status(Some("frontend"), "/api/x").await, 403);
}

/// Case 88.
#[tokio::test]
async fn what_goes_on_is_broken_off_when_it_is_not_allowed_any_more() {
    let all = "[ { action: allow } ]";
    let mesh = Mesh::start("enforce", all).await;
    let mut connection = Connection::http1(mesh.proxy.address).await.expect("listening");
    let request = http::Request::get("/stream").header("host", "app");
    let answer = connection
        .send(request.body(Body::empty()).expect("a request"))
        .await;
    let mut numbers = answer.expect("allowed").into_body();
    numbers.frame().await.expect("more").expect("allowed");
    let (mut socket, _) = connect_async(format!("ws://{}/ws", mesh.proxy.address))
        .await
        .expect("upgraded");
    socket.send(Message::text("hello")).await.expect("open");
    assert_eq!(
        socket.next().await.expect("an echo").expect("open"),
        Message::text("hello")
    );

    // Another policy by which they are allowed leaves them alone.
    let reloaded = async |count: f64| {
        until("it is in force", async || {
            let labels = [("result", "success")];
            let sum = mesh.proxy.sum("service_mesh_config_reloads_total", &labels).await;
            (sum == count).then_some(())
        })
        .await;
    };
    let others = "[ { action: allow }, { action: deny, paths: [/other] } ]";
    mesh.proxy.replace(&mesh.file("enforce", others)).await;
    reloaded(1.0).await;
    for _ in 0..10 {
        numbers.frame().await.expect("more").expect("allowed");
    }
    socket.send(Message::text("again")).await.expect("open");
    assert_eq!(
        socket.next().await.expect("an echo").expect("open"),
        Message::text("again")
    );

    mesh.proxy
        .replace(&mesh.file("enforce", "[ { action: allow, from: [\"*\"] } ]"))
        .await;
    reloaded(2.0).await;
    let broken = async {
        while let Some(frame) = numbers.frame().await {
            if frame.is_err() {
                return true;
            }
        }
        false
    };
    let limit = Duration::from_secs(10);
    assert!(
        tokio::time::timeout(limit, broken).await.expect("it ends"),
        "an end that looks whole"
    );
    let closed = async { while let Some(Ok(_)) = socket.next().await {} };
    tokio::time::timeout(limit, closed)
        .await
        .expect("the tunnel is closed");
}

#[tokio::test]
async fn no_copy_goes_to_a_service_whose_authorization_refuses_it() {
    let (send, mut copies) = tokio::sync::mpsc::unbounded_channel();
    let shadow = Router::new().fallback(async move |uri: Uri| {
        send.send(uri.path().to_owned()).expect("read");
    });
    let shadow = serve(shadow).await;
    let app = serve(Router::new().fallback(async || "app")).await;
    let services = format!(
        r#"
    - {{ name: app, port: 1, hosts: ["*"], endpoints: ["{app}"] }}
    - name: shadow
      port: 1
      endpoints: ["{shadow}"]
      authorization: {{ rules: [ {{ action: allow }}, {{ action: deny, paths: [/secret] }} ] }}
  trafficManagement:
    rules:
      - id: all
        destinations: [ {{ service: app }} ]
        mirror: {{ service: shadow, percentage: 100 }}
"#
    );
    let proxy = Proxy::start(&services).await;
    let mut connection = Connection::http1(proxy.address).await.expect("listening");
    for path in ["/secret", "/Secret/", "/open"] {
        let request = http::Request::get(path).header("host", "app");
        let answer = connection
            .send(request.body(Body::empty()).expect("a request"))
            .await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.status(), 200, "{path}: only its copy is refused");
        answer.into_body().collect().await.expect("a whole body");
    }
    assert_eq!(copies.recv().await.as_deref(), Some("/open"));
}
