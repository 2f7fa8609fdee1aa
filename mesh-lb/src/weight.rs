//! Weights times factors, as the whole numbers that pickers go by.

/// How fine a factor is kept: a hundredth of a weight.
const STEPS: f64 = 100.0;

/// Multiplies each weight with its factor: of slow start, of locality. The results are relative to each other and
/// to nothing else.
///
/// A positive weight stays positive unless its factor is zero. If all factors are 1, the weights stay as they
/// are. Factors that are no number, or negative, are zero.
///
/// ```
/// use mesh_lb::weight::scaled;
///
/// assert_eq!(scaled(&[(1, 1.0), (2, 1.0)]), [1, 2]);
/// assert_eq!(scaled(&[(1, 1.0), (2, 0.1), (3, 1.0)]), [100, 20, 300]);
/// ```
pub fn scaled(weights: &[(u32, f64)]) -> Vec<u32> {
    if weights.iter().all(|(_, factor)| *factor == 1.0) {
        return weights.iter().map(|(weight, _)| *weight).collect();
    }
    let product =
        |(weight, factor): &(u32, f64)| f64::from(*weight) * factor.max(0.0).min(f64::from(u32::MAX));
    let largest = weights.iter().map(product).fold(0.0, f64::max);
    let scale = STEPS.min(f64::from(u32::MAX) / largest);
    let whole = |one: &(u32, f64)| {
        let product = product(one);
        if product == 0.0 {
            0
        } else {
            // A cast of too large a number gives the largest.
            ((product * scale).round() as u32).max(1)
        }
    };
    weights.iter().map(whole).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn who_takes_nothing_takes_nothing() {
        assert_eq!(scaled(&[]), [0_u32; 0]);
        assert_eq!(scaled(&[(0, 1.0), (0, 0.5)]), [0, 0]);
        assert_eq!(
            scaled(&[(0, 0.5), (1, 0.0), (1, -3.0), (1, f64::NAN)]),
            [0, 0, 0, 0]
        );
    }

    #[test]
    fn a_tiny_share_is_still_a_share() {
        assert_eq!(scaled(&[(1, 1e-9), (1, 1.0)]), [1, 100]);
        assert_eq!(scaled(&[(1, 0.5), (u32::MAX, 1.0)]), [1, u32::MAX]);
    }

    #[test]
    fn factors_without_bound_are_no_overflow() {
        assert_eq!(
            scaled(&[(u32::MAX, f64::INFINITY), (u32::MAX, f64::MAX)]),
            [u32::MAX; 2]
        );
    }

    proptest! {
        #[test]
        fn who_starts_slowly_makes_no_step_for_the_others(
            weights in proptest::collection::vec(0..10_000_u32, 1..20),
            starting in 0.1..1.0_f64,
        ) {
            let mut all: Vec<_> = weights.iter().map(|weight| (*weight, 1.0)).collect();
            all.push((7, starting));
            for (scaled, weight) in scaled(&all).iter().zip(&weights) {
                prop_assert_eq!(*scaled, weight * 100);
            }
        }

        #[test]
        fn every_share_is_right_to_a_hundredth_of_a_weight(
            all in proptest::collection::vec((1..1000_u32, 0.0..5.0_f64), 1..20),
        ) {
            let product = |(weight, factor): &(u32, f64)| f64::from(*weight) * factor;
            prop_assume!(all.iter().any(|(_, factor)| *factor != 1.0));
            for (scaled, one) in scaled(&all).iter().zip(&all) {
                let exact = product(one) * 100.0;
                prop_assert!((f64::from(*scaled) - exact).abs() <= 1.0, "{} for {}", scaled, exact);
            }
        }
    }
}
