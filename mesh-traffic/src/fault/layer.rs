//! The layer.

use std::fmt;
use std::sync::Arc;

use tokio::time::Instant;
use tower_layer::Layer;

use super::asked::Asked;
use super::faults::{FaultKind, Faults};
use super::injection::Injection;
use super::service::FaultService;
use super::switch::FaultSwitch;

/// Makes trouble on purpose for the requests to a service: see [`Faults`]. An aborted one never reaches it.
///
/// Clones, and all services they stand in front of, share one [`FaultSwitch`]; give several layers one with
/// [`switch`](Self::switch). The error is the inner service's, and the layer is as ready as that service is:
/// `axum::Router::layer` takes it as it is. Around a client it belongs inside of retries and outside of balancing.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use axum::{Router, body::Body, http::Request, routing::get};
/// use mesh_traffic::fault::{Abort, Chance, Faults, FaultLayer};
/// use tokio::time::Instant;
/// use tower::ServiceExt;
///
/// let faults = Faults::until(Instant::now() + Duration::from_secs(60))
///     .abort(Chance::ALWAYS, Abort::new(503).ok_or("no status")?);
/// let layer = FaultLayer::new(faults);
/// let app: Router = Router::new().route("/", get(|| async { "hello" })).layer(layer.clone());
///
/// let answer = app.clone().oneshot(Request::get("/").body(Body::empty())?).await?;
/// assert_eq!((answer.status().as_u16(), &answer.headers()["x-mesh-error"]), (503, &"fault_injected".parse()?));
///
/// layer.fault_switch().set(false);
/// assert_eq!(app.oneshot(Request::get("/").body(Body::empty())?).await?.status(), 200);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct FaultLayer {
    faults: Arc<Faults>,
    switch: FaultSwitch,
    observe: Option<Arc<dyn Fn(FaultKind) + Send + Sync>>,
}

impl FaultLayer {
    /// A layer with a switch of its own.
    pub fn new(faults: Faults) -> Self {
        Self {
            faults: Arc::new(faults),
            switch: FaultSwitch::default(),
            observe: None,
        }
    }

    /// With this switch: one for a whole process.
    #[must_use]
    pub fn switch(self, switch: FaultSwitch) -> Self {
        Self { switch, ..self }
    }

    /// Calls this once for each kind of trouble a request gets, on its way: count, and nothing that takes time.
    #[must_use]
    pub fn observe(self, observe: impl Fn(FaultKind) + Send + Sync + 'static) -> Self {
        Self {
            observe: Some(Arc::new(observe)),
            ..self
        }
    }

    /// What it makes trouble by.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// The switch, to turn it off.
    pub fn fault_switch(&self) -> &FaultSwitch {
        &self.switch
    }

    /// Begins the trouble of a request, if it is to have any: what the layer does for each, for who calls instead of
    /// layering. The arguments are those of [`Faults::decide`].
    pub fn begin(&self, asked: Option<&Asked>, random: u64, now: Instant) -> Option<Injection> {
        let fault = self.faults.decide(asked, random, now)?;
        let active = self.switch.begin()?;
        if let Some(observe) = &self.observe {
            fault.kinds().for_each(|kind| observe(kind));
        }
        Some(Injection::new(fault, active))
    }
}

impl fmt::Debug for FaultLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultLayer")
            .field("faults", &self.faults)
            .field("switch", &self.switch)
            .finish_non_exhaustive()
    }
}

impl<S> Layer<S> for FaultLayer {
    type Service = FaultService<S>;

    fn layer(&self, inner: S) -> FaultService<S> {
        FaultService::new(inner, self.clone())
    }
}
