//! A proxy that joins the mesh by way of another proxy's CA: both as processes, with curl and openssl beside them.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Output;

use axum::Router;
use e2e::{Proxy, binary, listen, serve, until};
use tokio::process::Command;

/// A proxy with a CA that others may ask.
struct Ca {
    proxy: Proxy,
    api: SocketAddr,
    folder: tempfile::TempDir,
}

impl Ca {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (app, api) = (
            serve(Router::new().fallback(async || "from the app")).await,
            listen().await.1,
        );
        let state = folder.path().join("ca");
        let proxy = Proxy::start_file(&[], |address, metrics| {
            format!(
                "serviceMesh:\n  namespace: shop\n  identity: {{ service: orders }}\n  listeners: [ {{ name: inbound, bind: \
                 \"{address}\", tls: strict }} ]\n  metrics: {{ bind: \"{metrics}\" }}\n  mutualTLS: {{ stateDir: {state:?}, \
                 certificateApi: {{ bind: \"{api}\" }} }}\n  services: [ {{ name: orders, port: 80, hosts: [\"*\"], endpoints: \
                 [\"{app}\"] }} ]\n"
            )
        })
        .await;
        Self { proxy, api, folder }
    }

    /// What `mesh-proxy cert token` prints.
    async fn token(&self, service: &str) -> String {
        let output = Command::new(binary("mesh-proxy"))
            .args([
                "cert",
                "token",
                "--namespace",
                "shop",
                "--service",
                service,
                "--state-dir",
            ])
            .arg(self.folder.path().join("ca"))
            .output()
            .await
            .expect("it runs");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// The file of a proxy that joins as this service, and sends what it gets to orders.
    fn joining(&self, service: &str, folder: &Path, (address, metrics): (SocketAddr, SocketAddr)) -> String {
        let (api, orders) = (self.api, self.proxy.address);
        let (state, token) = (folder.join("state"), folder.join("token"));
        format!(
            "serviceMesh:\n  namespace: shop\n  identity: {{ service: {service} }}\n  listeners: [ {{ name: outbound, bind: \
             \"{address}\", tls: \"off\", direction: outbound }} ]\n  metrics: {{ bind: \"{metrics}\" }}\n  mutualTLS: {{ stateDir: \
             {state:?}, authority: {{ remote: {{ url: \"https://{api}\", joinTokenFile: {token:?} }} }} }}\n  services: [ {{ name: \
             orders, port: 80, hosts: [\"*\"], enableMutualTLS: true, endpoints: [\"{orders}\"] }} ]\n"
        )
    }

    async fn join(&self, service: &str, folder: &Path) -> Proxy {
        Proxy::start_file(&[], |address, metrics| {
            self.joining(service, folder, (address, metrics))
        })
        .await
    }
}

async fn curl(arguments: &[&str]) -> String {
    let output = Command::new("curl")
        .args(["-s", "--max-time", "20", "-w", "\n%{http_code}"])
        .args(arguments)
        .output()
        .await
        .expect("curl is installed");
    String::from_utf8(output.stdout).expect("text")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

/// 69, over processes: a token lets one in, once. After that the certificate speaks for itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_joins_once_with_a_token_and_restarts_without_it() {
    let ca = Ca::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let token = ca.token("frontend").await;
    std::fs::write(folder.path().join("token"), &token).expect("written");
    let mut joined = ca.join("frontend", folder.path()).await;
    let page = curl(&[&format!("http://{}/", joined.address)]).await;
    assert_eq!(
        page, "from the app\n200",
        "over mutual TLS, since orders takes nothing else"
    );

    // The restart has no token.
    joined.signal("TERM").await;
    assert!(joined.ended().await.success());
    std::fs::remove_file(folder.path().join("token")).expect("removed");
    let again = ca.join("frontend", folder.path()).await;
    assert_eq!(
        curl(&[&format!("http://{}/", again.address)]).await,
        "from the app\n200"
    );

    // Somebody else has the token, too, and it is used.
    let other = tempfile::tempdir().expect("a folder");
    std::fs::write(other.path().join("token"), &token).expect("written");
    let file = other.path().join("mesh.yaml");
    let addresses = (listen().await.1, listen().await.1);
    std::fs::write(&file, ca.joining("frontend", other.path(), addresses)).expect("written");
    let refused = Command::new(binary("mesh-proxy"))
        .args(["run", "--config"])
        .arg(&file)
        .output()
        .await
        .expect("it runs");
    let told = text(&refused);
    assert!(!refused.status.success() && told.contains("401"), "{told}");
    let secret = token.split('.').nth(1).expect("a secret");
    assert!(!told.contains(secret), "{told}");
}

