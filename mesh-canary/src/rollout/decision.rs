//! What a rollout decides, and why.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use mesh_core::duration::display;
use serde::{Deserialize, Serialize};

use super::phase::{End, PauseReason};
use crate::analyzer::Verdict;
use crate::plan::Plan;

/// A decision with its cause.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// What was decided.
    pub change: Change,
    /// Why, with the figures.
    pub cause: Cause,
}

/// What is different from now on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// The first stage begins.
    Begin,
    /// Somebody wants this stage to be followed by the next as soon as it went well.
    Approve,
    /// The stage went well and waits to be promoted.
    AwaitPromotion,
    /// Another stage begins.
    Advance {
        /// Its number, counted from 0.
        to: usize,
    },
    /// It waits.
    Pause {
        /// Why.
        reason: PauseReason,
    },
    /// It goes on where it was.
    Resume,
    /// The new version gets no traffic any more.
    RollBack,
    /// It is over.
    Finish {
        /// How it ended.
        end: End,
    },
    /// It goes on by another plan.
    Replan {
        /// The plan.
        plan: Box<Plan>,
    },
    /// It takes long: somebody should look.
    CallStuck,
}

impl Change {
    /// One word for a machine: `begin`, `approve`, `await_promotion`, `advance`, `pause`, `resume`, `roll_back`, `succeed`,
    /// `rolled_back`, `halt`, `supersede`, `replan` or `call_stuck`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Begin => "begin",
            Self::Approve => "approve",
            Self::AwaitPromotion => "await_promotion",
            Self::Advance { .. } => "advance",
            Self::Pause { .. } => "pause",
            Self::Resume => "resume",
            Self::RollBack => "roll_back",
            Self::Finish { end } => match end {
                End::Succeeded => "succeed",
                End::RolledBack => "rolled_back",
                End::Halted => "halt",
                End::Superseded => "supersede",
            },
            Self::Replan { .. } => "replan",
            Self::CallStuck => "call_stuck",
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begin => f.write_str("the first stage begins"),
            Self::Approve => f.write_str("the stage is approved"),
            Self::AwaitPromotion => f.write_str("the stage waits to be promoted"),
            Self::Advance { to } => write!(f, "stage {} begins", to.saturating_add(1)),
            Self::Pause { reason } => write!(f, "paused: {reason}"),
            Self::Resume => f.write_str("it goes on"),
            Self::RollBack => f.write_str("it is rolled back"),
            Self::Finish { end } => f.write_str(match end {
                End::Succeeded => "promoted",
                End::RolledBack => "rolled back",
                End::Halted => "halted: it could not be rolled back",
                End::Superseded => "superseded",
            }),
            Self::Replan { .. } => f.write_str("it goes on by another plan"),
            Self::CallStuck => f.write_str("it is stuck"),
        }
    }
}

/// Why something was decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Cause {
    /// The new version has endpoints.
    Ready {
        /// How many.
        endpoints: usize,
    },
    /// What the analyzer said.
    Verdict {
        /// Its word.
        verdict: Cow<'static, str>,
        /// The numbers behind it.
        figures: String,
        /// How long the stage had been looked at.
        sampled: Duration,
        /// How many requests of the canary were seen in it.
        requests: u64,
    },
    /// Somebody said so.
    Operator {
        /// Who.
        who: String,
        /// And why, if they told.
        why: Option<String>,
    },
    /// A version has no endpoint that takes requests.
    NoEndpoints {
        /// Whether it is the new version.
        canary: bool,
    },
    /// Nothing could be measured.
    NotMeasured {
        /// What went wrong last.
        why: String,
        /// For how long.
        lasted: Duration,
    },
    /// It can be measured again.
    Measured,
    /// The shares are in force.
    SplitSet {
        /// In percent, for the new version.
        percent: u8,
    },
    /// The shares were refused.
    SplitRefused {
        /// In percent, for the new version.
        percent: u8,
        /// What the router said.
        message: String,
    },
    /// A newer version is to be rolled out.
    Newer {
        /// Which.
        version: String,
    },
    /// It is not rolled out any more.
    Left {
        /// What the configuration says.
        why: String,
    },
    /// It took too long.
    Late {
        /// How long.
        took: Duration,
        /// How long it may.
        allowed: Duration,
    },
    /// An A/B run took as long as it was planned to.
    LongEnough {
        /// How long both versions were looked at.
        sampled: Duration,
    },
    /// The configuration changed.
    Configuration,
    /// As much evidence as is kept.
    Full {
        /// How many windows.
        windows: usize,
    },
}

impl Cause {
    /// One word for a machine: `ready`, `verdict`, `operator`, `no_endpoints`, `not_measured`, `measured`, `split_set`,
    /// `split_refused`, `newer`, `left`, `late`, `long_enough`, `configuration` or `full`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Ready { .. } => "ready",
            Self::Verdict { .. } => "verdict",
            Self::Operator { .. } => "operator",
            Self::NoEndpoints { .. } => "no_endpoints",
            Self::NotMeasured { .. } => "not_measured",
            Self::Measured => "measured",
            Self::SplitSet { .. } => "split_set",
            Self::SplitRefused { .. } => "split_refused",
            Self::Newer { .. } => "newer",
            Self::Left { .. } => "left",
            Self::Late { .. } => "late",
            Self::LongEnough { .. } => "long_enough",
            Self::Configuration => "configuration",
            Self::Full { .. } => "full",
        }
    }

    pub(super) fn verdict(verdict: &Verdict, sampled: Duration, requests: u64) -> Self {
        Self::Verdict {
            verdict: Cow::Borrowed(verdict.word()),
            figures: shortened(&verdict.reason().to_string(), 2000),
            sampled,
            requests,
        }
    }
}

fn whole_seconds(duration: Duration) -> Duration {
    Duration::from_secs(duration.as_secs())
}

/// Texts from outside do not decide how long a log is.
pub(super) fn shortened(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready { endpoints: 1 } => f.write_str("the new version has an endpoint"),
            Self::Ready { endpoints } => write!(f, "the new version has {endpoints} endpoints"),
            Self::Verdict { verdict, figures, .. } => write!(f, "{verdict}: {figures}"),
            Self::Operator { who, why: None } => write!(f, "{who} said so"),
            Self::Operator { who, why: Some(why) } => write!(f, "{who} said so: {why}"),
            Self::NoEndpoints { canary } => {
                let version = if *canary { "new" } else { "stable" };
                write!(f, "the {version} version has no endpoint that takes requests")
            }
            Self::NotMeasured { why, lasted } => {
                write!(f, "nothing was measured for {}: {why}", display(*lasted))
            }
            Self::Measured => f.write_str("it is measured again"),
            Self::SplitSet { percent } => write!(f, "the new version gets {percent}%"),
            Self::SplitRefused { percent, message } => {
                write!(f, "the router refused {percent}% for the new version: {message}")
            }
            Self::Newer { version } => write!(f, "{version} takes its place"),
            Self::Left { why } => write!(f, "it is not rolled out any more: {why}"),
            Self::Late { took, allowed } => {
                write!(f, "it took {} (at most {})", display(*took), display(*allowed))
            }
            Self::LongEnough { sampled } => {
                write!(
                    f,
                    "both versions were seen for {}",
                    display(whole_seconds(*sampled))
                )
            }
            Self::Configuration => f.write_str("the configuration changed"),
            Self::Full { windows } => write!(f, "{windows} windows of evidence are kept at most"),
        }
    }
}
