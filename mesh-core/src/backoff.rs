//! How long to wait before the next try: exponential, capped, with full jitter.
//!
//! Full jitter draws from the whole range up to the ceiling, so that clients that failed together do not come
//! back together. Nothing here waits: the caller sleeps, and brings the random source.

use std::time::Duration;

/// Grows with every failure. A value, cheap to copy.
///
/// The n-th wait (from 0) is drawn evenly from zero to the smaller of `base * 2^n` and `cap`.
///
/// ```
/// use std::time::Duration;
/// use mesh_core::backoff::Backoff;
///
/// let mut random = fastrand::Rng::with_seed(7);
/// let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(60));
/// assert!(backoff.next(&mut random) <= Duration::from_millis(100));
/// assert!(backoff.next(&mut random) <= Duration::from_millis(200));
/// assert_eq!(backoff.ceiling(), Duration::from_millis(400));
///
/// backoff.reset();
/// assert_eq!(backoff.ceiling(), Duration::from_millis(100));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    failures: u32,
}

impl Backoff {
    /// Begins at `base` and never exceeds `cap`. A cap below the base is the base.
    pub const fn new(base: Duration, cap: Duration) -> Self {
        let cap = if cap.as_nanos() < base.as_nanos() {
            base
        } else {
            cap
        };
        Self {
            base,
            cap,
            failures: 0,
        }
    }

    /// Between the attempts of one request: 25 ms to 250 ms, the defaults of Envoy's router and of gRPC's
    /// retries over xDS.
    pub const fn for_retries() -> Self {
        Self::new(Duration::from_millis(25), Duration::from_millis(250))
    }

    /// Between attempts to connect or to reach a control plane: 100 ms to 60 s, the defaults of Linkerd's
    /// outbound proxy.
    pub const fn for_connects() -> Self {
        Self::new(Duration::from_millis(100), Duration::from_secs(60))
    }

    /// How long to wait now; the next wait may be twice as long.
    pub fn next(&mut self, random: &mut fastrand::Rng) -> Duration {
        let ceiling = u64::try_from(self.ceiling().as_nanos()).unwrap_or(u64::MAX);
        self.failures = self.failures.saturating_add(1);
        Duration::from_nanos(random.u64(0..=ceiling))
    }

    /// The longest that [`next`](Self::next) may answer now.
    pub fn ceiling(&self) -> Duration {
        let factor = 1_u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        self.base.saturating_mul(factor).min(self.cap)
    }

    /// How many waits were drawn since the last reset.
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// It worked: begin again at `base`.
    pub const fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_ceiling_doubles_up_to_the_cap() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut backoff = Backoff::for_retries();
        let ceilings: Vec<u128> = (0..6)
            .map(|_| {
                let ceiling = backoff.ceiling().as_millis();
                backoff.next(&mut random);
                ceiling
            })
            .collect();
        assert_eq!(ceilings, [25, 50, 100, 200, 250, 250]);
    }

    #[test]
    fn waits_fill_the_whole_range() {
        let mut random = fastrand::Rng::with_seed(2);
        let waits: Vec<Duration> = (0..1000)
            .map(|_| Backoff::for_connects().next(&mut random))
            .collect();
        let below = |millis| {
            waits
                .iter()
                .filter(|w| **w < Duration::from_millis(millis))
                .count()
        };
        for tenth in 1..=9 {
            let expected = tenth as usize * 100;
            assert!(
                below(tenth * 10).abs_diff(expected) < 60,
                "{tenth}: {}",
                below(tenth * 10)
            );
        }
    }

    #[test]
    fn a_cap_below_the_base_is_the_base() {
        let backoff = Backoff::new(Duration::from_secs(2), Duration::from_secs(1));
        assert_eq!(backoff.ceiling(), Duration::from_secs(2));
    }

    #[test]
    fn without_a_base_there_is_no_wait() {
        let mut random = fastrand::Rng::with_seed(3);
        let mut backoff = Backoff::new(Duration::ZERO, Duration::from_secs(1));
        assert!((0..50).all(|_| backoff.next(&mut random).is_zero()));
    }

    proptest! {
        #[test]
        fn no_wait_exceeds_its_ceiling_and_no_ceiling_the_cap(
            base: u64,
            cap: u64,
            failures in 0..200_u32,
            seed: u64,
        ) {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut backoff = Backoff::new(Duration::from_nanos(base), Duration::from_nanos(cap));
            let mut last = Duration::ZERO;
            for _ in 0..failures {
                let ceiling = backoff.ceiling();
                prop_assert!(ceiling >= last && ceiling <= Duration::from_nanos(cap.max(base)));
                prop_assert!(backoff.next(&mut random) <= ceiling);
                last = ceiling;
            }
            prop_assert_eq!(backoff.failures(), failures);
        }

        #[test]
        fn the_same_seed_gives_the_same_waits(seed: u64) {
            let waits = || {
                let mut random = fastrand::Rng::with_seed(seed);
                let mut backoff = Backoff::for_connects();
                (0..20).map(|_| backoff.next(&mut random)).collect::<Vec<_>>()
            };
            prop_assert_eq!(waits(), waits());
        }
    }
}
