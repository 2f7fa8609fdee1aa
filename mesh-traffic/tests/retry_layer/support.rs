//! What the tests of trying again have in common.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Request, Response};
use http_body_util::BodyExt;
use mesh_core::body::Body;
use mesh_core::testkit::{Calls, Scripted, Step};
use mesh_core::{Error, ErrorKind};
use mesh_traffic::retry::{BudgetConfig, RetryBudget, RetryLayer, RetryOutcome, RetryPolicy, RetryService};
use tokio::time::Instant;
use tower::{Layer, ServiceExt};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) type Answer = Step<Response<Body>, Error>;
pub(crate) type Record = Calls<Request<Body>, Response<Body>, Error>;
pub(crate) type Service = RetryService<Scripted<Request<Body>, Response<Body>, Error>>;
pub(crate) type Outcomes = Arc<Mutex<Vec<RetryOutcome>>>;

/// Two retries.
pub(crate) fn policy() -> RetryPolicy {
    RetryPolicy::default()
}

pub(crate) fn budget(percent: f64, min_per_second: u32) -> RetryBudget {
    let mut config = BudgetConfig::default();
    config.percent = percent;
    config.min_per_second = min_per_second;
    RetryBudget::new(config.try_into().expect("makes sense"), Instant::now())
}

pub(crate) fn plenty() -> RetryBudget {
    budget(100.0, 1000)
}

pub(crate) fn behind(policy: RetryPolicy, steps: impl IntoIterator<Item = Answer>) -> (Service, Record) {
    let (inner, calls) = Scripted::new(steps);
    (RetryLayer::new(policy, plenty()).layer(inner), calls)
}

pub(crate) fn told(
    policy: RetryPolicy,
    budget: RetryBudget,
    steps: impl IntoIterator<Item = Answer>,
) -> (Service, Outcomes) {
    let (inner, _calls) = Scripted::new(steps);
    let outcomes = Outcomes::default();
    let telling = Arc::clone(&outcomes);
    let layer =
        RetryLayer::new(policy, budget).observe(move |outcome| telling.lock().expect("free").push(outcome));
    (layer.layer(inner), outcomes)
}

pub(crate) fn get() -> Request<Body> {
    Request::get("/").body(Body::empty()).expect("valid")
}

pub(crate) fn post(body: &'static str) -> Request<Body> {
    Request::post("/").body(Body::full(body)).expect("valid")
}

pub(crate) fn response(status: u16) -> Response<Body> {
    Response::builder()
        .status(status)
        .body(Body::empty())
        .expect("valid")
}

pub(crate) fn status(status: u16) -> Answer {
    Step::Answer(response(status))
}

pub(crate) fn broken() -> Answer {
    Step::Fail(Error::new(ErrorKind::UpstreamReset, "it broke"))
}

/// Asks once and reads the answer to its end.
pub(crate) async fn ask(service: &Service, request: Request<Body>) -> Result<u16, Error> {
    let response = service.clone().oneshot(request).await?;
    let status = response.status().as_u16();
    response.into_body().collect().await.map_err(Error::wrap)?;
    Ok(status)
}
