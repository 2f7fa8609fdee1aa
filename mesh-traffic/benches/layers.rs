//! What a layer adds to a request, around a service that answers at once. `cargo bench -p mesh-traffic --bench layers`

use std::convert::Infallible;
use std::future::{Future, Ready, poll_fn, ready};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use divan::{AllocProfiler, Bencher, black_box};
use http::{Request, Response};
use mesh_core::MeshContext;
use mesh_core::body::Body;
use mesh_traffic::fault::{Abort, Chance, Delay, FaultLayer, Faults};
use mesh_traffic::retry::BudgetPolicy;
use mesh_traffic::{
    DeadlineLayer, KeyBy, Quota, RateLimitLayer, RateLimiter, RequestKey, RetryBudget, RetryLayer,
    RetryPolicy,
};
use tokio::time::Instant;
use tower::{Layer, Service, service_fn};
use tower_governor::governor::GovernorConfigBuilder;
use tower_governor::{GovernorError, GovernorLayer};

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

fn request(received: Instant, tenant: &'static str) -> Request<Body> {
    let mut request = Request::get("http://orders/7")
        .header("x-tenant", tenant)
        .body(Body::empty())
        .expect("a request");
    request.extensions_mut().insert(MeshContext::new(received));
    request
}

fn at_once(request: Request<Body>) -> Ready<Result<Response<Body>, Infallible>> {
    black_box(request);
    ready(Ok(Response::new(Body::empty())))
}

/// Asks the service, and polls its answer until it is there.
fn ask<S: Service<Request<Body>>>(bencher: Bencher, mut service: S) {
    let now = Instant::now();
    bencher
        .with_inputs(|| request(now, "acme"))
        .bench_local_values(|request| {
            let mut answer = pin!(service.call(request));
            let mut context = Context::from_waker(Waker::noop());
            loop {
                if let Poll::Ready(answer) = answer.as_mut().poll(&mut context) {
                    break answer.is_ok();
                }
            }
        });
}

fn quota(burst: u32) -> Quota {
    Quota::per_second(1)
        .and_then(|quota| quota.burst(burst))
        .expect("a quota")
}

/// More than a benchmark asks for.
const ENOUGH: u32 = 1_000_000_000;

#[divan::bench]
fn no_layer(bencher: Bencher) {
    ask(bencher, service_fn(at_once));
}

#[divan::bench]
fn rate_limit_without_a_key(bencher: Bencher) {
    let layer = RateLimitLayer::new(quota(ENOUGH)).by(KeyBy::None);
    ask(bencher, layer.layer(service_fn(at_once)));
}

#[divan::bench]
fn rate_limit_by_a_field(bencher: Bencher) {
    let layer = RateLimitLayer::new(quota(ENOUGH)).by("header:x-tenant".parse::<KeyBy>().expect("a key"));
    ask(bencher, layer.layer(service_fn(at_once)));
}

#[divan::bench]
fn rate_limit_that_refuses(bencher: Bencher) {
    let layer = RateLimitLayer::new(quota(1));
    ask(bencher, layer.layer(service_fn(at_once)));
}

/// What others do: the same algorithm and the same key, as tower_governor has it.
#[divan::bench]
fn rate_limit_by_a_field_tower_governor(bencher: Bencher) {
    let config = GovernorConfigBuilder::default()
        .per_second(1)
        .burst_size(ENOUGH)
        .key_extractor(Tenant)
        .finish()
        .expect("a quota");
    // It refuses in axum's body only.
    let at_once = service_fn(|request: Request<Body>| {
        black_box(request);
        ready(Ok::<_, Infallible>(Response::new(axum::body::Body::empty())))
    });
    ask(bencher, GovernorLayer::new(config).layer(at_once));
}

/// The field that requests are counted by, for tower_governor.
#[derive(Clone)]
struct Tenant;

impl tower_governor::key_extractor::KeyExtractor for Tenant {
    type Key = String;

    fn extract<T>(&self, request: &Request<T>) -> Result<String, GovernorError> {
        let tenant = request
            .headers()
            .get("x-tenant")
            .and_then(|value| value.to_str().ok());
        tenant.map(str::to_owned).ok_or(GovernorError::UnableToExtractKey)
    }
}

