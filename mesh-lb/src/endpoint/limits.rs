//! What all pools of a service together may not exceed.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::sync::{Arc, Weak};

use mesh_core::{Error, ErrorKind};
use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::pool::EndpointPool;
use super::settings::Limits;
use crate::load::{EndpointLoad, OpenConnection};

/// The limits of a service and what is used of them; shared by its pools.
#[derive(Debug)]
pub(crate) struct ServiceLimits {
    limits: Limits,
    requests: AtomicUsize,
    pending: AtomicUsize,
    connections: Arc<Semaphore>,
    returned: Notify,
    /// Told when a request ended while others wait to begin.
    room: Notify,
    waiting_for_room: AtomicUsize,
    /// For finding a connection at rest to close; looked at only when the limit is reached.
    pools: Mutex<Vec<Weak<EndpointPool>>>,
}

/// A request within the limit.
#[derive(Debug)]
pub(crate) struct RequestPermit(Option<Arc<ServiceLimits>>);

/// A connection within the limit.
#[derive(Debug)]
pub(crate) struct ConnectionPermit {
    permit: Option<OwnedSemaphorePermit>,
    at_endpoint: Option<OpenConnection>,
    limits: Arc<ServiceLimits>,
}

/// A place among those who wait for a connection.
pub(crate) struct Waiting<'a>(&'a ServiceLimits);

impl ServiceLimits {
    pub(crate) fn new(limits: Limits) -> Arc<Self> {
        let connections = Semaphore::new(limits.max_connections.min(Semaphore::MAX_PERMITS));
        Arc::new(Self {
            limits,
            requests: AtomicUsize::new(0),
            pending: AtomicUsize::new(0),
            connections: Arc::new(connections),
            returned: Notify::new(),
            room: Notify::new(),
            waiting_for_room: AtomicUsize::new(0),
            pools: Mutex::default(),
        })
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Admits a request, if there is room for one.
    pub(crate) fn request(self: &Arc<Self>) -> Option<RequestPermit> {
        if self.requests.fetch_add(1, Ordering::Relaxed) >= self.limits.max_requests {
            self.requests.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(RequestPermit(Some(Arc::clone(self))))
    }

    /// Waits until `claim` gets what it wants: it is asked again whenever a request has ended. `full` says, for
    /// the refusal, what there is no room in.
    pub(crate) async fn wait_for_room<T>(
        &self,
        full: &str,
        mut claim: impl FnMut() -> Result<Option<T>, Error>,
    ) -> Result<T, Error> {
        let _waiting = self.wait().map_err(|_| {
            let max = self.limits.max_pending;
            let message =
                format!("{full}, and {max} requests wait already (circuitBreaker.maxPendingRequests)");
            Error::new(ErrorKind::Overloaded, message)
        })?;
        self.waiting_for_room.fetch_add(1, Ordering::SeqCst);
        let _counted = Counted(&self.waiting_for_room);
        let claimed = async {
            loop {
                let mut room = pin!(self.room.notified());
                // In line before looking, so that what ends in between is told.
                room.as_mut().enable();
                if let Some(claimed) = claim()? {
                    return Ok(claimed);
                }
                room.await;
            }
        };
        timeout(self.limits.max_wait, claimed).await.unwrap_or_else(|_| {
            let message = format!("{full}, for {:?} already", self.limits.max_wait);
            Err(Error::new(ErrorKind::Overloaded, message))
        })
    }

    /// Leave to open one more connection to the endpoint that carries this, if there is any.
    pub(crate) fn connection(self: &Arc<Self>, load: &Arc<EndpointLoad>) -> Option<ConnectionPermit> {
        let permit = Arc::clone(&self.connections).try_acquire_owned().ok()?;
        let at_endpoint = load.open_within(self.limits.max_connections_per_endpoint)?;
        Some(ConnectionPermit {
            permit: Some(permit),
            at_endpoint: Some(at_endpoint),
            limits: Arc::clone(self),
        })
    }

    /// From now on the connections of this pool may be closed to make room.
    pub(crate) fn join(&self, pool: &Arc<EndpointPool>) {
        let mut pools = self.pools.lock();
        pools.retain(|pool| pool.strong_count() > 0);
        pools.push(Arc::downgrade(pool));
    }

    /// Closes a connection at rest, of a pool where that helps. Whether there was one.
    pub(crate) fn close_one_at_rest(&self, helps: impl Fn(&EndpointPool) -> bool) -> bool {
        let pools: Vec<_> = self.pools.lock().iter().filter_map(Weak::upgrade).collect();
        let mut helping = pools.iter().filter(|pool| helps(pool));
        helping.any(|pool| pool.close_one_at_rest())
    }

    /// A place in the queue for a connection.
    pub(crate) fn wait(&self) -> Result<Waiting<'_>, Error> {
        if self.pending.fetch_add(1, Ordering::Relaxed) >= self.limits.max_pending {
            self.pending.fetch_sub(1, Ordering::Relaxed);
            let Limits {
                max_connections,
                max_pending,
                ..
            } = self.limits;
            let message = format!(
                "all {max_connections} connections to the service are in use and {max_pending} requests wait already \
                 (circuitBreaker.maxConnections, maxPendingRequests)"
            );
            return Err(Error::new(ErrorKind::Overloaded, message));
        }
        // Before it looks: see `connection_returned`.
        fence(Ordering::SeqCst);
        Ok(Waiting(self))
    }

    /// A connection came to rest or was closed: whoever waits may look.
    pub(crate) fn connection_returned(&self) {
        // One side puts the connection down and then looks who waits, the other says that it waits and then looks
        // for connections: without the fences each could miss the other.
        fence(Ordering::SeqCst);
        if self.pending.load(Ordering::Relaxed) == 0 {
            return;
        }
        if self.limits.max_connections_per_endpoint == u32::MAX {
            self.returned.notify_one();
        } else {
            // Not everyone who waits can use what became free at this endpoint.
            self.returned.notify_waiters();
        }
    }
}

impl Waiting<'_> {
    /// Resolves when a connection came to rest or was closed since this was called.
    pub(crate) fn returned(&self) -> tokio::sync::futures::Notified<'_> {
        self.0.returned.notified()
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.pending.fetch_sub(1, Ordering::Relaxed);
    }
}

