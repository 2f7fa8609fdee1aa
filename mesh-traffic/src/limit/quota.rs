//! How much passes.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

/// How many requests pass: a rate, and how many of them may come at once.
///
/// Who has not asked for a while may send the whole burst at once. After that one request passes each
/// [`interval`](Self::interval), and the burst comes back at the same pace.
///
/// A quota that lets nothing pass does not exist: its refusals could not tell when to come back. Who wants to
/// shut a way says so in a rule that answers by itself.
///
/// ```
/// use std::time::Duration;
/// use mesh_traffic::Quota;
///
/// let quota = Quota::per_second(200)?.burst(50)?;
/// assert_eq!(quota.interval(), Duration::from_millis(5));
/// assert_eq!(quota.to_string(), "200 a second, 50 at once");
///
/// // Without a burst of its own: all the requests of one second, or minute, at once.
/// assert_eq!(Quota::per_second(200)?, Quota::per_second(200)?.burst(200)?);
/// assert!(Quota::per_second(0).is_err());
/// # Ok::<(), mesh_traffic::limit::QuotaError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Quota {
    requests: NonZeroU32,
    per: Per,
    burst: NonZeroU32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Per {
    Second,
    Minute,
}

impl Quota {
    /// So many requests a second, all of them at once if need be. Times are counted in nanoseconds, rounded
    /// down: far above a million a second, somewhat more passes than was asked for.
    ///
    /// # Errors
    /// Without a request: see [`Quota`].
    pub fn per_second(requests: u32) -> Result<Self, QuotaError> {
        Self::new(requests, Per::Second)
    }

    /// So many requests a minute, all of them at once if need be.
    ///
    /// # Errors
    /// Without a request: see [`Quota`].
    pub fn per_minute(requests: u32) -> Result<Self, QuotaError> {
        Self::new(requests, Per::Minute)
    }

    fn new(requests: u32, per: Per) -> Result<Self, QuotaError> {
        let requests = NonZeroU32::new(requests).ok_or(QuotaError::NoRequests)?;
        Ok(Self {
            requests,
            per,
            burst: requests,
        })
    }

    /// The same rate, but so many at once.
    ///
    /// # Errors
    /// Without a request, since then none ever passed; or when it takes longer than a hundred years until so
    /// many pass again.
    pub fn burst(self, burst: u32) -> Result<Self, QuotaError> {
        let burst = NonZeroU32::new(burst).ok_or(QuotaError::NoBurst)?;
        let whole_again = self.interval().saturating_mul(burst.get());
        // Also what keeps sums of such times far from the end of 64 bits of nanoseconds.
        if whole_again > mesh_core::duration::MAX {
            return Err(QuotaError::SlowBurst { burst: burst.get() });
        }
        Ok(Self { burst, ..self })
    }

    /// How long after one request the next may come, once the burst is used up.
    pub fn interval(&self) -> Duration {
        (self.per.window() / self.requests.get()).max(Duration::from_nanos(1))
    }

    /// How many requests pass in a [`window`](Self::window).
    pub fn requests(&self) -> u32 {
        self.requests.get()
    }

    /// What the rate is told by: a second or a minute.
    pub fn window(&self) -> Duration {
        self.per.window()
    }

    /// How many may come at once.
    pub fn burst_size(&self) -> u32 {
        self.burst.get()
    }
}

impl Quota {
    /// The part that each of so many replicas gives. Both numbers stay far from their ends: a replica is at most one
    /// of a million, and what it takes until a burst is whole again is bounded.
    pub(super) fn part(self, replicas: u32) -> governor::Quota {
        let alone = governor::Quota::from(self);
        let burst = NonZeroU32::new(self.burst.get() / replicas.max(1)).unwrap_or(NonZeroU32::MIN);
        match replicas {
            0 | 1 => alone,
            _ => governor::Quota::with_period(self.interval().saturating_mul(replicas))
                .map_or(alone, |quota| quota.allow_burst(burst)),
        }
    }
}

