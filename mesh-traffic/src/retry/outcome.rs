//! What came of wanting to try again, for who counts it.

/// What came of a retry that was made or wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RetryOutcome {
    /// It was made, and is not to be retried itself.
    Success,
    /// It was made, and would have to be retried itself.
    Failure,
    /// It was wanted, but the budget had nothing left.
    BudgetExhausted,
    /// It was wanted, but every attempt was used.
    AttemptsExhausted,
    /// It was wanted, but the request's body could not be sent again.
    NotReplayable,
    /// It was wanted, but would have begun after the deadline, or later than anybody waits.
    TooLate,
}

impl RetryOutcome {
    /// Every outcome.
    pub const ALL: [Self; 6] = [
        Self::Success,
        Self::Failure,
        Self::BudgetExhausted,
        Self::AttemptsExhausted,
        Self::NotReplayable,
        Self::TooLate,
    ];

    /// As a label's value: `success`, `budget_exhausted` and so on.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::BudgetExhausted => "budget_exhausted",
            Self::AttemptsExhausted => "attempts_exhausted",
            Self::NotReplayable => "not_replayable",
            Self::TooLate => "too_late",
        }
    }

    /// Whether a retry was sent.
    pub const fn was_made(self) -> bool {
        matches!(self, Self::Success | Self::Failure)
    }
}
