//! A process that joins the mesh by way of a CA at another place, over loopback.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mesh_core::SpiffeId;
use mesh_core::clock::{SystemClock, WallClock};
use mesh_core::serve::Server;
use mesh_core::testkit::ManualClock;
use mesh_tls::authority::{BundleRequest, Follower, LocalCaOptions, ManagedAuthority, RevokeRequest};
use mesh_tls::remote::{
    ApiLimits, Attestors, CertificateApi, JoinToken, JoinTokens, ProofKind, RemoteCa, Renewals, TokenFile,
    TokenRequest,
};
use mesh_tls::{
    AnyStore, CaErrorKind, CertAuthority, CertRequest, CertStore, ClientCerts, FileStore, Identity, KeyType,
    LocalCa, MemoryStore, PrivateKey,
};
use tokio::net::TcpListener;

const DAY: Duration = Duration::from_secs(86_400);

fn id(service: &str) -> SpiffeId {
    SpiffeId::of_service("cluster.local", "dept-barc", service).expect("valid parts")
}

struct Ca {
    ca: LocalCa,
    tokens: JoinTokens,
    url: String,
}

impl Ca {
    async fn start() -> Self {
        Self::by(&LocalCa::in_memory("cluster.local").expect("a CA"), "ca").await
    }

    /// Served by somebody of this name.
    async fn by(ca: &LocalCa, service: &str) -> Self {
        Self::with_clock(ca, service, SystemClock).await
    }

    async fn with_clock(ca: &LocalCa, service: &str, clock: impl WallClock + Clone) -> Self {
        let identity = Identity::builder(id(service))
            .authority(ca.clone())
            .clock(clock.clone())
            .start()
            .await
            .expect("an identity");
        let tokens = JoinTokens::in_memory_with_clock(clock.clone());
        tokens.set_server(&id("ca")).expect("kept");
        let attestors = Attestors::new().with(ProofKind::JOIN_TOKEN, tokens.clone());
        let renewals = Renewals::in_memory_with_clock(ca.clone(), clock.clone());
        let api = CertificateApi::with_clock(ca.clone(), attestors, renewals, ApiLimits::default(), clock);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
        let url = format!("https://{}", listener.local_addr().expect("bound"));
        let accept = identity.accept().client_certs(ClientCerts::Optional);
        tokio::spawn(Server::accepting(accept).serve(listener, api));
        Self {
            ca: ca.clone(),
            tokens,
            url,
        }
    }

    async fn token(&self, service: &str) -> JoinToken {
        let bundle = self.ca.next_bundle(BundleRequest::any()).await.expect("a bundle");
        self.tokens
            .mint(&TokenRequest::new(id(service)), &bundle)
            .expect("a token")
    }
}

fn request() -> CertRequest {
    let key = PrivateKey::generate_blocking(KeyType::default()).expect("a key");
    CertRequest::new(key.certificate_request().expect("signed"), id("orders"), DAY).expect("a request")
}

#[tokio::test]
async fn who_joined_restarts_and_renews_without_a_token() {
    let ca = Ca::start().await;
    let dir = tempfile::tempdir().expect("a directory");
    let store = || AnyStore::new(FileStore::open(dir.path().join("identities")).expect("a store"));
    let token_file = dir.path().join("token");
    std::fs::write(&token_file, ca.token("orders").await.expose_secret().as_bytes()).expect("written");
    let remote = || {
        let builder = RemoteCa::builder(id("orders"), &ca.url).expect("a URL");
        let builder = builder.join(TokenFile::new(&token_file)).store(store());
        builder
            .state_dir(dir.path().join("state"))
            .build()
            .expect("an authority")
    };
    let start = async || {
        Identity::builder(id("orders"))
            .authority(remote())
            .store(store())
            .start()
            .await
    };
    let first = start().await.expect("joined");
    let serial = first.certificate().serial();
    drop(first);
    std::fs::remove_file(&token_file).expect("removed");
    let again = start().await.expect("from the store");
    assert_eq!(again.certificate().serial(), serial);
    // What the identity does when it is time.
    let renewed = remote().issue(request()).await.expect("renewed");
    assert_ne!(renewed.serial(), serial);
    let told = remote()
        .next_bundle(BundleRequest::any())
        .await
        .expect("a bundle");
    assert_eq!(
        told,
        ca.ca.next_bundle(BundleRequest::any()).await.expect("a bundle")
    );
}

