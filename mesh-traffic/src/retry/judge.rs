//! Whether a try that ended so may be made again. Plain functions: nothing here waits, counts or spends.

use http::{HeaderMap, StatusCode};
use mesh_core::error::{RetrySafe, Sent};
use mesh_core::forwarded::X_MESH_ATTEMPT;
use mesh_core::reject::X_MESH_ERROR;
use mesh_core::{Error, ErrorKind, GrpcCode};

use super::condition::RetryOn;
use super::hint::Hint;

/// What is known of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) idempotent: bool,
    pub(super) grpc: bool,
}

impl Asked {
    /// Whether a response has to be looked into: the status of a gRPC call may follow its head.
    pub(super) fn looks_inside(self) -> bool {
        self.idempotent && self.grpc
    }
}

/// How a try ended.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ended<'a> {
    /// There is a response.
    Response {
        status: StatusCode,
        headers: &'a HeaderMap,
        /// If a layer of this process made it by itself.
        refusal: Option<ErrorKind>,
        /// The status of a gRPC call, if it is known already.
        grpc: Option<GrpcCode>,
        hint: Hint,
    },
    /// There is none.
    Failed(&'a Error),
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judged {
    /// It may be tried again, by the policy: whether it can, and when, is another question.
    Again(Hint),
    /// It is handed on.
    Keep(Why),
}

/// Why a try is not made again, by the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// It is no failure, or none after which the policy tries again.
    NotAsked,
    /// It would end the same way.
    InVain,
    /// A layer beneath tried as often as it might.
    TriedBeneath,
    /// The application may have acted on it.
    NotIdempotent,
    /// The answer says so, or should have said when and did not.
    NotWanted,
}

/// Whether a policy that tries again `on` these failures does so for this request.
pub(super) fn judge(on: &[RetryOn], asked: Asked, ended: &Ended<'_>) -> Judged {
    match ended {
        Ended::Failed(error) => failed(on, asked, error),
        Ended::Response {
            status,
            headers,
            refusal,
            grpc,
            hint,
        } => {
            let is_failure = |on: &RetryOn| match grpc {
                Some(code) => on.is_grpc(*code) || (*status != StatusCode::OK && on.is_status(*status)),
                None => on.is_status(*status),
            };
            if !on.iter().any(is_failure) {
                return Judged::Keep(Why::NotAsked);
            }
            if headers.contains_key(X_MESH_ATTEMPT) {
                return Judged::Keep(Why::TriedBeneath);
            }
            let safe = match refusal.or_else(|| told_kind(headers)) {
                Some(kind) => kind.retry_safe(),
                None => RetrySafe::AsItsStatus,
            };
            match safe {
                RetrySafe::No => return Judged::Keep(Why::InVain),
                // Of this process itself: there is no elsewhere for it.
                RetrySafe::Elsewhere if refusal.is_some() => return Judged::Keep(Why::InVain),
                RetrySafe::Later if *hint == Hint::None => return Judged::Keep(Why::NotWanted),
                _ => {}
            }
            if *hint == Hint::Never {
                return Judged::Keep(Why::NotWanted);
            }
            // What another process says of itself could be passed on by an application that acted on the request.
            let unsent = refusal.is_some_and(|kind| kind.sent_upstream() == Sent::No);
            unless_acted_on(asked, unsent && *refusal != Some(ErrorKind::FaultInjected), *hint)
        }
    }
}

fn failed(on: &[RetryOn], asked: Asked, error: &Error) -> Judged {
    let kind = error.kind();
    let unsent = error.sent_upstream() == Sent::No;
    if error.attempts().is_some() {
        return Judged::Keep(Why::TriedBeneath);
    }
    let hint = error.retry_after().map_or(Hint::None, Hint::NotBefore);
    let named = match kind.retry_safe() {
        // What this process has no room for, or has opened a breaker for, is the same for every try.
        RetrySafe::No | RetrySafe::Elsewhere => return Judged::Keep(Why::InVain),
        RetrySafe::Later if hint == Hint::None => return Judged::Keep(Why::NotWanted),
        RetrySafe::Later | RetrySafe::AsItsStatus => None,
        RetrySafe::Yes => Some(RetryOn::ConnectFailure),
        RetrySafe::Idempotent if unsent => Some(RetryOn::RefusedStream),
        RetrySafe::Idempotent => (kind == ErrorKind::UpstreamReset).then_some(RetryOn::Reset),
    };
    let is_failure = |on: &RetryOn| {
        Some(*on) == named
            || on.is_status(error.http_status())
            || (asked.grpc && on.is_grpc(error.grpc_code()))
    };
    if !on.iter().any(is_failure) {
        return Judged::Keep(Why::NotAsked);
    }
    unless_acted_on(asked, unsent && kind != ErrorKind::FaultInjected, hint)
}

fn unless_acted_on(asked: Asked, unsent: bool, hint: Hint) -> Judged {
    match asked.idempotent || unsent {
        true => Judged::Again(hint),
        false => Judged::Keep(Why::NotIdempotent),
    }
}

/// What another process of the mesh says why it refused.
fn told_kind(headers: &HeaderMap) -> Option<ErrorKind> {
    let code = headers.get(X_MESH_ERROR)?;
    ErrorKind::ALL
        .into_iter()
        .find(|kind| kind.code().as_bytes() == code.as_bytes())
}

#[cfg(test)]
mod tests;
