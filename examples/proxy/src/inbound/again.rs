//! A request that is sent again when it fails.

use http::{Request, Response};
use mesh_core::body::Body;
use mesh_core::{Error, MeshContext};
use mesh_traffic::FaultLayer;
use mesh_traffic::fault::Asked;
use mesh_traffic::retry::Retries;
use tokio::time::Instant;

use super::attempt::{Attempt, SentBody, unwatched};
use super::wait::in_trouble;

/// The trouble that each try may get into.
#[derive(Clone, Copy)]
pub(super) struct Trouble<'a> {
    pub(super) faults: Option<&'a FaultLayer>,
    /// What the request asks for.
    pub(super) asked: Option<&'a Asked>,
}

/// Sends a request, and again as is written for it. Each try needs leave of the breaker, picks an endpoint of its own,
/// and has trouble of its own.
pub(super) async fn send(
    retries: &Retries,
    attempt: Attempt<'_>,
    request: Request<Body>,
    trouble: Trouble<'_>,
) -> Result<Response<SentBody>, Error> {
    let of_all = deadline(&request);
    let send = |request: Request<Body>| async move {
        let now = Instant::now();
        // A try may have a deadline of its own, and then it is one that was configured.
        let own = deadline(&request).filter(|_| deadline(&request) != of_all);
        let attempt = Attempt {
            received: now,
            due: own.or(attempt.due),
            ..attempt
        };
        let injection = trouble
            .faults
            .and_then(|faults| faults.begin(trouble.asked, fastrand::u64(..), now));
        let sent = match injection {
            None => attempt.send(request).await,
            Some(injection) => Box::pin(in_trouble(injection, attempt, request)).await,
        };
        sent.map(|(response, _)| response.map(Body::new))
    };
    let response = retries.send(request, send).await?;
    Ok(response.map(unwatched))
}

fn deadline(request: &Request<Body>) -> Option<Instant> {
    request.extensions().get::<MeshContext>()?.deadline
}
