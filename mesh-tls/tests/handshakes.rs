//! Handshakes over loopback: who gets in, who does not, and what both sides learn.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use mesh_core::accept::{Accept, Accepted};
use mesh_core::connect::{Connect, Connected, HttpProtocol};
use mesh_core::{Endpoint, SpiffeId};
use mesh_tls::authority::LocalCaOptions;
use mesh_tls::{
    ClientCerts, FileStore, Identity, IdentityFiles, KeyType, LocalCa, MeshStream, Peers, ServerName,
    TlsAccept, TlsConnect, TlsPolicy, TlsVersion,
};
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const DAY: Duration = Duration::from_secs(86_400);

fn id(service: &str) -> SpiffeId {
    SpiffeId::of_service("cluster.local", "dept-barc", service).expect("valid parts")
}

fn ca() -> LocalCa {
    LocalCa::in_memory(LocalCaOptions::new("cluster.local")).expect("a CA")
}

async fn identity(ca: &LocalCa, service: &str) -> Identity {
    with_policy(ca, service, TlsPolicy::default()).await
}

async fn with_policy(ca: &LocalCa, service: &str, policy: TlsPolicy) -> Identity {
    let name = format!("{service}.example").try_into().expect("a DNS name");
    let builder = Identity::builder(id(service))
        .authority(ca.clone())
        .policy(policy)
        .dns_name(name);
    builder.start().await.expect("an identity")
}

/// One connection: what both ends came to.
async fn connect(
    accept: TlsAccept,
    connect: TlsConnect,
) -> (
    io::Result<Accepted<MeshStream>>,
    io::Result<Connected<MeshStream>>,
) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
    let endpoint = Endpoint::new(listener.local_addr().expect("bound").into());
    let serve = async {
        let (stream, remote) = listener.accept().await?;
        let mut accepted = accept.accept(stream, remote).await?;
        accepted.io.write_all(b"hello").await?;
        accepted.io.flush().await?;
        Ok(accepted)
    };
    let call = async {
        let mut connected = connect.connect(&endpoint).await?;
        // A server's verdict on a certificate comes after the handshake in TLS 1.3.
        connected.io.read_exact(&mut [0; 5]).await?;
        Ok(connected)
    };
    tokio::join!(serve, call)
}

fn refused<T>(result: io::Result<T>) -> String {
    result.map(|_| ()).expect_err("refused").to_string()
}

#[tokio::test]
async fn both_sides_learn_who_the_other_is() {
    let ca = ca();
    let (orders, frontend) = (identity(&ca, "orders").await, identity(&ca, "frontend").await);
    let (accepted, connected) = connect(orders.accept(), frontend.connect_to(id("orders"))).await;
    let (accepted, connected) = (accepted.expect("accepted"), connected.expect("connected"));
    assert_eq!(accepted.peer.identity, Some(id("frontend")));
    let serial = frontend.certificate().serial().to_string();
    assert_eq!(accepted.peer.serial.as_deref(), Some(&*serial));
    assert_eq!(accepted.peer.fingerprint.as_deref().map(str::len), Some(64));
    let peer = connected.peer.expect("verified");
    assert_eq!(peer.identity, Some(id("orders")));
    assert!(peer.is_mtls());
    assert_eq!(connected.protocol, Some(HttpProtocol::Http2));
    let parameters = connected.io.tls_parameters().expect("TLS");
    assert_eq!(
        (parameters.version, parameters.key_exchange),
        ("TLSv1_3", "X25519MLKEM768")
    );
}

#[tokio::test]
async fn another_service_with_a_good_certificate_is_not_the_one_that_was_meant() {
    let ca = ca();
    let (billing, frontend) = (identity(&ca, "billing").await, identity(&ca, "frontend").await);
    let (_, connected) = connect(billing.accept(), frontend.connect_to(id("orders"))).await;
    let error = refused(connected);
    assert!(
        error.contains(id("orders").as_str()) && error.contains(id("billing").as_str()),
        "{error}"
    );
}

#[tokio::test]
async fn a_peer_of_another_ca_is_refused_by_either_side() {
    let (ours, theirs) = (ca(), ca());
    let (orders, stranger) = (
        identity(&ours, "orders").await,
        identity(&theirs, "frontend").await,
    );
    let (_, connected) = connect(orders.accept(), stranger.connect_to(id("orders"))).await;
    refused(connected);
    // A client that does not look at all is refused by the server.
    let reckless = with_policy(&theirs, "frontend", anyone()).await;
    let (accepted, connected) = connect(orders.accept(), reckless.connect_to(id("orders"))).await;
    refused(accepted);
    assert!(refused(connected).contains("UnknownCA"));
}

