//! Keeps the log in memory.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use mesh_core::ServiceName;

use super::{RolloutStore, StoreError, begins};
use crate::log::Record;

/// Keeps the log in memory: for tests, and where a restart may forget a rollout.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<HashMap<ServiceName, Vec<(u64, Record)>>>);

impl RolloutStore for MemoryStore {
    async fn read(&self, service: &ServiceName) -> Result<Vec<(u64, Record)>, StoreError> {
        let logs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(logs.get(service).cloned().unwrap_or_default())
    }

    async fn append(&self, service: &ServiceName, position: u64, record: &Record) -> Result<(), StoreError> {
        let mut logs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let log = logs.entry(service.clone()).or_default();
        let next = log.last().map_or(0, |(last, _)| last.saturating_add(1));
        if position != next {
            return Err(StoreError::conflict(service, position, next));
        }
        if begins(record) {
            log.clear();
        }
        log.push((position, record.clone()));
        Ok(())
    }
}
