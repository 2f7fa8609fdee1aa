//! Why a policy decides as it does: the same steps, written down.

use super::decision::Decision;
use super::rule::{Condition, Rule};

/// Writes down what a decision was made of. With [`Silent`] nothing is left of it.
pub(super) trait Recorder<'p> {
    /// Whether rules are tried one by one, so that each can be told of.
    const RECORDS: bool;

    fn tried(&mut self, tried: Tried<'p>);
}

/// Writes nothing.
pub(super) struct Silent;

impl<'p> Recorder<'p> for Silent {
    const RECORDS: bool = false;

    fn tried(&mut self, _: Tried<'p>) {}
}

impl<'p> Recorder<'p> for Vec<Tried<'p>> {
    const RECORDS: bool = true;

    fn tried(&mut self, tried: Tried<'p>) {
        self.push(tried);
    }
}

/// Why a policy decides as it does ([`AuthorizationPolicy::explain`](super::AuthorizationPolicy::explain)).
#[derive(Debug)]
#[non_exhaustive]
pub struct Explanation<'p, 'r> {
    /// The rules, those that deny first, in the order in which they are tried, up to the one that holds.
    pub tried: Vec<Tried<'p>>,
    /// What is decided.
    pub decision: Decision<'p, 'r>,
}

/// A rule that was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tried<'p> {
    /// The rule.
    pub rule: &'p Rule,
    /// Its place among all, from 0, in the order given.
    pub place: usize,
    /// What came of it.
    pub verdict: Verdict,
}

/// What came of trying a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// This condition does not hold; those before it do.
    Failed(Condition),
    /// All of its conditions hold.
    Holds,
}