fn anyone() -> TlsPolicy {
    let mut policy = TlsPolicy::default();
    policy.peers = Peers::Anyone;
    policy
}

#[tokio::test]
async fn whoever_is_not_verified_has_no_identity() {
    let ca = ca();
    let (orders, frontend) = (
        with_policy(&ca, "orders", anyone()).await,
        identity(&ca, "frontend").await,
    );
    let (accepted, _) = connect(orders.accept(), frontend.connect_to(id("orders"))).await;
    let peer = accepted.expect("accepted").peer;
    assert!(peer.tls && !peer.is_mtls() && peer.identity.is_none());
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused_unless_it_is_allowed_to_be_nobody() {
    let ca = ca();
    let orders = identity(&ca, "orders").await;
    let nobody = || nobody(&ca, "orders.example");
    let (accepted, connected) = connect(orders.accept(), nobody()).await;
    let error = refused(accepted);
    assert!(error.contains("mesh-proxy cert issue"), "{error}");
    assert!(refused(connected).contains("CertificateRequired"));
    let optional = orders.accept().client_certs(ClientCerts::Optional);
    let (accepted, connected) = connect(optional, nobody()).await;
    let peer = accepted.expect("accepted").peer;
    assert!(peer.tls && !peer.is_mtls());
    connected.expect("connected");
}

/// A client that has the roots and no certificate.
fn nobody(ca: &LocalCa, name: &'static str) -> TlsConnect {
    let name = ServerName::try_from(name).expect("a name");
    TlsConnect::external(name, [ca.root()], &TlsPolicy::default()).expect("roots")
}

#[tokio::test]
async fn a_name_is_proved_where_a_name_is_expected() {
    let ca = ca();
    let (orders, frontend) = (identity(&ca, "orders").await, identity(&ca, "frontend").await);
    let named = |name: &'static str| frontend.connect_to_name(ServerName::try_from(name).expect("a name"));
    let (accepted, connected) = connect(orders.accept(), named("orders.example")).await;
    assert_eq!(accepted.expect("accepted").peer.identity, Some(id("frontend")));
    assert!(connected.expect("connected").peer.expect("verified").is_mtls());
    let (_, connected) = connect(orders.accept(), named("billing.example")).await;
    assert!(refused(connected).contains("billing.example"));
}

#[tokio::test]
async fn a_permissive_port_serves_all_three_and_takes_no_bad_certificate_for_none() {
    let (ours, theirs) = (ca(), ca());
    let (orders, frontend) = (identity(&ours, "orders").await, identity(&ours, "frontend").await);
    let permissive = || orders.accept().permissive();
    let (accepted, _) = connect(permissive(), frontend.connect_to(id("orders"))).await;
    assert_eq!(accepted.expect("mutual TLS").peer.identity, Some(id("frontend")));
    let (accepted, _) = connect(permissive(), nobody(&ours, "orders.example")).await;
    assert!(!accepted.expect("TLS").peer.is_mtls());
    let stranger = with_policy(&theirs, "frontend", anyone()).await;
    let (accepted, _) = connect(permissive(), stranger.connect_to(id("orders"))).await;
    refused(accepted);

    let (accepted, mut client) = plaintext(permissive(), b"GET / HTTP/1.1\r\n\r\n").await;
    let mut accepted = accepted.expect("plaintext");
    assert!(!accepted.peer.tls);
    // What was looked at was not taken away.
    let mut read = [0; 3];
    accepted.io.read_exact(&mut read).await.expect("the request");
    assert_eq!(&read, b"GET");
    accepted.io.write_all(b"hello").await.expect("answered");
    client.read_exact(&mut [0; 5]).await.expect("the answer");
}

async fn plaintext(accept: TlsAccept, says: &[u8]) -> (io::Result<Accepted<MeshStream>>, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
    let address = listener.local_addr().expect("bound");
    let mut client = TcpStream::connect(address).await.expect("connected");
    client.write_all(says).await.expect("sent");
    let (stream, remote) = listener.accept().await.expect("accepted");
    (accept.accept(stream, remote).await, client)
}

#[tokio::test]
async fn plaintext_on_a_strict_port_is_refused_with_a_hint() {
    let orders = identity(&ca(), "orders").await;
    let (accepted, _client) = plaintext(orders.accept(), b"GET / HTTP/1.1\r\nhost: orders\r\n\r\n").await;
    let error = refused(accepted);
    assert!(error.contains("permissive"), "{error}");
}

#[tokio::test]
async fn a_server_that_answers_in_plaintext_is_never_talked_to() {
    let frontend = identity(&ca(), "frontend").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
    let endpoint = Endpoint::new(listener.local_addr().expect("bound").into());
    let serve = async {
        let (mut stream, _) = listener.accept().await?;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            .await?;
        let mut said = Vec::new();
        stream.read_to_end(&mut said).await?;
        Ok::<_, io::Error>(said)
    };
    let connect = frontend.connect_to(id("orders"));
    let (said, connected) = tokio::join!(serve, async { connect.connect(&endpoint).await });
    let error = refused(connected);
    assert!(error.contains("plaintext is never tried"), "{error}");
    let said = said.expect("read");
    assert!(
        !said
            .windows(4)
            .any(|window| window == b"HTTP" || window == b"GET ")
    );
}

/// F10: peers that speak TLS 1.2 only are served, and one that speaks another version than asked for is told so.
#[tokio::test]
async fn versions_of_tls_are_those_of_the_policy() {
    let ca = ca();
    let orders = identity(&ca, "orders").await;
    for (version, name) in [(TlsVersion::Tls12, "TLSv1_2"), (TlsVersion::Tls13, "TLSv1_3")] {
        let frontend = with_policy(&ca, "frontend", TlsPolicy::default().with_versions([version])).await;
        let (accepted, connected) = connect(orders.accept(), frontend.connect_to(id("orders"))).await;
        assert_eq!(accepted.expect("accepted").peer.identity, Some(id("frontend")));
        assert_eq!(
            connected
                .expect("connected")
                .io
                .tls_parameters()
                .expect("TLS")
                .version,
            name
        );
    }
    let old = with_policy(
        &ca,
        "frontend",
        TlsPolicy::default().with_versions([TlsVersion::Tls12]),
    )
    .await;
    let new = with_policy(
        &ca,
        "orders",
        TlsPolicy::default().with_versions([TlsVersion::Tls13]),
    )
    .await;
    let (accepted, _) = connect(new.accept(), old.connect_to(id("orders"))).await;
    assert!(refused(accepted).contains("no version, suite or key exchange in common"));
}

/// F1 and case 35: a resumed session would not be verified again, so that a revoked client would come back in.
#[tokio::test]
async fn no_session_is_ever_resumed() {
    let ca = ca();
    let orders = identity(&ca, "orders").await;
    let optional = orders.accept().client_certs(ClientCerts::Optional);
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(ca.root()).expect("a root");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder =
            rustls::ClientConfig::builder_with_provider(provider).with_protocol_versions(&[version]);
        // One that would resume if it could.
        let config = builder
            .expect("a version")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        for _ in 0..3 {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
            let address = listener.local_addr().expect("bound");
            let serve = async {
                let (stream, remote) = listener.accept().await.expect("accepted");
                let mut accepted = optional.accept(stream, remote).await.expect("handshake");
                accepted.io.write_all(b"hello").await.expect("written");
                accepted.io.shutdown().await.expect("closed");
            };
            let call = async {
                let tcp = TcpStream::connect(address).await.expect("connected");
                let name = rustls::pki_types::ServerName::try_from("orders.example").expect("a name");
                let mut stream = connector.connect(name, tcp).await.expect("handshake");
                // Tickets come behind the handshake.
                stream.read_to_end(&mut Vec::new()).await.expect("read");
                stream.get_ref().1.handshake_kind()
            };
            let ((), kind) = tokio::join!(serve, call);
            let full = [
                rustls::HandshakeKind::Full,
                rustls::HandshakeKind::FullWithHelloRetryRequest,
            ];
            assert!(full.map(Some).contains(&kind), "{kind:?}");
        }
    }
}

