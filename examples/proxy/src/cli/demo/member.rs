//! An instance of the sample service that is a member of the mesh: it has an identity and listens over mutual TLS only.

use std::time::Duration;

use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use mesh_core::SpiffeId;
use mesh_core::serve::Server;
use mesh_tls::{Identity, LocalCa};
use sample_service::Instance;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::place::{NAMESPACE, TRUST_DOMAIN};

/// An instance.
pub(super) struct Member {
    pub(super) name: &'static str,
    pub(super) version: &'static str,
    /// The share of its answers that are errors.
    pub(super) errors: f64,
}

impl Member {
    /// Joins the mesh of this CA and serves there.
    pub(super) async fn join(
        self,
        ca: &LocalCa,
        socket: TcpListener,
        running: &mut JoinSet<()>,
    ) -> Result<(), String> {
        let identity = identity(ca, super::SERVICE).await?;
        let errors = self.errors;
        let app = sample_service::router(Instance {
            name: self.name.to_owned(),
            version: self.version.to_owned(),
        });
        let app = app.layer(from_fn(move |request, next| behave(errors, request, next)));
        running.spawn(async move {
            let server = Server::accepting(identity.accept());
            server.serve(socket, app).await;
        });
        Ok(())
    }
}

/// What a member of the mesh is to the others.
pub(super) async fn identity(ca: &LocalCa, service: &str) -> Result<Identity, String> {
    let id = SpiffeId::of_service(TRUST_DOMAIN, NAMESPACE, service).map_err(|error| error.to_string())?;
    let identity = Identity::builder(id).authority(ca.clone()).start().await;
    identity.map_err(|error| error.to_string())
}

/// Takes some milliseconds, as work does, and fails as often as it is to.
async fn behave(errors: f64, request: Request, next: Next) -> Response {
    tokio::time::sleep(Duration::from_millis(fastrand::u64(2..12))).await;
    match fastrand::f64() < errors {
        true => (StatusCode::INTERNAL_SERVER_ERROR, "this version is broken\n").into_response(),
        false => next.run(request).await,
    }
}
