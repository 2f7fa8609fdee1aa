//! What evidence says about a canary.

use std::fmt;
use std::time::Duration;

use mesh_core::duration::display;

use super::finding::Finding;

/// What the evidence says.
///
/// ```
/// use mesh_canary::{Finding, Number, Reason, Verdict};
///
/// let finding = Finding::at_most("error rate", Number::Ratio(0.06), Number::Ratio(0.05));
/// let verdict = Verdict::Rollback(finding.into());
/// assert_eq!(verdict.to_string(), "rollback: error rate 6% (at most 5%)");
/// assert_eq!(verdict.reason().findings.len(), 1);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Verdict {
    /// Not enough was seen yet: stay in this stage and look again.
    Continue(Reason),
    /// Enough was seen in this stage, and it was good: the next stage may begin.
    Promote(Reason),
    /// The canary is bad: no more traffic for it.
    Rollback(Reason),
    /// All was seen that was to be seen, and it says neither good nor bad: somebody has to look.
    Inconclusive(Doubt, Reason),
}

impl Verdict {
    /// One word: `continue`, `promote`, `rollback` or `inconclusive`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Continue(_) => "continue",
            Self::Promote(_) => "promote",
            Self::Rollback(_) => "rollback",
            Self::Inconclusive(..) => "inconclusive",
        }
    }

    /// The numbers behind it.
    pub fn reason(&self) -> &Reason {
        match self {
            Self::Continue(reason)
            | Self::Promote(reason)
            | Self::Rollback(reason)
            | Self::Inconclusive(_, reason) => reason,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())?;
        if let Self::Inconclusive(doubt, _) = self {
            write!(f, ", {doubt}")?;
        }
        write!(f, ": {}", self.reason())
    }
}

/// Why evidence says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Doubt {
    /// The numbers lie between good and bad.
    Between,
    /// What is needed was not measured.
    NotMeasured,
    /// The stable version is as bad as the canary: it may be something else that fails.
    BaselineUnhealthy,
    /// The versions did not get the shares they were to get, so that they cannot be compared.
    SplitMismatch,
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Between => "between good and bad",
            Self::NotMeasured => "not measured",
            Self::BaselineUnhealthy => "the stable version fails too",
            Self::SplitMismatch => "the traffic was not split as configured",
        })
    }
}

/// The numbers behind a verdict.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Reason {
    /// What decided it, the weightiest first. Empty if nothing has been seen.
    pub findings: Vec<Finding>,
    /// When enough will have been seen, at the rate of requests so far; nothing if that cannot be told.
    pub wait: Option<Duration>,
    /// How strongly the evidence speaks against the canary, from analyzers that weigh it: an e-value, which
    /// chance alone takes above x in at most one of x rollouts.
    pub evidence: Option<f64>,
}

impl Reason {
    /// These findings.
    pub fn new(findings: impl IntoIterator<Item = Finding>) -> Self {
        Self {
            findings: findings.into_iter().collect(),
            ..Self::default()
        }
    }

    /// With when enough will have been seen.
    #[must_use]
    pub fn with_wait(mut self, wait: impl Into<Option<Duration>>) -> Self {
        self.wait = wait.into();
        self
    }

    /// With how strongly the evidence speaks against the canary.
    #[must_use]
    pub fn with_evidence(mut self, e_value: f64) -> Self {
        self.evidence = Some(e_value);
        self
    }
}

impl From<Finding> for Reason {
    fn from(finding: Finding) -> Self {
        Self::new([finding])
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.findings.is_empty() {
            f.write_str("nothing seen yet")?;
        }
        for (n, finding) in self.findings.iter().enumerate() {
            write!(f, "{}{finding}", if n == 0 { "" } else { "; " })?;
        }
        if let Some(evidence) = self.evidence {
            write!(f, "; evidence {evidence:.1}")?;
        }
        if let Some(wait) = self.wait {
            write!(f, "; {} to go", display(whole_seconds(wait)))?;
        }
        Ok(())
    }
}

fn whole_seconds(wait: Duration) -> Duration {
    Duration::from_secs(wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)))
}
