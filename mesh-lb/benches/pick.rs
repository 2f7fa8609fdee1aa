//! What a pick costs: that it does not grow with the endpoints, and allocates nothing; and what it costs to
//! build a picker. `cargo bench -p mesh-lb --bench pick`

use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use divan::{AllocProfiler, Bencher, black_box};
use futures_util::FutureExt as _;
use http::Request;
use mesh_core::{Endpoint, KeyBy, RequestHead};
use mesh_lb::{
    LeastConnections, LoadBalancer, Maglev, PeakEwma, PickContext, Random, RingHash, RoundRobin, SlotView,
    Weighted,
};
use tokio::time::Instant;
use tower::Service;
use tower::discover::ServiceList;
use tower::load::CompleteOnResponse;

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

const ENDPOINTS: [usize; 4] = [10, 100, 1_000, 10_000];

/// An algorithm with what it needs.
trait Algorithm {
    fn balancer() -> impl LoadBalancer;
}

macro_rules! algorithms {
    ($($name:ident => $balancer:expr),* $(,)?) => {$(
        struct $name;

        impl Algorithm for $name {
            fn balancer() -> impl LoadBalancer {
                $balancer
            }
        }
    )*};
}

algorithms! {
    InTurn => RoundRobin::new(),
    AtRandom => Random::new(),
    ByWeight => Weighted::new(),
    LessLoaded => LeastConnections::new(),
    Sooner => PeakEwma::new(),
    OnTheRing => RingHash::new(key()),
    InTheTable => Maglev::new(key()),
}

fn key() -> KeyBy {
    "header:x-session".parse().expect("a key")
}

/// Endpoints of two weights, each with a latency and some requests in flight.
fn slots(endpoints: usize) -> Vec<SlotView> {
    let mut random = fastrand::Rng::with_seed(1);
    let now = Instant::now();
    let slot = |i: usize| {
        let address = std::net::SocketAddr::from(([10, 0, (i >> 8) as u8, i as u8], 3001));
        let endpoint = Endpoint::new(address.into()).with_weight(1 + i as u32 % 2);
        let slot = SlotView::new(Arc::new(endpoint), Arc::default());
        for _ in 0..random.u32(..4) {
            std::mem::forget(slot.load.begin());
        }
        slot.load
            .record_latency(Duration::from_millis(random.u64(1..100)), now);
        slot
    };
    (0..endpoints).map(slot).collect()
}

#[divan::bench(
    types = [InTurn, AtRandom, ByWeight, LessLoaded, Sooner, OnTheRing, InTheTable],
    args = ENDPOINTS,
    threads = [1, 2],
    sample_size = 10_000,
)]
fn pick<A: Algorithm>(bencher: Bencher, endpoints: usize) {
    let picker = A::balancer().picker(&slots(endpoints));
    let requests: Vec<Request<()>> = (0..256)
        .map(|i| {
            Request::get("/")
                .header("x-session", format!("session-{i}"))
                .body(())
        })
        .collect::<Result<_, _>>()
        .expect("requests");
    let now = Instant::now() + Duration::from_secs(1);
    bencher.bench(|| {
        let random = fastrand::u64(..);
        let head = RequestHead::of(&requests[random as usize % requests.len()]);
        picker.pick(black_box(&PickContext::new(random, now).for_request(head)))
    });
}

/// After an attempt at the endpoint that was picked first.
#[divan::bench(
    types = [InTurn, AtRandom, ByWeight, LessLoaded, Sooner, OnTheRing, InTheTable],
    args = ENDPOINTS,
    sample_size = 10_000,
)]
fn pick_another<A: Algorithm>(bencher: Bencher, endpoints: usize) {
    let picker = A::balancer().picker(&slots(endpoints));
    let request = Request::get("/")
        .header("x-session", "s")
        .body(())
        .expect("a request");
    let now = Instant::now() + Duration::from_secs(1);
    bencher.bench_local(|| {
        let cx = PickContext::new(fastrand::u64(..), now).for_request(RequestHead::of(&request));
        let first = picker.pick(&cx)?;
        picker.pick(black_box(&cx.avoiding(&[first])))
    });
}

/// At publish time.
#[divan::bench(
    types = [InTurn, AtRandom, ByWeight, LessLoaded, Sooner, OnTheRing, InTheTable],
    args = ENDPOINTS,
    sample_count = 10,
    sample_size = 1,
)]
fn build<A: Algorithm>(bencher: Bencher, endpoints: usize) {
    let slots = slots(endpoints);
    bencher.bench_local(|| A::balancer().picker(black_box(&slots)));
}

/// A sample for the latency of an endpoint that all threads share.
#[divan::bench(threads = [1, 2], sample_size = 10_000)]
fn record_latency(bencher: Bencher) {
    let slot = slots(1).remove(0);
    bencher.bench(|| {
        let took = Duration::from_micros(fastrand::u64(100..2_000));
        slot.load.record_latency(took, Instant::now());
    });
}

/// Answers at once.
struct Answer;

impl Service<()> for Answer {
    type Response = ();
    type Error = std::convert::Infallible;
    type Future = Ready<Result<(), Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        ready(Ok(()))
    }
}

/// Tower's choice of two by peak EWMA, with the call that cannot be told from it and the sample at its end.
#[divan::bench(args = ENDPOINTS, sample_size = 10_000)]
fn tower_p2c_ewma(bencher: Bencher, endpoints: usize) {
    let decay = Duration::from_secs(10).as_nanos() as f64;
    let service = |_| {
        tower::load::PeakEwma::new(
            Answer,
            Duration::from_millis(30),
            decay,
            CompleteOnResponse::default(),
        )
    };
    let services: Vec<_> = (0..endpoints).map(service).collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let _entered = runtime.enter();
    let mut balance = tower::balance::p2c::Balance::new(ServiceList::new::<()>(services));
    let mut cx = Context::from_waker(Waker::noop());
    bencher.bench_local(|| {
        assert!(balance.poll_ready(&mut cx).is_ready());
        balance.call(()).now_or_never()
    });
}

/// The same around our pick: the guard of the request, and its sample.
#[divan::bench(args = ENDPOINTS, sample_size = 10_000)]
fn our_p2c_ewma_with_the_same(bencher: Bencher, endpoints: usize) {
    let slots = slots(endpoints);
    let picker = PeakEwma::new().picker(&slots);
    bencher.bench_local(|| {
        let start = Instant::now();
        let slot = &slots[picker.pick(&PickContext::new(fastrand::u64(..), start))?];
        let _guard = slot.load.begin();
        let now = Instant::now();
        slot.load.record_latency(now - start, now);
        Some(())
    });
}
