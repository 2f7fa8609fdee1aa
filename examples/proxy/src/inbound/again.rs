//! A request that is sent again when it fails.

use http::Request;
use mesh_core::body::Body;
use mesh_core::body_end::Both;
use mesh_core::due::Due;
use mesh_core::lasting::Allowed as _;
use mesh_core::outcome::Answered;
use mesh_core::{Error, MeshContext};
use mesh_telemetry::evidence::EvidenceRecord;
use mesh_traffic::FaultLayer;
use mesh_traffic::fault::Asked;
use mesh_traffic::retry::Retries;
use tokio::time::Instant;

use super::attempt::Attempt;
use super::sent::Sent;
use super::wait::in_trouble;
use crate::authorization::Standing;

/// The trouble that each try may get into.
#[derive(Clone, Copy)]
pub(super) struct Trouble<'a> {
    pub(super) faults: Option<&'a FaultLayer>,
    /// What the request asks for.
    pub(super) asked: Option<&'a Asked>,
}

/// Sends a request, and again as is written for it. Each try picks an endpoint of its own and has trouble of its own, and
/// is made only while the breaker gives leave, and the service's authorization; the breaker is told once, what came of all
/// of them.
pub(super) async fn send(
    retries: &Retries,
    attempt: Attempt<'_>,
    mut request: Request<Body>,
    trouble: Trouble<'_>,
    mut standing: Option<Box<Standing>>,
) -> Result<Sent, Error> {
    let mut asked = attempt.ask()?;
    asked.watch(&mut request);
    let of_all = deadline(&request);
    let mut is_first = true;
    let send = |mut request: Request<Body>| {
        let leave = match std::mem::take(&mut is_first) {
            true => Ok(()),
            // A policy may have changed while this one waited.
            false => standing
                .as_deref_mut()
                .map_or(Ok(()), Standing::ask_again)
                .and_then(|()| attempt.leave()),
        };
        // What was said of all of them says nothing of one.
        request.extensions_mut().remove::<Due>();
        async move {
            leave?;
            let now = Instant::now();
            // A try may have a deadline of its own, and then it is one that was configured.
            let own = deadline(&request).filter(|_| deadline(&request) != of_all);
            let attempt = Attempt {
                breaker: None,
                received: now,
                due: own.or(attempt.due),
                ..attempt
            };
            let injection = trouble
                .faults
                .and_then(|faults| faults.begin(trouble.asked, fastrand::u64(..), now));
            let sent = match injection {
                None => attempt.send(&mut request).await,
                Some(injection) => Box::pin(in_trouble(injection, &attempt, &mut request)).await,
            };
            sent.map(Sent::whole)
        }
    };
    match retries.send(request, send).await {
        // Each try was counted for itself.
        Ok(response) => {
            let learning = Both(EvidenceRecord::default(), asked.answered(Answered::by(&response)));
            Ok(Sent { response, learning })
        }
        Err(error) => Err(asked.failed(error)),
    }
}

fn deadline(request: &Request<Body>) -> Option<Instant> {
    request.extensions().get::<MeshContext>()?.deadline
}
