//! The breaker written again the plain way, with a list of results instead of a ring of counters, and the test
//! that both agree whatever happens.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Op {
    Advance(u64),
    Admit,
    /// Ends the n-th of the requests under way.
    End(usize, Ending),
    Trip,
    Reset,
}

#[derive(Clone, Copy, Debug)]
enum Ending {
    Success,
    Failure,
    Refusal,
    Lost,
}

fn op() -> impl Strategy<Value = Op> {
    let ending = prop_oneof![
        4 => Just(Ending::Success),
        4 => Just(Ending::Failure),
        1 => Just(Ending::Refusal),
        1 => Just(Ending::Lost),
    ];
    prop_oneof![
        3 => (0..1500_u64).prop_map(Op::Advance),
        10 => Just(Op::Admit),
        10 => (any::<usize>(), ending).prop_map(|(n, ending)| Op::End(n, ending)),
        1 => Just(Op::Trip),
        1 => Just(Op::Reset),
    ]
}

fn config() -> impl Strategy<Value = BreakerConfig> {
    (
        proptest::option::of(1..6_u32),
        proptest::option::of(0.1..=1.0_f64),
        1..8_u32,
        100..4000_u64,
        1..3000_u64,
        1..4_u64,
        1..4_u32,
    )
        .prop_map(
            |(consecutive_failures, error_rate, minimum_requests, window, open_for, growth, trials)| {
                BreakerConfig {
                    consecutive_failures,
                    error_rate,
                    minimum_requests,
                    window: Duration::from_millis(window / 10 * 10),
                    open_for: Duration::from_millis(open_for),
                    max_open_for: Duration::from_millis(open_for * growth),
                    half_open_requests: trials,
                }
            },
        )
}

/// From what to what.
type Change = (State, State);

/// The phase it was admitted in, whether it is a trial, and the change.
type Admitted = (u32, bool, Option<Change>);

/// All times in milliseconds.
struct Model {
    config: BreakerConfig,
    now: u64,
    state: State,
    phase: u32,
    results: Vec<(u64, bool)>,
    streak: u32,
    openings: u64,
    closed_at: u64,
    open_until: u64,
    last_trial: u64,
    trials: u32,
    successes: u32,
}

impl Model {
    fn new(config: BreakerConfig) -> Self {
        Self {
            config,
            now: 0,
            state: State::Closed,
            phase: 0,
            results: Vec::new(),
            streak: 0,
            openings: 0,
            closed_at: 0,
            open_until: 0,
            last_trial: 0,
            trials: 0,
            successes: 0,
        }
    }

    fn millis(duration: Duration) -> u64 {
        u64::try_from(duration.as_millis()).expect("small")
    }

    fn go(&mut self, to: State) -> Change {
        let from = std::mem::replace(&mut self.state, to);
        self.phase += 1;
        (from, to)
    }

    fn open(&mut self) -> Change {
        let base = Self::millis(self.config.open_for);
        if self.state == State::Closed {
            self.openings = self.openings.saturating_sub((self.now - self.closed_at) / base);
        }
        self.openings += 1;
        self.open_until = self.now + (base * self.openings).min(Self::millis(self.config.max_open_for));
        self.go(State::Open)
    }

    fn close(&mut self) -> Change {
        self.results.clear();
        self.streak = 0;
        self.closed_at = self.now;
        self.go(State::Closed)
    }

    fn half_open(&mut self) -> Change {
        self.trials = 0;
        self.successes = 0;
        self.go(State::HalfOpen)
    }

    fn admit(&mut self) -> Option<Admitted> {
        let mut change = None;
        match self.state {
            State::Closed => return Some((self.phase, false, None)),
            State::Open if self.now < self.open_until => return None,
            State::Open => change = Some(self.half_open()),
            State::HalfOpen if self.trials < self.config.half_open_requests => {}
            State::HalfOpen if self.now < self.last_trial + Self::millis(self.config.open_for) => {
                return None;
            }
            State::HalfOpen => {
                self.half_open();
            }
        }
        self.trials += 1;
        self.last_trial = self.now;
        Some((self.phase, true, change))
    }

    fn end(&mut self, phase: u32, trial: bool, ending: Ending) -> Option<Change> {
        if phase != self.phase {
            return None;
        }
        match (trial, ending) {
            (true, Ending::Failure) => Some(self.open()),
            (true, Ending::Success) => {
                self.trials -= 1;
                self.successes += 1;
                (self.successes == self.config.half_open_requests).then(|| self.close())
            }
            (true, Ending::Refusal | Ending::Lost) => {
                self.trials -= 1;
                None
            }
            (false, Ending::Success) => {
                self.streak = 0;
                self.results.push((self.now, false));
                None
            }
            (false, Ending::Failure) => {
                self.streak += 1;
                self.results.push((self.now, true));
                self.too_many().then(|| self.open())
            }
            (false, Ending::Refusal | Ending::Lost) => None,
        }
    }

