//! Any store, without a type parameter.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use mesh_core::ServiceName;

use super::{RolloutStore, StoreError};
use crate::log::Record;

/// Decisions are rare: a box a call costs nothing that matters.
type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The twin of [`RolloutStore`] that a vtable can hold.
trait ErasedStore: Send + Sync {
    fn read<'a>(&'a self, service: &'a ServiceName) -> BoxFuture<'a, Result<Vec<(u64, Record)>, StoreError>>;
    fn append<'a>(
        &'a self,
        service: &'a ServiceName,
        position: u64,
        record: &'a Record,
    ) -> BoxFuture<'a, Result<(), StoreError>>;
}

impl<S: RolloutStore> ErasedStore for S {
    fn read<'a>(&'a self, service: &'a ServiceName) -> BoxFuture<'a, Result<Vec<(u64, Record)>, StoreError>> {
        Box::pin(RolloutStore::read(self, service))
    }

    fn append<'a>(
        &'a self,
        service: &'a ServiceName,
        position: u64,
        record: &'a Record,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(RolloutStore::append(self, service, position, record))
    }
}

/// Any [`RolloutStore`]. Clones share it.
#[derive(Clone)]
pub struct AnyStore(Arc<dyn ErasedStore>);

impl AnyStore {
    /// Takes a store.
    pub fn new(store: impl RolloutStore) -> Self {
        Self(Arc::new(store))
    }
}

impl RolloutStore for AnyStore {
    async fn read(&self, service: &ServiceName) -> Result<Vec<(u64, Record)>, StoreError> {
        self.0.read(service).await
    }

    async fn append(&self, service: &ServiceName, position: u64, record: &Record) -> Result<(), StoreError> {
        self.0.append(service, position, record).await
    }
}

impl fmt::Debug for AnyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnyStore").finish_non_exhaustive()
    }
}
