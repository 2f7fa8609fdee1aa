//! What judging costs: a rollout that is watched all the time, with a memory and without one, and one that is looked
//! at once. `cargo bench -p mesh-canary --bench judge`

use std::sync::Arc;
use std::time::Duration;

use divan::{AllocProfiler, Bencher, black_box};
use fastrand::Rng;
use mesh_canary::judge::{Sequential, Threshold};
use mesh_canary::{CanaryAnalyzer, Evidence, Memory, Stage, Verdict, Window};
use mesh_core::metric::{Histogram, Traffic};

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

const TICK: u64 = 5;

/// The edges of the mesh's own histograms are about as many.
const EDGES: [u64; 14] = [5, 10, 25, 50, 75, 100, 150, 200, 268, 400, 500, 1000, 2500, 5000];

/// The stages of the mesh's documentation: the canary's share in percent, and when the stage begins.
const STAGES: [(u8, u64); 5] = [(5, 0), (10, 300), (20, 600), (50, 1200), (100, 1800)];

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A version of which one of a thousand requests fails, and one of twenty takes long.
fn traffic(edges: &Arc<[Duration]>, requests: u64, rng: &mut Rng) -> Traffic {
    let mut counts = vec![0; edges.len() + 1];
    let mut errors = 0;
    for _ in 0..requests {
        errors += u64::from(rng.u16(0..1000) == 0);
        let bucket = if rng.u8(0..20) == 0 { 9..12 } else { 2..9 };
        counts[rng.usize(bucket)] += 1;
    }
    Traffic {
        requests,
        errors,
        latency: Histogram::new(Arc::clone(edges), counts).expect("a count for each edge"),
        ..Traffic::default()
    }
}

/// A healthy rollout: its windows, with the stage of each.
fn rollout(rate: u64, seconds: u64) -> Vec<(Stage, Window)> {
    let edges: Arc<[Duration]> = EDGES.map(Duration::from_millis).into();
    let mut rng = Rng::with_seed(7);
    let mut windows = Vec::new();
    for at in (0..seconds).step_by(TICK as usize) {
        let begun = STAGES.iter().filter(|stage| stage.1 <= at).count();
        let (weight, from) = STAGES[begun - 1];
        let all = rate * TICK;
        let canary = (0..all).filter(|_| rng.u8(0..100) < weight).count() as u64;
        let window = Window::new(s(at), s(at + TICK))
            .with_weight(weight)
            .with_stable(traffic(&edges, all - canary, &mut rng))
            .with_canary(traffic(&edges, canary, &mut rng));
        windows.push((Stage::new(begun - 1, weight, s(from)), window));
    }
    windows
}

fn begin(windows: &[(Stage, Window)]) -> Evidence {
    let (first, _) = windows.first().expect("a window");
    Evidence::new(*first).with_planned(s(1800))
}

/// Every window as it comes, and a verdict after each.
fn watch(windows: &[(Stage, Window)], mut judge: impl FnMut(&Evidence) -> Verdict) -> Evidence {
    let mut evidence = begin(windows);
    for (stage, window) in windows {
        evidence.enter(*stage);
        evidence.push(window.clone()).expect("in order");
        black_box(judge(&evidence));
    }
    evidence
}

const RATES: [u64; 3] = [10, 100, 1000];

/// The 30 minutes of the document's plan, and on at 100 % until an hour is over: 720 verdicts.
#[divan::bench(args = RATES)]
fn an_hour(bencher: Bencher, rate: u64) {
    let (windows, judge) = (rollout(rate, 3600), Sequential::default());
    bencher.bench_local(|| {
        let mut memory = Memory::default();
        watch(&windows, |evidence| judge.judge_with(evidence, &mut memory))
    });
}

/// The document's plan: 360 verdicts.
#[divan::bench(args = RATES)]
fn half_an_hour(bencher: Bencher, rate: u64) {
    let (windows, judge) = (rollout(rate, 1800), Sequential::default());
    bencher.bench_local(|| {
        let mut memory = Memory::default();
        watch(&windows, |evidence| judge.judge_with(evidence, &mut memory))
    });
}

#[divan::bench(args = RATES)]
fn half_an_hour_by_thresholds(bencher: Bencher, rate: u64) {
    let (windows, judge) = (rollout(rate, 1800), Threshold::default());
    bencher.bench_local(|| {
        let mut memory = Memory::default();
        watch(&windows, |evidence| judge.judge_with(evidence, &mut memory))
    });
}

/// What is there without any judging: a copy of each window, and its way into the evidence.
#[divan::bench(args = RATES)]
fn half_an_hour_unjudged(bencher: Bencher, rate: u64) {
    let windows = rollout(rate, 1800);
    bencher.bench_local(|| watch(&windows, |_| Verdict::Continue(Default::default())));
}

#[divan::bench(args = RATES)]
fn half_an_hour_without_a_memory(bencher: Bencher, rate: u64) {
    let (windows, judge) = (rollout(rate, 1800), Sequential::default());
    bencher.bench_local(|| watch(&windows, |evidence| judge.judge(evidence)));
}

/// One verdict on 360 windows that nobody looked at before.
#[divan::bench(args = RATES)]
fn at_once(bencher: Bencher, rate: u64) {
    let windows = rollout(rate, 1800);
    let evidence = watch(&windows, |_| Verdict::Continue(Default::default()));
    let judge = Sequential::default();
    bencher.bench_local(|| judge.judge(black_box(&evidence)));
}