fn faults() -> Faults {
    Faults::until(Instant::now() + Duration::from_secs(3600))
}

fn often(percent: f64) -> Chance {
    Chance::percent(percent).expect("a share")
}

/// Configured, and no request is hit: what most of them pay.
#[divan::bench]
fn faults_that_do_not_happen(bencher: Bencher) {
    let delay = Delay::fixed(Duration::from_secs(1));
    let layer = FaultLayer::new(faults().delay(Chance::NEVER, delay).reset(Chance::NEVER, 0));
    ask(bencher, layer.layer(service_fn(at_once)));
}

#[divan::bench]
fn faults_that_abort(bencher: Bencher) {
    let layer = FaultLayer::new(faults().abort(Chance::ALWAYS, Abort::new(503).expect("a status")));
    ask(bencher, layer.layer(service_fn(at_once)));
}

/// The decision alone.
#[divan::bench]
fn decide_on_faults(bencher: Bencher) {
    let delay = Delay::fixed(Duration::from_secs(1));
    let faults = faults()
        .delay(often(10.0), delay)
        .abort(often(5.0), Abort::new(503).expect("a status"));
    let now = Instant::now();
    let mut random = 0_u64;
    bencher.bench_local(|| {
        random = random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        faults.decide(None, black_box(random), now)
    });
}

#[divan::bench]
fn deadline_of_an_answer_that_is_there(bencher: Bencher) {
    let layer = DeadlineLayer::at_most(Duration::from_secs(3600));
    ask(bencher, layer.layer(service_fn(at_once)));
}

/// With a timer, as for every answer that has to be waited for.
#[divan::bench]
fn deadline_of_an_answer_to_come(bencher: Bencher) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let _inside = runtime.enter();
    let later = service_fn(async |request: Request<Body>| {
        let mut asked = false;
        poll_fn(|_| match std::mem::replace(&mut asked, true) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
        at_once(request).await
    });
    ask(
        bencher,
        DeadlineLayer::at_most(Duration::from_secs(3600)).layer(later),
    );
}

#[divan::bench]
fn retries_that_do_not_happen(bencher: Bencher) {
    let budget = RetryBudget::new(BudgetPolicy::default(), Instant::now());
    let layer = RetryLayer::new(RetryPolicy::default(), budget);
    ask(bencher, layer.layer(service_fn(at_once)));
}

/// What every request adds to a budget, from all threads.
#[divan::bench(threads = [1, 2, 4])]
fn count_in_a_budget(bencher: Bencher) {
    let now = Instant::now();
    let budget = RetryBudget::new(BudgetPolicy::default(), now);
    bencher.bench(|| budget.on_request(black_box(now)));
}

/// The limiter alone: one key, asked for from all threads.
#[divan::bench(threads = [1, 2, 4])]
fn check_one_key(bencher: Bencher) {
    let (limiter, now) = (RateLimiter::new(quota(ENOUGH)), Instant::now());
    bencher.bench(|| {
        limiter
            .check(black_box(Some(RequestKey::text("acme"))), now)
            .is_ok()
    });
}

/// As many keys as there is room for.
#[divan::bench(args = [100, 10_000, 1_000_000])]
fn check_one_of_keys(bencher: Bencher, keys: u128) {
    let limiter = RateLimiter::with_max_keys(quota(ENOUGH), usize::try_from(keys * 2).expect("a number"));
    let now = Instant::now();
    for key in 0..keys {
        assert!(limiter.check(Some(RequestKey::number(key)), now).is_ok());
    }
    let mut key = 0;
    bencher.bench_local(|| {
        key = (key + 7_919) % keys;
        limiter.check(Some(RequestKey::number(key)), now).is_ok()
    });
}

/// Always a new key, more of them than there is room for, while those before are forgotten: what inventing keys
/// costs us.
#[divan::bench(sample_count = 100, sample_size = 10_000)]
fn check_invented_keys(bencher: Bencher) {
    let limiter = RateLimiter::new(
        Quota::per_second(1_000)
            .and_then(|quota| quota.burst(1))
            .expect("a quota"),
    );
    let (mut key, mut now) = (0, Instant::now());
    bencher.bench_local(|| {
        key += 1;
        now += Duration::from_nanos(50);
        limiter.check(Some(RequestKey::number(key)), now).is_ok()
    });
}
