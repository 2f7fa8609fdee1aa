//! What an endpoint is carrying: kept by its identity, so that it survives a discovery update, and shared by
//! all pools to it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use crossbeam_utils::CachePadded;
use mesh_core::EndpointId;
use parking_lot::Mutex;

/// The load of one endpoint.
#[derive(Debug, Default)]
pub struct EndpointLoad {
    in_flight: CachePadded<AtomicU32>,
}

impl EndpointLoad {
    /// The requests it is answering now, each counted from the pick until the end of its response's body.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Counts a request until the guard is dropped.
    pub fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(self))
    }
}

/// One request in flight.
#[derive(Debug)]
pub struct InFlight(Arc<EndpointLoad>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The loads of all endpoints someone still uses, by identity. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Loads(Arc<Mutex<HashMap<EndpointId, Weak<EndpointLoad>>>>);

impl Loads {
    /// The load of this endpoint: the one it had, if anyone still holds it. For publish time, not for picks.
    pub fn of(&self, endpoint: &EndpointId) -> Arc<EndpointLoad> {
        let mut loads = self.0.lock();
        if let Some(load) = loads.get(endpoint).and_then(Weak::upgrade) {
            return load;
        }
        loads.retain(|_, load| load.strong_count() > 0);
        let load = Arc::new(EndpointLoad::default());
        loads.insert(endpoint.clone(), Arc::downgrade(&load));
        load
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_is_kept_by_the_identity_of_its_endpoint() {
        let loads = Loads::default();
        let endpoint = mesh_core::Endpoint::new("10.0.0.1:80".parse().expect("address"));
        let first = loads.of(endpoint.id());
        let guard = first.begin();
        assert_eq!(loads.of(endpoint.id()).in_flight(), 1);
        drop(guard);
        assert_eq!(first.in_flight(), 0);
    }

    #[test]
    fn loads_nobody_holds_are_forgotten() {
        let loads = Loads::default();
        for port in 1..=100_u16 {
            let endpoint = mesh_core::Endpoint::new(std::net::SocketAddr::from(([10, 0, 0, 1], port)).into());
            drop(loads.of(endpoint.id()));
        }
        assert!(loads.0.lock().len() <= 1);
    }
}
