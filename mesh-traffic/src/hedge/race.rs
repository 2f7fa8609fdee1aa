//! Two tries of one request: the first good answer wins.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use http::Response;
use mesh_core::body::Body;
use mesh_core::{Error, GrpcCode, Outcome};

/// Whose answer it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Winner {
    First,
    Second,
}

/// The first good answer of two. A bad one waits for the other; of two bad ones it is the later. Neither future is
/// dropped here.
pub(super) async fn race<F, S>(
    mut first: Pin<&mut F>,
    mut second: Pin<&mut S>,
) -> (Winner, Result<Response<Body>, Error>)
where
    F: Future<Output = Result<Response<Body>, Error>>,
    S: Future<Output = Result<Response<Body>, Error>>,
{
    let (mut first_ended, mut second_ended) = (false, false);
    poll_fn(|cx| {
        if !first_ended && let Poll::Ready(answer) = first.as_mut().poll(cx) {
            if second_ended || is_good(&answer) {
                return Poll::Ready((Winner::First, answer));
            }
            first_ended = true;
        }
        if !second_ended && let Poll::Ready(answer) = second.as_mut().poll(cx) {
            if first_ended || is_good(&answer) {
                return Poll::Ready((Winner::Second, answer));
            }
            second_ended = true;
        }
        Poll::Pending
    })
    .await
}

/// Whether an answer is worth having while another may come.
pub(super) fn is_good(answer: &Result<Response<Body>, Error>) -> bool {
    let Ok(response) = answer else { return false };
    let outcome = match GrpcCode::in_fields(response.headers()) {
        Some(code) => Outcome::of_grpc(code),
        None => Outcome::of_status(response.status()),
    };
    outcome == Outcome::Success
}