/// F8: a long chain would cost a path search for each of its certificates.
#[tokio::test]
async fn a_chain_of_more_than_four_certificates_is_refused_before_it_is_looked_at() {
    let ca = ca();
    let orders = identity(&ca, "orders").await;
    let config = many_certificates(&ca, 60).await;
    let accepted = met_by(&orders, config).await;
    let error = refused(accepted);
    assert!(error.contains("61") && error.contains('4'), "{error}");
}

/// What this identity makes of a client that is not ours, and that speaks as soon as it may.
async fn met_by(identity: &Identity, config: rustls::ClientConfig) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
    let address = listener.local_addr().expect("bound");
    let serve = async {
        let (stream, remote) = listener.accept().await.expect("accepted");
        identity.accept().accept(stream, remote).await.map(|_| ())
    };
    let call = async {
        let tcp = TcpStream::connect(address).await.expect("connected");
        let name = rustls::pki_types::ServerName::try_from("orders.example").expect("a name");
        let stream = tokio_rustls::TlsConnector::from(Arc::new(config))
            .connect(name, tcp)
            .await;
        if let Ok(mut stream) = stream {
            // In TLS 1.3 it learns later that it is refused.
            let _ = stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await;
            let _ = stream.read(&mut [0; 1]).await;
        }
    };
    tokio::join!(serve, call).0
}

