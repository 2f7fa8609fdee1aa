//! Why a table decides as it does: the same steps, written down.

use crate::router::Why;
use crate::router::decision::Decision;
use crate::router::pins::StickyCookie;
use crate::router::rule::Rule;

/// Writes down what a decision was made of. With [`Silent`] nothing is left of it.
pub(super) trait Recorder<'t> {
    /// Whether rules are tried one by one, so that each can be told of.
    const RECORDS: bool;

    fn tried(&mut self, tried: Tried<'t>);

    fn split(&mut self, taken: impl FnOnce() -> Taken);
}

/// Writes nothing.
pub(super) struct Silent;

impl<'t> Recorder<'t> for Silent {
    const RECORDS: bool = false;

    fn tried(&mut self, _: Tried<'t>) {}

    fn split(&mut self, _: impl FnOnce() -> Taken) {}
}

/// A split as it is recorded.
pub(super) struct Taken {
    /// Decisions by their index, with their weights.
    pub(super) shares: Vec<(usize, u32)>,
    /// The place of the one that was taken.
    pub(super) taken: usize,
    pub(super) why: Why,
    pub(super) of_rollout: bool,
}

/// Keeps everything.
#[derive(Default)]
pub(super) struct Writer<'t> {
    pub(super) tried: Vec<Tried<'t>>,
    pub(super) taken: Vec<Taken>,
}

impl<'t> Recorder<'t> for Writer<'t> {
    const RECORDS: bool = true;

    fn tried(&mut self, tried: Tried<'t>) {
        self.tried.push(tried);
    }

    fn split(&mut self, taken: impl FnOnce() -> Taken) {
        self.taken.push(taken());
    }
}

/// Why a table decides as it does about one request ([`RouteTable::explain`](crate::RouteTable::explain)).
#[derive(Debug)]
#[non_exhaustive]
pub struct Explanation<'t> {
    /// The rules, in the order in which they are tried, up to the one that holds.
    pub tried: Vec<Tried<'t>>,
    /// How its requests, and then those of the service, are shared; nothing where there is no choice.
    pub splits: Vec<SplitTaken<'t>>,
    /// What is decided; nothing if no rule and no service matches.
    pub decision: Option<&'t Decision>,
    /// What the client is given.
    pub cookie: Option<StickyCookie<'t>>,
}

/// A rule that was tried.
#[derive(Debug)]
#[non_exhaustive]
pub struct Tried<'t> {
    /// The rule.
    pub rule: &'t Rule,
    /// What came of it.
    pub verdict: Verdict,
}

/// What came of trying a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// It is switched off.
    Off,
    /// A condition does not hold; those before it do.
    Failed {
        /// Its place in the rule.
        condition: usize,
        /// What the request has there: the first few values, long ones cut off. Empty if it has none.
        found: Vec<String>,
    },
    /// All of its conditions hold.
    Holds,
}

/// How requests are shared, and which share this one took.
#[derive(Debug)]
#[non_exhaustive]
pub struct SplitTaken<'t> {
    /// What can be decided, with weights relative to `total`.
    pub shares: Vec<(&'t Decision, u32)>,
    /// The sum of the weights.
    pub total: u32,
    /// The place of the share that was taken.
    pub taken: usize,
    /// Why it was.
    pub why: Why,
    /// Whether these are the shares of a service's versions, which a rollout changes, rather than the rule's.
    pub of_rollout: bool,
}

impl Taken {
    pub(super) fn resolve(self, decisions: &[Decision]) -> SplitTaken<'_> {
        let total = self.shares.iter().map(|(_, weight)| *weight).sum();
        let shares = self
            .shares
            .into_iter()
            .filter_map(|(index, weight)| Some((decisions.get(index)?, weight)));
        SplitTaken {
            shares: shares.collect(),
            total,
            taken: self.taken,
            why: self.why,
            of_rollout: self.of_rollout,
        }
    }
}
