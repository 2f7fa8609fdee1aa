//! Whether a process wants traffic.

use std::borrow::Cow;

/// Whether a process wants traffic, as `/readyz` says.
///
/// ```
/// use mesh_telemetry::Readiness;
///
/// assert_eq!(Readiness::from(true), Readiness::Ready);
/// assert_eq!(Readiness::from(false), Readiness::NotReady);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It does: 200.
    Ready,
    /// It does, since it serves as ever, and somebody has to look at this before it does not: 200, with the reason.
    Degraded(Cow<'static, str>),
    /// It starts or drains: 503.
    NotReady,
}

impl From<bool> for Readiness {
    fn from(ready: bool) -> Self {
        match ready {
            true => Self::Ready,
            false => Self::NotReady,
        }
    }
}
