//! The admin API: what runs now, and what can be done about it. Every call stands in `docs/admin-api.md` and in the
//! OpenAPI document at `/api/v1/openapi.json`.

mod certificates;
mod guard;
mod openapi;
mod problem;
mod process;
#[cfg(test)]
mod tests;

use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use mesh_core::serve::{ServeLimits, Server};
use mesh_tls::{ClientCerts, Identity};
use tokio::net::TcpListener;

use crate::accept::ListenerAccept;
use crate::config::{self, ListenerTls};
use crate::identity::InUse;
use guard::Guard;

pub use process::{Order, Orders, Reloaded, orders};

/// The most bytes of a request's body: the longest has two words.
const BODY: usize = 64 * 1024;

/// What is asked about and acted upon.
#[derive(Clone)]
struct Shared {
    /// What this process is to its peers, and the CA it has.
    identity: Arc<ArcSwap<Option<InUse>>>,
    guard: Arc<ArcSwap<Guard>>,
    orders: Orders,
}

/// The admin API of this process, from one configuration to the next.
pub struct Admin {
    shared: Shared,
    serving: Option<Serving>,
}

/// What is being served, and from what it was made.
struct Serving {
    bind: SocketAddr,
    tls: Option<(ClientCerts, Identity)>,
    socket: StdListener,
    _task: AbortOnDrop,
}

/// The next state of it: nothing can refuse any more.
pub struct Prepared(Option<Next>);

struct Next {
    guard: Guard,
    serving: Change,
}

/// What becomes of what is served.
enum Change {
    Stays,
    Begins {
        server: Box<Server<ListenerAccept>>,
        listener: TcpListener,
        socket: StdListener,
        bind: SocketAddr,
        tls: Option<(ClientCerts, Identity)>,
    },
}

impl Admin {
    /// About this identity, which others change. It is served nowhere before the first configuration is adopted.
    pub fn new(identity: Arc<ArcSwap<Option<InUse>>>, orders: Orders) -> Self {
        Self {
            shared: Shared {
                identity,
                guard: Arc::default(),
                orders,
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
        let bound = self.serving.as_ref().filter(|serving| serving.bind == admin.bind);
        if bound.is_some_and(|serving| serving.tls == tls) {
            let serving = Change::Stays;
            return Ok(Prepared(Some(Next { guard, serving })));
        }
        let socket = match bound {
            Some(serving) => serving.socket.try_clone().map_err(|error| error.to_string()),
            None => bind(admin.bind),
        };
        let socket = match socket {
            Ok(socket) => socket,
            Err(error) if admin.is_by_default => {
                tracing::warn!(
                    "there is no admin API: {error} (serviceMesh.admin.bind names another address)"
                );
                return Ok(Prepared(None));
            }
            Err(error) => return Err(error),
        };
        let listener = socket
            .try_clone()
            .and_then(TcpListener::from_std)
            .map_err(|error| format!("the admin API cannot be served on {}: {error}", admin.bind))?;
        let accept = match &tls {
            None => ListenerAccept::new(ListenerTls::Off, ClientCerts::Optional, None)?,
            Some((certs, own)) => ListenerAccept::new(ListenerTls::Strict, *certs, Some(own))?,
        };
        let serving = Change::Begins {
            server: Box::new(Server::accepting(accept).limits(limits())),
            listener,
            socket,
            bind: admin.bind,
            tls,
        };
        Ok(Prepared(Some(Next { guard, serving })))
    }

    /// Serves what was prepared.
    pub fn adopt(&mut self, prepared: Prepared) {
        let Some(next) = prepared.0 else {
            self.serving = None;
            return;
        };
        self.shared.guard.store(Arc::new(next.guard));
        if let Change::Begins {
            server,
            listener,
            socket,
            bind,
            tls,
        } = next.serving
        {
            let address = listener.local_addr().unwrap_or(bind);
            tracing::info!(%address, tls = tls.is_some(), "serving the admin API");
            let task = tokio::spawn(server.serve(listener, routes(self.shared.clone())));
            self.serving = Some(Serving {
                bind,
                tls,
                socket,
                _task: AbortOnDrop(task),
            });
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
        .fallback(problem::no_such_call)
        .method_not_allowed_fallback(problem::no_such_method)
        .layer(DefaultBodyLimit::max(BODY))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&shared.guard),
            guard::admit,
        ))
        .with_state(shared)
}

/// A task that ends when this is dropped.
struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
