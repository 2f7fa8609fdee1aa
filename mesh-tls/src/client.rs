//! The client's side of TLS: whom it means to reach, and how that one proves it.

use std::fmt;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use mesh_core::connect::{Connect, Connected, HttpProtocol, TcpConnect};
use mesh_core::endpoint::{Address, Endpoint};
use mesh_core::{ServiceName, SpiffeId};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};
use tokio_rustls::TlsConnector;

use crate::certificate::Certificate;
use crate::identity::{Epoch, Identity, IdentityError, Verified};
use crate::peer::{agreed, alpn, peer_of};
use crate::policy::{Crypto, Peers, TlsPolicy};
use crate::seldom::Seldom;
use crate::server::{Trust, whole_chain};
use crate::stream::{MeshStream, Socket};
use crate::verify::{Expected, Usage};

/// Makes connections over TLS, to a peer that proves to be the one that was meant.
///
/// It never falls back to plaintext, and never takes another valid certificate for the right one.
/// [`Identity::connect_to`] makes one for a workload of the mesh, [`TlsConnect::external`] one for a server outside.
///
/// Connections to a workload of the mesh that is not believed any more, by a new bundle or since its certificate has come
/// to its end, take no further request, and are cut after 5 seconds; tunnels at once.
#[derive(Clone)]
pub struct TlsConnect {
    source: Source,
    expected: Expected,
    warned: Arc<Seldom>,
}

/// Where the configuration of a connection comes from.
#[derive(Clone)]
enum Source {
    /// It follows an identity: a new certificate or a new bundle counts from the next connection on.
    Mesh(Mesh),
    /// No certificate is shown.
    Outside(Arc<ClientConfig>),
}

#[derive(Clone)]
struct Mesh {
    identity: Identity,
    more_roots: Arc<[CertificateDer<'static>]>,
    protocols: Arc<[HttpProtocol]>,
    /// Made for one epoch of the identity, and made anew for the next.
    compiled: Arc<ArcSwapOption<Compiled>>,
}

struct Compiled {
    epoch: Arc<Epoch>,
    config: Arc<ClientConfig>,
}

/// The preferred one first.
const PROTOCOLS: [HttpProtocol; 2] = [HttpProtocol::Http2, HttpProtocol::Http1];

impl Identity {
    /// Connects over mutual TLS to the workload of this identity.
    pub fn connect_to(&self, id: SpiffeId) -> TlsConnect {
        TlsConnect::mesh(self.clone(), Expected::Identity(id))
    }

    /// Connects over mutual TLS to a service of the same trust domain and namespace.
    ///
    /// # Errors
    /// This identity is of another shape than `spiffe://<trust domain>/ns/<namespace>/sa/<service>`.
    pub fn connect_to_service(&self, service: &ServiceName) -> Result<TlsConnect, IdentityError> {
        Ok(self.connect_to(self.sibling(service)?))
    }

    /// Connects over mutual TLS to whoever proves this DNS name or IP address: a peer whose certificate holds no
    /// SPIFFE ID.
    pub fn connect_to_name(&self, name: ServerName<'static>) -> TlsConnect {
        TlsConnect::mesh(self.clone(), Expected::Dns(name))
    }
}

impl TlsConnect {
    fn mesh(identity: Identity, expected: Expected) -> Self {
        Self {
            source: Source::Mesh(Mesh {
                identity,
                more_roots: Arc::default(),
                protocols: PROTOCOLS.into(),
                compiled: Arc::default(),
            }),
            expected,
            warned: Arc::default(),
        }
    }

    /// Connects to a server outside of the mesh, which proves this name to the satisfaction of one of these roots.
    /// It learns nothing of who calls.
    ///
    /// # Errors
    /// The policy speaks nothing, or none of the roots can be read.
    pub fn external(
        name: ServerName<'static>,
        roots: impl IntoIterator<Item = CertificateDer<'static>>,
        policy: &TlsPolicy,
    ) -> Result<Self, IdentityError> {
        let failed = |cause: mesh_core::BoxError| {
            IdentityError::because(format_args!("no TLS to {}", name.to_str()), cause)
        };
        let crypto = Crypto::new(policy).map_err(|error| failed(error.into()))?;
        let mut store = RootCertStore::empty();
        let (_, unfit) = store.add_parsable_certificates(roots);
        if unfit > 0 {
            tracing::warn!(server = %name.to_str(), unfit, "roots that cannot be read are left out");
        }
        if store.is_empty() {
            return Err(failed("there is no root to trust".into()));
        }
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(&crypto.provider));
        let verifier = verifier.build().map_err(|error| failed(error.into()))?;
        let builder = ClientConfig::builder_with_provider(Arc::clone(&crypto.provider))
            .with_protocol_versions(&crypto.versions)
            .map_err(|error| failed(error.into()))?;
        let mut config = builder.with_webpki_verifier(verifier).with_no_client_auth();
        config.resumption = Resumption::disabled();
        config.alpn_protocols = PROTOCOLS.map(alpn).into();
        Ok(Self {
            source: Source::Outside(Arc::new(config)),
            expected: Expected::Dns(name),
            warned: Arc::default(),
        })
    }

