//! Mutual TLS by identities, and by tokio-rustls alone: the same certificates, revocation list, suites and protocols.

use std::sync::Arc;
use std::time::Duration;

use mesh_core::accept::Accept as _;
use mesh_core::connect::Connect as _;
use mesh_core::{Endpoint, SpiffeId};
use mesh_tls::authority::{BundleRequest, RevokeRequest};
use mesh_tls::{
    CertAuthority as _, CertRequest, Identity, IssuedCert, KeyType, LocalCa, ManagedAuthority as _,
    PrivateKey, ServerName, TlsAccept, TlsConnect, TrustBundle,
};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

const DAY: Duration = Duration::from_secs(86_400);
/// So many certificates are on the revocation list.
const REVOKED: usize = 100;

/// What the server is called by clients that know no SPIFFE IDs.
pub(crate) fn server_name() -> ServerName<'static> {
    ServerName::try_from("orders.example").expect("a name")
}

pub(crate) fn id(service: &str) -> SpiffeId {
    SpiffeId::of_service("cluster.local", "shop", service).expect("an ID")
}

/// A CA, whose list is not empty, and who has certificates of it.
pub(crate) struct World {
    pub(crate) ca: LocalCa,
    pub(crate) orders: Identity,
    pub(crate) frontend: Identity,
    pub(crate) bundle: TrustBundle,
}

impl World {
    pub(crate) async fn new() -> Self {
        let ca = LocalCa::in_memory("cluster.local").expect("a CA");
        let key = PrivateKey::generate(KeyType::default()).await.expect("a key");
        for _ in 0..REVOKED {
            let cert = issue(&ca, &key, "former").await;
            ca.revoke(RevokeRequest::new(cert.serial()))
                .await
                .expect("revoked");
        }
        let identity = |service| {
            let dns_name = format!("{service}.example").try_into().expect("a name");
            Identity::builder(id(service))
                .authority(ca.clone())
                .dns_name(dns_name)
                .start()
        };
        let orders = identity("orders").await.expect("an identity");
        let frontend = identity("frontend").await.expect("an identity");
        let bundle = ca.next_bundle(BundleRequest::any()).await.expect("a bundle");
        assert!(!bundle.crls.is_empty());
        Self {
            orders,
            frontend,
            bundle,
            ca,
        }
    }
}

pub(crate) async fn issue(ca: &LocalCa, key: &PrivateKey, service: &str) -> IssuedCert {
    let csr = key.certificate_request().expect("a request");
    let request = CertRequest::new(csr, id(service), DAY).expect("a request");
    let name = format!("{service}.example").try_into().expect("a name");
    ca.issue(request.with_dns_name(name)).await.expect("issued")
}

/// The groups that keys are exchanged with.
pub(crate) const HYBRID: &dyn SupportedKxGroup = aws_lc_rs::kx_group::X25519MLKEM768;
pub(crate) const X25519: &dyn SupportedKxGroup = aws_lc_rs::kx_group::X25519;

fn provider(groups: &[&'static dyn SupportedKxGroup]) -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        kx_groups: groups.to_vec(),
        ..aws_lc_rs::default_provider()
    })
}

fn roots(bundle: &[CertificateDer<'static>]) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for root in bundle {
        roots.add(root.clone()).expect("a root");
    }
    Arc::new(roots)
}

fn alpn() -> Vec<Vec<u8>> {
    vec![b"h2".to_vec(), b"http/1.1".to_vec()]
}

/// A server by tokio-rustls alone. As with an identity, no session is resumed.
pub(crate) fn raw_acceptor(
    bundle: &TrustBundle,
    cert: &IssuedCert,
    key: PrivateKeyDer<'static>,
) -> TlsAcceptor {
    let provider = provider(&[HYBRID, X25519]);
    let ders: Vec<_> = bundle.roots.iter().map(|root| root.cert.clone()).collect();
    let verifier = WebPkiClientVerifier::builder_with_provider(roots(&ders), Arc::clone(&provider));
    let verifier = verifier
        .with_crls(bundle.crls.iter().cloned())
        .build()
        .expect("a verifier");
    let builder = ServerConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().expect("versions");
    let builder = builder.with_client_cert_verifier(verifier);
    let mut config = builder
        .with_single_cert(cert.chain().to_vec(), key)
        .expect("a pair");
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.alpn_protocols = alpn();
    TlsAcceptor::from(Arc::new(config))
}

/// The verifier of clients by tokio-rustls alone.
pub(crate) fn raw_verifier(bundle: &TrustBundle) -> Arc<WebPkiServerVerifier> {
    let ders: Vec<_> = bundle.roots.iter().map(|root| root.cert.clone()).collect();
    let verifier = WebPkiServerVerifier::builder_with_provider(roots(&ders), provider(&[HYBRID, X25519]));
    verifier
        .with_crls(bundle.crls.iter().cloned())
        .build()
        .expect("a verifier")
}

