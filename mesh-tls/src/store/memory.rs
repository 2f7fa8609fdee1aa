//! Keeps identities as long as the process lives.

use std::collections::HashMap;
use std::fmt;

use mesh_core::SpiffeId;
use parking_lot::Mutex;

use super::{CertStore, StoreError, StoredCert};

/// Keeps identities in memory: a key is never written anywhere, and a restart asks the CA for a new one.
#[derive(Default)]
pub struct MemoryStore(Mutex<HashMap<SpiffeId, StoredCert>>);

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }
}

impl CertStore for MemoryStore {
    async fn load(&self, id: &SpiffeId) -> Result<Option<StoredCert>, StoreError> {
        Ok(self.0.lock().get(id).cloned())
    }

    async fn save(&self, stored: &StoredCert) -> Result<(), StoreError> {
        self.0.lock().insert(stored.id.clone(), stored.clone());
        Ok(())
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.lock().keys()).finish()
    }
}
