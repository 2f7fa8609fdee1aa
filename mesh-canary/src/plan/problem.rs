//! What is wrong with a plan.

use std::fmt;

use crate::judge::CriteriaError;

/// All that is wrong with a plan, one line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanError(Vec<PlanProblem>);

impl PlanError {
    pub(super) fn new(problems: Vec<PlanProblem>) -> Self {
        Self(problems)
    }

    /// Each problem.
    pub fn problems(&self) -> &[PlanProblem] {
        &self.0
    }
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.0.iter().enumerate() {
            let line = if n == 0 { "" } else { "\n" };
            write!(f, "{line}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for PlanError {}

/// One thing that is wrong with a plan, or with a scenario to try it in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanProblem {
    key: String,
    found: String,
    expected: String,
}

impl PlanProblem {
    pub(crate) fn new(key: impl Into<String>, found: impl fmt::Display, expected: impl fmt::Display) -> Self {
        Self {
            key: key.into(),
            found: found.to_string(),
            expected: expected.to_string(),
        }
    }

    /// The key of the configuration, as `stages[1].weight`.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What is written there.
    pub fn found(&self) -> &str {
        &self.found
    }

    /// What was expected.
    pub fn expected(&self) -> &str {
        &self.expected
    }
}

impl From<CriteriaError> for PlanProblem {
    fn from(error: CriteriaError) -> Self {
        Self::new(error.key(), error.found(), error.expected())
    }
}

impl fmt::Display for PlanProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}: expected {}", self.key, self.found, self.expected)
    }
}
