//! Why nothing came of what somebody wanted.

use mesh_canary::controller::ControllerError;
use mesh_canary::log::StartError;
use mesh_canary::store::{StoreError, StoreErrorKind};
use mesh_core::ServiceName;

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

/// Why a rollout does not start, and what to do.
pub(super) fn not_started(error: &StartError, service: &ServiceName) -> Refusal {
    Refusal::Conflict(match error {
        StartError::Running { .. } => {
            format!("{error}: see canaries/{service}, and promote it or roll it back")
        }
        StartError::Rejected(_) => format!("{error} (\"retry\": true, or --retry)"),
        _ => error.to_string(),
    })
}

/// An error, and what to do.
pub(super) fn what_to_do(error: &ControllerError) -> String {
    let advice = match error {
        ControllerError::Log(_) => {
            "move the log in canaryDeployment.stateDir away to begin with the stable version, or put back what it was"
        }
        ControllerError::Store(error) => match error.kind() {
            StoreErrorKind::Corrupt => {
                "put the file back as it was, or move it away to begin with the stable version"
            }
            StoreErrorKind::Locked => "give each proxy a canaryDeployment.stateDir of its own",
            StoreErrorKind::Conflict => "somebody else writes there: give each proxy a stateDir of its own",
            _ => return error.to_string(),
        },
        _ => return error.to_string(),
    };
    format!("{error}: {advice}")
}

/// A store that cannot be opened, and what to do.
pub(super) fn not_opened(error: StoreError) -> String {
    what_to_do(&ControllerError::Store(error))
}
