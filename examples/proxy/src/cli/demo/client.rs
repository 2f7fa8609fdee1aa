//! The client of the demo: another member of the mesh, which calls the service by its name.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::Request;
use http::header::HOST;
use http_body_util::BodyExt;
use mesh_core::body::Body;
use mesh_core::{Endpoint, EndpointSet, Error};
use mesh_lb::Balance;
use mesh_tls::LocalCa;
use tokio::sync::Semaphore;
use tokio::time::{MissedTickBehavior, interval};
use tower::ServiceExt;

use super::member::identity;
use super::place::PROXY;
use super::{CANARY, SERVICE};

/// More than this under way at once, and requests are left out: the service hangs.
const AT_ONCE: usize = 256;

/// What it saw so far.
#[derive(Debug, Default)]
pub(super) struct Counts {
    stable: AtomicU64,
    canary: AtomicU64,
    failed: AtomicU64,
}

/// The same, read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    pub(super) stable: u64,
    pub(super) canary: u64,
    pub(super) failed: u64,
}

impl Counts {
    pub(super) fn read(&self) -> Seen {
        Seen {
            stable: self.stable.load(Ordering::Relaxed),
            canary: self.canary.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
        }
    }

    fn count(&self, answered: &Result<bool, Error>) {
        let counter = match answered {
            Ok(false) => &self.stable,
            Ok(true) => &self.canary,
            Err(_) => &self.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// The client.
pub(super) struct Client {
    proxy: Balance,
    counts: Arc<Counts>,
}

impl Client {
    /// Joins the mesh of this CA, to call through the proxy at this address.
    pub(super) async fn join(ca: &LocalCa, proxy: SocketAddr, counts: Arc<Counts>) -> Result<Self, String> {
        let identity = identity(ca, "frontend").await?;
        let name = PROXY.parse().map_err(|error| format!("{PROXY}: {error}"))?;
        let connect = identity
            .connect_to_service(&name)
            .map_err(|error| error.to_string())?;
        let proxy = Balance::builder(name)
            .endpoints(EndpointSet::new(vec![Endpoint::new(proxy.into())]))
            .connect(connect)
            .start();
        Ok(Self { proxy, counts })
    }

    /// Calls so often a second, until it is dropped.
    pub(super) async fn call(self, rate: f64) {
        let mut ticks = interval(Duration::from_secs_f64(1.0 / rate));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let room = Arc::new(Semaphore::new(AT_ONCE));
        loop {
            ticks.tick().await;
            let Ok(place) = Arc::clone(&room).try_acquire_owned() else {
                continue;
            };
            let (proxy, counts) = (self.proxy.clone(), Arc::clone(&self.counts));
            tokio::spawn(async move {
                counts.count(&answered(proxy).await);
                drop(place);
            });
        }
    }
}

/// Whether the new version answered.
async fn answered(proxy: Balance) -> Result<bool, Error> {
    let request = Request::get("/").header(HOST, SERVICE);
    let request = request.body(Body::empty()).map_err(Error::wrap)?;
    let response = proxy.oneshot(request).await?;
    let (parts, body) = response.into_parts();
    body.collect().await.map_err(Error::wrap)?;
    match parts.status.is_success() {
        true => Ok(parts
            .headers
            .get("x-version")
            .is_some_and(|version| version == CANARY)),
        false => Err(Error::wrap(format!("status {}", parts.status))),
    }
}