impl RequestPermit {
    /// Nothing was done with it: there is no more room than before, so nobody is told.
    pub(crate) fn give_up(mut self) {
        if let Some(limits) = self.0.take() {
            limits.requests.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

impl Drop for RequestPermit {
    fn drop(&mut self) {
        let Some(limits) = &self.0 else { return };
        // In one order with the waiter's own steps, or it could be missed: it counts itself, then looks.
        limits.requests.fetch_sub(1, Ordering::SeqCst);
        if limits.waiting_for_room.load(Ordering::SeqCst) == 0 {
            return;
        }
        if limits.limits.max_requests_per_endpoint == u32::MAX {
            limits.room.notify_one();
        } else {
            // Not everyone who waits can use the room at this endpoint.
            limits.room.notify_waiters();
        }
    }
}

/// Counts one less when dropped.
struct Counted<'a>(&'a AtomicUsize);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        drop((self.permit.take(), self.at_endpoint.take()));
        self.limits.connection_returned();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn limits(max_connections: usize, max_pending: usize, max_requests: usize) -> Arc<ServiceLimits> {
        ServiceLimits::new(Limits {
            max_connections,
            max_pending,
            max_requests,
            ..Limits::default()
        })
    }

    #[test]
    fn there_is_room_for_so_many_requests_and_no_more_until_one_ends() {
        let limits = limits(1, 1, 2);
        let one = limits.request().expect("first");
        let _two = limits.request().expect("second");
        assert!(limits.request().is_none());
        drop(one);
        assert!(limits.request().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_room_gets_it_when_a_request_ends() {
        let limits = limits(1, 1, 1);
        let held = limits.request().expect("first");
        let claim = || Ok(limits.request());
        let mut waits = pin!(limits.wait_for_room("full", claim));
        assert!(waits.as_mut().now_or_never().is_none());
        drop(held);
        assert!(waits.await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_room_too_long_is_refused() {
        let limits = limits(1, 1, 1);
        let _held = limits.request().expect("first");
        let refused = limits.wait_for_room("it is full", || Ok(limits.request())).await;
        let refused = refused.expect_err("nothing ended");
        assert_eq!(refused.kind(), ErrorKind::Overloaded);
        assert_eq!(refused.message(), "it is full, for 3s already");
    }

    #[test]
    fn the_queue_for_a_connection_is_bounded() {
        let limits = limits(1, 1, 9);
        let held = limits.connection(&Arc::default()).expect("first");
        assert!(limits.connection(&Arc::default()).is_none());
        let waiting = limits.wait().expect("one may wait");
        assert_eq!(limits.wait().err().map(|e| e.kind()), Some(ErrorKind::Overloaded));
        drop(waiting);
        drop(held);
        assert!(limits.connection(&Arc::default()).is_some());
    }

    #[tokio::test]
    async fn a_closed_connection_wakes_who_waits() {
        let limits = limits(1, 1, 9);
        let held = limits.connection(&Arc::default()).expect("first");
        let waiting = limits.wait().expect("one may wait");
        let returned = waiting.returned();
        drop(held);
        returned.await;
    }
}
