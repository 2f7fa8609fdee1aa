use std::sync::Arc;
use std::time::Duration;

use mesh_core::metric::{Histogram, Traffic};
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::analyzer::{CanaryAnalyzer, Evidence, Memory, Stage, Window};

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// What happens between two looks at the evidence.
#[derive(Clone, Debug)]
enum Step {
    Windows(Vec<Tick>),
    /// Another stage, with its weight: it begins now, or so many seconds ago.
    Enter(u8, u64),
    /// The rollout begins anew.
    Reset,
    /// The evidence is put aside, and a copy goes on.
    Fork,
    /// What was put aside is taken up again.
    Back,
    Plan(u64),
}

/// A window: its length and the gap before it, the weight if it is not the stage's, and the versions.
#[derive(Clone, Debug)]
struct Tick {
    length: u64,
    gap: u64,
    weight: Option<u8>,
    stable: Traffic,
    canary: Traffic,
}

fn traffic(most: u64) -> BoxedStrategy<Traffic> {
    let part = prop_oneof![
        6 => Just(0.0),
        6 => 0.0..0.03,
        1 => 0.0..=1.0_f64,
    ];
    let edges: Arc<[Duration]> = [100, 500, 1000].map(Duration::from_millis).into();
    let measured = prop::sample::select(vec![true, true, true, false]);
    (0..=most, part.clone(), part, measured, any::<Option<bool>>())
        .prop_map(move |(requests, failing, slow, measured, users)| {
            let part = |share: f64| (requests as f64 * share).ceil() as u64;
            let (errors, slow) = (part(failing).min(requests), part(slow).min(requests));
            let counts = vec![requests - slow, slow / 2, slow - slow / 2 - slow / 4, slow / 4];
            let latency = Histogram::new(Arc::clone(&edges), counts).expect("four counts for three edges");
            Traffic {
                requests,
                errors,
                failed_users: users.map(|_| errors.min(3)),
                latency: if measured { latency } else { Histogram::default() },
                ..Traffic::default()
            }
        })
        .boxed()
}

fn ticks() -> BoxedStrategy<Vec<Tick>> {
    let gap = prop_oneof![9 => Just(0), 1 => 1..90_u64];
    let weight = prop_oneof![9 => Just(None), 1 => (0..=100_u8).prop_map(Some)];
    let versions = prop_oneof![
        (traffic(20), traffic(2)),
        (traffic(900), traffic(100)),
        (traffic(900), traffic(100)),
        (traffic(50), traffic(500)),
    ];
    let tick = (1..30_u64, gap, weight, versions);
    let tick = tick.prop_map(|(length, gap, weight, (stable, canary))| Tick {
        length,
        gap,
        weight,
        stable,
        canary,
    });
    // The same many times over, too: rollouts in which something is proven.
    let same = (tick.clone(), 1..60_usize).prop_map(|(tick, times)| vec![tick; times]);
    prop_oneof![proptest::collection::vec(tick, 0..20), same].boxed()
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => ticks().prop_map(Step::Windows),
        2 => (0..=100_u8, 0..100_u64).prop_map(|(weight, ago)| Step::Enter(weight, ago)),
        1 => Just(Step::Reset),
        1 => Just(Step::Fork),
        1 => Just(Step::Back),
        1 => (0..4000_u64).prop_map(Step::Plan),
    ];
    proptest::collection::vec(step, 0..16)
}

fn take(step: Step, evidence: &mut Evidence, aside: &mut Evidence) {
    match step {
        Step::Windows(ticks) => {
            for tick in ticks {
                let from = evidence.elapsed() + s(tick.gap);
                let weight = tick.weight.unwrap_or_else(|| evidence.stage().weight);
                let window = Window::new(from, from + s(tick.length)).with_weight(weight);
                let window = window.with_stable(tick.stable).with_canary(tick.canary);
                evidence.push(window).expect("in order");
            }
        }
        Step::Enter(weight, ago) => {
            let (number, from) = (evidence.stage().number + 1, evidence.elapsed());
            evidence.enter(Stage::new(number, weight, from.saturating_sub(s(ago))));
        }
        Step::Reset => *evidence = self::evidence(),
        Step::Fork => aside.clone_from(evidence),
        Step::Back => std::mem::swap(evidence, aside),
        Step::Plan(seconds) => *evidence = evidence.clone().with_planned(s(seconds)),
    }
}

fn evidence() -> Evidence {
    Evidence::new(Stage::new(0, 10, s(0))).with_planned(s(1800))
}

fn analyzers() -> Vec<Box<dyn CanaryAnalyzer>> {
    let errors = |window, rate| Criteria::over(s(window)).error_rate(rate);
    let untimed = || Sequential::new(errors(60, 0.02).min_requests(5), errors(20, 0.2)).expect("valid");
    let brief = Threshold::new(errors(7, 0.02).min_requests(1), errors(7, 0.2)).expect("valid");
    vec![
        Box::new(Sequential::default()),
        Box::new(Sequential::default().tolerate(1.5).patience(s(400))),
        Box::new(untimed()),
        Box::new(untimed().sticky(true)),
        Box::new(Threshold::default()),
        Box::new(brief),
    ]
}

proptest! {
    #[test]
    fn a_memory_changes_no_verdict(steps in steps(), turns in proptest::collection::vec(any::<Index>(), 16)) {
        let analyzers = analyzers();
        let mut memories: Vec<Memory> = analyzers.iter().map(|_| Memory::default()).collect();
        let mut shared = Memory::default();
        let (mut evidence, mut aside) = (evidence(), evidence());
        for (step, turn) in steps.into_iter().zip(turns) {
            take(step, &mut evidence, &mut aside);
            // As text, which tells each number to the last bit.
            let judged = |analyzer: &dyn CanaryAnalyzer| format!("{:?}", analyzer.judge(&evidence));
            for (analyzer, memory) in analyzers.iter().zip(&mut memories) {
                let remembered = analyzer.judge_with(&evidence, memory);
                prop_assert_eq!(format!("{remembered:?}"), judged(&**analyzer));
            }
            // A memory that others use as well is of no use, but does no harm.
            let one = turn.get(&analyzers);
            let remembered = one.judge_with(&evidence, &mut shared);
            prop_assert_eq!(format!("{remembered:?}"), judged(&**one));
        }
    }

    #[test]
    fn a_rollout_watched_all_the_time_has_the_verdicts_of_one_looked_at_once(ticks in ticks(), more in ticks()) {
        let mut memories = [Memory::default(), Memory::default()];
        let (mut evidence, mut aside) = (evidence(), evidence());
        let (sequential, threshold) = (Sequential::default(), Threshold::default());
        for tick in ticks.into_iter().chain(more) {
            take(Step::Windows(vec![tick]), &mut evidence, &mut aside);
            let judged = sequential.judge_with(&evidence, &mut memories[0]);
            prop_assert_eq!(format!("{judged:?}"), format!("{:?}", sequential.judge(&evidence)));
            let judged = threshold.judge_with(&evidence, &mut memories[1]);
            prop_assert_eq!(format!("{judged:?}"), format!("{:?}", threshold.judge(&evidence)));
        }
    }
}
