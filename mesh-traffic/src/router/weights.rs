//! A weighted choice: pure, so that the same random number always chooses the same.

use std::fmt;

/// Weights: in percent, or relative to their sum.
///
/// ```
/// use mesh_traffic::router::Weights;
///
/// let weights = Weights::percent([90, 10])?;
/// assert_eq!(weights.choose(0), 0);
/// assert_eq!(weights.choose(u32::MAX), 1);
/// # Ok::<(), mesh_traffic::router::WeightsError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weights {
    /// Running sums; the last is all of it, and not 0.
    ends: Box<[u32]>,
}

/// Why weights are not a split.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WeightsError {
    /// There is none.
    Empty,
    /// They do not add up to 100.
    Sum {
        /// The weights.
        weights: Box<[u32]>,
    },
    /// All of them are 0.
    Nothing,
    /// Their sum is more than 32 bits hold.
    TooMuch,
}

impl fmt::Display for WeightsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("there is no destination; expected at least one, of weight 100"),
            Self::Sum { weights } => {
                f.write_str("the weights ")?;
                for (place, weight) in weights.iter().enumerate() {
                    write!(f, "{}{weight}", if place == 0 { "" } else { " + " })?;
                }
                let sum: u64 = weights.iter().copied().map(u64::from).sum();
                write!(f, " add up to {sum}; expected 100")
            }
            Self::Nothing => f.write_str("every weight is 0; expected at least one above"),
            Self::TooMuch => f.write_str("the weights add up to more than 4294967295; expected smaller ones"),
        }
    }
}

impl std::error::Error for WeightsError {}

impl Weights {
    /// Takes weights in percent. A weight of 0 is never chosen.
    pub fn percent(weights: impl IntoIterator<Item = u32>) -> Result<Self, WeightsError> {
        let weights: Box<[u32]> = weights.into_iter().collect();
        if weights.is_empty() {
            return Err(WeightsError::Empty);
        }
        if weights.iter().copied().map(u64::from).sum::<u64>() != 100 {
            return Err(WeightsError::Sum { weights });
        }
        Self::relative(weights)
    }

    /// Takes weights that count relative to their sum. A weight of 0 is never chosen.
    ///
    /// # Errors
    /// There is none, or all are 0, or their sum is more than 32 bits hold.
    ///
    /// ```
    /// use mesh_traffic::router::Weights;
    ///
    /// let weights = Weights::relative([1, 3])?;
    /// assert_eq!((0..4_u32).map(|n| weights.choose(n << 30)).collect::<Vec<_>>(), [0, 1, 1, 1]);
    /// # Ok::<(), mesh_traffic::router::WeightsError>(())
    /// ```
    pub fn relative(weights: impl IntoIterator<Item = u32>) -> Result<Self, WeightsError> {
        let mut sum = 0_u32;
        let mut ends = Vec::new();
        for weight in weights {
            sum = sum.checked_add(weight).ok_or(WeightsError::TooMuch)?;
            ends.push(sum);
        }
        match (ends.is_empty(), sum) {
            (true, _) => Err(WeightsError::Empty),
            (false, 0) => Err(WeightsError::Nothing),
            (false, _) => Ok(Self { ends: ends.into() }),
        }
    }

    /// All of it to the only place.
    pub(crate) fn one() -> Self {
        Self { ends: [100].into() }
    }

    /// The one place that has all of it, if so.
    pub(crate) fn only(&self) -> Option<usize> {
        let first = self.ends.partition_point(|&end| end == 0);
        (self.ends.get(first) == self.ends.last()).then_some(first)
    }

    /// The sum of them: 100 if they are percents.
    pub fn total(&self) -> u32 {
        self.ends.last().copied().unwrap_or_default()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Never: there is at least one.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The weight at a place; 0 beyond the last.
    pub fn get(&self, place: usize) -> u32 {
        let before = place
            .checked_sub(1)
            .map_or(0, |before| self.ends[before.min(self.ends.len() - 1)]);
        self.ends.get(place).map_or(0, |end| end - before)
    }

    /// The place of the chosen weight. `random` has to be uniform over all of `u32`.
    pub fn choose(&self, random: u32) -> usize {
        // The upper half of the product is uniform over 0..total, to one part in 2^32.
        let point = (u64::from(random) * u64::from(self.total())) >> 32;
        self.ends.partition_point(|&end| u64::from(end) <= point)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Weights that add up to 100: the gaps between some cuts.
    fn weights() -> impl Strategy<Value = Vec<u32>> {
        proptest::collection::vec(0..=100_u32, 0..6).prop_map(|mut cuts| {
            cuts.extend([0, 100]);
            cuts.sort_unstable();
            cuts.windows(2).map(|pair| pair[1] - pair[0]).collect()
        })
    }

    fn shares(weights: &Weights, places: usize, numbers: impl Iterator<Item = u32>) -> Vec<u32> {
        let mut counts = vec![0; places];
        for number in numbers {
            counts[weights.choose(number)] += 1;
        }
        counts
    }

    proptest! {
        #[test]
        fn evenly_spaced_numbers_are_split_exactly(given in weights()) {
            let weights = Weights::percent(given.iter().copied()).expect("they add up");
            let step = u32::MAX / 100;
            let counts = shares(&weights, given.len(), (0..100).map(|place| place * step + step / 2));
            prop_assert_eq!(counts, given);
        }

        #[test]
        fn random_numbers_are_split_within_six_standard_deviations(given in weights(), seed: u64) {
            const DRAWS: u32 = 10_000;
            let weights = Weights::percent(given.iter().copied()).expect("they add up");
            let mut random = fastrand::Rng::with_seed(seed);
            let counts = shares(&weights, given.len(), (0..DRAWS).map(|_| random.u32(..)));
            for (&count, &weight) in counts.iter().zip(&given) {
                let share = f64::from(weight) / 100.0;
                let deviation = (f64::from(DRAWS) * share * (1.0 - share)).sqrt();
                let off = (f64::from(count) - f64::from(DRAWS) * share).abs();
                prop_assert!(off <= 6.0 * deviation, "{count} of {DRAWS} for {weight} %");
            }
        }
    }

    #[test]
    fn a_weight_of_zero_is_never_chosen() {
        let weights = Weights::percent([0, 100, 0]).expect("they add up");
        for random in [0, 1, u32::MAX / 2, u32::MAX] {
            assert_eq!(weights.choose(random), 1);
        }
    }

    #[test]
    fn relative_weights_know_their_shares() {
        let weights = Weights::relative([0, 3, 1_000_000, 2]).expect("weights");
        let shares: Vec<u32> = (0..5).map(|place| weights.get(place)).collect();
        assert_eq!(shares, [0, 3, 1_000_000, 2, 0]);
        assert_eq!((weights.len(), weights.total()), (4, 1_000_005));
        assert_eq!(Weights::relative([0, 0]), Err(WeightsError::Nothing));
        assert_eq!(Weights::relative([u32::MAX, 1]), Err(WeightsError::TooMuch));
        assert_eq!(Weights::relative([]), Err(WeightsError::Empty));
    }

    #[test]
    fn weights_that_do_not_add_up_are_refused_with_their_sum() {
        let refusal = |weights: &[u32]| {
            Weights::percent(weights.iter().copied())
                .expect_err("wrong")
                .to_string()
        };
        assert_eq!(
            refusal(&[60, 30]),
            "the weights 60 + 30 add up to 90; expected 100"
        );
        assert!(refusal(&[]).contains("at least one"));
        assert!(
            refusal(&[u32::MAX, u32::MAX, 102]).contains("add up to 8589934692"),
            "no overflow"
        );
    }
}
