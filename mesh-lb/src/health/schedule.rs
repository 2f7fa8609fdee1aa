//! When an endpoint is asked: at once when it is new, then now and then, often while its health is in doubt, and
//! seldom while its traffic says enough.
//!
//! Many clients that start together must not ask together for ever: the first question comes soon, the second
//! somewhere within the interval, and every later one a tenth sooner or later than the interval says.

use std::time::Duration;

use mesh_core::duration::MAX;
use tokio::time::Instant;

use super::state::HealthState;

/// When endpoints are asked.
///
/// ```
/// use std::time::Duration;
/// use mesh_lb::health::Schedule;
///
/// let schedule = Schedule::new(Duration::from_secs(30));
/// let mut random = fastrand::Rng::with_seed(7);
/// assert!(schedule.first(&mut random) <= Duration::from_secs(1));
/// assert_eq!(schedule.interval(), Duration::from_secs(30));
/// assert_eq!(schedule.interval_in_doubt(), Duration::from_secs(5));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    interval: Duration,
    max_skips: u32,
}

/// What has been asked of one endpoint so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Whether it was asked at all.
    before: bool,
    /// Questions in a row that were not asked since its traffic had answered them.
    skipped: u32,
}

impl Default for Schedule {
    /// Every 30 s.
    fn default() -> Self {
        Self::new(Duration::from_secs(30))
    }
}

impl Schedule {
    /// The shortest interval; a shorter one is as long as this. The longest is [`mesh_core::duration::MAX`].
    pub const MIN_INTERVAL: Duration = Duration::from_millis(10);
    /// How often at least an endpoint is asked that is unhealthy, or whose last answer was bad: an endpoint that
    /// is back should not wait, nor should one that is gone be believed for long.
    pub const IN_DOUBT: Duration = Duration::from_secs(5);
    /// The first question comes within a tenth of the interval, and within this.
    pub const FIRST_WITHIN: Duration = Duration::from_secs(1);
    /// How many questions in a row good traffic answers, unless [`with_max_skips`](Self::with_max_skips) says
    /// otherwise.
    pub const MAX_SKIPS: u32 = 4;

    /// Asks healthy endpoints once in `interval`.
    pub fn new(interval: Duration) -> Self {
        Self {
            interval: interval.clamp(Self::MIN_INTERVAL, MAX),
            max_skips: Self::MAX_SKIPS,
        }
    }

    /// With another limit to the questions in a row that good traffic answers; 0 asks always, `u32::MAX` never
    /// while there is traffic.
    ///
    /// A check may know what the traffic does not show: an application that asks by its health path to be left
    /// alone still answers requests well. Default 4: it is heard within five intervals.
    #[must_use]
    pub fn with_max_skips(mut self, max_skips: u32) -> Self {
        self.max_skips = max_skips;
        self
    }

    /// How often healthy endpoints are asked.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// How often the others are asked: the interval, or 5 s if that is less.
    pub fn interval_in_doubt(&self) -> Duration {
        self.interval.min(Self::IN_DOUBT)
    }

    /// How long after a new endpoint appears it is asked.
    pub fn first(&self, random: &mut fastrand::Rng) -> Duration {
        between(
            Duration::ZERO,
            (self.interval / 10).min(Self::FIRST_WITHIN),
            random,
        )
    }

    /// How long after an answer, or after a question that was not needed, the next one is due.
    pub fn next(&self, asked: &mut Asked, state: &HealthState, random: &mut fastrand::Rng) -> Duration {
        let second = !std::mem::replace(&mut asked.before, true);
        if !state.is_settled() {
            return about(self.interval_in_doubt(), random);
        }
        if second {
            return between(self.interval / 10, self.interval, random);
        }
        about(self.interval, random)
    }

    /// Whether a question that is due is to be asked: not if a request succeeded within the last interval,
    /// unless the endpoint's health is in doubt or too many questions were left out already.
    pub fn is_needed(
        &self,
        asked: &mut Asked,
        state: &HealthState,
        last_success: Option<Instant>,
        now: Instant,
    ) -> bool {
        let known_by_traffic =
            last_success.is_some_and(|at| now.saturating_duration_since(at) < self.interval);
        let skip = known_by_traffic && state.is_settled() && asked.skipped < self.max_skips;
        asked.skipped = if skip { asked.skipped + 1 } else { 0 };
        !skip
    }
}

/// A tenth more or less.
fn about(duration: Duration, random: &mut fastrand::Rng) -> Duration {
    let tenth = duration / 10;
    between(duration - tenth, duration.saturating_add(tenth), random)
}

