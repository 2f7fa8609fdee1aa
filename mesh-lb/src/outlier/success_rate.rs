//! Who succeeds less often than the others.
//!
//! Failures in a row find an endpoint that is dead; one that fails every third request it takes a comparison to
//! find. If all fail alike, nobody stands out: then it is not the endpoint.
//!
//! Envoy calls an outlier who is 1.9 standard deviations below the mean. That alone also finds some in a fleet in
//! which all are equally good: chance puts three of a hundred there, in every interval. So two more are asked
//! for: the gap must be worth an ejection, and larger than chance makes it.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;
use mesh_core::Outcome;

/// How many requests an endpoint answered in an interval, and how many of them it failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests that say something about it.
    pub requests: u32,
    /// Those it failed.
    pub failed: u32,
}

impl Counts {
    /// The share that succeeded; of no requests, all.
    pub fn success_rate(self) -> f64 {
        if self.requests == 0 {
            return 1.0;
        }
        1.0 - f64::from(self.failed) / f64::from(self.requests)
    }
}

/// The counts of the interval that is under way. A request costs one addition.
///
/// ```
/// use mesh_core::{ErrorKind, Outcome};
/// use mesh_lb::outlier::{Counts, SwapCounts};
///
/// let counts = SwapCounts::default();
/// counts.record(Outcome::Success);
/// counts.record(Outcome::Failure);
/// counts.record(Outcome::of_status(http::StatusCode::TOO_MANY_REQUESTS)); // not its failure
/// counts.record(Outcome::Refused(ErrorKind::Overloaded)); // says nothing about it
/// assert_eq!(counts.take(), Counts { requests: 3, failed: 1 });
/// assert_eq!(counts.take(), Counts::default());
/// ```
#[derive(Debug, Default)]
pub struct SwapCounts {
    /// Requests in the upper half, failures in the lower: four thousand million in one interval would overflow.
    both: CachePadded<AtomicU64>,
}

impl SwapCounts {
    const REQUEST: u64 = 1 << 32;

    /// Counts how a request ended. As everywhere, an answer of 4xx is a success, and a refusal that the endpoint is
    /// not to blame for is not counted.
    pub fn record(&self, outcome: Outcome) {
        let count = match outcome {
            Outcome::Success => Self::REQUEST,
            outcome if outcome.counts_against_endpoint() => Self::REQUEST + 1,
            _ => return,
        };
        self.both.fetch_add(count, Ordering::Relaxed);
    }

    /// Ends the interval: gives its counts, and begins with none. Each request is in one interval.
    pub fn take(&self) -> Counts {
        let both = self.both.swap(0, Ordering::Relaxed);
        Counts {
            requests: (both >> 32) as u32,
            failed: both as u32,
        }
    }
}

/// The test among peers. The defaults of the first three are Envoy's.
///
/// ```
/// use mesh_lb::outlier::{Counts, SuccessRateTest};
///
/// let mut fleet: Vec<_> = ('a'..='g').map(|name| (name, Counts { requests: 500, failed: 2 })).collect();
/// assert!(SuccessRateTest::default().outliers(&fleet).is_empty());
///
/// fleet[3].1.failed = 200;
/// let outliers = SuccessRateTest::default().outliers(&fleet);
/// assert_eq!(outliers[0].endpoint, 'd');
/// assert_eq!(outliers[0].to_string(), "60.0% of its requests succeeded: the mean of 7 endpoints is 93.9%");
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct SuccessRateTest {
    /// How many endpoints there must be to compare. Default 5.
    pub min_endpoints: usize,
    /// An endpoint is compared if it answered at least so many requests in the interval. Default 100.
    pub min_requests: u32,
    /// So many standard deviations below the mean is an outlier. Default 1.9.
    pub deviations: f64,
    /// If it is at least this far below the mean, as a share of its requests. Default 0.05: what fails less often
    /// is for retries to mend.
    pub min_gap: f64,
    /// And if the gap is at least so many times what chance makes of the mean with so many requests: standard
    /// errors. Default 3: by chance one in a thousand.
    pub chance: f64,
}

impl Default for SuccessRateTest {
    fn default() -> Self {
        Self {
            min_endpoints: 5,
            min_requests: 100,
            deviations: 1.9,
            min_gap: 0.05,
            chance: 3.0,
        }
    }
}

/// An endpoint that stands out.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Outlier<K> {
    /// Which.
    pub endpoint: K,
    /// Its success rate, 0 to 1.
    pub success_rate: f64,
    /// The mean of all that were compared.
    pub mean: f64,
    /// How many were compared.
    pub compared: usize,
}

impl<K> fmt::Display for Outlier<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.1}% of its requests succeeded: the mean of {} endpoints is {:.1}%",
            self.success_rate * 100.0,
            self.compared,
            self.mean * 100.0
        )
    }
}