impl Per {
    fn window(self) -> Duration {
        match self {
            Self::Second => Duration::from_secs(1),
            Self::Minute => Duration::from_secs(60),
        }
    }
}

impl From<Quota> for governor::Quota {
    fn from(quota: Quota) -> Self {
        let rate = match quota.per {
            Per::Second => Self::per_second(quota.requests),
            Per::Minute => Self::per_minute(quota.requests),
        };
        rate.allow_burst(quota.burst)
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per = match self.per {
            Per::Second => "second",
            Per::Minute => "minute",
        };
        write!(f, "{} a {per}, {} at once", self.requests, self.burst)
    }
}

/// Why there is no such [`Quota`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum QuotaError {
    /// No request passes.
    NoRequests,
    /// None may come at once, not even one.
    NoBurst,
    /// It takes longer than a hundred years until the burst is whole again.
    SlowBurst {
        /// How many at once.
        burst: u32,
    },
}

impl fmt::Display for QuotaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRequests => f.write_str(
                "a rate limit of 0 requests lets nothing pass: expected at least 1; \
                 to refuse everything use a rule that answers by itself, to limit nothing leave the limit out",
            ),
            Self::NoBurst => {
                f.write_str("a burst of 0 requests lets nothing pass, whatever the rate: expected at least 1")
            }
            Self::SlowBurst { burst } => write!(
                f,
                "a burst of {burst} takes longer than a hundred years to come back at this rate: \
                 expected a smaller burst or a higher rate"
            ),
        }
    }
}

impl std::error::Error for QuotaError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_that_lets_nothing_pass_is_refused_with_what_to_do_instead() {
        for error in [Quota::per_second(0), Quota::per_minute(0)] {
            let told = error.expect_err("nothing passes").to_string();
            assert!(
                told.contains("expected at least 1") && told.contains("rule"),
                "{told}"
            );
        }
        let quota = Quota::per_second(1).expect("a rate");
        assert_eq!(quota.burst(0), Err(QuotaError::NoBurst));
    }

    #[test]
    fn no_quota_has_numbers_that_overflow() {
        let slowest = Quota::per_minute(1).expect("a rate");
        let error = slowest.burst(u32::MAX).expect_err("8000 years");
        assert!(error.to_string().contains("4294967295"), "{error}");
        for quota in [Quota::per_second(u32::MAX), Quota::per_minute(u32::MAX)] {
            let quota = quota
                .and_then(|quota| quota.burst(u32::MAX))
                .expect("a burst of seconds");
            assert!(quota.interval() >= Duration::from_nanos(1));
        }
    }

    #[test]
    fn the_parts_of_replicas_are_not_more_than_the_whole() {
        let quota = Quota::per_second(7)
            .and_then(|quota| quota.burst(100))
            .expect("a quota");
        for replicas in [1, 2, 3, 7, 99, 100] {
            let part = quota.part(replicas);
            let rate = f64::from(replicas) / part.replenish_interval().as_secs_f64();
            assert!((rate - 7.0).abs() < 0.001, "{replicas}: {rate}");
            assert!(
                part.burst_size().get() * replicas <= 100,
                "{replicas}: {}",
                part.burst_size()
            );
        }
        assert_eq!(
            quota.part(1_000_000).burst_size().get(),
            1,
            "a part lets something pass"
        );
    }

    #[test]
    fn ours_and_governors_are_the_same() {
        for quota in [
            Quota::per_second(3),
            Quota::per_second(u32::MAX),
            Quota::per_minute(7).and_then(|quota| quota.burst(2)),
        ] {
            let quota = quota.expect("a quota");
            let theirs = governor::Quota::from(quota);
            assert_eq!(theirs.burst_size().get(), quota.burst_size());
            assert_eq!(
                theirs.replenish_interval().max(Duration::from_nanos(1)),
                quota.interval()
            );
        }
    }
}
