//! What analysis templates had come to when a window ended.

use std::fmt;

use mesh_core::metric::Refusals;
use serde::{Deserialize, Serialize};

use super::finding::{Bound, Finding};

/// What the analysis templates of a rollout had come to when a window ended: the worst of their metrics.
///
/// ```
/// use mesh_canary::{Analysed, Standing};
///
/// let analysed = Analysed::new(Standing::Failed, "success-rate answered [94.2]", "fails if result[0] < 95");
/// assert_eq!(analysed.to_string(), "success-rate answered [94.2] (fails if result[0] < 95)");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Analysed {
    /// How they stand.
    pub standing: Standing,
    /// Which metric, and what it was answered or why it was not.
    pub answer: String,
    /// What was asked of it.
    pub condition: String,
}

/// How analysis templates stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Each metric was measured last as a success.
    Good,
    /// A metric was not measured yet, or not as a success, and may still be.
    Pending,
    /// A metric could not be measured.
    Unmeasured,
    /// A metric is neither a success nor a failure.
    Inconclusive,
    /// A metric failed.
    Failed,
}

impl Analysed {
    /// They stand so, by this answer to that condition.
    pub fn new(standing: Standing, answer: impl Into<String>, condition: impl Into<String>) -> Self {
        Self {
            standing,
            answer: answer.into(),
            condition: condition.into(),
        }
    }

    /// The same as a number that was looked at.
    pub(crate) fn finding(&self) -> Finding {
        Finding {
            what: self.answer.clone().into(),
            measured: None,
            bound: Bound::Condition(self.condition.clone()),
            stable: None,
            seen: None,
            refusals: Refusals::default(),
        }
    }
}

impl fmt::Display for Analysed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.finding().fmt(f)
    }
}