type Wants = rustls::ConfigBuilder<rustls::ClientConfig, rustls::client::WantsClientCert>;

/// A client that trusts this CA, by one version.
fn stranger(ca: &LocalCa, version: &'static rustls::SupportedProtocolVersion) -> Wants {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(ca.root()).expect("a root");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider);
    let builder = builder.with_protocol_versions(&[version]);
    builder.expect("a version").with_root_certificates(roots)
}

async fn many_certificates(ca: &LocalCa, more: usize) -> rustls::ClientConfig {
    let dir = tempfile::tempdir().expect("a directory");
    let (cert, key) = issue(ca, "frontend", dir.path()).await;
    let mut chain: Vec<CertificateDer<'static>> = vec![cert];
    chain.extend(std::iter::repeat_n(ca.root(), more));
    let builder = stranger(ca, &rustls::version::TLS13);
    builder.with_client_auth_cert(chain, key).expect("a key")
}

const VERSIONS: [&rustls::SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];

/// Case 52: it shows a list without a certificate, and speaks all the same.
#[tokio::test]
async fn who_shows_an_empty_list_of_certificates_and_speaks_on_is_not_heard() {
    let ca = ca();
    let orders = identity(&ca, "orders").await;
    for version in VERSIONS {
        let error = refused(met_by(&orders, stranger(&ca, version).with_no_client_auth()).await);
        assert!(error.contains("showed no certificate"), "{version:?}: {error}");
    }
}

/// Shows a certificate whose key it does not have.
#[derive(Debug)]
struct Thief(Arc<rustls::sign::CertifiedKey>);

