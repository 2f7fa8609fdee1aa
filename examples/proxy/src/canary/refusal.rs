//! Why nothing came of what somebody wanted.

/// Why nothing came of what somebody wanted of a rollout, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such service, or no such version.
    Unknown(String),
    /// Not possible now.
    Conflict(String),
    /// The log cannot be read or written now.
    Unavailable(String),
}
