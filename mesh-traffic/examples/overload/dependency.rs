//! A dependency with too much to do.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Request, Response, StatusCode};
use mesh_core::body::Body;
use mesh_core::{Error, MeshContext};
use mesh_traffic::retry::{BudgetConfig, RetryBudget, RetryLayer, RetryPolicy};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep_until, timeout_at};
use tower::{Layer, Service, ServiceExt, service_fn};

/// What it can do.
const PER_SECOND: u32 = 200;
const LASTS: Duration = Duration::from_secs(20);
const COST: Duration = Duration::from_millis(5);
/// Even to refuse takes time.
const COST_OF_REFUSAL: Duration = Duration::from_micros(250);
/// It refuses what would have to wait longer.
const LONGEST_LINE: Duration = Duration::from_millis(100);
/// Callers wait no longer.
const DEADLINE: Duration = Duration::from_secs(2);

/// What came of it, as parts of what the dependency can do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Overload {
    /// Requests that were answered well and in time.
    pub(crate) goodput: f64,
    /// Requests it was sent.
    pub(crate) asked: f64,
}

/// One worker that does one thing after the other, whether or not somebody still waits for it.
struct Dependency {
    busy_until: Instant,
    asked: u32,
}

/// Asks twice of what it can do: without retries, or with those that a budget allows, or with all of them.
pub(crate) async fn overload(budget: Option<bool>) -> Overload {
    let dependency = Arc::new(Mutex::new(Dependency {
        busy_until: Instant::now(),
        asked: 0,
    }));
    let asking = Arc::clone(&dependency);
    let inner = service_fn(move |_: Request<Body>| ask(Arc::clone(&asking)));
    let mut policy = RetryPolicy::default();
    policy.attempts = if budget.is_some() { 10 } else { 0 };
    let config = match budget {
        Some(false) => unbounded(),
        _ => BudgetConfig::default(),
    };
    let budget = RetryBudget::new(config.try_into().expect("makes sense"), Instant::now());
    let service = RetryLayer::new(policy, budget).layer(inner);

    let mut ticks = interval(Duration::from_secs(1) / (2 * PER_SECOND));
    let mut requests = JoinSet::new();
    let end = Instant::now() + LASTS;
    while ticks.tick().await < end {
        requests.spawn(request(service.clone()));
    }
    let mut good = 0;
    while let Some(answered) = requests.join_next().await {
        good += u32::from(answered.expect("no panic"));
    }
    let can = f64::from(PER_SECOND) * LASTS.as_secs_f64();
    let asked = dependency.lock().expect("free").asked;
    Overload {
        goodput: f64::from(good) / can,
        asked: f64::from(asked) / can,
    }
}

/// As many retries as there are failures.
pub(crate) fn unbounded() -> BudgetConfig {
    let mut config = BudgetConfig::default();
    config.percent = 100.0;
    config.min_per_second = 1_000_000;
    config
}

/// Whether it was answered well before its deadline.
async fn request<S>(service: S) -> bool
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Error>,
{
    let now = Instant::now();
    let mut context = MeshContext::new(now);
    context.deadline = Some(now + DEADLINE);
    let mut request = Request::new(Body::empty());
    request.extensions_mut().insert(context);
    let answered = timeout_at(now + DEADLINE, service.oneshot(request)).await;
    matches!(answered, Ok(Ok(response)) if response.status() == StatusCode::OK)
}

async fn ask(dependency: Arc<Mutex<Dependency>>) -> Result<Response<Body>, Error> {
    let now = Instant::now();
    let mut response = Response::new(Body::empty());
    let answered_at = {
        let mut dependency = dependency.lock().expect("free");
        dependency.asked += 1;
        let begins = dependency.busy_until.max(now);
        let is_refused = begins > now + LONGEST_LINE;
        dependency.busy_until = begins + if is_refused { COST_OF_REFUSAL } else { COST };
        if is_refused {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        }
        dependency.busy_until
    };
    sleep_until(answered_at).await;
    Ok(response)
}
