//! The server's side of TLS: what a client has to prove.

use std::sync::Arc;

use mesh_core::clock::WallClock;
use mesh_core::connect::HttpProtocol;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme};

use crate::peer::alpn;
use crate::policy::{Crypto, Peers};
use crate::seldom::Seldom;
use crate::verify::{Expected, Usage, Verifier};

/// Whether a client has to show a certificate. One that it shows is verified in any case: a bad one is refused,
/// never taken for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ClientCerts {
    /// A client without a certificate is refused.
    #[default]
    Required,
    /// A client without a certificate is served as nobody.
    Optional,
}

/// A configuration for new connections. It never resumes a session: a resumed one is not verified again, so that
/// a revoked client would come back in.
pub(crate) fn config(
    crypto: &Crypto,
    key: &Arc<CertifiedKey>,
    trust: &Trust,
    client_certs: ClientCerts,
) -> Result<Arc<ServerConfig>, Error> {
    let verifier = ClientVerifier {
        root_hints: trust.verifier.root_subjects(),
        trust: trust.clone(),
        mandatory: client_certs == ClientCerts::Required,
        signatures: crypto.provider.signature_verification_algorithms,
        warned: Seldom::default(),
    };
    let mut config = ServerConfig::builder_with_provider(Arc::clone(&crypto.provider))
        .with_protocol_versions(&crypto.versions)?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(key))));
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.ignore_client_order = crypto.servers_order_counts;
    config.alpn_protocols = vec![alpn(HttpProtocol::Http2), alpn(HttpProtocol::Http1)];
    Ok(Arc::new(config))
}

/// Whom to believe, and by whose clock.
#[derive(Clone, Debug)]
pub(crate) struct Trust {
    pub(crate) verifier: Arc<Verifier>,
    pub(crate) peers: Peers,
    pub(crate) clock: Arc<dyn WallClock>,
}

/// A chain as it was shown, the leaf first.
pub(crate) fn whole_chain<'c>(
    leaf: &'c CertificateDer<'_>,
    intermediates: &'c [CertificateDer<'_>],
) -> Vec<CertificateDer<'c>> {
    let all = std::iter::once(leaf).chain(intermediates);
    all.map(|cert| CertificateDer::from(cert.as_ref())).collect()
}

#[derive(Debug)]
struct ClientVerifier {
    trust: Trust,
    root_hints: Arc<[DistinguishedName]>,
    mandatory: bool,
    signatures: WebPkiSupportedAlgorithms,
    warned: Seldom,
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.root_hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if self.trust.peers == Peers::Anyone {
            return Ok(ClientCertVerified::assertion());
        }
        let now = self.trust.clock.now();
        let chain = whole_chain(end_entity, intermediates);
        let verified = self
            .trust
            .verifier
            .verify(&chain, Usage::Client, &Expected::Member, now);
        match verified {
            Ok(_) => Ok(ClientCertVerified::assertion()),
            Err(error) => {
                // The alert says little, to whoever is at the other end; who runs this wants to know.
                if self.warned.now() {
                    tracing::warn!("a client is refused: {error}");
                }
                Err(error.into())
            }
        }
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