/// A clock that is moved by a test.
#[derive(Clone, Debug)]
struct Shared(Arc<ManualClock>);

impl WallClock for Shared {
    fn now(&self) -> SystemTime {
        self.0.now()
    }
}

/// A process that was suspended, or cut off, until its certificate ended: the token it joined with is long over.
#[tokio::test]
async fn whose_certificate_ended_joins_with_a_fresh_token_and_without_a_restart() {
    let clock = Shared(Arc::new(ManualClock::new(SystemTime::now())));
    let options = LocalCaOptions::new("cluster.local").with_clock(clock.clone());
    let ca = LocalCa::in_memory(options).expect("a CA");
    let ca = Ca::with_clock(&ca, "ca", clock.clone()).await;
    let dir = tempfile::tempdir().expect("a directory");
    let token_file = dir.path().join("token");
    let store = AnyStore::new(MemoryStore::new());
    let remote = RemoteCa::builder(id("orders"), &ca.url).expect("a URL");
    let remote = remote
        .join(TokenFile::new(&token_file))
        .store(store.clone())
        .clock(clock.clone());
    let remote = remote.build().expect("an authority");
    let write = async || {
        let token = ca.token("orders").await;
        std::fs::write(&token_file, token.expose_secret().as_bytes()).expect("written");
    };
    write().await;
    let identity = Identity::builder(id("orders"))
        .authority(remote.clone())
        .store(store)
        .clock(clock.clone());
    let identity = identity.ttl(DAY).start().await.expect("joined");
    remote.issue(request()).await.expect("by the certificate");
    clock.0.advance(2 * DAY);
    let error = remote
        .issue(request())
        .await
        .expect_err("both are over")
        .to_string();
    assert!(error.contains("401"), "{error}");
    let error = remote
        .next_bundle(BundleRequest::after(1))
        .await
        .expect_err("nobody is known")
        .to_string();
    assert!(error.contains("told to who has a certificate"), "{error}");
    write().await;
    let fresh = remote.issue(request()).await.expect("by the fresh token");
    assert!(fresh.not_after() > clock.now());
    drop(identity);
}

/// 62, as far as the CA is concerned: another member of the mesh poses as the CA, to be shown tokens.
#[tokio::test]
async fn no_other_member_of_the_mesh_is_taken_for_the_ca() {
    let ca = Ca::start().await;
    let impostor = Ca::by(&ca.ca, "billing").await;
    let remote = RemoteCa::builder(id("orders"), &impostor.url).expect("a URL");
    let remote = remote
        .join(ca.token("orders").await)
        .build()
        .expect("an authority");
    let error = remote.issue(request()).await.expect_err("refused").to_string();
    assert!(
        error.contains(id("billing").as_str()) && error.contains(id("ca").as_str()),
        "{error}"
    );
}

#[tokio::test]
async fn a_ca_that_the_token_does_not_name_is_not_shown_it() {
    let (ca, other) = (Ca::start().await, Ca::start().await);
    let token = ca.token("orders").await;
    let remote = RemoteCa::builder(id("orders"), &other.url).expect("a URL");
    let remote = remote.join(token.clone()).build().expect("an authority");
    let error = remote.issue(request()).await.expect_err("refused").to_string();
    assert!(error.contains("none of the roots"), "{error}");
    // It counts still.
    let remote = RemoteCa::builder(id("orders"), &ca.url).expect("a URL");
    let remote = remote.join(token).build().expect("an authority");
    remote.issue(request()).await.expect("joined");
    let error = remote
        .issue(request())
        .await
        .expect_err("it counts once")
        .to_string();
    assert!(error.contains("401") && error.contains("not accepted"), "{error}");
}

