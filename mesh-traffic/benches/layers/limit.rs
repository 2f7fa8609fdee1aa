use std::convert::Infallible;
use std::future::ready;
use std::time::Duration;

use divan::{Bencher, black_box};
use http::{Request, Response};
use mesh_core::body::Body;
use mesh_traffic::{KeyBy, Quota, RateLimitLayer, RateLimiter, RequestKey};
use tokio::time::Instant;
use tower::limit::RateLimitLayer as TowerRateLimitLayer;
use tower::{Layer, service_fn};
use tower_governor::governor::GovernorConfigBuilder;
use tower_governor::{GovernorError, GovernorLayer};
use tower_resilience::ratelimiter::RateLimiterLayer;

use super::asked::{ENOUGH, ask, ask_made, at_once};

pub(crate) fn layer() -> RateLimitLayer {
    RateLimitLayer::new(quota(ENOUGH)).by(KeyBy::None)
}

pub(crate) fn rate_limiter() -> RateLimiterLayer {
    let limit = usize::try_from(ENOUGH).expect("a number");
    RateLimiterLayer::builder()
        .limit_for_period(limit)
        .refresh_period(Duration::from_secs(1))
        .build()
        .expect("a limit")
}

fn quota(burst: u32) -> Quota {
    Quota::per_second(1)
        .and_then(|quota| quota.burst(burst))
        .expect("a quota")
}

#[divan::bench]
fn rate_limit_without_a_key(bencher: Bencher) {
    ask(bencher, layer().layer(service_fn(at_once)));
}

/// Without a lock, since it is no `Clone`: for one task.
#[divan::bench]
fn rate_limit_without_a_key_tower(bencher: Bencher) {
    let layer = TowerRateLimitLayer::new(ENOUGH.into(), Duration::from_secs(1));
    ask_made(bencher, || layer.layer(service_fn(at_once)));
}

#[divan::bench]
fn rate_limit_without_a_key_tower_resilience(bencher: Bencher) {
    ask(bencher, rate_limiter().layer(service_fn(at_once)));
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