impl SuccessRateTest {
    /// Who stands out in an interval, the worst first. The counts of endpoints that are ejected do not belong here:
    /// what they answered, they answered before.
    pub fn outliers<K: Clone>(&self, fleet: &[(K, Counts)]) -> Vec<Outlier<K>> {
        let enough = |(_, counts): &&(K, Counts)| counts.requests >= self.min_requests.max(1);
        let compared: Vec<_> = fleet.iter().filter(enough).collect();
        if compared.is_empty() || compared.len() < self.min_endpoints {
            return Vec::new();
        }
        let count = compared.len() as f64;
        let rates = || compared.iter().map(|(_, counts)| counts.success_rate());
        let mean = rates().sum::<f64>() / count;
        let variance = rates().map(|rate| (rate - mean).powi(2)).sum::<f64>() / count;
        let gap = (self.deviations * variance.sqrt()).max(self.min_gap);

        let stands_out = |counts: &Counts| {
            let by_chance = (mean * (1.0 - mean) / f64::from(counts.requests)).max(0.0).sqrt();
            mean - counts.success_rate() > gap.max(self.chance * by_chance)
        };
        let mut outliers: Vec<_> = compared
            .iter()
            .filter(|(_, counts)| stands_out(counts))
            .map(|(endpoint, counts)| Outlier {
                endpoint: endpoint.clone(),
                success_rate: counts.success_rate(),
                mean,
                compared: compared.len(),
            })
            .collect();
        outliers.sort_by(|a, b| a.success_rate.total_cmp(&b.success_rate));
        outliers
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counts(requests: u32, failed: u32) -> Counts {
        Counts { requests, failed }
    }

    /// Of 1000 requests each.
    fn fleet(failed: &[u32]) -> Vec<(usize, Counts)> {
        failed
            .iter()
            .map(|failed| counts(1000, *failed))
            .enumerate()
            .collect()
    }

    fn found(fleet: &[(usize, Counts)]) -> Vec<usize> {
        let outliers = SuccessRateTest::default().outliers(fleet);
        outliers.iter().map(|outlier| outlier.endpoint).collect()
    }

    #[test]
    fn one_of_five_that_fails_more_than_the_others_stands_out() {
        assert_eq!(found(&fleet(&[0, 0, 1000, 0, 0])), [2]);
        assert_eq!(found(&fleet(&[10, 12, 9, 300, 11])), [3]);
    }

    #[test]
    fn the_worst_comes_first() {
        let mut failed = [10; 20];
        failed[4] = 500;
        failed[9] = 900;
        assert_eq!(found(&fleet(&failed)), [9, 4]);
    }

    #[test]
    fn if_all_fail_alike_it_is_not_the_endpoint() {
        assert!(found(&fleet(&[1000; 8])).is_empty());
        assert!(found(&fleet(&[500, 510, 490, 505, 495, 530])).is_empty());
    }

    #[test]
    fn four_endpoints_are_too_few_and_ninety_nine_requests_too() {
        assert!(found(&fleet(&[0, 0, 0, 1000])).is_empty());
        let mut seldom = fleet(&[0, 0, 0, 0]);
        seldom.push((4, counts(99, 99)));
        assert!(found(&seldom).is_empty());
        seldom.push((5, counts(100, 100)));
        assert_eq!(
            found(&seldom),
            [5],
            "and who is not compared changes nothing for the others"
        );
    }

    #[test]
    fn a_gap_that_retries_mend_is_no_reason_to_eject() {
        // Far more than 1.9 deviations, and four percent.
        assert!(found(&fleet(&[0, 0, 0, 0, 0, 0, 0, 45])).is_empty());
    }

    #[test]
    fn chance_alone_ejects_hardly_anybody_though_deviations_alone_would() {
        let mut random = fastrand::Rng::with_seed(1);
        let plain = SuccessRateTest {
            min_gap: 0.0,
            chance: 0.0,
            ..SuccessRateTest::default()
        };
        let (mut ours, mut theirs, mut all) = (0, 0, 0);
        for success in [0.5, 0.9, 0.99] {
            for requests in [100, 1000] {
                for _ in 0..40 {
                    let endpoint = |n| {
                        let failed = (0..requests).filter(|_| random.f64() >= success).count();
                        (n, counts(requests, failed as u32))
                    };
                    let equal: Vec<_> = (0..50).map(endpoint).collect();
                    all += equal.len();
                    ours += SuccessRateTest::default().outliers(&equal).len();
                    theirs += plain.outliers(&equal).len();
                }
            }
        }
        assert!(theirs * 50 > all, "{theirs} of {all}");
        assert!(ours * 500 < all, "{ours} of {all}");
    }

    #[test]
    fn an_outlier_is_found_beside_the_noise_of_the_others() {
        let mut random = fastrand::Rng::with_seed(2);
        for _ in 0..100 {
            let endpoint = |n| {
                let success = if n == 7 { 0.7 } else { 0.98 };
                let failed = (0..300).filter(|_| random.f64() >= success).count();
                (n, counts(300, failed as u32))
            };
            let fleet: Vec<_> = (0..20).map(endpoint).collect();
            assert_eq!(found(&fleet), [7]);
        }
    }

    #[test]
    fn threads_that_count_while_intervals_end_lose_nothing() {
        let counted = SwapCounts::default();
        let mut sum = Counts::default();
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    (0..20_000).for_each(|n| {
                        counted.record(if n % 4 == 0 {
                            Outcome::Failure
                        } else {
                            Outcome::Success
                        });
                    });
                });
            }
            for _ in 0..1000 {
                let counts = counted.take();
                sum.requests += counts.requests;
                sum.failed += counts.failed;
            }
        });
        let last = counted.take();
        assert_eq!(
            (sum.requests + last.requests, sum.failed + last.failed),
            (40_000, 10_000)
        );
    }

    proptest! {
        #[test]
        fn an_outlier_is_below_the_mean_and_never_are_half_of_them(
            all in proptest::collection::vec((0..2000_u32, 0.0..=1.0_f64), 0..40),
        ) {
            let fleet: Vec<_> = all
                .iter()
                .map(|(requests, failing)| counts(*requests, (f64::from(*requests) * failing) as u32))
                .enumerate()
                .collect();
            let outliers = SuccessRateTest::default().outliers(&fleet);
            prop_assert!(outliers.len() * 2 < fleet.len().max(1));
            for outlier in &outliers {
                prop_assert!(outlier.success_rate < outlier.mean);
                prop_assert!(fleet[outlier.endpoint].1.requests >= 100);
            }
        }
    }
}
