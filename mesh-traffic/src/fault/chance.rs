//! How often something happens.

use std::fmt;

/// How often something happens: a share of all requests.
///
/// ```
/// use mesh_traffic::fault::Chance;
///
/// let often = Chance::percent(10.0).expect("0 to 100");
/// assert!(often.hits(u32::MAX / 10));
/// assert!(!often.hits(u32::MAX / 10 + 1));
/// assert_eq!(Chance::percent(100.5), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Chance {
    /// Numbers of 32 bits below it hit; 2^32: all do.
    below: u64,
}

impl Chance {
    /// It always happens.
    pub const ALWAYS: Self = Self { below: 1 << 32 };

    /// It never happens.
    pub const NEVER: Self = Self { below: 0 };

    /// It happens to so many of a hundred: 0 to 100, to within a 2^32th.
    pub fn percent(percent: f64) -> Option<Self> {
        let share = percent / 100.0;
        (0.0..=1.0).contains(&share).then(|| Self {
            below: (share * (1_u64 << 32) as f64).round() as u64,
        })
    }

    /// Whether it happens, as a random number decides.
    pub fn hits(self, random: u32) -> bool {
        u64::from(random) < self.below
    }
}

impl fmt::Debug for Chance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = self.below as f64 * 100.0 / (1_u64 << 32) as f64;
        write!(f, "Chance({percent:.3} %)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_and_always_are_exact() {
        for random in [0, 1, u32::MAX / 2, u32::MAX] {
            assert!(!Chance::NEVER.hits(random));
            assert!(Chance::ALWAYS.hits(random));
        }
        assert_eq!(Chance::percent(0.0), Some(Chance::NEVER));
        assert_eq!(Chance::percent(100.0), Some(Chance::ALWAYS));
    }

    #[test]
    fn what_is_no_share_is_no_chance() {
        for percent in [-0.1, 100.1, f64::NAN, f64::INFINITY] {
            assert_eq!(Chance::percent(percent), None, "{percent}");
        }
    }
}
