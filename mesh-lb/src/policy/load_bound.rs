//! How much an endpoint may carry before the requests that belong to it go elsewhere.

use super::candidate::Candidate;
use super::chance::below;

/// How much an endpoint may carry, relative to the average of all for their weights, before its keys go to the
/// next one: what keeps a popular key, or an uneven table, from overloading one endpoint.
///
/// ```
/// use mesh_lb::policy::LoadBound;
///
/// assert_eq!(LoadBound::default(), LoadBound::of_percent(125).expect("at least 100"));
/// assert_eq!(LoadBound::of_percent(99), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LoadBound {
    percent: u32,
}

impl LoadBound {
    /// No bound: a key stays where it belongs, whatever that endpoint carries.
    pub const NONE: Self = Self { percent: u32::MAX };

    /// So many percent of the average: 100 is as even as can be and moves most keys, 150 moves few. Nothing
    /// under 100, since not all endpoints can carry less than the average.
    pub const fn of_percent(percent: u32) -> Option<Self> {
        if percent < 100 {
            return None;
        }
        Some(Self { percent })
    }
}

impl Default for LoadBound {
    /// 125 percent.
    fn default() -> Self {
        Self { percent: 125 }
    }
}

/// Of more candidates than this, so many are looked at to know what all carry.
const EXACT: usize = 32;

/// The bound over a set of candidates.
pub(super) struct Bounded {
    candidates: Box<[Candidate]>,
    weight: u64,
    bound: LoadBound,
}

impl Bounded {
    pub(super) fn new(candidates: Box<[Candidate]>, bound: LoadBound) -> Self {
        Self {
            weight: candidates.iter().map(|c| u64::from(c.weight)).sum(),
            candidates,
            bound,
        }
    }

    pub(super) fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }

    /// Whether a candidate may take one request more. What all carry is looked up when it first matters, with
    /// the random bits, and kept in `carried`.
    pub(super) fn allows(&self, candidate: &Candidate, carried: &mut Option<u64>, random: u64) -> bool {
        if self.bound == LoadBound::NONE {
            return true;
        }
        let in_flight = candidate.load.in_flight();
        if in_flight == 0 {
            return true;
        }
        let all = *carried.get_or_insert_with(|| self.carried(random));
        // in flight < percent / 100 × (all + 1) × weight / weight of all
        u128::from(in_flight) * u128::from(self.weight) * 100
            < u128::from(self.bound.percent) * (u128::from(all) + 1) * u128::from(candidate.weight)
    }

    /// The requests in flight to all candidates; estimated from some that lie evenly apart if they are many,
    /// since a pick must not read ten thousand counters that others write.
    fn carried(&self, random: u64) -> u64 {
        let n = self.candidates.len();
        let step = (n / EXACT).max(1);
        let mut at = below(n, random as u32);
        let (mut in_flight, mut weight) = (0, 0);
        for _ in 0..n.min(EXACT) {
            let candidate = &self.candidates[at];
            in_flight += u64::from(candidate.load.in_flight());
            weight += u64::from(candidate.weight);
            at += step;
            if at >= n {
                at -= n;
            }
        }
        let all = u128::from(in_flight) * u128::from(self.weight) / u128::from(weight.max(1));
        u64::try_from(all).unwrap_or(u64::MAX)
    }
}
