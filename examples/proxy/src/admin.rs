//! The admin API: what runs now, and what can be done about it. Every call stands in `docs/admin-api.md` and in the
//! OpenAPI document at `/api/v1/openapi.json`.

mod canaries;
mod certificates;
mod dashboard;
mod guard;
mod live;
mod openapi;
mod problem;
mod process;
mod shown;
#[cfg(test)]
mod tests;

use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use mesh_core::EventBus;
use mesh_core::serve::ServeLimits;
use mesh_telemetry::Telemetry;

use crate::canary::Desk;
use crate::config;
use crate::identity::InUse;
use crate::plan::Plan;
use crate::side_port::{Ready, SidePort, Wanted};
use guard::Guard;
use shown::Shown;

pub use process::{Order, Orders, Reloaded, orders};

/// The most bytes of a request's body: the longest has two words.
const BODY: usize = 64 * 1024;

/// What is asked about and acted upon.
#[derive(Clone)]
struct Shared {
    /// What this process is to its peers, and the CA it has.
    identity: Arc<ArcSwap<Option<InUse>>>,
    canaries: Desk,
    guard: Arc<ArcSwap<Guard>>,
    orders: Orders,
    shown: Arc<Shown>,
}

/// The admin API of this process, from one configuration to the next.
pub struct Admin {
    shared: Shared,
    serving: Option<SidePort>,
}

/// The next state of it: nothing can refuse any more.
pub struct Prepared(Option<Next>);

struct Next {
    guard: Guard,
    /// `None`: it is served where it is.
    port: Option<Ready>,
}

impl Admin {
    /// About this identity, which others change, these rollouts, and what is measured and told there. It is served nowhere
    /// before the first configuration is adopted.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn new(
        identity: Arc<ArcSwap<Option<InUse>>>,
        canaries: Desk,
        orders: Orders,
        telemetry: &Telemetry,
        bus: &EventBus,
    ) -> Self {
        Self {
            shared: Shared {
                identity,
                canaries,
                guard: Arc::default(),
                orders,
                shown: Arc::new(Shown::new(telemetry, bus)),
            },
            serving: None,
        }
    }

    /// Binds what this configuration asks for, before anything changes.
    ///
    /// # Errors
    /// The address is taken, or it is to be served over TLS and there is no identity. An address that nobody wrote may be
    /// taken: another proxy of this machine has it.
    pub fn prepare(
        &self,
        admin: Option<&config::Admin>,
        identity: Option<&InUse>,
        bind: impl FnOnce(SocketAddr) -> Result<StdListener, String>,
    ) -> Result<Prepared, String> {
        let Some(admin) = admin else {
            return Ok(Prepared(None));
        };
        let guard = Guard::new(admin);
        let tls = match (admin.tls, identity) {
            (false, _) => None,
            (true, Some(in_use)) => Some((guard.client_certs(), in_use.identity().clone())),
            (true, None) => {
                return Err("serviceMesh.admin.tls takes mutualTLS, which gives the certificate".into());
            }
        };
        let wanted = Wanted {
            bind: admin.bind,
            tls,
        };
        match wanted.prepare(self.serving.as_ref(), bind) {
            Ok(port) => Ok(Prepared(Some(Next { guard, port }))),
            Err(error) if admin.is_by_default => {
                tracing::warn!(
                    "there is no admin API: {error} (serviceMesh.admin.bind names another address)"
                );
                Ok(Prepared(None))
            }
            Err(error) => Err(error),
        }
    }

    /// Shows what runs by this plan from now on.
    pub fn show(&self, plan: &Arc<Plan>) {
        self.shared.shown.plan.store(Some(Arc::clone(plan)));
    }

    /// Serves what was prepared. Calls that are under way are answered.
    pub fn adopt(&mut self, prepared: Prepared) {
        let Some(next) = prepared.0 else {
            self.serving = None;
            return;
        };
        self.shared.guard.store(Arc::new(next.guard));
        if let Some(port) = next.port {
            self.serving = Some(port.serve("the admin API", limits(), routes(self.shared.clone())));
        }
    }
}

/// Few ask here, and nobody may keep others from being answered.
fn limits() -> ServeLimits {
    let mut limits = ServeLimits::default();
    limits.request_head = Duration::from_secs(5);
    limits.max_connections = 64;
    limits.max_handshakes = 64;
    limits.max_streams = 16;
    limits
}

fn routes(shared: Shared) -> Router {
    let (api, document) = openapi::api().split_for_parts();
    api.merge(openapi::served(document))
        .merge(dashboard::routes())
        .fallback(problem::no_such_call)
        .method_not_allowed_fallback(problem::no_such_method)
        .layer(DefaultBodyLimit::max(BODY))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&shared.guard),
            guard::admit,
        ))
        .with_state(shared)
}
