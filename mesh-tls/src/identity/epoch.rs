//! One state of an identity, compiled for handshakes.

use std::sync::Arc;
use std::time::SystemTime;

use mesh_core::SpiffeId;
use mesh_core::clock::WallClock;
use rustls::ServerConfig;
use rustls::sign::CertifiedKey;

use super::IdentityError;
use super::status::{CrlStatus, RootStatus, Standing};
use crate::authority::{IssuedCert, TrustBundle};
use crate::certificate::Certificate;
use crate::hash::sha256;
use crate::key::PrivateKey;
use crate::policy::{Crypto, TlsPolicy};
use crate::server::{self, ClientCerts, Trust};
use crate::verify::{Expected, Usage, Verifier, VerifyError, VerifyErrorKind, VerifyPolicy};

/// A key, its certificate, and whom to trust, of one moment: everything a handshake needs, never changed. A new
/// one takes its place as a whole.
pub(crate) struct Epoch {
    pub(crate) key: Arc<CertifiedKey>,
    pub(crate) cert: IssuedCert,
    pub(crate) roots: Arc<[RootStatus]>,
    pub(super) crls: Arc<[CrlStatus]>,
    pub(crate) trust: Trust,
    /// Counts up with every change of trust, from 1 on. A new certificate alone changes nothing of it.
    pub(crate) trust_number: u64,
    pub(super) trust_hash: Arc<str>,
    pub(super) sequence: u64,
    /// Why the own certificate is not believed by the own trust, if it is not.
    pub(super) own: Result<(), VerifyError>,
    tainted: bool,
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

    /// What peers that go by the same bundle think of the certificate.
    pub(super) fn standing(&self) -> Standing {
        match &self.own {
            Ok(()) if self.tainted => Standing::Tainted,
            Ok(()) => Standing::Good,
            Err(error) => match error.kind() {
                VerifyErrorKind::Revoked => Standing::Revoked,
                VerifyErrorKind::Expired => Standing::Expired,
                // These are about the time and about the authority: a new certificate would not be better.
                VerifyErrorKind::NotYetValid | VerifyErrorKind::StaleCrl => Standing::Good,
                _ => Standing::Untrusted,
            },
        }
    }

    /// Whether the certificate is as good as a new one has to be.
    pub(super) fn fit(self, id: &SpiffeId) -> Result<Self, IdentityError> {
        match &self.own {
            Ok(()) => Ok(self),
            Err(error) => Err(unfit(&self.cert, id, error.clone())),
        }
    }

    /// The end of the root that ended last, if one has.
    pub(super) fn last_root_ended(&self, now: SystemTime) -> Option<SystemTime> {
        let ends = self.roots.iter().map(|root| root.not_after);
        ends.filter(|end| *end < now).max()
    }
}

fn unfit(cert: &IssuedCert, id: &SpiffeId, cause: impl Into<mesh_core::BoxError>) -> IdentityError {
    IdentityError::because(
        format_args!("the certificate {} of {id} cannot be used", cert.serial()),
        cause,
    )
}

/// A bundle that was compiled by itself.
pub(super) struct Prepared {
    hash: Arc<str>,
    verifier: Arc<Verifier>,
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

    fn verify_policy(&self) -> VerifyPolicy {
        let mut verify = VerifyPolicy::new();
        verify.trust_domain = Some(self.id.trust_domain().into());
        verify.stale_crl = self.policy.stale_crl;
        verify
    }

    /// Compiles a bundle by itself.
    pub(super) fn verifier(&self, bundle: &TrustBundle) -> Result<Verifier, IdentityError> {
        Verifier::new(bundle, self.verify_policy())
            .map_err(|error| IdentityError::because("the trust bundle cannot be used", error))
    }

