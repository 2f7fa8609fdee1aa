//! Any store, without a type parameter.

use std::fmt;
use std::sync::Arc;

use mesh_core::SpiffeId;

use super::{CertStore, StoreError, StoredCert};
use crate::erase::BoxFuture;

/// The twin of [`CertStore`] that a vtable can hold.
trait ErasedStore: Send + Sync {
    fn load<'a>(&'a self, id: &'a SpiffeId) -> BoxFuture<'a, Result<Option<StoredCert>, StoreError>>;
    fn save<'a>(&'a self, stored: &'a StoredCert) -> BoxFuture<'a, Result<(), StoreError>>;
}

impl<S: CertStore> ErasedStore for S {
    fn load<'a>(&'a self, id: &'a SpiffeId) -> BoxFuture<'a, Result<Option<StoredCert>, StoreError>> {
        Box::pin(CertStore::load(self, id))
    }

    fn save<'a>(&'a self, stored: &'a StoredCert) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(CertStore::save(self, stored))
    }
}

/// Any [`CertStore`]. Clones share it.
#[derive(Clone)]
pub struct AnyStore(Arc<dyn ErasedStore>);

impl AnyStore {
    /// Takes a store.
    pub fn new(store: impl CertStore) -> Self {
        Self(Arc::new(store))
    }
}

impl CertStore for AnyStore {
    async fn load(&self, id: &SpiffeId) -> Result<Option<StoredCert>, StoreError> {
        self.0.load(id).await
    }

    async fn save(&self, stored: &StoredCert) -> Result<(), StoreError> {
        self.0.save(stored).await
    }
}

impl fmt::Debug for AnyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnyStore").finish_non_exhaustive()
    }
}
