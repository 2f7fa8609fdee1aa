//! What to make of a try: by the head of its response, or by what follows it.

use std::time::SystemTime;

use http::Response;
use mesh_core::body::Body;
use mesh_core::reject::refusal_of;
use mesh_core::{Error, GrpcCode};

use super::condition::RetryOn;
use super::hint::Hint;
use super::judge::{Asked, Ended, Judged, judge};
use super::peek::{Peeked, peek};

/// What to make of a try. The response may have been looked into.
pub(super) async fn judged(
    on: &[RetryOn],
    asked: Asked,
    tried: Result<Response<Body>, Error>,
) -> (Result<Response<Body>, Error>, Judged) {
    let response = match tried {
        Ok(response) if asked.looks_inside() => response,
        tried => {
            let judged = judged_by_head(on, asked, &tried);
            return (tried, judged);
        }
    };
    match peek(response).await {
        Ok(Peeked {
            response,
            grpc,
            trailers,
        }) => {
            let in_trailers =
                trailers.map_or(Hint::None, |trailers| Hint::in_fields(&trailers, SystemTime::now));
            let judged = judged_by(on, asked, &response, grpc, in_trailers);
            (Ok(response), judged)
        }
        Err(error) => {
            let judged = judge(on, asked, &Ended::Failed(&error));
            (Err(error), judged)
        }
    }
}

/// What to make of a try by what is there.
pub(super) fn judged_by_head(on: &[RetryOn], asked: Asked, tried: &Result<Response<Body>, Error>) -> Judged {
    match tried {
        Ok(response) => judged_by(on, asked, response, None, Hint::None),
        Err(error) => judge(on, asked, &Ended::Failed(error)),
    }
}

/// What to make of a response, of which this is known.
fn judged_by(
    on: &[RetryOn],
    asked: Asked,
    response: &Response<Body>,
    grpc: Option<GrpcCode>,
    in_trailers: Hint,
) -> Judged {
    let hint = Hint::in_fields(response.headers(), SystemTime::now).or(in_trailers);
    let ended = Ended::Response {
        status: response.status(),
        headers: response.headers(),
        refusal: refusal_of(response),
        grpc,
        hint,
    };
    judge(on, asked, &ended)
}
