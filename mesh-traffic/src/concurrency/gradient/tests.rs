use mesh_core::testkit::seeded_rng;
use proptest::prelude::*;

use super::*;

const MILLI: Duration = Duration::from_millis(1);

/// A service that does `capacity` things at once in ten milliseconds each; more wait for each other.
struct Service {
    capacity: u32,
    gradient: Gradient,
    now: Instant,
    random: fastrand::Rng,
}

impl Service {
    fn new(capacity: u32, config: AdaptiveConfig) -> Self {
        let now = Instant::now();
        Self {
            capacity,
            gradient: Gradient::new(config, now),
            now,
            random: seeded_rng(7),
        }
    }

    /// As many callers as the limit lets through, or `callers` if that is less.
    fn run(&mut self, callers: u32, rounds: usize) {
        for _ in 0..rounds {
            let in_flight = self.gradient.limit().min(callers);
            let queued = f64::from(in_flight) / f64::from(self.capacity);
            let took = (10 * MILLI).mul_f64(queued.max(1.0));
            let began = self.now;
            self.now += took;
            for _ in 0..in_flight {
                let sample = Sample {
                    began,
                    answered: self.now,
                    in_flight,
                };
                self.gradient.on_answer(sample, self.random.u32(..));
            }
        }
    }

    fn moving(&mut self, callers: u32) {
        while self.gradient.phase == Phase::Resting {
            self.run(callers, 1);
        }
    }
}

#[test]
fn the_limit_finds_what_the_service_can_do_at_once() {
    for capacity in [10, 40, 200] {
        let mut service = Service::new(capacity, AdaptiveConfig::default());
        service.run(10_000, 1000);
        service.moving(10_000);
        let limit = service.gradient.limit();
        let most = f64::from(capacity) * 1.25 + 2.0 * f64::from(capacity).sqrt() + 2.0;
        assert!(
            limit >= capacity && f64::from(limit) <= most,
            "{capacity}: {limit}"
        );
    }
}

#[test]
fn a_service_that_becomes_slower_is_asked_less() {
    let mut service = Service::new(100, AdaptiveConfig::default());
    service.run(10_000, 1000);
    service.moving(10_000);
    let before = service.gradient.limit();
    service.capacity = 20;
    service.run(10_000, 200);
    service.moving(10_000);
    let after = service.gradient.limit();
    assert!(after < before / 2, "{before}, then {after}");
}

#[test]
fn a_limit_that_nobody_comes_near_does_not_grow() {
    let mut service = Service::new(1000, AdaptiveConfig::default());
    service.run(5, 1000);
    service.moving(5);
    assert_eq!(service.gradient.limit(), AdaptiveConfig::default().initial);
}

#[test]
fn little_traffic_does_not_keep_it_at_rest() {
    let now = Instant::now();
    let mut gradient = Gradient::new(AdaptiveConfig::default(), now);
    assert_eq!(gradient.limit(), 3);
    let began = now + REST_AT_MOST;
    let sample = Sample {
        began,
        answered: began + MILLI,
        in_flight: 1,
    };
    gradient.on_answer(sample, 0);
    assert_eq!(gradient.limit(), 20);
}

#[test]
fn what_began_before_the_measurement_at_rest_says_nothing_about_it() {
    let now = Instant::now();
    let mut gradient = Gradient::new(AdaptiveConfig::default(), now + 10 * MILLI);
    for _ in 0..100 {
        let sample = Sample {
            began: now,
            answered: now + 20 * MILLI,
            in_flight: 3,
        };
        gradient.on_answer(sample, 0);
    }
    assert_eq!(gradient.phase, Phase::Resting);
}

#[test]
fn answers_slower_than_an_interval_are_heard() {
    let mut service = Service::new(1000, AdaptiveConfig::default());
    service.moving(100);
    let before = service.gradient.limit();
    let now = service.now;
    for round in 0..20_u32 {
        let sample = Sample {
            began: now,
            answered: now + 500 * MILLI + round * 20 * MILLI,
            in_flight: before,
        };
        service.gradient.on_answer(sample, 0);
    }
    assert!(service.gradient.limit() < before);
}

#[test]
fn measurements_at_rest_are_spread() {
    let time = Duration::from_secs(100);
    assert_eq!(jittered(time, 0), Duration::from_secs(85));
    assert_eq!(jittered(time, u32::MAX), Duration::from_secs(115));
}

proptest! {
    #[test]
    fn whatever_is_seen_the_limit_stays_within_its_bounds(
        min in 1..10_u32,
        more in 0..100_u32,
        seen in prop::collection::vec((0..10_000_u64, 0..10_000_u64, any::<u32>(), any::<u32>()), 0..500),
    ) {
        let config = AdaptiveConfig { min, max: min + more, initial: min + more / 2, rest_samples: 3, ..AdaptiveConfig::default() };
        let start = Instant::now();
        let mut gradient = Gradient::new(config, start);
        for (began, took, in_flight, random) in seen {
            let began = start + Duration::from_millis(began);
            let answered = began + Duration::from_millis(took);
            gradient.on_answer(Sample { began, answered, in_flight }, random);
            prop_assert!((min..=min + more).contains(&gradient.limit()));
            prop_assert!(gradient.seen.len() <= KEPT);
        }
    }
}
