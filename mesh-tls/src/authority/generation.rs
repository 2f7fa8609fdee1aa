//! Generations of a CA: how one replaces another without a peer that trusts neither.

use std::fmt;
use std::time::SystemTime;

use rustls_pki_types::CertificateDer;

/// Where a generation of a CA is in its life.
///
/// ```text
/// Prepared ─► Distributed ─► Active ─► Retiring ─► Removed
///     └───────────┴─► Aborted  └─► Tainted ──────────▲
/// ```
///
/// At any time exactly one generation signs: the active one, or the tainted one until the next is active.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GenerationState {
    /// Stored and in the bundle; signs nothing but its own, empty CRL.
    Prepared,
    /// Every proxy has the bundle that holds it in force.
    Distributed,
    /// Signs certificates.
    Active,
    /// Its key may be known to others: its certificates are being replaced as fast as the CA can sign.
    Tainted,
    /// Replaced by the next one; in the bundle until its last certificate has expired, signs only its CRL.
    Retiring,
    /// Out of the bundle, its key destroyed.
    Removed,
    /// Given up before it signed anything, its key destroyed.
    Aborted,
}

impl GenerationState {
    /// Every state.
    pub const ALL: [Self; 7] = [
        Self::Prepared,
        Self::Distributed,
        Self::Active,
        Self::Tainted,
        Self::Retiring,
        Self::Removed,
        Self::Aborted,
    ];

    /// Whether a generation may go from this state to that.
    pub const fn may_become(self, next: Self) -> bool {
        matches!(
            (self, next),
            // An operator may activate without waiting for every proxy.
            (Self::Prepared, Self::Distributed | Self::Active | Self::Aborted)
                | (Self::Distributed, Self::Active | Self::Aborted)
                | (Self::Active, Self::Retiring | Self::Tainted)
                | (Self::Tainted | Self::Retiring, Self::Removed)
        )
    }

    /// Whether its root is in the bundle.
    pub const fn is_trusted(self) -> bool {
        !matches!(self, Self::Removed | Self::Aborted)
    }
}

impl fmt::Display for GenerationState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Prepared => "prepared",
            Self::Distributed => "distributed",
            Self::Active => "active",
            Self::Tainted => "tainted",
            Self::Retiring => "retiring",
            Self::Removed => "removed",
            Self::Aborted => "aborted",
        })
    }
}

/// A generation of a CA.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CaGeneration {
    /// Its number: the first is 1, each one higher than all before.
    pub number: u64,
    /// Where it is in its life.
    pub state: GenerationState,
    /// Since when it is there.
    pub since: SystemTime,
    /// Its root certificate, in DER.
    pub root: CertificateDer<'static>,
    /// The last moment of the root's validity.
    pub not_after: SystemTime,
    /// The last moment of the validity of any certificate it signed: before that it cannot go. Nothing if it
    /// has signed none.
    pub last_leaf_not_after: Option<SystemTime>,
}

impl CaGeneration {
    /// A generation that has signed nothing, in [`GenerationState::Prepared`] since `now`.
    pub fn prepared(
        number: u64,
        root: impl Into<CertificateDer<'static>>,
        not_after: SystemTime,
        now: SystemTime,
    ) -> Self {
        Self {
            number,
            state: GenerationState::Prepared,
            since: now,
            root: root.into(),
            not_after,
            last_leaf_not_after: None,
        }
    }
}

/// One step of a rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RotationStep {
    /// Make the next generation and let everybody trust it. It signs nothing yet.
    Prepare,
    /// Let the prepared generation sign instead of the one that does, once every proxy trusts it.
    Activate,
    /// The key of the generation that signs may be known to others: replace what it signed at once.
    Taint,
    /// Stop trusting the generation that was replaced, once its last certificate has expired.
    Remove,
    /// Give up the prepared generation.
    Abort,
}

impl RotationStep {
    /// Every step.
    pub const ALL: [Self; 5] = [
        Self::Prepare,
        Self::Activate,
        Self::Taint,
        Self::Remove,
        Self::Abort,
    ];
}

impl fmt::Display for RotationStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Prepare => "prepare",
            Self::Activate => "activate",
            Self::Taint => "taint",
            Self::Remove => "remove",
            Self::Abort => "abort",
        })
    }
}

/// Asks for one step of a rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RotateRequest {
    /// The step.
    pub step: RotationStep,
    /// Whether to take it although proxies have not confirmed, or certificates are still valid: those fail.
    pub force: bool,
}

impl RotateRequest {
    /// The step, once it is safe.
    pub fn new(step: RotationStep) -> Self {
        Self { step, force: false }
    }

    /// The step, at once.
    #[must_use]
    pub fn forced(mut self) -> Self {
        self.force = true;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gone_never_comes_back() {
        for gone in [GenerationState::Removed, GenerationState::Aborted] {
            assert!(!gone.is_trusted());
            assert!(!GenerationState::ALL.into_iter().any(|next| gone.may_become(next)));
        }
    }

    #[test]
    fn everything_trusted_can_end_and_only_through_states_that_sign_nothing_new() {
        use GenerationState::{Aborted, Active, Removed};
        for state in GenerationState::ALL
            .into_iter()
            .filter(|state| state.is_trusted())
        {
            let mut reached = vec![state];
            while let Some(next) = GenerationState::ALL
                .into_iter()
                .find(|next| !reached.contains(next) && reached.iter().any(|from| from.may_become(*next)))
            {
                reached.push(next);
            }
            assert!(
                reached.contains(&Removed) || reached.contains(&Aborted),
                "{state} never ends"
            );
        }
        assert!(!Active.may_become(Removed), "its certificates would fail at once");
        assert!(!Active.may_become(Aborted));
    }

    #[test]
    fn nothing_becomes_active_again() {
        use GenerationState::{Active, Distributed, Prepared};
        let before: Vec<_> = GenerationState::ALL
            .into_iter()
            .filter(|state| state.may_become(Active))
            .collect();
        assert_eq!(before, [Prepared, Distributed]);
    }
}
