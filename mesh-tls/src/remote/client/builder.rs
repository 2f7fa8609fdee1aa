//! Puts a [`RemoteCa`] together.

use std::path::PathBuf;
use std::sync::Arc;

use mesh_core::SpiffeId;
use mesh_core::clock::{SystemClock, WallClock};
use parking_lot::Mutex;

use super::memory::Memory;
use super::{Inner, RemoteCa};
use crate::authority::{CaError, CaErrorKind};
use crate::policy::{Crypto, TlsPolicy};
use crate::remote::channel::CaAddress;
use crate::remote::source::{AnyProofSource, ProofSource};
use crate::store::{AnyStore, CertStore, MemoryStore};

/// Puts a [`RemoteCa`] together.
#[must_use = "there is no authority before `build`"]
#[derive(Debug)]
pub struct RemoteCaBuilder {
    id: SpiffeId,
    address: CaAddress,
    proofs: Option<AnyProofSource>,
    store: AnyStore,
    policy: TlsPolicy,
    server: Option<SpiffeId>,
    state_dir: Option<PathBuf>,
    clock: Arc<dyn WallClock>,
}

impl RemoteCaBuilder {
    pub(super) fn new(id: SpiffeId, address: CaAddress) -> Self {
        Self {
            id,
            address,
            proofs: None,
            store: AnyStore::new(MemoryStore::new()),
            policy: TlsPolicy::default(),
            server: None,
            state_dir: None,
            clock: Arc::new(SystemClock),
        }
    }

    /// What to join with while there is no certificate that counts. Default: nothing, so that a certificate has to be in
    /// the store.
    pub fn join(mut self, proofs: impl ProofSource) -> Self {
        self.proofs = Some(AnyProofSource::new(proofs));
        self
    }

    /// Where the identity keeps its certificate, to be shown to the CA: clones of one [`AnyStore`], or two stores of one
    /// directory.
    pub fn store(mut self, store: impl CertStore) -> Self {
        self.store = AnyStore::new(store);
        self
    }

    /// What of TLS is spoken with the CA. It is verified whatever the policy says of peers.
    pub fn policy(mut self, policy: TlsPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Who the CA's server is. Default: who the proof said it was when this process joined.
    pub fn server(mut self, server: SpiffeId) -> Self {
        self.server = Some(server);
        self
    }

    /// The directory in which is kept who the CA's server is, so that a restart needs no proof. It is made if it is not
    /// there. Default: nowhere.
    pub fn state_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.state_dir = Some(directory.into());
        self
    }

    /// What time it is.
    pub fn clock(mut self, clock: impl WallClock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// An authority that has asked nothing yet.
    ///
    /// # Errors
    /// The policy speaks nothing, or the directory cannot be used.
    pub fn build(self) -> Result<RemoteCa, CaError> {
        let crypto = Crypto::new(&self.policy).map_err(|error| {
            CaError::new(
                CaErrorKind::InvalidRequest,
                format!("TLS cannot be spoken: {error}"),
            )
        })?;
        let inner = Inner {
            memory: Memory::open(self.server, self.state_dir, &self.address.url)?,
            id: self.id,
            address: self.address,
            proofs: self.proofs,
            store: self.store,
            crypto,
            stale_crl: self.policy.stale_crl,
            clock: self.clock,
            told: Mutex::default(),
        };
        Ok(RemoteCa {
            inner: Arc::new(inner),
        })
    }
}
