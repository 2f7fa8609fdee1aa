//! When a name is looked up next. Plain state: time and chance are arguments.

use std::time::Duration;

use tokio::time::Instant;

use super::DnsSettings;

const SHORTEST: Duration = Duration::from_millis(10);
/// Nothing here takes longer.
pub(super) const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// The part of an interval by which a lookup may come early, so that those who began together do not stay
/// together. Never late: after the TTL the answer is not to be used.
const EARLY: f64 = 0.1;

pub(super) struct Schedule {
    min: Duration,
    max: Duration,
    interval: Option<Duration>,
    started: Option<Instant>,
    due: Instant,
}

impl Schedule {
    /// Begins now.
    pub(super) fn new(settings: &DnsSettings, now: Instant) -> Self {
        let min = settings.min_interval.clamp(SHORTEST, LONGEST);
        Self {
            min,
            max: settings.max_interval.clamp(min, LONGEST),
            interval: settings.interval.map(|interval| interval.clamp(min, LONGEST)),
            started: None,
            due: now,
        }
    }

    /// When the next lookup is to begin.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// A lookup begins.
    pub(super) fn started(&mut self, now: Instant) {
        self.started = Some(now);
        self.due = self.soonest(now);
    }

    /// Its answer is good for this long.
    pub(super) fn answered(&mut self, ttl: Duration, now: Instant, random: &mut fastrand::Rng) {
        let wait = self.interval.unwrap_or_else(|| ttl.clamp(self.min, self.max));
        let early = wait.mul_f64(EARLY * random.f64());
        self.due = self.soonest(now + wait.saturating_sub(early));
    }

    /// It failed. Whoever asks backs off; here is only the least distance.
    pub(super) fn failed(&mut self) {
        self.due = self.started.map_or(self.due, |started| started + self.min);
    }

    /// Somebody wants to know now.
    pub(super) fn wanted(&mut self, now: Instant) {
        self.due = self.due.min(self.soonest(now));
    }

    /// This moment, or the first after it that is far enough from the last lookup.
    fn soonest(&self, at: Instant) -> Instant {
        match self.started {
            Some(started) => at.max(started + self.min),
            None => at,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn schedule(now: Instant) -> Schedule {
        Schedule::new(&DnsSettings::default(), now)
    }

    /// After a lookup that began and ended now.
    fn after(ttl: u32, now: Instant) -> Duration {
        let mut schedule = schedule(now);
        schedule.started(now);
        schedule.answered(ttl * SECOND, now, &mut fastrand::Rng::with_seed(7));
        schedule.due() - now
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_lookup_is_at_once_and_the_next_when_the_ttl_ends_or_a_little_earlier() {
        let now = Instant::now();
        assert_eq!(schedule(now).due(), now);
        let wait = after(30, now);
        assert!(wait < 30 * SECOND && wait > 27 * SECOND, "{wait:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_ttl_is_held_within_its_bounds() {
        let now = Instant::now();
        assert_eq!(after(0, now), SECOND);
        let wait = after(1_000_000, now);
        assert!(wait <= 300 * SECOND && wait > 270 * SECOND, "{wait:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_fixed_interval_takes_the_place_of_the_ttl() {
        let now = Instant::now();
        let settings = DnsSettings {
            interval: Some(60 * SECOND),
            ..DnsSettings::default()
        };
        for ttl in [0, 5, 100_000] {
            let mut schedule = Schedule::new(&settings, now);
            schedule.started(now);
            schedule.answered(ttl * SECOND, now, &mut fastrand::Rng::with_seed(7));
            let wait = schedule.due() - now;
            assert!(wait <= 60 * SECOND && wait > 54 * SECOND, "{wait:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_wish_is_granted_at_once_but_not_twice_within_a_second() {
        let start = Instant::now();
        let mut schedule = schedule(start);
        schedule.started(start);
        schedule.answered(60 * SECOND, start, &mut fastrand::Rng::with_seed(1));
        let later = start + 10 * SECOND;
        schedule.wanted(later);
        assert_eq!(schedule.due(), later);
        schedule.started(later);
        schedule.answered(60 * SECOND, later, &mut fastrand::Rng::with_seed(1));
        schedule.wanted(later + SECOND / 10);
        schedule.wanted(later + SECOND / 5);
        assert_eq!(schedule.due(), later + SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wish_never_delays_a_lookup() {
        let now = Instant::now();
        let mut schedule = schedule(now);
        schedule.wanted(now + SECOND);
        assert_eq!(schedule.due(), now);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_lookup_may_be_repeated_a_second_after_it_began() {
        let now = Instant::now();
        let mut schedule = schedule(now);
        schedule.started(now);
        schedule.failed();
        assert_eq!(schedule.due(), now + SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn bounds_that_make_no_sense_are_made_to() {
        let now = Instant::now();
        let settings = DnsSettings {
            min_interval: Duration::ZERO,
            max_interval: Duration::ZERO,
            interval: Some(Duration::MAX),
            ..DnsSettings::default()
        };
        let mut schedule = Schedule::new(&settings, now);
        schedule.started(now);
        schedule.failed();
        assert_eq!(schedule.due(), now + SHORTEST);
        schedule.answered(Duration::MAX, now, &mut fastrand::Rng::with_seed(1));
        assert!(schedule.due() <= now + LONGEST);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Lookup { takes: u64, ttl: u32, fails: bool },
        Wish { after: u64 },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..3_000_u64, 0..1_000_u32, any::<bool>()).prop_map(|(takes, ttl, fails)| Step::Lookup {
                takes,
                ttl,
                fails
            }),
            (0..5_000_u64).prop_map(|after| Step::Wish { after }),
        ]
    }

    proptest! {
        #[test]
        fn lookups_are_never_closer_than_the_least_nor_further_than_the_most(
            steps in proptest::collection::vec(step(), 1..40),
            seed: u64,
        ) {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut now = Instant::now();
            let mut schedule = schedule(now);
            let mut last: Option<Instant> = None;
            for step in steps {
                match step {
                    Step::Lookup { takes, ttl, fails } => {
                        now = now.max(schedule.due());
                        if let Some(last) = last {
                            prop_assert!(now - last >= SECOND);
                        }
                        last = Some(now);
                        schedule.started(now);
                        now += Duration::from_millis(takes);
                        if fails {
                            schedule.failed();
                        } else {
                            schedule.answered(ttl * SECOND, now, &mut random);
                        }
                        prop_assert!(schedule.due() <= now + 300 * SECOND);
                    }
                    Step::Wish { after } => {
                        now += Duration::from_millis(after);
                        let before = schedule.due();
                        schedule.wanted(now);
                        prop_assert!(schedule.due() <= before);
                    }
                }
            }
        }
    }
}
