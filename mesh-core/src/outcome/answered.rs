//! How a request ended that was answered: by the answer's head, or by its body.

use http::{Response, StatusCode};

use super::{GrpcCode, Outcome};
use crate::body_end::End;
use crate::error::ErrorKind;
use crate::reject::{is_grpc, refusal_of};

/// What the head of an answer says of how its request ended.
///
/// ```
/// use mesh_core::body_end::End;
/// use mesh_core::outcome::Answered;
/// use mesh_core::{GrpcCode, Outcome};
///
/// let failed = http::Response::builder().status(500).body(())?;
/// assert_eq!(Answered::by(&failed), Answered::Ended(Outcome::Failure));
///
/// let call = http::Response::builder().header("content-type", "application/grpc").body(())?;
/// let answered = Answered::by(&call);
/// assert_eq!(answered.at(End::Complete(Some(GrpcCode::UNAVAILABLE))), Some(Outcome::Failure));
/// assert_eq!(answered.at(End::Dropped), None, "how the call went nobody will know");
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// It is over, whatever becomes of the body.
    Ended(Outcome),
    /// All is well so far. Its body may break, and the status of a gRPC call is in its trailers.
    Open {
        /// Whether it is a gRPC call.
        grpc: bool,
    },
}

impl Answered {
    /// By this answer.
    pub fn by<B>(response: &Response<B>) -> Self {
        if let Some(kind) = refusal_of(response) {
            return Self::Ended(Outcome::Refused(kind));
        }
        let grpc = is_grpc(response.headers());
        if grpc && let Some(code) = GrpcCode::in_fields(response.headers()) {
            return Self::Ended(Outcome::of_grpc(code));
        }
        if grpc && response.status() != StatusCode::OK {
            return Self::Ended(Outcome::of_grpc(GrpcCode::of_http_status(response.status())));
        }
        match Outcome::of_status(response.status()) {
            Outcome::Success => Self::Open { grpc },
            failed => Self::Ended(failed),
        }
    }

    /// How it ended if its body ended so; nothing if nobody will know.
    pub fn at(self, end: End) -> Option<Outcome> {
        match (self, end) {
            (Self::Ended(outcome), _) => Some(outcome),
            // Without a status a gRPC call did not succeed: to its client it is UNKNOWN.
            (Self::Open { grpc: true }, End::Complete(code)) => {
                Some(Outcome::of_grpc(code.unwrap_or(GrpcCode::UNKNOWN)))
            }
            (Self::Open { .. }, End::Failed) => Some(Outcome::Refused(ErrorKind::UpstreamReset)),
            (Self::Open { grpc: true }, End::Dropped) => None,
            // It answered, and nothing went wrong while anybody looked. Event streams end no other way: if they said
            // nothing, their service would never be well.
            (Self::Open { grpc: false }, End::Complete(_) | End::Dropped) => Some(Outcome::Success),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reject::reject;
    use crate::{Error, body::Body};

    fn answer(status: u16, fields: &[(&str, &str)]) -> Response<()> {
        let mut response = Response::builder().status(status);
        for (name, value) in fields {
            response = response.header(*name, *value);
        }
        response.body(()).expect("a response")
    }

    const GRPC: (&str, &str) = ("content-type", "application/grpc+proto");

    #[test]
    fn the_head_ends_what_failed_and_leaves_open_what_is_well() {
        let open = |grpc| Answered::Open { grpc };
        for (status, fields, expected) in [
            (200, &[][..], open(false)),
            (404, &[], open(false)),
            (503, &[], Answered::Ended(Outcome::Failure)),
            (200, &[GRPC], open(true)),
            (429, &[GRPC], Answered::Ended(Outcome::Failure)),
            (404, &[GRPC], Answered::Ended(Outcome::Success)),
            (
                200,
                &[GRPC, ("grpc-status", "14")],
                Answered::Ended(Outcome::Failure),
            ),
            (
                200,
                &[GRPC, ("grpc-status", "5")],
                Answered::Ended(Outcome::Success),
            ),
        ] {
            assert_eq!(
                Answered::by(&answer(status, fields)),
                expected,
                "{status} {fields:?}"
            );
        }
    }

    #[test]
    fn a_refusal_of_the_mesh_is_what_it_says() {
        let refused = reject::<Body>(&Error::new(ErrorKind::Overloaded, "full"), false);
        assert_eq!(
            Answered::by(&refused),
            Answered::Ended(Outcome::Refused(ErrorKind::Overloaded))
        );
    }

    #[test]
    fn a_body_that_breaks_is_a_reset_and_one_that_is_left_is_well_unless_it_is_a_call() {
        let reset = Some(Outcome::Refused(ErrorKind::UpstreamReset));
        for grpc in [false, true] {
            assert_eq!(Answered::Open { grpc }.at(End::Failed), reset);
        }
        let page = Answered::Open { grpc: false };
        assert_eq!(page.at(End::Complete(None)), Some(Outcome::Success));
        assert_eq!(page.at(End::Dropped), Some(Outcome::Success));
        let call = Answered::Open { grpc: true };
        assert_eq!(
            call.at(End::Complete(None)),
            Some(Outcome::Failure),
            "no status is UNKNOWN"
        );
        assert_eq!(call.at(End::Complete(Some(GrpcCode::OK))), Some(Outcome::Success));
        assert_eq!(call.at(End::Dropped), None);
        let ended = Answered::Ended(Outcome::Failure);
        assert_eq!(ended.at(End::Dropped), Some(Outcome::Failure));
    }
}
