//! Several bets at once, begun at every moment.

use std::time::Duration;

/// The most that a bet is worth: far more than any decision asks for, and far from what a float can hold.
const MOST: f64 = 1e200;

/// How much of the stake is on what is wrong from the start; the rest waits for what goes wrong later.
const AT_ONCE: f64 = 0.5;

/// Bets on `N` alternatives, each with the same stake. They begin at every moment: a bet that has run through an
/// hour of health has lost nearly all of its stake, and would be slow to see that something broke just now.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Mixture<const N: usize> {
    running: [f64; N],
    waiting: f64,
    planned: Option<Duration>,
}

impl<const N: usize> Mixture<N> {
    /// The whole stake at once.
    pub(super) fn from_the_start() -> Self {
        Self {
            running: [1.0; N],
            waiting: 0.0,
            planned: None,
        }
    }

    /// Half of the stake at once, the rest evenly over the time that is planned.
    pub(super) fn at_any_time(planned: Duration) -> Self {
        Self {
            running: [AT_ONCE; N],
            waiting: 1.0 - AT_ONCE,
            planned: (!planned.is_zero()).then_some(planned),
        }
    }

    /// A stretch in which nothing was seen that any alternative bets on.
    pub(super) fn pass(&mut self, length: Duration) {
        let more = self.stake(length);
        self.running.iter_mut().for_each(|bet| *bet += more);
    }

    /// A stretch that was so many times as likely under each alternative as it is under the hypothesis.
    pub(super) fn advance(&mut self, length: Duration, ratios: [f64; N]) {
        let more = self.stake(length);
        for (bet, ratio) in self.running.iter_mut().zip(ratios) {
            // Bounded before it is multiplied, too: nothing times infinity is no number.
            *bet = ((*bet + more) * ratio.min(MOST)).min(MOST);
        }
    }

    /// What all bets are worth; 1 at the start.
    pub(super) fn worth(&self) -> f64 {
        self.running.iter().sum::<f64>() / N as f64 + self.waiting
    }

    /// What is staked anew. It is decided by the length of the stretch and nothing that was seen in it.
    fn stake(&mut self, length: Duration) -> f64 {
        let Some(planned) = self.planned else { return 0.0 };
        let part = (1.0 - AT_ONCE) * length.as_secs_f64() / planned.as_secs_f64();
        let part = part.min(self.waiting);
        self.waiting -= part;
        part
    }
}
