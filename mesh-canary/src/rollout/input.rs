//! What happens to a rollout.

use std::fmt;

use mesh_core::Version;
use mesh_core::split::SplitErrorKind;

use crate::analyzer::{EvidenceError, Verdict, Window};
use crate::plan::Plan;

use super::action::Question;

/// What happens to a rollout. Each may come twice, late or never.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[expect(clippy::large_enum_variant, reason = "one every few seconds")]
pub enum Input {
    /// Time goes by. It has to come more often than once a minute: more than a minute between two is a clock that
    /// jumped, and counts nothing.
    Tick,
    /// How many endpoints take requests.
    Endpoints {
        /// Of the stable version.
        stable: usize,
        /// Of the new version.
        canary: usize,
    },
    /// What was seen since the last window, at the share in force.
    Seen(Window),
    /// What was to be seen could not be measured.
    NotMeasured {
        /// Why.
        why: String,
    },
    /// The answer of the analyzer to [`Action::Judge`](super::Action::Judge).
    Judged {
        /// To what question.
        question: Question,
        /// The answer.
        verdict: Verdict,
    },
    /// The shares of this [`Order`](super::Order) are in force.
    SplitSet {
        /// Its number.
        order: u64,
    },
    /// The shares of this [`Order`](super::Order) were refused.
    SplitRefused {
        /// Its number.
        order: u64,
        /// Why.
        kind: SplitErrorKind,
        /// What the router said.
        message: String,
    },
    /// Somebody wants something.
    Operator(Command),
    /// A newer version is to be rolled out.
    Newer(Version),
    /// The service or the version is not rolled out any more: nobody will look after it.
    Left {
        /// What the configuration says.
        why: String,
    },
    /// The configuration changed.
    Replan(Box<Plan>),
}

/// What somebody wants.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Command {
    /// What.
    pub operation: Operation,
    /// Who.
    pub who: String,
    /// Why.
    pub why: Option<String>,
}

impl Command {
    /// Somebody wants this.
    pub fn new(operation: Operation, who: impl Into<String>) -> Self {
        Self {
            operation,
            who: who.into(),
            why: None,
        }
    }

    /// For this reason.
    #[must_use]
    pub fn because(mut self, why: impl Into<String>) -> Self {
        self.why = Some(why.into());
        self
    }
}

/// What somebody may want.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The next stage. If this one has not yet been seen to go well, as soon as it has. If it is paused since the
    /// numbers are neither good nor bad: now, on one's own responsibility.
    Promote {
        /// The stage that it is to follow, so that a second click promotes nothing else.
        stage: usize,
    },
    /// Everything at once, without looking at the stages between.
    PromoteFully,
    /// Wait.
    Pause,
    /// Go on, in spite of the reason for which it waits.
    Resume,
    /// Back to the stable version.
    Rollback,
}

/// Why an input changed nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ignored {
    /// The rollout is over.
    Ended,
    /// It is being rolled back already.
    RollingBack,
    /// It was answered already, or belongs to something that is past.
    Late,
    /// The window lies in the warm-up.
    WarmUp,
    /// The window is not as it should be.
    Window(EvidenceError),
    /// The window was counted at another share than the one in force.
    OtherShare,
    /// As much evidence as is kept.
    Full,
    /// It waits already.
    Paused,
    /// It does not wait.
    NotPaused,
    /// It is not in that stage.
    OtherStage {
        /// But in this one, counted from 0.
        stage: usize,
    },
    /// There is no next stage.
    LastStage,
    /// It is approved already.
    Approved,
    /// It has to be resumed first, for the reason it waits for has nothing to do with the numbers.
    ResumeFirst,
    /// Too few requests were seen in this stage.
    TooFewRequests {
        /// How many were.
        seen: u64,
        /// How many it takes.
        needed: u64,
    },
    /// The new version has no endpoint that takes requests, as far as is known.
    NotReady,
    /// The stages up to the present one are others.
    OtherStages,
    /// It is the same plan, or the same version.
    Same,
}

impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended => f.write_str("the rollout is over"),
            Self::RollingBack => f.write_str("it is being rolled back already"),
            Self::Late => f.write_str("it is late: it belongs to something that is past"),
            Self::WarmUp => f.write_str("the window lies in the warm-up"),
            Self::Window(error) => error.fmt(f),
            Self::OtherShare => f.write_str("the window was counted at another share than the one in force"),
            Self::Full => f.write_str("no more evidence is kept: promote it fully or roll it back"),
            Self::Paused => f.write_str("it is paused already"),
            Self::NotPaused => f.write_str("it is not paused"),
            Self::OtherStage { stage } => write!(f, "it is in stage {}", stage.saturating_add(1)),
            Self::LastStage => f.write_str("there is no next stage"),
            Self::Approved => f.write_str("the stage is approved already: it ends as soon as it went well"),
            Self::ResumeFirst => f.write_str("it is paused: resume it first"),
            Self::TooFewRequests { seen, needed } => {
                write!(
                    f,
                    "the new version has answered {seen} requests in this stage: expected at least {needed}"
                )
            }
            Self::NotReady => {
                f.write_str("the new version has no endpoint that takes requests, as far as is known")
            }
            Self::OtherStages => f.write_str(
                "the stages up to the present one are others: the new plan is for the next rollout",
            ),
            Self::Same => f.write_str("it is so already"),
        }
    }
}