impl rustls::client::ResolvesClientCert for Thief {
    fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<rustls::sign::CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Case 58.
#[tokio::test]
async fn who_signs_the_handshake_with_another_key_than_that_of_its_certificate_is_refused() {
    let ca = ca();
    let orders = identity(&ca, "orders").await;
    let dir = tempfile::tempdir().expect("a directory");
    let (theirs, _) = issue(&ca, "frontend", dir.path()).await;
    let (_, own) = issue(&ca, "billing", dir.path()).await;
    let own = rustls::crypto::aws_lc_rs::sign::any_supported_type(&own).expect("a key");
    let stolen = Arc::new(rustls::sign::CertifiedKey::new(vec![theirs], own));
    for version in VERSIONS {
        let thief = Arc::new(Thief(Arc::clone(&stolen)));
        let config = stranger(&ca, version).with_client_cert_resolver(thief);
        let error = refused(met_by(&orders, config).await);
        assert!(error.contains("BadSignature"), "{version:?}: {error}");
    }
}

/// A certificate and its key, also as PEM files in this directory.
async fn issue(
    ca: &LocalCa,
    service: &str,
    dir: &std::path::Path,
) -> (CertificateDer<'static>, rustls::pki_types::PrivateKeyDer<'static>) {
    use mesh_tls::{CertAuthority, CertRequest, PrivateKey};
    let key = PrivateKey::generate(KeyType::default()).await.expect("a key");
    let csr = key.certificate_request().expect("a CSR");
    let request = CertRequest::new(csr, id(service), 90 * DAY).expect("a request");
    let issued = ca.issue(request).await.expect("issued");
    let write = |name: &str, label: &str, der: &[u8]| {
        let text = pem::encode(&pem::Pem::new(label, der));
        std::fs::write(dir.join(format!("new-{name}")), text).expect("written");
        std::fs::rename(dir.join(format!("new-{name}")), dir.join(name)).expect("renamed");
    };
    write("key.pem", "PRIVATE KEY", key.expose_secret().secret_der());
    write("cert.pem", "CERTIFICATE", issued.leaf());
    write("ca.pem", "CERTIFICATE", &ca.root());
    (issued.leaf().clone(), key.expose_secret().clone_key())
}

#[tokio::test(start_paused = true)]
async fn files_that_change_count_for_new_connections_and_leave_open_ones_alone() {
    let ca = ca();
    let dir = tempfile::tempdir().expect("a directory");
    let file = |name: &str| dir.path().join(name);
    issue(&ca, "orders", dir.path()).await;
    let files = IdentityFiles::new(file("cert.pem"), file("key.pem"), file("ca.pem"));
    let orders = files.start(id("orders")).await.expect("an identity");
    let frontend = identity(&ca, "frontend").await;
    let before = orders.certificate().serial();
    let (accepted, connected) = connect(orders.accept(), frontend.connect_to(id("orders"))).await;
    let (mut accepted, mut connected) = (accepted.expect("accepted"), connected.expect("connected"));

    // A certificate of somebody else is refused, and the last good one stays.
    issue(&ca, "billing", dir.path()).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(orders.certificate().serial(), before);

    let (renewed, _) = issue(&ca, "orders", dir.path()).await;
    while orders.certificate().serial() == before {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(orders.certificate().leaf(), &renewed);
    let (_, again) = connect(orders.accept(), frontend.connect_to(id("orders"))).await;
    let serial = orders.certificate().serial().to_string();
    assert_eq!(
        again
            .expect("connected")
            .peer
            .expect("verified")
            .serial
            .as_deref(),
        Some(&*serial)
    );
    accepted.io.write_all(b"still").await.expect("open");
    accepted.io.flush().await.expect("open");
    connected.io.read_exact(&mut [0; 5]).await.expect("open");
}

#[tokio::test]
async fn files_that_do_not_fit_together_are_refused_with_what_is_wrong() {
    let (ours, theirs) = (ca(), ca());
    let dir = tempfile::tempdir().expect("a directory");
    let file = |name: &str| dir.path().join(name);
    let start = async |service: &str| {
        let files = IdentityFiles::new(file("cert.pem"), file("key.pem"), file("ca.pem"));
        files
            .start(id(service))
            .await
            .map(|_| ())
            .expect_err("refused")
            .to_string()
    };
    assert!(start("orders").await.contains("cert.pem"));
    issue(&ours, "orders", dir.path()).await;
    let error = start("billing").await;
    assert!(
        error.contains(id("orders").as_str()) && error.contains(id("billing").as_str()),
        "{error}"
    );
    let key = std::fs::read(file("key.pem")).expect("read");
    issue(&ours, "orders", dir.path()).await;
    std::fs::write(file("key.pem"), key).expect("written");
    assert!(start("orders").await.contains("cannot be used"));
    issue(&ours, "orders", dir.path()).await;
    std::fs::write(
        file("ca.pem"),
        pem::encode(&pem::Pem::new("CERTIFICATE", &*theirs.root())),
    )
    .expect("written");
    assert!(start("orders").await.contains("cannot be used"));
    std::fs::write(file("key.pem"), "junk").expect("written");
    assert!(start("orders").await.contains("key.pem"));
}

#[tokio::test]
async fn an_identity_without_an_authority_says_what_is_missing() {
    let error = Identity::builder(id("orders"))
        .start()
        .await
        .map(|_| ())
        .expect_err("nobody signs");
    assert!(error.to_string().contains(".authority("), "{error}");
}

#[tokio::test]
async fn a_restart_keeps_its_certificate_unless_another_kind_or_a_shorter_life_is_asked_for() {
    let (ca, dir) = (ca(), tempfile::tempdir().expect("a directory"));
    let start = async |ttl, key_type| {
        let store = FileStore::open(dir.path().join("identities")).expect("a store");
        let builder = Identity::builder(id("orders")).authority(ca.clone()).store(store);
        let identity = builder
            .ttl(ttl)
            .key_type(key_type)
            .start()
            .await
            .expect("an identity");
        identity.certificate()
    };
    let first = start(90 * DAY, KeyType::EcdsaP256).await;
    assert_eq!(start(90 * DAY, KeyType::EcdsaP256).await, first);
    assert_eq!(
        start(365 * DAY, KeyType::EcdsaP256).await,
        first,
        "a longer life can wait"
    );
    let short = start(DAY, KeyType::EcdsaP256).await;
    assert!(short != first && short.lifetime() < 2 * DAY);
    assert_ne!(start(DAY, KeyType::EcdsaP384).await, short);
}