#[tokio::test]
async fn a_token_of_another_service_is_told_from_ones_own() {
    let ca = Ca::start().await;
    let remote = RemoteCa::builder(id("orders"), &ca.url).expect("a URL");
    let remote = remote
        .join(ca.token("billing").await)
        .build()
        .expect("an authority");
    let error = remote.issue(request()).await.expect_err("refused").to_string();
    assert!(
        error.contains("bound to") && error.contains("sa/billing"),
        "{error}"
    );
}

#[test]
fn only_https_leads_to_a_ca() {
    for url in [
        "http://ca.example",
        "ca.example",
        "https://ca.example/v1",
        "https://a:b@ca.example",
        "https://",
        "https://ca.example?x",
    ] {
        assert!(RemoteCa::builder(id("orders"), url).is_err(), "{url}");
    }
    for url in [
        "https://ca.example",
        "https://ca.example:9443/",
        "https://[::1]:9443",
    ] {
        assert!(RemoteCa::builder(id("orders"), url).is_ok(), "{url}");
    }
}

#[tokio::test]
async fn who_follows_is_given_no_roots_in_the_place_of_a_bundle() {
    let ca = Ca::start().await;
    let builder = RemoteCa::builder(id("orders"), &ca.url).expect("a URL");
    let builder = builder.join(ca.token("orders").await);
    let remote = builder.store(MemoryStore::new()).build().expect("an authority");
    let roots = remote.next_bundle(BundleRequest::any()).await.expect("roots");
    assert_eq!((roots.sequence, roots.roots.len(), roots.crls.len()), (0, 1, 0));
    let follows = BundleRequest::after(0).by(Follower::new(id("orders"), 1));
    let error = remote
        .next_bundle(follows)
        .await
        .expect_err("it has no certificate");
    assert_eq!(error.kind(), CaErrorKind::Denied, "{error}");
}

#[tokio::test]
async fn a_ca_that_moved_takes_nothing_of_the_trust_that_is_stored() {
    let ca = Ca::start().await;
    let dir = tempfile::tempdir().expect("a directory");
    let store = || AnyStore::new(FileStore::open(dir.path().join("identities")).expect("a store"));
    let token_file = dir.path().join("token");
    let start = async |ca: &Ca| {
        std::fs::write(&token_file, ca.token("orders").await.expose_secret().as_bytes()).expect("written");
        let builder = RemoteCa::builder(id("orders"), &ca.url).expect("a URL");
        let builder = builder.join(TokenFile::new(&token_file)).store(store());
        let remote = builder.state_dir(dir.path().join("state")).build();
        let identity = Identity::builder(id("orders")).authority(remote.expect("an authority"));
        identity.store(store()).start().await.expect("an identity")
    };
    let first = start(&ca).await;
    let serial = first.certificate().serial();
    let taken = ca.ca.issue(request()).await.expect("issued").serial();
    let revoked = ca.ca.revoke(RevokeRequest::new(taken)).await.expect("revoked");
    loop {
        let stored = store().load(&id("orders")).await.expect("read").expect("stored");
        if stored.bundle.sequence >= revoked.sequence {
            break;
        }
        tokio::task::yield_now().await;
    }
    drop(first);

    let elsewhere = Ca::by(&ca.ca, "ca").await;
    let again = start(&elsewhere).await;
    let trust = again.status().trust.clone();
    assert!(trust.sequence >= revoked.sequence, "{trust:?}");
    assert_eq!(
        trust.crls.iter().map(|list| list.revoked).sum::<usize>(),
        1,
        "{trust:?}"
    );
    assert_eq!(again.certificate().serial(), serial);
    // And it follows there: what is taken back from now on is told.
    let taken = ca.ca.issue(request()).await.expect("issued").serial();
    let revoked = ca.ca.revoke(RevokeRequest::new(taken)).await.expect("revoked");
    let mut status = again.follow_status();
    while again.status().trust.sequence < revoked.sequence {
        status.changed().await;
    }
}