/// A client by tokio-rustls alone, that knows these groups.
pub(crate) fn raw_client(
    verifier: &Arc<WebPkiServerVerifier>,
    groups: &[&'static dyn SupportedKxGroup],
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(provider(groups));
    let builder = builder.with_safe_default_protocol_versions().expect("versions");
    let builder = builder.with_webpki_verifier(Arc::clone(verifier));
    let mut config = builder.with_client_auth_cert(chain, key).expect("a pair");
    config.resumption = Resumption::disabled();
    config.alpn_protocols = alpn();
    config
}

/// Both sides of either kind, and a socket between them.
pub(crate) struct Sides {
    listener: TcpListener,
    address: Endpoint,
    accept: TlsAccept,
    connect: TlsConnect,
    raw_accept: TlsAcceptor,
    raw_connect: TlsConnector,
    raw_x25519: TlsConnector,
}

/// Who shakes hands with whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pair {
    /// tokio-rustls on both sides.
    Raw,
    /// Identities on both sides.
    Mesh,
    /// The same as `Raw`, without the post-quantum part.
    RawX25519,
    /// An identity serves the client of `RawX25519`.
    MeshX25519,
}

impl Sides {
    pub(crate) async fn new(world: &World) -> Self {
        let key = PrivateKey::generate(KeyType::default()).await.expect("a key");
        let (server, client) = (
            issue(&world.ca, &key, "orders").await,
            issue(&world.ca, &key, "frontend").await,
        );
        let verifier = raw_verifier(&world.bundle);
        let secret = || key.expose_secret().clone_key();
        let connector = |groups: &[_]| {
            let config = raw_client(&verifier, groups, client.chain().to_vec(), secret());
            TlsConnector::from(Arc::new(config))
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
        Self {
            address: Endpoint::new(listener.local_addr().expect("bound").into()),
            listener,
            accept: world.orders.accept(),
            connect: world.frontend.connect_to(id("orders")),
            raw_accept: raw_acceptor(&world.bundle, &server, secret()),
            raw_connect: connector(&[HYBRID, X25519]),
            raw_x25519: connector(&[X25519]),
        }
    }

    /// A connection, a handshake of both sides, and the end of both.
    pub(crate) async fn shake_hands(&self, pair: Pair) {
        let serve = async {
            let (tcp, remote) = self.listener.accept().await.expect("a connection");
            tcp.set_nodelay(true).expect("an option");
            // Whoever runs this thousands of times would run out of ports.
            tcp.set_zero_linger().expect("an option");
            match pair {
                Pair::Mesh | Pair::MeshX25519 => {
                    let accepted = self.accept.accept(tcp, remote).await.expect("accepted");
                    assert!(accepted.peer.identity.is_some());
                    Either::Mesh(Box::new(accepted.io))
                }
                Pair::Raw | Pair::RawX25519 => Either::Raw(Box::new(
                    self.raw_accept.accept(tcp).await.expect("accepted").into(),
                )),
            }
        };
        let call = async {
            let raw = match pair {
                Pair::Mesh => {
                    let connected = self.connect.connect(&self.address).await.expect("connected");
                    return Either::Mesh(Box::new(connected.io));
                }
                Pair::Raw => &self.raw_connect,
                Pair::RawX25519 | Pair::MeshX25519 => &self.raw_x25519,
            };
            let address = self.listener.local_addr().expect("bound");
            let tcp = TcpStream::connect(address).await.expect("connected");
            tcp.set_nodelay(true).expect("an option");
            let stream = raw.connect(server_name(), tcp).await.expect("connected");
            Either::Raw(Box::new(stream.into()))
        };
        let (served, called) = tokio::join!(serve, call);
        let group = match pair {
            Pair::Raw | Pair::Mesh => "X25519MLKEM768",
            Pair::RawX25519 | Pair::MeshX25519 => "X25519",
        };
        assert_eq!((served.group(), called.group()), (Some(group), Some(group)));
    }
}

enum Either {
    Raw(Box<tokio_rustls::TlsStream<TcpStream>>),
    Mesh(Box<mesh_tls::MeshStream>),
}

impl Either {
    fn group(&self) -> Option<&'static str> {
        match self {
            Self::Raw(stream) => stream
                .get_ref()
                .1
                .negotiated_key_exchange_group()?
                .name()
                .as_str(),
            Self::Mesh(stream) => Some(stream.tls_parameters()?.key_exchange),
        }
    }
}