    /// Compiles an epoch: the key has to be the certificate's. What the trust says of the certificate is written down in
    /// it; [`Epoch::fit`] refuses what could not serve, so that it never takes a good one's place. Trust that has not
    /// changed since the epoch `before` is taken over from it.
    pub(super) fn compile(
        &self,
        key: &PrivateKey,
        cert: &IssuedCert,
        bundle: &TrustBundle,
        before: Option<&Epoch>,
    ) -> Result<Epoch, IdentityError> {
        let same = before.filter(|before| *before.trust_hash == hash(bundle));
        let prepared = match same {
            Some(before) => Prepared {
                hash: Arc::clone(&before.trust_hash),
                verifier: Arc::clone(&before.trust.verifier),
            },
            None => self.prepare(bundle)?,
        };
        self.compile_prepared(key, cert, (bundle, prepared), before)
    }

    /// The part of compiling that takes long, if the bundle is long.
    pub(super) fn prepare(&self, bundle: &TrustBundle) -> Result<Prepared, IdentityError> {
        Ok(Prepared {
            hash: hash(bundle).into(),
            verifier: Arc::new(self.verifier(bundle)?),
        })
    }

    /// As [`compile`](Self::compile), of a bundle that was prepared.
    pub(super) fn compile_prepared(
        &self,
        key: &PrivateKey,
        cert: &IssuedCert,
        (bundle, prepared): (&TrustBundle, Prepared),
        before: Option<&Epoch>,
    ) -> Result<Epoch, IdentityError> {
        let Prepared { hash, verifier } = prepared;
        let (verifier, trust_number) = match before {
            Some(before) if before.trust_hash == hash => {
                (Arc::clone(&before.trust.verifier), before.trust_number)
            }
            Some(before) => (verifier, before.trust_number + 1),
            None => (verifier, 1),
        };
        let own = self.verify_own(&verifier, cert);
        let tainted = own.is_ok() && self.is_tainted(bundle, cert);
        let chain = cert.chain().to_vec();
        let key = CertifiedKey::from_der(chain, key.expose_secret().clone_key(), &self.crypto.provider)
            .map_err(|error| unfit(cert, &self.id, error))?;
        let key = Arc::new(key);
        let trust = Trust {
            verifier,
            peers: self.policy.peers,
            clock: Arc::clone(&self.clock),
        };
        let server = |client_certs| {
            server::config(&self.crypto, &key, &trust, client_certs)
                .map_err(|error| unfit(cert, &self.id, error))
        };
        let roots = bundle.roots.iter().filter_map(|root| {
            let root = Certificate::parse(&root.cert).ok()?;
            Some(RootStatus::of(&root))
        });
        Ok(Epoch {
            server_required: server(ClientCerts::Required)?,
            server_optional: server(ClientCerts::Optional)?,
            roots: roots.collect(),
            crls: CrlStatus::all_of(&trust.verifier),
            cert: cert.clone(),
            crypto: Arc::clone(&self.crypto),
            key,
            trust,
            trust_number,
            trust_hash: hash,
            sequence: bundle.sequence,
            own,
            tainted,
        })
    }

    fn verify_own(&self, verifier: &Verifier, cert: &IssuedCert) -> Result<(), VerifyError> {
        let own = Expected::Identity(self.id.clone());
        for usage in [Usage::Server, Usage::Client] {
            verifier.verify(cert.chain(), usage, &own, self.clock.now())?;
        }
        Ok(())
    }

    /// Whether no root vouches for a certificate but such whose keys may be known to others.
    fn is_tainted(&self, bundle: &TrustBundle, cert: &IssuedCert) -> bool {
        if !bundle.roots.iter().any(|root| root.tainted) {
            return false;
        }
        let others = bundle.roots.iter().filter(|root| !root.tainted).cloned();
        // Revocation is another question, which is answered.
        let others = TrustBundle::new(bundle.sequence, others);
        match self.verifier(&others) {
            Ok(others) => self.verify_own(&others, cert).is_err(),
            Err(_) => true,
        }
    }
}

/// What a bundle says, whatever its sequence.
fn hash(bundle: &TrustBundle) -> String {
    let mut text = Vec::new();
    let mut add = |part: &[u8]| {
        text.extend_from_slice(&part.len().to_be_bytes());
        text.extend_from_slice(part);
    };
    for root in &bundle.roots {
        add(&root.cert);
        add(&[u8::from(root.tainted)]);
    }
    for crl in &bundle.crls {
        add(crl);
    }
    sha256(&text)
}