fn between(from: Duration, to: Duration, random: &mut fastrand::Rng) -> Duration {
    let nanos = |d: Duration| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(random.u64(nanos(from)..=nanos(to)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{HealthError, NewEndpoints, Thresholds};
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn state(answers: &[bool]) -> HealthState {
        let mut state = HealthState::new(Thresholds::default(), NewEndpoints::Healthy);
        for good in answers {
            let _ = state.on(if *good {
                Ok(())
            } else {
                Err(HealthError::new("ill"))
            });
        }
        state
    }

    fn asked() -> Asked {
        Asked {
            before: true,
            skipped: 0,
        }
    }

    #[test]
    fn a_new_endpoint_is_asked_soon_but_not_by_all_at_once() {
        let mut random = fastrand::Rng::with_seed(1);
        for (interval, within) in [(30 * SECOND, SECOND), (SECOND, SECOND / 10)] {
            let schedule = Schedule::new(interval);
            let waits: Vec<_> = (0..1000).map(|_| schedule.first(&mut random)).collect();
            assert!(waits.iter().all(|wait| *wait <= within));
            let early = waits.iter().filter(|wait| **wait < within / 2).count();
            assert!(early.abs_diff(500) < 60, "{early}");
        }
    }

    #[test]
    fn clients_that_started_together_ask_at_any_time_from_the_second_question_on() {
        let schedule = Schedule::new(30 * SECOND);
        let mut in_each_tenth = [0_u32; 10];
        for seed in 0..2000 {
            let mut random = fastrand::Rng::with_seed(seed);
            let wait = schedule.next(&mut Asked::default(), &state(&[true]), &mut random);
            in_each_tenth[(wait.as_millis() / 3000).min(9) as usize] += 1;
        }
        assert_eq!(in_each_tenth[0], 0, "two questions in a moment are one too many");
        assert!(
            in_each_tenth[1..].iter().all(|n| n.abs_diff(222) < 60),
            "{in_each_tenth:?}"
        );
    }

    #[test]
    fn an_endpoint_in_doubt_is_asked_more_often_and_never_less() {
        let mut random = fastrand::Rng::with_seed(2);
        for (interval, expected) in [(30 * SECOND, 5 * SECOND), (2 * SECOND, 2 * SECOND)] {
            let schedule = Schedule::new(interval);
            for in_doubt in [state(&[true, false]), state(&[false]), state(&[false, true])] {
                for mut asked in [Asked::default(), asked()] {
                    let wait = schedule.next(&mut asked, &in_doubt, &mut random);
                    assert!(wait.abs_diff(expected) <= expected / 10, "{wait:?}");
                }
            }
        }
    }

    #[test]
    fn good_traffic_within_the_interval_answers_four_questions_of_five() {
        let (schedule, now, state) = (Schedule::new(30 * SECOND), Instant::now(), state(&[true]));
        let mut asked = asked();
        let needed: Vec<bool> = (0..10)
            .map(|_| schedule.is_needed(&mut asked, &state, Some(now), now + 29 * SECOND))
            .collect();
        assert_eq!(
            needed,
            [false, false, false, false, true, false, false, false, false, true]
        );
    }

    #[test]
    fn no_traffic_old_traffic_and_doubt_are_each_a_reason_to_ask() {
        let (schedule, now) = (Schedule::new(30 * SECOND), Instant::now());
        let (settled, later) = (state(&[true]), now + 30 * SECOND);
        assert!(schedule.is_needed(&mut asked(), &settled, None, now));
        assert!(schedule.is_needed(&mut asked(), &settled, Some(now), later));
        for in_doubt in [state(&[]), state(&[true, false]), state(&[false, true])] {
            assert!(schedule.is_needed(&mut asked(), &in_doubt, Some(now), now));
        }
    }

    #[test]
    fn a_question_that_is_asked_allows_others_to_be_left_out_again() {
        let (schedule, now, state) = (
            Schedule::default().with_max_skips(1),
            Instant::now(),
            state(&[true]),
        );
        let mut asked = asked();
        assert!(!schedule.is_needed(&mut asked, &state, Some(now), now));
        assert!(schedule.is_needed(&mut asked, &state, None, now));
        assert!(!schedule.is_needed(&mut asked, &state, Some(now), now));
        assert!(schedule.is_needed(&mut asked, &state, Some(now), now));
    }

    proptest! {
        #[test]
        fn no_wait_is_far_from_its_interval_whatever_that_is(millis: u64, seed: u64, before: bool) {
            let schedule = Schedule::new(Duration::from_millis(millis));
            let interval = schedule.interval();
            prop_assert!(interval >= Schedule::MIN_INTERVAL && interval <= MAX);
            let mut random = fastrand::Rng::with_seed(seed);
            let mut asked = Asked { before, skipped: 0 };
            let wait = schedule.next(&mut asked, &state(&[true]), &mut random);
            prop_assert!(wait >= interval / 10);
            prop_assert!(wait <= interval.saturating_add(interval / 10));
            prop_assert!(asked.before);
        }
    }
}