    /// Connects by this configuration, whose verifier asks for what is expected.
    #[cfg(feature = "remote")]
    pub(crate) fn by(config: ClientConfig, expected: Expected) -> Self {
        Self {
            source: Source::Outside(Arc::new(config)),
            expected,
            warned: Arc::default(),
        }
    }

    /// Takes the word of these roots too: of an endpoint whose certificate is signed by another CA than the mesh's.
    ///
    /// # Errors
    /// If one of them is not fit to be a root, or the server is outside of the mesh, where the roots were given
    /// before.
    pub fn with_roots(
        self,
        roots: impl IntoIterator<Item = CertificateDer<'static>>,
    ) -> Result<Self, IdentityError> {
        let Source::Mesh(mesh) = self.source else {
            return Err(IdentityError::new(
                "the roots of a server outside are those it was made with",
            ));
        };
        let more_roots: Arc<[_]> = roots.into_iter().collect();
        let verifier = &mesh.identity.epoch().trust.verifier;
        verifier
            .with_more_roots(&more_roots)
            .map_err(|error| IdentityError::because("further roots", error))?;
        let mesh = Mesh {
            more_roots,
            compiled: Arc::default(),
            ..mesh
        };
        Ok(Self {
            source: Source::Mesh(mesh),
            ..self
        })
    }

    /// Offers only these protocols, the preferred one first. Default: HTTP/2, then HTTP/1.1.
    #[must_use]
    pub fn with_protocols(self, protocols: impl IntoIterator<Item = HttpProtocol>) -> Self {
        let protocols = protocols.into_iter();
        let source = match self.source {
            Source::Mesh(mesh) => Source::Mesh(Mesh {
                protocols: protocols.collect(),
                compiled: Arc::default(),
                ..mesh
            }),
            Source::Outside(config) => {
                let mut config = ClientConfig::clone(&config);
                config.alpn_protocols = protocols.map(alpn).collect();
                Source::Outside(Arc::new(config))
            }
        };
        Self { source, ..self }
    }

    /// The name that the server may choose its certificate by.
    fn server_name(&self, endpoint: &Endpoint) -> ServerName<'static> {
        if let Expected::Dns(name) = &self.expected {
            return name.clone();
        }
        let unnamed = || ServerName::IpAddress(Ipv4Addr::UNSPECIFIED.into());
        match &endpoint.address {
            Address::Socket(address) => ServerName::IpAddress(address.ip().into()),
            Address::Host { name, .. } => {
                ServerName::try_from(name.to_string()).unwrap_or_else(|_| unnamed())
            }
        }
    }
}

impl Mesh {
    fn compiled(&self, expected: &Expected) -> io::Result<Arc<Compiled>> {
        let epoch = self.identity.epoch();
        if let Some(compiled) = &*self.compiled.load()
            && Arc::ptr_eq(&compiled.epoch, &epoch)
        {
            return Ok(Arc::clone(compiled));
        }
        let config = self.compile(&epoch, expected).map_err(io::Error::other)?;
        let compiled = Arc::new(Compiled { epoch, config });
        self.compiled.store(Some(Arc::clone(&compiled)));
        Ok(compiled)
    }

    fn compile(&self, epoch: &Epoch, expected: &Expected) -> Result<Arc<ClientConfig>, mesh_core::BoxError> {
        let mut trust = epoch.trust.clone();
        if !self.more_roots.is_empty() {
            trust.verifier = Arc::new(trust.verifier.with_more_roots(&self.more_roots)?);
        }
        let key = Some(Arc::clone(&epoch.key));
        let mut config = member_config(&epoch.crypto, trust, expected.clone(), key)?;
        config.alpn_protocols = self.protocols.iter().copied().map(alpn).collect();
        Ok(Arc::new(config))
    }
}

