//! What is thought of one endpoint, by the answers it gave.
//!
//! One bad answer is no proof, so several in a row are needed to change an opinion. The exception is the first
//! answer of all: there is no opinion yet that it could contradict, and it counts alone.

use std::borrow::Cow;

use super::HealthError;

/// How many answers in a row change what is thought of an endpoint. Nothing is changed by fewer than one.
///
/// ```
/// use mesh_lb::health::Thresholds;
///
/// assert_eq!(Thresholds::default(), Thresholds { healthy: 2, unhealthy: 3 });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// So many good ones make an unhealthy endpoint healthy. Default 2.
    pub healthy: u32,
    /// So many bad ones make a healthy endpoint unhealthy. Default 3.
    pub unhealthy: u32,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            healthy: 2,
            unhealthy: 3,
        }
    }
}

/// What an endpoint that was never asked is taken for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum NewEndpoints {
    /// Healthy: it takes requests at once. Discovery named it because it is ready, and a set that is all new, as
    /// at the start of the process, must not refuse everything until the first answers are in.
    #[default]
    Healthy,
    /// Unhealthy: it takes requests after its first good answer.
    Unhealthy,
}

/// A new opinion of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// Whether it is healthy now.
    pub healthy: bool,
    /// What the check found.
    pub cause: Cow<'static, str>,
}

/// What is thought of one endpoint.
///
/// ```
/// use mesh_lb::health::{HealthError, HealthState, NewEndpoints, Thresholds};
///
/// let mut state = HealthState::new(Thresholds::default(), NewEndpoints::Healthy);
/// assert_eq!(state.on(Ok(())), None); // as was thought
/// for _ in 0..2 {
///     assert_eq!(state.on(Err(HealthError::new("it answered 503"))), None);
/// }
/// let change = state.on(Err(HealthError::new("it answered 503"))).expect("the third in a row");
/// assert!(!change.healthy);
/// assert_eq!(change.cause, "3 bad answers in a row, the last: it answered 503");
/// ```
#[derive(Clone, Debug)]
pub struct HealthState {
    thresholds: Thresholds,
    healthy: bool,
    /// Whether any answer has come.
    known: bool,
    /// Answers in a row that contradict `healthy`.
    against: u32,
}

impl HealthState {
    /// An endpoint that was never asked.
    pub fn new(thresholds: Thresholds, new: NewEndpoints) -> Self {
        Self {
            thresholds,
            healthy: new == NewEndpoints::Healthy,
            known: false,
            against: 0,
        }
    }

    /// Whether it is thought to be healthy.
    pub fn is_healthy(&self) -> bool {
        self.healthy
    }

    /// Whether it is healthy beyond doubt: it has answered, and its last answer was good.
    pub fn is_settled(&self) -> bool {
        self.known && self.healthy && self.against == 0
    }

    /// Takes an answer in. Gives the new opinion, if it changed.
    pub fn on(&mut self, answer: Result<(), HealthError>) -> Option<Change> {
        let first = !std::mem::replace(&mut self.known, true);
        if answer.is_ok() == self.healthy {
            self.against = 0;
            return None;
        }
        self.against = self.against.saturating_add(1);
        let threshold = match answer {
            Ok(()) => self.thresholds.healthy,
            Err(_) => self.thresholds.unhealthy,
        };
        if !first && self.against < threshold {
            return None;
        }
        let count = std::mem::take(&mut self.against);
        self.healthy = answer.is_ok();
        let cause = match answer {
            Ok(()) if first => Cow::Borrowed("its first answer is good"),
            Ok(()) => format!("{count} good answers in a row").into(),
            Err(error) if first => format!("its first answer is bad: {error}").into(),
            Err(error) if count == 1 => error.to_string().into(),
            Err(error) => format!("{count} bad answers in a row, the last: {error}").into(),
        };
        Some(Change {
            healthy: self.healthy,
            cause,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bad() -> Result<(), HealthError> {
        Err(HealthError::new("it is ill"))
    }

    fn state(new: NewEndpoints) -> HealthState {
        HealthState::new(Thresholds::default(), new)
    }

    fn known(healthy: bool) -> HealthState {
        let mut state = state(NewEndpoints::Healthy);
        let _ = state.on(if healthy { Ok(()) } else { bad() });
        assert_eq!(state.is_healthy(), healthy);
        state
    }

    #[test]
    fn the_first_answer_counts_alone() {
        let mut ill = state(NewEndpoints::Healthy);
        let change = ill.on(bad()).expect("it changed");
        assert!(!change.healthy);
        assert_eq!(change.cause, "its first answer is bad: it is ill");

        let mut well = state(NewEndpoints::Unhealthy);
        let change = well.on(Ok(())).expect("it changed");
        assert!(change.healthy);
        assert_eq!(change.cause, "its first answer is good");
    }

    #[test]
    fn a_first_answer_that_was_expected_changes_nothing_and_the_next_one_does_not_count_alone() {
        let mut state = state(NewEndpoints::Healthy);
        assert_eq!(state.on(Ok(())), None);
        assert_eq!(state.on(bad()), None);
        assert!(state.is_healthy());
    }

    #[test]
    fn two_good_answers_in_a_row_make_it_healthy_again() {
        let mut state = known(false);
        assert_eq!(state.on(Ok(())), None);
        assert_eq!(state.on(bad()), None);
        assert_eq!(state.on(Ok(())), None);
        let change = state.on(Ok(())).expect("two in a row");
        assert!(change.healthy);
        assert_eq!(change.cause, "2 good answers in a row");
    }

    #[test]
    fn it_is_settled_when_its_last_answer_was_good_and_nothing_else_was_needed() {
        let mut state = state(NewEndpoints::Healthy);
        assert!(!state.is_settled());
        let _ = state.on(Ok(()));
        assert!(state.is_settled());
        let _ = state.on(bad());
        assert!(!state.is_settled());
        let _ = state.on(Ok(()));
        assert!(state.is_settled());
        assert!(!known(false).is_settled());
    }

    #[test]
    fn a_threshold_of_none_is_a_threshold_of_one() {
        for threshold in [0, 1] {
            let thresholds = Thresholds {
                healthy: threshold,
                unhealthy: threshold,
            };
            let mut state = HealthState::new(thresholds, NewEndpoints::Healthy);
            assert_eq!(state.on(Ok(())), None);
            let change = state.on(bad()).expect("one is enough");
            assert_eq!(change.cause, "it is ill");
            assert!(state.on(Ok(())).expect("one is enough").healthy);
        }
    }

    proptest! {
        #[test]
        fn an_opinion_changes_after_exactly_the_threshold_in_a_row(
            healthy in 1..6_u32,
            unhealthy in 1..6_u32,
            answers in proptest::collection::vec(any::<bool>(), 1..80),
        ) {
            let mut state = HealthState::new(Thresholds { healthy, unhealthy }, NewEndpoints::Healthy);
            // The same, by looking back at the answers.
            let mut opinion = true;
            for (n, answer) in answers.iter().enumerate() {
                let change = state.on(if *answer { Ok(()) } else { bad() });
                let threshold = if *answer { healthy } else { unhealthy } as usize;
                let row = answers[..=n].iter().rev().take_while(|a| *a == answer).count();
                let expected = *answer != opinion && (n == 0 || row >= threshold);
                prop_assert_eq!(change.as_ref().map(|c| c.healthy), expected.then_some(*answer));
                if expected {
                    opinion = *answer;
                }
                prop_assert_eq!(state.is_healthy(), opinion);
            }
        }
    }
}
