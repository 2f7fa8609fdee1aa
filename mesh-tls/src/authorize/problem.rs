//! What can be wrong with a policy.

use std::fmt;

use super::rule::Condition;

/// One thing that is wrong with a policy. Places count from 0, in the order given to
/// [`AuthorizationPolicy::new`](super::AuthorizationPolicy::new).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PolicyProblem {
    /// A text of a rule means nothing.
    Text {
        /// The place of the rule.
        rule: usize,
        /// The rule's id.
        id: Box<str>,
        /// What the text was to be.
        condition: Condition,
        /// What is wrong with it.
        why: String,
    },
    /// Two rules have one id.
    SameRule {
        /// The place of the later one.
        rule: usize,
        /// The place of the earlier one.
        earlier: usize,
        /// The id.
        id: Box<str>,
    },
}

/// Everything that is wrong with a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyError {
    problems: Vec<PolicyProblem>,
}

impl PolicyError {
    pub(super) fn new(problems: Vec<PolicyProblem>) -> Self {
        Self { problems }
    }

    /// The problems, in the order of the rules.
    pub fn problems(&self) -> &[PolicyProblem] {
        &self.problems
    }
}

impl fmt::Display for PolicyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text {
                id, condition, why, ..
            } => write!(f, "rule {id:?}, {condition}: {why}"),
            Self::SameRule { id, .. } => {
                write!(f, "there are two rules of the id {id:?}; rename or remove one")
            }
        }
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, problem) in self.problems.iter().enumerate() {
            write!(f, "{}{problem}", if place == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

impl std::error::Error for PolicyError {}