/// What curl and openssl make of the API: who shows a certificate gets the bundle, who does not gets the roots.
#[tokio::test(flavor = "multi_thread")]
async fn curl_and_openssl_can_ask_for_certificates_too() {
    let ca = Ca::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name).to_str().expect("text").to_owned();
    let api = format!("https://{}", ca.api);
    let made = Command::new("openssl")
        .args([
            "req",
            "-new",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-subj",
            "/CN=admin",
        ])
        .args([
            "-addext",
            "subjectAltName=URI:spiffe://cluster.local/ns/shop/sa/admin",
            "-keyout",
            &at("key.pem"),
        ])
        .args(["-out", &at("csr.pem")])
        .output()
        .await
        .expect("openssl is installed");
    assert!(made.status.success(), "{}", text(&made));
    let token = ca.token("client").await;
    let secret = token.split('.').nth(1).expect("a secret");
    let csr = std::fs::read_to_string(at("csr.pem")).expect("a CSR");
    let ask = serde_json::json!({ "csr": csr, "proof": { "kind": "join-token", "value": secret }, "ttlSeconds": 86_400 });
    std::fs::write(at("ask.json"), ask.to_string()).expect("written");
    let data = format!("@{}", at("ask.json"));
    let certificates = format!("{api}/v1/certificates");
    let post = [
        "-k",
        "-H",
        "content-type: application/json",
        "--data-binary",
        &data,
        &certificates,
    ];
    let answer = curl(&post).await;
    let (answer, status) = answer.rsplit_once('\n').expect("a status");
    assert_eq!(status, "201", "{answer}");
    assert!(curl(&post).await.ends_with("\n401"), "it counts once");

    let answer: serde_json::Value = serde_json::from_str(answer).expect("JSON");
    let root = answer["bundle"]["roots"][0]["certificate"].as_str().expect("PEM");
    std::fs::write(at("root.pem"), root).expect("written");
    std::fs::write(at("cert.pem"), answer["chain"].as_str().expect("PEM")).expect("written");
    let verified = Command::new("openssl")
        .args([
            "verify",
            "-x509_strict",
            "-purpose",
            "sslclient",
            "-CAfile",
            &at("root.pem"),
            &at("cert.pem"),
        ])
        .output()
        .await
        .expect("openssl is installed");
    assert!(verified.status.success(), "{}", text(&verified));
    let shown = Command::new("openssl")
        .args(["x509", "-noout", "-ext", "subjectAltName", "-in", &at("cert.pem")])
        .output()
        .await
        .expect("openssl is installed");
    let shown = text(&shown);
    assert!(
        shown.contains("/ns/shop/sa/client") && !shown.contains("admin"),
        "{shown}"
    );

    let bundle = format!("{api}/v1/bundle?seen=0");
    let (cert, key) = (at("cert.pem"), at("key.pem"));
    let told = curl(&["-k", "--cert", &cert, "--key", &key, &bundle]).await;
    let (told, status) = told.rsplit_once('\n').expect("a status");
    assert_eq!(status, "200", "{told}");
    let told: serde_json::Value = serde_json::from_str(told).expect("JSON");
    assert_eq!(told, answer["bundle"]);
    assert!(curl(&["-k", &bundle]).await.ends_with("\n401"));
    let roots = curl(&["-k", &format!("{api}/v1/roots")]).await;
    assert!(
        roots.contains("BEGIN CERTIFICATE") && roots.ends_with("\n200"),
        "{roots}"
    );
}

/// A join without its token waits for none: it says what is missing, and comes up when the token is there.
#[tokio::test(flavor = "multi_thread")]
async fn who_has_neither_a_certificate_nor_a_token_is_told_what_to_do() {
    let ca = Ca::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("mesh.yaml");
    let addresses = (listen().await.1, listen().await.1);
    std::fs::write(&file, ca.joining("frontend", folder.path(), addresses)).expect("written");
    let refused = Command::new(binary("mesh-proxy"))
        .args(["run", "--config"])
        .arg(&file)
        .output()
        .await
        .expect("it runs");
    let told = text(&refused);
    assert!(
        !refused.status.success() && told.contains("mesh-proxy cert token"),
        "{told}"
    );
    std::fs::write(folder.path().join("token"), ca.token("frontend").await).expect("written");
    let joined = ca.join("frontend", folder.path()).await;
    until("requests pass", async || {
        let page = curl(&[&format!("http://{}/", joined.address)]).await;
        page.ends_with("\n200").then_some(())
    })
    .await;
}
