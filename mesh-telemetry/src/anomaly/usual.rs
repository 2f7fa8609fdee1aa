//! What is usual on a route, and what is not: a state machine fed a window at a time.

use std::collections::VecDeque;
use std::time::Duration;

/// When something is unusual.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct AnomalyPolicy {
    /// How long a window is. Default 10 s.
    pub window: Duration,
    /// How many windows say what is usual; as many have to be seen at least a fifth. Default 60, which is 10 minutes.
    pub memory: usize,
    /// How many median absolute deviations (as large as a standard deviation, where figures are normal) above the median
    /// are unusual. Default 6.
    pub sensitivity: f64,
    /// Windows with fewer requests say nothing. Default 20.
    pub minimum_requests: u64,
}

impl Default for AnomalyPolicy {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(10),
            memory: 60,
            sensitivity: 6.0,
            minimum_requests: 20,
        }
    }
}

/// What was seen of a route in a window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// How many requests ended.
    pub requests: u64,
    /// The share of them that ended with 5xx, 0 to 1.
    pub error_rate: f64,
    /// The 95th percentile of their duration, in seconds.
    pub latency: f64,
}

/// What is new.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Change {
    /// A figure is unusual.
    Began {
        /// `error_rate` or `latency`.
        figure: &'static str,
        /// What it is.
        seen: f64,
        /// What it usually is.
        usual: f64,
    },
    /// It is as usual again.
    Ended {
        /// `error_rate` or `latency`.
        figure: &'static str,
    },
}

/// What is usual on one route.
#[derive(Clone, Debug)]
pub struct Usual {
    policy: AnomalyPolicy,
    error_rate: Figure,
    latency: Figure,
}

impl Usual {
    /// Nothing seen yet.
    pub fn new(policy: AnomalyPolicy) -> Self {
        let figure = |name, floor, part| Figure {
            name,
            floor,
            part,
            ..Figure::default()
        };
        Self {
            policy,
            // An error more or less in a hundred, and a tenth of the time, are no news however calm all was before.
            error_rate: figure("error_rate", 0.005, 0.0),
            latency: figure("latency", 0.001, 0.05),
        }
    }

    /// Another window is over.
    pub fn on(&mut self, window: Window) -> Vec<Change> {
        if window.requests < self.policy.minimum_requests {
            return Vec::new();
        }
        let errors = self.error_rate.on(window.error_rate, &self.policy);
        let latency = self.latency.on(window.latency, &self.policy);
        errors.into_iter().chain(latency).collect()
    }

    /// Which figures are unusual now.
    pub fn unusual(&self) -> impl Iterator<Item = (&'static str, bool)> {
        [&self.error_rate, &self.latency]
            .into_iter()
            .map(|figure| (figure.name, figure.is_unusual))
    }
}

/// In a row, to begin or to end.
const IN_A_ROW: usize = 2;

#[derive(Clone, Debug, Default)]
struct Figure {
    name: &'static str,
    /// The least deviation that is taken for one, and the same as a part of the median.
    floor: f64,
    part: f64,
    /// Windows that were usual, the newest last.
    usual: VecDeque<f64>,
    /// Those since the last that was, or, while it is unusual, all of that time, as far as it is remembered.
    unusual: VecDeque<f64>,
    is_unusual: bool,
    /// How many in a row say the opposite of `is_unusual`.
    against: usize,
}

impl Figure {
    fn on(&mut self, seen: f64, policy: &AnomalyPolicy) -> Option<Change> {
        let memory = policy.memory.max(5);
        if self.usual.len() < memory.div_ceil(5) {
            self.usual.push_back(seen);
            return None;
        }
        let median = median(self.usual.iter().copied());
        let deviation = median_deviation(&self.usual, median)
            .max(self.floor)
            .max(self.part * median);
        let out = seen > median + policy.sensitivity * deviation;
        self.against = if out == self.is_unusual {
            0
        } else {
            self.against + 1
        };
        let turned = self.against >= IN_A_ROW;
        match out {
            true => keep(&mut self.unusual, seen, memory),
            false => keep(&mut self.usual, seen, memory),
        }
        if turned {
            self.is_unusual = out;
            self.against = 0;
            if !out {
                self.unusual.clear();
                return Some(Change::Ended { figure: self.name });
            }
            return Some(Change::Began {
                figure: self.name,
                seen,
                usual: median,
            });
        }
        if !self.is_unusual && !out {
            self.unusual.clear();
        }
        // It has been so for as long as is remembered: it is the rule now.
        if self.is_unusual && self.unusual.len() >= memory {
            self.usual = std::mem::take(&mut self.unusual);
            self.is_unusual = false;
            self.against = 0;
            return Some(Change::Ended { figure: self.name });
        }
        None
    }
}

