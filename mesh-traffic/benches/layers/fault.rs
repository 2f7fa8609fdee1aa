use std::time::Duration;

use divan::{Bencher, black_box};
use mesh_traffic::fault::{Abort, Chance, Delay, FaultLayer, Faults};
use tokio::time::Instant;
use tower::{Layer, service_fn};

use super::asked::{ask, at_once};

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