    fn too_many(&self) -> bool {
        let slot = Self::millis(self.config.window) / 10;
        let in_window = |at: u64| self.now / slot - at / slot < 10;
        let recent: Vec<bool> = self
            .results
            .iter()
            .filter(|(at, _)| in_window(*at))
            .map(|r| r.1)
            .collect();
        let failed = recent.iter().filter(|failed| **failed).count();
        let rate = failed as f64 / recent.len() as f64;
        let enough = recent.len() >= self.config.minimum_requests as usize;
        self.config
            .consecutive_failures
            .is_some_and(|limit| self.streak >= limit)
            || enough && self.config.error_rate.is_some_and(|limit| rate >= limit)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_breaker_does_what_the_plain_model_does(
        config in config(),
        ops in proptest::collection::vec(op(), 1..250),
    ) {
        let start = Instant::now();
        let mut now = start;
        let breaker = Breaker::new(BreakerPolicy::try_from(config).expect("sensible"), start);
        let mut model = Model::new(config);
        let mut under_way: Vec<(Permit, u32)> = Vec::new();

        for op in ops {
            let (got, expected) = match op {
                Op::Advance(millis) => {
                    now += Duration::from_millis(millis);
                    model.now += millis;
                    (None, None)
                }
                Op::Admit => match (breaker.admit(now), model.admit()) {
                    (Ok(admission), Some((phase, trial, change))) => {
                        prop_assert_eq!(admission.permit.is_trial(), trial);
                        under_way.push((admission.permit, phase));
                        (admission.transition, change)
                    }
                    (Err(refused), None) => {
                        prop_assert_eq!(refused.state, model.state);
                        prop_assert!(!refused.retry_after.is_zero());
                        (None, None)
                    }
                    (got, expected) => {
                        prop_assert!(false, "admitted {:?}, expected {:?}", got, expected);
                        (None, None)
                    }
                },
                Op::End(n, ending) if !under_way.is_empty() => {
                    let (permit, phase) = under_way.swap_remove(n % under_way.len());
                    let expected = model.end(phase, permit.is_trial(), ending);
                    let got = match ending {
                        Ending::Success => breaker.record(permit, Outcome::Success, now),
                        Ending::Failure => breaker.record(permit, Outcome::Failure, now),
                        Ending::Refusal => {
                            breaker.record(permit, Outcome::Refused(crate::ErrorKind::Overloaded), now)
                        }
                        Ending::Lost => {
                            drop(permit);
                            None
                        }
                    };
                    (got, expected)
                }
                Op::End(..) => (None, None),
                Op::Trip => (breaker.trip(now), (model.state != State::Open).then(|| model.open())),
                Op::Reset => {
                    model.openings = 0;
                    (breaker.reset(now), (model.state != State::Closed).then(|| model.close()))
                }
            };
            prop_assert_eq!(got.map(|t| (t.from, t.to)), expected);
            prop_assert_eq!(breaker.state(), model.state);
            let due = breaker.due().map(|due| due - start);
            let until = (model.state == State::Open).then(|| Duration::from_millis(model.open_until));
            prop_assert_eq!(due, until);
            let trials = under_way.iter().filter(|(p, phase)| p.is_trial() && *phase == model.phase).count();
            prop_assert!(trials <= config.half_open_requests as usize);
        }
    }

    #[test]
    fn whatever_was_lost_a_breaker_closes_again_once_requests_succeed(
        config in config(),
        ops in proptest::collection::vec(op(), 1..100),
    ) {
        let mut now = Instant::now();
        let breaker = Breaker::new(BreakerPolicy::try_from(config).expect("sensible"), now);
        let mut kept = Vec::new();
        for op in ops {
            match op {
                Op::Advance(millis) => now += Duration::from_millis(millis),
                Op::Trip => { let _told = breaker.trip(now); }
                Op::Reset => { let _told = breaker.reset(now); }
                Op::Admit | Op::End(..) => kept.extend(breaker.admit(now)),
            }
        }
        // None of the kept requests ever ends.
        for _ in 0..=config.half_open_requests {
            now += config.max_open_for;
            while let Ok(admission) = breaker.admit(now) {
                let _told = breaker.record(admission.permit, Outcome::Success, now);
                if breaker.state() == State::Closed {
                    break;
                }
            }
        }
        prop_assert_eq!(breaker.state(), State::Closed);
    }
}