fn keep(values: &mut VecDeque<f64>, value: f64, memory: usize) {
    if values.len() >= memory {
        values.pop_front();
    }
    values.push_back(value);
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        even if even % 2 == 0 => f64::midpoint(values[middle - 1], values[middle]),
        _ => values[middle],
    }
}

/// The median of how far each is from it, as large as a standard deviation where they are normal.
fn median_deviation(values: &VecDeque<f64>, of: f64) -> f64 {
    1.4826 * median(values.iter().map(|value| (value - of).abs()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn window(error_rate: f64, latency: f64) -> Window {
        Window {
            requests: 100,
            error_rate,
            latency,
        }
    }

    /// After some minutes of this.
    fn used_to(error_rate: f64, latency: f64) -> Usual {
        let mut usual = Usual::new(AnomalyPolicy::default());
        for n in 0..60 {
            let noise = f64::from(n % 7) / 100.0;
            assert_eq!(usual.on(window(error_rate, latency * (1.0 + noise))), []);
        }
        usual
    }

    #[test]
    fn one_bad_window_is_no_news_and_two_are_and_two_good_ones_end_it() {
        let mut usual = used_to(0.001, 0.1);
        assert_eq!(usual.on(window(0.2, 0.1)), []);
        assert_eq!(usual.on(window(0.001, 0.1)), []);
        assert_eq!(usual.on(window(0.2, 0.1)), []);
        let began = Change::Began {
            figure: "error_rate",
            seen: 0.3,
            usual: 0.001,
        };
        assert_eq!(usual.on(window(0.3, 0.1)), [began]);
        assert_eq!(usual.on(window(0.3, 0.1)), [], "it is said once");
        assert_eq!(
            usual.unusual().collect::<Vec<_>>(),
            [("error_rate", true), ("latency", false)]
        );
        assert_eq!(usual.on(window(0.0, 0.1)), []);
        assert_eq!(
            usual.on(window(0.0, 0.1)),
            [Change::Ended { figure: "error_rate" }]
        );
    }

    #[test]
    fn what_lasts_longer_than_the_memory_is_the_new_rule() {
        let mut usual = used_to(0.0, 0.1);
        let changes: Vec<Change> = (0..70).flat_map(|_| usual.on(window(0.0, 0.5))).collect();
        assert!(
            matches!(
                changes[..],
                [Change::Began { .. }, Change::Ended { figure: "latency" }]
            ),
            "{changes:?}"
        );
        assert_eq!(usual.on(window(0.0, 0.5)), []);
    }

    #[test]
    fn few_requests_say_nothing_and_a_calm_route_may_have_an_error() {
        let mut usual = used_to(0.0, 0.1);
        for _ in 0..10 {
            let few = Window {
                requests: 19,
                ..window(1.0, 9.0)
            };
            assert_eq!(usual.on(few), []);
            assert_eq!(usual.on(window(0.02, 0.12)), []);
        }
    }

    #[test]
    fn faster_or_with_fewer_errors_is_never_an_anomaly() {
        let mut usual = used_to(0.1, 0.5);
        for _ in 0..10 {
            assert_eq!(usual.on(window(0.0, 0.001)), []);
        }
    }

    proptest! {
        #[test]
        fn beginnings_and_ends_take_turns_and_memory_is_bounded(
            windows in prop::collection::vec((0..200_u64, 0.0..1.0_f64, 0.0..10.0_f64), 0..400),
            memory in 0..80_usize,
        ) {
            let policy = AnomalyPolicy { memory, ..AnomalyPolicy::default() };
            let mut usual = Usual::new(policy);
            let mut open = std::collections::BTreeSet::new();
            for (requests, error_rate, latency) in windows {
                for change in usual.on(Window { requests, error_rate, latency }) {
                    match change {
                        Change::Began { figure, seen, usual } => {
                            prop_assert!(open.insert(figure) && seen > usual);
                        }
                        Change::Ended { figure } => prop_assert!(open.remove(figure)),
                    }
                }
                for (figure, is_unusual) in usual.unusual() {
                    prop_assert_eq!(is_unusual, open.contains(figure));
                }
                for figure in [&usual.error_rate, &usual.latency] {
                    prop_assert!(figure.usual.len() <= memory.max(5) && figure.unusual.len() <= memory.max(5));
                }
            }
        }
    }
}
