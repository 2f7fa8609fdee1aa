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

/// One thing that is wrong with a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanProblem {
    key: String,
    message: String,
}

impl PlanProblem {
    pub(super) fn new(key: impl Into<String>, found: impl fmt::Display, expected: impl fmt::Display) -> Self {
        let key = key.into();
        Self {
            message: format!("{key} is {found}: expected {expected}"),
            key,
        }
    }

    /// The key of the configuration, as `stages[1].weight`.
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl From<CriteriaError> for PlanProblem {
    fn from(error: CriteriaError) -> Self {
        Self {
            key: error.key().to_owned(),
            message: error.to_string(),
        }
    }
}

impl fmt::Display for PlanProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
