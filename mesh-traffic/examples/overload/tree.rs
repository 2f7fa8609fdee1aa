//! A tree of calls of which a leaf fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use http::{Request, Response, StatusCode};
use mesh_core::body::Body;
use mesh_core::reject::reject;
use mesh_core::{BoxError, Error, MeshContext};
use mesh_traffic::retry::{BudgetConfig, RetryBudget, RetryLayer, RetryPolicy};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval};
use tower::util::BoxCloneService;
use tower::{Layer, ServiceExt, service_fn};

use crate::dependency::unbounded;

const PER_SECOND: u32 = 200;
const LASTS: Duration = Duration::from_secs(20);
const DEPTH: usize = 3;

type Client = BoxCloneService<Request<Body>, Response<Body>, Error>;

/// How often services were asked, compared with what it would be without retries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tree {
    /// All of them.
    pub(crate) all: f64,
    /// The one that fails.
    pub(crate) leaf: f64,
}

/// What a service makes of a failure of the one beneath.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answers {
    /// It answers as that did, and calls on with what it knows of the request.
    PassedOn,
    /// It answers a 503 of its own, and calls on as if nothing were known.
    TheirOwn,
}

/// Three services, each called with retries, of which the last fails so often.
pub(crate) async fn call_tree(failing: f64, answers: Answers, budget: bool) -> Tree {
    let counts: Arc<[AtomicU32; DEPTH]> = Arc::default();
    let leaf = Arc::clone(&counts);
    let random = std::sync::Mutex::new(fastrand::Rng::with_seed(7));
    let random = Arc::new(random);
    let leaf = service_fn(move |_: Request<Body>| {
        leaf[DEPTH - 1].fetch_add(1, Ordering::Relaxed);
        let fails = random.lock().expect("free").f64() < failing;
        let mut response = Response::new(Body::empty());
        if fails {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        }
        std::future::ready(Ok::<_, Error>(response))
    });
    let mut client = with_retries(BoxCloneService::new(leaf), budget);
    for depth in (0..DEPTH - 1).rev() {
        let (counts, beneath) = (Arc::clone(&counts), client);
        let service = service_fn(move |request: Request<Body>| {
            counts[depth].fetch_add(1, Ordering::Relaxed);
            serve(request, beneath.clone(), answers)
        });
        client = with_retries(BoxCloneService::new(service), budget);
    }

    let mut ticks = interval(Duration::from_secs(1) / PER_SECOND);
    let mut requests = JoinSet::new();
    let end = Instant::now() + LASTS;
    while ticks.tick().await < end {
        requests.spawn(client.clone().oneshot(Request::new(Body::empty())));
    }
    while let Some(answered) = requests.join_next().await {
        let _good_or_bad = answered.expect("no panic");
    }
    let asked = f64::from(PER_SECOND) * LASTS.as_secs_f64();
    let counts = counts
        .each_ref()
        .map(|count| f64::from(count.load(Ordering::Relaxed)) / asked);
    Tree {
        all: counts.iter().sum::<f64>() / DEPTH as f64,
        leaf: counts[DEPTH - 1],
    }
}

fn with_retries(service: Client, budget: bool) -> Client {
    let config = if budget {
        BudgetConfig::default()
    } else {
        unbounded()
    };
    let budget = RetryBudget::new(config.try_into().expect("makes sense"), Instant::now());
    BoxCloneService::new(RetryLayer::new(RetryPolicy::default(), budget).layer(service))
}

/// A service in the middle: it asks the one beneath.
async fn serve(request: Request<Body>, beneath: Client, answers: Answers) -> Result<Response<Body>, Error> {
    let mut asking = Request::new(Body::empty());
    if answers == Answers::PassedOn
        && let Some(context) = request.extensions().get::<MeshContext>()
    {
        asking.extensions_mut().insert(context.clone());
    }
    let answered = beneath.oneshot(asking).await;
    Ok(match (answered, answers) {
        (Ok(response), Answers::PassedOn) => response,
        (Err(error), Answers::PassedOn) => passed_on(error),
        (Ok(response), Answers::TheirOwn) if response.status() == StatusCode::OK => response,
        (_, Answers::TheirOwn) => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            response
        }
    })
}

fn passed_on(error: impl Into<BoxError>) -> Response<Body> {
    reject::<Body>(&Error::wrap(error), false).map(Body::new)
}
