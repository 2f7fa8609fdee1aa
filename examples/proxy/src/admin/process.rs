//! The process: its configuration read again, and its end.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use utoipa::ToSchema;

use super::Shared;
use super::problem::Problem;

/// What the process is told.
#[derive(Debug)]
pub enum Order {
    /// Read the configuration again, and say what came of it.
    Reload(oneshot::Sender<Reloaded>),
    /// Stop as if by a signal: what is in flight is finished.
    Drain,
}

/// What came of reading the configuration: it is in use, or why it is not.
pub type Reloaded = Result<(), String>;

/// Tells the process what to do.
#[derive(Clone, Debug)]
pub struct Orders(mpsc::Sender<Order>);

/// A way to tell the process, and where it hears of it.
pub fn orders() -> (Orders, mpsc::Receiver<Order>) {
    // Each is waited for by who asks, and there are as many of these as there are connections.
    let (sender, receiver) = mpsc::channel(64);
    (Orders(sender), receiver)
}

impl Orders {
    async fn give(&self, order: Order) -> Result<(), Problem> {
        self.0.send(order).await.map_err(|_| ending())
    }
}

fn ending() -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "this process is ending")
}

/// The configuration was read again.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Reload {
    /// Always true: a configuration that is refused is a problem of status 422, whose detail is the whole report.
    reloaded: bool,
}

/// Read the configuration again
///
/// A bad one changes nothing: the last good one stays in use.
#[utoipa::path(post, path = "/api/v1/config/reload", tag = "process", responses(
    (status = 200, body = Reload),
    (status = 422, body = Problem, content_type = "application/problem+json", description = "It is refused; the detail is the report"),
))]
pub(super) async fn reload(State(shared): State<Shared>) -> Result<Json<Reload>, Problem> {
    let (said, answer) = oneshot::channel();
    shared.orders.give(Order::Reload(said)).await?;
    match answer.await.map_err(|_| ending())? {
        Ok(()) => Ok(Json(Reload { reloaded: true })),
        Err(report) => Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, report)),
    }
}

/// The process drains.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Drain {
    /// Always true.
    draining: bool,
}

/// Stop accepting, finish what is in flight, and end
///
/// As SIGTERM does: `/readyz` says no from now on, and `--drain-timeout` counts.
#[utoipa::path(post, path = "/api/v1/drain", tag = "process", responses((status = 202, body = Drain)))]
pub(super) async fn drain(State(shared): State<Shared>) -> Result<(StatusCode, Json<Drain>), Problem> {
    shared.orders.give(Order::Drain).await?;
    Ok((StatusCode::ACCEPTED, Json(Drain { draining: true })))
}
