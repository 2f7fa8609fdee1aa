//! The first look at a CA that nobody vouches for yet but a hash.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

use super::RootHash;
use super::channel::{CaAddress, Channel};
use super::wire::BundleText;
use crate::authority::{CaError, CaErrorKind, TrustBundle};
use crate::client::TlsConnect;
use crate::policy::Crypto;
use crate::verify::Expected;

/// The most that is read of whom nobody vouches for.
const MAX_ROOTS: usize = 256 * 1024;
const PATIENCE: Duration = Duration::from_secs(10);

/// The roots of the CA, of which only those count whose hash is among these. The server is not verified yet, is told
/// nothing, and is believed nothing but what has one of these hashes.
///
/// As a bundle of the sequence 0, which any that the CA tells is newer than.
pub(super) async fn roots(
    server: &CaAddress,
    crypto: &Crypto,
    hashes: &[RootHash],
) -> Result<TrustBundle, CaError> {
    let connect = TlsConnect::by(config(crypto)?, Expected::Anyone);
    let mut channel = Channel::open(connect, server).await?;
    let told: Option<BundleText> = channel
        .ask(Method::GET, "/v1/roots", Bytes::new(), PATIENCE, MAX_ROOTS)
        .await?;
    let told = told.map(BundleText::bundle).transpose()?;
    let roots: Vec<_> = told
        .into_iter()
        .flat_map(|told| told.roots)
        .filter(|root| hashes.contains(&RootHash::of(&root.cert)))
        .collect();
    if roots.is_empty() {
        let message = format!(
            "{}: none of the roots there is one that the join token names: is it the address of the CA that made the token, \
             or is somebody in between?",
            server.url
        );
        return Err(CaError::new(CaErrorKind::Denied, message));
    }
    Ok(TrustBundle::new(0, roots))
}

fn config(crypto: &Crypto) -> Result<ClientConfig, CaError> {
    let verifier = Unverified(crypto.provider.signature_verification_algorithms);
    let builder = ClientConfig::builder_with_provider(Arc::clone(&crypto.provider))
        .with_protocol_versions(&crypto.versions)
        .map_err(|error| CaError::new(CaErrorKind::Internal, error.to_string()))?;
    let mut config = builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// Takes any server: what it tells is compared with hashes.
#[derive(Debug)]
struct Unverified(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
