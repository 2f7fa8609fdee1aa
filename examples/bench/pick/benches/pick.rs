//! Our picks beside pingora's: the same endpoints, each algorithm that both have. `cargo bench` in this folder.
//!
//! Pingora's includes what its `select` does besides: the look at the health of what it picked, and the clone of
//! it. Neither knows a request that was tried, nor what an endpoint carries.

use std::net::SocketAddr;
use std::sync::Arc;

use divan::{AllocProfiler, Bencher, black_box};
use http::Request;
use mesh_core::{Endpoint, KeyBy, RequestHead};
use mesh_lb::policy::LoadBound;
use mesh_lb::{LoadBalancer, Maglev, PickContext, Random, RingHash, RoundRobin, SlotView};
use pingora_load_balancing::LoadBalancer as Pingora;
use pingora_load_balancing::selection::{self, BackendIter, BackendSelection};
use tokio::time::Instant;

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

const ENDPOINTS: [usize; 4] = [10, 100, 1_000, 10_000];

fn addresses(endpoints: usize) -> impl Iterator<Item = SocketAddr> {
    (0..endpoints).map(|i| SocketAddr::from(([10, 0, (i >> 8) as u8, i as u8], 3001)))
}

/// Keys of a usual length.
fn keys() -> Vec<String> {
    (0..256)
        .map(|i| format!("session-0123456789abcdef-{i}"))
        .collect()
}

fn ours(bencher: Bencher, endpoints: usize, balancer: impl LoadBalancer) {
    let slot = |address: SocketAddr| SlotView::new(Arc::new(Endpoint::new(address.into())), Arc::default());
    let slots: Vec<_> = addresses(endpoints).map(slot).collect();
    let picker = balancer.picker(&slots);
    let requests: Vec<Request<()>> = keys()
        .iter()
        .map(|key| {
            Request::get("/")
                .header("x-session", key)
                .body(())
                .expect("a request")
        })
        .collect();
    let now = Instant::now();
    bencher.bench_local(|| {
        let random = fastrand::u64(..);
        let head = RequestHead::of(&requests[random as usize % requests.len()]);
        picker.pick(black_box(&PickContext::new(random, now).for_request(head)))
    });
}

fn pingoras<S>(bencher: Bencher, endpoints: usize)
where
    S: BackendSelection + 'static,
    S::Iter: BackendIter,
{
    let balancer = Pingora::<S>::try_from_iter(addresses(endpoints)).expect("addresses");
    let keys = keys();
    bencher.bench_local(|| {
        let key = &keys[fastrand::u64(..) as usize % keys.len()];
        balancer.select(black_box(key.as_bytes()), 256)
    });
}

fn key() -> KeyBy {
    "header:x-session".parse().expect("a key")
}

#[divan::bench(args = ENDPOINTS, sample_size = 10_000)]
fn round_robin_ours(bencher: Bencher, endpoints: usize) {
    ours(bencher, endpoints, RoundRobin::new());
}

#[divan::bench(args = ENDPOINTS, sample_size = 10_000)]
fn round_robin_pingora(bencher: Bencher, endpoints: usize) {
    pingoras::<selection::RoundRobin>(bencher, endpoints);
}

#[divan::bench(args = ENDPOINTS, sample_size = 10_000)]
fn random_ours(bencher: Bencher, endpoints: usize) {
    ours(bencher, endpoints, Random::new());
}

#[divan::bench(args = ENDPOINTS, sample_size = 10_000)]
fn random_pingora(bencher: Bencher, endpoints: usize) {
    pingoras::<selection::Random>(bencher, endpoints);
}

#[divan::bench(args = ENDPOINTS, sample_size = 10_000)]
fn ring_ours(bencher: Bencher, endpoints: usize) {
    ours(bencher, endpoints, RingHash::new(key()).bound(LoadBound::NONE));
}

#[divan::bench(args = ENDPOINTS, sample_size = 10_000)]
fn ring_pingora(bencher: Bencher, endpoints: usize) {
    pingoras::<selection::Consistent>(bencher, endpoints);
}

#[divan::bench(args = ENDPOINTS, sample_size = 10_000)]
fn maglev_ours(bencher: Bencher, endpoints: usize) {
    ours(bencher, endpoints, Maglev::new(key()).bound(LoadBound::NONE));
}
