//! Which of the decisions a rule, or a service, takes.

use mesh_core::Assignment;

use crate::router::asking::Asking;
use crate::router::live_split::LiveSplit;
use crate::router::pins::{Drawing, Pinned, Pins, StickyCookie, cookie_of};
use crate::router::weights::Weights;

use super::explain::{Recorder, Taken};

/// Which of the decisions a rule takes.
#[derive(Debug)]
pub(super) enum Choice {
    /// It is switched off.
    Never,
    Only(usize),
    /// One of those that begin here.
    Weighted(Box<Arms>),
}

/// The decisions of a rule's destinations.
#[derive(Debug)]
pub(super) struct Arms {
    pub(super) first: usize,
    pub(super) weights: Weights,
    /// If they are versions of one service.
    pub(super) pinned: Option<PinnedArms>,
}

#[derive(Debug)]
pub(super) struct PinnedArms {
    pub(super) pins: Pins,
    pub(super) stable: usize,
    pub(super) canary: usize,
    pub(super) salt: u64,
}

/// The decisions of a service's versions, by the shares they have now.
#[derive(Debug)]
pub(super) struct Versions {
    pub(super) first: usize,
    pub(super) split: LiveSplit,
    pub(super) pins: Pins,
}

/// A decision's index, and the cookie that keeps a client to it.
pub(super) type Chosen<'t> = (usize, Option<StickyCookie<'t>>);

/// The same, of a service's versions, and how the request came to it.
pub(super) type ChosenVersion<'t> = (usize, Option<StickyCookie<'t>>, Assignment);

impl Choice {
    pub(super) fn decide<'t, R: Recorder<'t>>(
        &'t self,
        asking: &Asking<'_>,
        recorder: &mut R,
    ) -> Option<Chosen<'t>> {
        match self {
            Self::Never => None,
            Self::Only(index) => Some((*index, None)),
            Self::Weighted(arms) => Some(arms.decide(asking, recorder)),
        }
    }
}

impl Arms {
    fn decide<'t, R: Recorder<'t>>(&'t self, asking: &Asking<'_>, recorder: &mut R) -> Chosen<'t> {
        let pinned = self.pinned.as_ref().map(|pinned| Pinned {
            stable: pinned.stable,
            canary: Some(pinned.canary),
            salt: pinned.salt,
            pins: &pinned.pins,
        });
        let drawn = Drawing {
            weights: &self.weights,
            pinned,
        }
        .draw(asking);
        recorder.split(|| Taken {
            shares: (0..self.weights.len())
                .map(|place| (self.first + place, self.weights.get(place)))
                .collect(),
            taken: drawn.place,
            why: drawn.why,
            of_rollout: false,
        });
        let pins = self.pinned.as_ref().map(|pinned| &pinned.pins);
        let cookie = pins
            .zip(drawn.value)
            .and_then(|(pins, value)| cookie_of(pins, value));
        (self.first + drawn.place, cookie)
    }
}

impl Versions {
    pub(super) fn decide<'t, R: Recorder<'t>>(
        &'t self,
        asking: &Asking<'_>,
        recorder: &mut R,
    ) -> ChosenVersion<'t> {
        let shares = self.split.load();
        let drawn = Drawing {
            weights: &shares.weights,
            pinned: Some(Pinned {
                stable: shares.stable,
                canary: shares.canary,
                salt: shares.salt,
                pins: &self.pins,
            }),
        }
        .draw(asking);
        let index = |place: usize| self.first + shares.versions.get(place).copied().unwrap_or_default();
        recorder.split(|| Taken {
            shares: (0..shares.weights.len())
                .map(|place| (index(place), shares.weights.get(place)))
                .collect(),
            taken: drawn.place,
            why: drawn.why,
            of_rollout: true,
        });
        (
            index(drawn.place),
            drawn.value.and_then(|value| cookie_of(&self.pins, value)),
            drawn.assignment,
        )
    }
}
