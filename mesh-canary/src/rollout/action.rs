//! What a rollout wants done.

use std::time::Duration;

use mesh_core::event::MeshEvent;
use mesh_core::split::Weights;
use serde::{Deserialize, Serialize};

use super::input::Ignored;
use crate::log::Record;

/// What is to be done, in this order.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Action {
    /// Append this to the log. If that fails, nothing after it may be done: the rollout is made again from the log.
    Persist {
        /// Its position.
        position: u64,
        /// The record.
        record: Box<Record>,
    },
    /// Tell the router, and the rollout what came of it.
    SetWeights {
        /// What is ordered.
        order: Order,
        /// The shares.
        weights: Weights,
    },
    /// Ask the analyzer about [`Rollout::evidence`](super::Rollout::evidence).
    Judge(Question),
    /// Tell those who listen.
    Emit(MeshEvent),
}

/// A share that was ordered. Its number is the position of the decision in the log: it grows, it is the same after a
/// restart, and a router that remembers the highest one knows what is old.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Its number.
    pub number: u64,
    /// The share of the new version, in percent.
    pub percent: u8,
}

/// What is asked: about which evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// In which stage.
    pub stage: usize,
    /// Up to when, since the rollout began.
    pub until: Duration,
}

/// What came of an input.
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use]
pub struct Outcome {
    /// What is to be done.
    pub actions: Vec<Action>,
    /// Why the input changed nothing, if it should have.
    pub ignored: Option<Ignored>,
}