/// A configuration for a member of the mesh, who shows this certificate, or none.
pub(crate) fn member_config(
    crypto: &Crypto,
    trust: Trust,
    expected: Expected,
    key: Option<Arc<CertifiedKey>>,
) -> Result<ClientConfig, Error> {
    let verifier = ServerVerifier {
        trust,
        expected,
        signatures: crypto.provider.signature_verification_algorithms,
    };
    let builder = ClientConfig::builder_with_provider(Arc::clone(&crypto.provider))
        .with_protocol_versions(&crypto.versions)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match key {
        Some(key) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key))),
        None => builder.with_no_client_auth(),
    };
    // A resumed session is not verified again.
    config.resumption = Resumption::disabled();
    Ok(config)
}

impl Connect for TlsConnect {
    type Io = MeshStream;

    async fn connect(&self, endpoint: &Endpoint) -> io::Result<Connected<MeshStream>> {
        let (config, verified_by) = match &self.source {
            Source::Mesh(mesh) => {
                let compiled = mesh.compiled(&self.expected)?;
                let is_verified = compiled.epoch.trust.peers == Peers::Verified;
                let by = is_verified.then_some((mesh, compiled.epoch.trust_number));
                (Arc::clone(&compiled.config), by)
            }
            Source::Outside(config) => (Arc::clone(config), None),
        };
        let tcp = TcpConnect::new().connect(endpoint).await?.io;
        let address = tcp.peer_addr()?;
        let stream = TlsConnector::from(config)
            .connect(self.server_name(endpoint), Socket(tcp))
            .await;
        let stream = stream.map_err(|error| {
            let told = told(&error, endpoint, &self.expected);
            if is_suspicious(&error) && self.warned.now() {
                tracing::warn!("{told}");
            }
            told
        })?;
        let (_, session) = stream.get_ref();
        let chain = session
            .peer_certificates()
            .filter(|chain| verified_by.is_some() && !chain.is_empty());
        let leaf = chain.and_then(<[_]>::first).map(Certificate::parse).transpose();
        let leaf = leaf.map_err(io::Error::other)?;
        let has_identity = !matches!(self.expected, Expected::Dns(_));
        let peer = peer_of(address, leaf.as_ref(), has_identity).map_err(io::Error::other)?;
        let protocol = agreed(session.alpn_protocol());
        let live = verified_by.zip(chain.zip(leaf.as_ref()));
        let live = live.map(|((mesh, trust), (chain, leaf))| {
            mesh.identity.peers().begin(&Verified {
                chain,
                leaf,
                usage: Usage::Server,
                expected: &self.expected,
                more_roots: &mesh.more_roots,
                trust,
            })
        });
        let (live, control) = live.unzip();
        let mut connected = Connected::new(MeshStream::tls(stream, live))
            .with_protocol(protocol)
            .with_peer(peer);
        connected.control = control;
        Ok(connected)
    }
}

impl fmt::Debug for TlsConnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConnect")
            .field("expected", &self.expected)
            .finish_non_exhaustive()
    }
}

/// An error of the handshake, with whom it was made with.
fn told(error: &io::Error, endpoint: &Endpoint, expected: &Expected) -> io::Error {
    let rustls = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    let why = match rustls {
        // What the verifier says itself, without the wrapping of the library.
        Some(Error::InvalidCertificate(CertificateError::Other(OtherError(why)))) => why.to_string(),
        Some(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            "no root that is trusted here vouches for its certificate: does it belong to this mesh?"
                .to_owned()
        }
        Some(Error::InvalidMessage(_)) => format!(
            "{error}; it does not seem to speak TLS: plaintext is never tried instead, so let it serve TLS, or say that \
             it does not"
        ),
        _ => error.to_string(),
    };
    let message = format!(
        "no TLS connection to {}, expected to be {expected}: {why}",
        endpoint.address
    );
    io::Error::new(error.kind(), message)
}

/// Whether an endpoint may be somebody else than it should be, which an operator wants to know.
fn is_suspicious(error: &io::Error) -> bool {
    let rustls = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    matches!(
        rustls,
        Some(Error::InvalidCertificate(_) | Error::InvalidMessage(_))
    )
}

/// Who proves to be what was expected.
#[derive(Debug)]
struct ServerVerifier {
    trust: Trust,
    expected: Expected,
    signatures: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.trust.peers == Peers::Anyone {
            return Ok(ServerCertVerified::assertion());
        }
        let now = self.trust.clock.now();
        let chain = whole_chain(end_entity, intermediates);
        self.trust
            .verifier
            .verify(&chain, Usage::Server, &self.expected, now)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.signatures)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.signatures)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.signatures.supported_schemes()
    }
}
