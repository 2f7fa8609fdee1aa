//! How much of its share an endpoint takes that has just begun.
//!
//! A process that starts has cold caches and code that was never run, and its whole share at once may be more
//! than it can take. So it begins with a tenth and grows. It does not matter which algorithm picks: the weight
//! grows, and all of them go by weights ([`weight::scaled`](crate::weight::scaled) keeps those of the others in
//! proportion).

use std::time::Duration;

use mesh_core::duration::MAX;
use tokio::time::Instant;

/// How an endpoint gets its whole share after it has become ready, has become healthy again, or is back from
/// an ejection.
///
/// ```
/// use std::time::Duration;
/// use mesh_lb::slow_start::SlowStart;
/// use tokio::time::Instant;
///
/// let slow_start = SlowStart::new(Duration::from_secs(30));
/// let began = Instant::now();
/// assert_eq!(slow_start.factor(began, began), 0.1);
/// assert_eq!(slow_start.factor(began, began + Duration::from_secs(15)), 0.5);
/// assert_eq!(slow_start.factor(began, began + Duration::from_secs(30)), 1.0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SlowStart {
    window: Duration,
    aggression: f64,
}

impl SlowStart {
    /// What an endpoint begins with.
    pub const LEAST: f64 = 0.1;

    /// Reaches the whole share after `window`. Zero is no slow start.
    pub fn new(window: Duration) -> Self {
        Self {
            window: window.min(MAX),
            aggression: 1.0,
        }
    }

    /// With a curve: the share is the elapsed part of the window to the power of `1 / aggression`. Default 1, a
    /// straight line; 2 grows fast at first, 0.5 slowly. What is no positive number is 1.
    #[must_use]
    pub fn with_aggression(mut self, aggression: f64) -> Self {
        self.aggression = if aggression.is_finite() && aggression > 0.0 {
            aggression
        } else {
            1.0
        };
        self
    }

    /// How much of its weight an endpoint has that began at `began`: from [`LEAST`](Self::LEAST) to 1.
    pub fn factor(&self, began: Instant, now: Instant) -> f64 {
        let elapsed = now.saturating_duration_since(began);
        if elapsed >= self.window {
            return 1.0;
        }
        let part = elapsed.as_secs_f64() / self.window.as_secs_f64();
        part.powf(self.aggression.recip()).clamp(Self::LEAST, 1.0)
    }

    /// How often the weights are worked out anew while an endpoint starts: twenty times in the window, but at least
    /// 100 ms and at most 1 s apart.
    pub fn step(&self) -> Duration {
        (self.window / 20).clamp(Duration::from_millis(100), Duration::from_secs(1))
    }

    /// When the weight of an endpoint is to be worked out next; nothing if it has all of it. The last step is the
    /// end of the window.
    pub fn next_step(&self, began: Instant, now: Instant) -> Option<Instant> {
        let elapsed = now.saturating_duration_since(began);
        let left = self.window.checked_sub(elapsed).filter(|left| !left.is_zero())?;
        Some(now + left.min(self.step()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_first_tenth_of_a_straight_line_is_level() {
        let (slow_start, began) = (SlowStart::new(100 * SECOND), Instant::now());
        let factors = [0, 5, 10, 25, 99, 100, 1000].map(|s| slow_start.factor(began, began + s * SECOND));
        assert_eq!(factors, [0.1, 0.1, 0.1, 0.25, 0.99, 1.0, 1.0]);
    }

    #[test]
    fn aggression_bends_the_line() {
        let (linear, began) = (SlowStart::new(100 * SECOND), Instant::now());
        let at_quarter = |s: SlowStart| s.factor(began, began + 25 * SECOND);
        assert_eq!(at_quarter(linear.with_aggression(2.0)), 0.5);
        assert_eq!(at_quarter(linear.with_aggression(0.5)), 0.1);
        for odd in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(at_quarter(linear.with_aggression(odd)), 0.25);
        }
    }

    #[test]
    fn without_a_window_there_is_no_slow_start() {
        let (none, began) = (SlowStart::new(Duration::ZERO), Instant::now());
        assert_eq!(none.factor(began, began), 1.0);
        assert_eq!(none.next_step(began, began), None);
    }

    #[test]
    fn a_clock_reading_from_before_the_beginning_is_the_beginning() {
        let (slow_start, now) = (SlowStart::new(10 * SECOND), Instant::now());
        assert_eq!(slow_start.factor(now + SECOND, now), 0.1);
        assert_eq!(slow_start.next_step(now + SECOND, now), Some(now + SECOND / 2));
    }

    #[test]
    fn steps_are_neither_finer_than_a_tenth_of_a_second_nor_coarser_than_one() {
        for (window, step) in [(1, 100), (10, 500), (30, 1000), (3600, 1000)] {
            assert_eq!(
                SlowStart::new(window * SECOND).step(),
                Duration::from_millis(step)
            );
        }
    }

    #[test]
    fn the_last_step_is_the_end_and_then_there_is_none() {
        let window = Duration::from_millis(30_400);
        let (slow_start, began) = (SlowStart::new(window), Instant::now());
        let (mut now, mut steps) = (began, 0);
        while let Some(next) = slow_start.next_step(began, now) {
            assert!(next > now);
            now = next;
            steps += 1;
        }
        assert_eq!((now, steps), (began + window, 31));
        assert_eq!(slow_start.factor(began, now), 1.0);
    }

    proptest! {
        #[test]
        fn a_share_never_shrinks_and_stays_within_its_bounds(
            window: Duration,
            aggression: f64,
            a in 0..100_000_u64,
            b in 0..100_000_u64,
        ) {
            let slow_start = SlowStart::new(window).with_aggression(aggression);
            let began = Instant::now();
            let at = |millis| slow_start.factor(began, began + Duration::from_millis(millis));
            let (early, late) = (at(a.min(b)), at(a.max(b)));
            prop_assert!(SlowStart::LEAST <= early && early <= late && late <= 1.0);
        }
    }
}
