//! When so few endpoints are available that it is better to use all of them.
//!
//! If most endpoints seem to be ill, it is often the check that is, or something all of them share; and were the
//! few that are left given all of the requests, they would fall next. So below a threshold health no longer counts.
//! It is never silent: each change is one to be told.

/// Whether requests go to all endpoints.
///
/// There is no gap between entering and leaving: the state follows from two numbers, so that whoever reads an
/// event can check it. What feeds it is slow already: an endpoint changes its health after several answers in a
/// row, and an ejection lasts half a minute.
///
/// ```
/// use mesh_lb::panic::{Panic, PanicChange};
///
/// let mut panic = Panic::default();
/// assert_eq!(panic.on(2, 4), None); // half is enough
/// assert_eq!(panic.on(1, 4), Some(PanicChange::Entered));
/// assert!(panic.is_on());
/// assert_eq!(panic.on(1, 4), None);
/// assert_eq!(panic.on(2, 4), Some(PanicChange::Left));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Panic {
    threshold: f64,
    on: bool,
}

/// A change to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PanicChange {
    /// From now on requests go to all endpoints.
    Entered,
    /// From now on requests go to those that are available.
    Left,
}

impl Default for Panic {
    /// Below half of them.
    fn default() -> Self {
        Self::new(50.0)
    }
}

impl Panic {
    /// Enters if fewer than this share of the endpoints are available, in percent. 0 (and less, and NaN) never
    /// enters; 100 (and more) unless all are.
    pub fn new(threshold: f64) -> Self {
        let threshold = if threshold.is_nan() { 0.0 } else { threshold };
        Self {
            threshold: threshold.clamp(0.0, 100.0),
            on: false,
        }
    }

    /// Whether requests go to all endpoints.
    pub fn is_on(&self) -> bool {
        self.on
    }

    /// Takes in how many endpoints are available, healthy and not ejected, of those that discovery calls ready.
    /// Without any there is nothing to panic with.
    pub fn on(&mut self, available: usize, total: usize) -> Option<PanicChange> {
        let on = total > 0 && (available as f64) * 100.0 < self.threshold * (total as f64);
        let before = std::mem::replace(&mut self.on, on);
        (before != on).then_some(if on {
            PanicChange::Entered
        } else {
            PanicChange::Left
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn panics(threshold: f64, available: usize, total: usize) -> bool {
        let mut panic = Panic::new(threshold);
        let change = panic.on(available, total);
        assert_eq!(change.is_some(), panic.is_on());
        panic.is_on()
    }

    #[test]
    fn exactly_the_threshold_is_enough() {
        assert!(!panics(50.0, 2, 4));
        assert!(panics(50.0, 1, 4));
        assert!(panics(50.0, 1, 3));
        assert!(!panics(33.0, 1, 3));
    }

    #[test]
    fn a_threshold_of_zero_never_panics_and_of_a_hundred_unless_all_are_well() {
        for never in [0.0, -5.0, f64::NAN] {
            assert!(!panics(never, 0, 4));
        }
        for always in [100.0, 1000.0, f64::INFINITY] {
            assert!(panics(always, 3, 4));
            assert!(!panics(always, 4, 4));
        }
    }

    #[test]
    fn without_endpoints_there_is_no_panic_and_it_ends_with_the_last() {
        assert!(!panics(50.0, 0, 0));
        let mut panic = Panic::default();
        assert_eq!(panic.on(0, 2), Some(PanicChange::Entered));
        assert_eq!(panic.on(0, 0), Some(PanicChange::Left));
    }

    proptest! {
        #[test]
        fn changes_alternate_and_the_state_follows_from_the_last_numbers_alone(
            threshold in 0.0..=100.0_f64,
            numbers in proptest::collection::vec((0..20_usize, 0..20_usize), 1..50),
        ) {
            let mut panic = Panic::new(threshold);
            let mut last = PanicChange::Left;
            for (available, total) in numbers {
                if let Some(change) = panic.on(available, total) {
                    prop_assert_ne!(change, last);
                    last = change;
                }
                prop_assert_eq!(panic.is_on(), last == PanicChange::Entered);
                prop_assert_eq!(panic.is_on(), panics(threshold, available, total));
            }
        }
    }
}
