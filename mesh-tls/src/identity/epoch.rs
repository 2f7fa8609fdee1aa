//! One state of an identity, compiled for handshakes.

use std::sync::Arc;
use std::time::SystemTime;

use mesh_core::SpiffeId;
use mesh_core::clock::WallClock;
use rustls::ServerConfig;
use rustls::sign::CertifiedKey;

use super::IdentityError;
use crate::authority::{IssuedCert, TrustBundle};
use crate::certificate::Certificate;
use crate::key::PrivateKey;
use crate::policy::{Crypto, TlsPolicy};
use crate::server::{self, ClientCerts, Trust};
use crate::verify::{Expected, Usage, Verifier, VerifyPolicy};

/// A key, its certificate, and whom to trust, of one moment: everything a handshake needs, never changed. A new
/// one takes its place as a whole.
pub(crate) struct Epoch {
    pub(crate) key: Arc<CertifiedKey>,
    pub(crate) cert: IssuedCert,
    pub(crate) roots: Vec<(String, SystemTime)>,
    pub(crate) trust: Trust,
    pub(crate) crypto: Arc<Crypto>,
    pub(crate) server_required: Arc<ServerConfig>,
    pub(crate) server_optional: Arc<ServerConfig>,
}

impl Epoch {
    /// Whether it may take the place of the one before: nothing that was taken back may come back.
    pub(super) fn may_replace(&self, before: &Self) -> Result<(), IdentityError> {
        let newer = self.trust.verifier.may_replace(&before.trust.verifier);
        newer.map_err(|error| IdentityError::because("the trust bundle goes back", error))
    }
}

/// What every epoch of an identity has in common.
#[derive(Clone, Debug)]
pub(super) struct Compiler {
    pub(super) id: SpiffeId,
    crypto: Arc<Crypto>,
    policy: TlsPolicy,
    pub(super) clock: Arc<dyn WallClock>,
}

impl Compiler {
    pub(super) fn new(
        id: SpiffeId,
        policy: &TlsPolicy,
        clock: Arc<dyn WallClock>,
    ) -> Result<Self, IdentityError> {
        let crypto =
            Crypto::new(policy).map_err(|error| IdentityError::because("TLS cannot be spoken", error))?;
        Ok(Self {
            id,
            crypto: Arc::new(crypto),
            policy: policy.clone(),
            clock,
        })
    }

    /// Compiles an epoch, if it could serve: the key is the certificate's, the chain leads to the bundle, and the
    /// certificate is this identity's. What could not is refused here, so that it never takes a good one's place.
    pub(super) fn compile(
        &self,
        key: &PrivateKey,
        cert: &IssuedCert,
        bundle: &TrustBundle,
    ) -> Result<Epoch, IdentityError> {
        let unfit = |cause: mesh_core::BoxError| {
            IdentityError::because(
                format_args!("the certificate {} of {} cannot be used", cert.serial(), self.id),
                cause,
            )
        };
        let mut verify = VerifyPolicy::new();
        verify.trust_domain = Some(self.id.trust_domain().into());
        verify.stale_crl = self.policy.stale_crl;
        let verifier = Verifier::new(bundle, verify)
            .map_err(|error| IdentityError::because("the trust bundle cannot be used", error))?;
        let own = Expected::Identity(self.id.clone());
        for usage in [Usage::Server, Usage::Client] {
            verifier
                .verify(cert.chain(), usage, &own, self.clock.now())
                .map_err(|error| unfit(error.into()))?;
        }
        let chain = cert.chain().to_vec();
        let key = CertifiedKey::from_der(chain, key.expose_secret().clone_key(), &self.crypto.provider)
            .map_err(|error| unfit(error.into()))?;
        let key = Arc::new(key);
        let trust = Trust {
            verifier: Arc::new(verifier),
            peers: self.policy.peers,
            clock: Arc::clone(&self.clock),
        };
        let server = |client_certs| {
            server::config(&self.crypto, &key, &trust, client_certs).map_err(|error| unfit(error.into()))
        };
        let roots = bundle.roots.iter().filter_map(|root| {
            let root = Certificate::parse(&root.cert).ok()?;
            Some((root.subject().to_owned(), root.not_after()))
        });
        Ok(Epoch {
            server_required: server(ClientCerts::Required)?,
            server_optional: server(ClientCerts::Optional)?,
            roots: roots.collect(),
            cert: cert.clone(),
            crypto: Arc::clone(&self.crypto),
            key,
            trust,
        })
    }
}
