//! How a condition compares.

use std::fmt;
use std::str::FromStr;

use super::condition::{ConditionError, ConditionPart};

/// How a condition compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operator {
    /// Is this value.
    Equals,
    /// Is not this value. Holds too if there is nothing to compare; of several members none may be it.
    NotEquals,
    /// Begins so. A path does by whole segments: `/deny` is a prefix of `/deny/x`, not of `/denyx`, and
    /// `/deny/` is the same as `/deny`.
    Prefix,
    /// Ends so.
    Suffix,
    /// Has it somewhere.
    Contains,
    /// The whole value matches this regular expression, in time linear in the value. A host matches in
    /// either case.
    Regex,
    /// Is there.
    Exists,
    /// Is not there.
    NotExists,
    /// Is one of these values.
    In,
}

impl Operator {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Equals,
        Self::NotEquals,
        Self::Prefix,
        Self::Suffix,
        Self::Contains,
        Self::Regex,
        Self::Exists,
        Self::NotExists,
        Self::In,
    ];

    /// The word configuration has for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Equals => "equals",
            Self::NotEquals => "not_equals",
            Self::Prefix => "prefix",
            Self::Suffix => "suffix",
            Self::Contains => "contains",
            Self::Regex => "regex",
            Self::Exists => "exists",
            Self::NotExists => "not_exists",
            Self::In => "in",
        }
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Operator {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        Self::ALL
            .into_iter()
            .find(|operator| operator.as_str() == text)
            .ok_or_else(|| {
                let known = Self::ALL.map(Self::as_str).join(", ");
                ConditionError::new(
                    ConditionPart::Operator,
                    format!("{text:?} is not an operator; expected one of {known}"),
                )
            })
    }
}
