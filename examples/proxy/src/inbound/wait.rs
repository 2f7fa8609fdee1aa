//! What a request waits for: the store of shared limits, trouble on purpose, an endpoint; none of it beyond its
//! deadline.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use http::Request;
use mesh_core::body::Body;
use mesh_core::{Error, ErrorKind};
use mesh_telemetry::Telemetry;
use mesh_traffic::fault::Injection;
use mesh_traffic::limit::Limited;
use tokio::time::Instant;

use super::attempt::Attempt;
use super::sent::Sent;
use super::timers::Timers;
use crate::rate_limits::{Counted, Question};

/// Counts a request where limits are shared, until one is over.
pub(super) async fn ask(questions: &[Question], received: Instant, telemetry: &Telemetry) -> Option<Limited> {
    for question in questions {
        match question.ask(received, telemetry).await {
            Counted::Refused(limited) => {
                telemetry.process().rate_limited();
                return Some(limited);
            }
            Counted::Noted => telemetry.process().rate_limited(),
            Counted::Passed | Counted::Asked(_) => {}
        }
    }
    None
}

/// One try of a request that is in trouble on purpose.
pub(super) async fn in_trouble(
    trouble: Injection,
    attempt: &Attempt<'_>,
    request: &mut Request<Body>,
) -> Result<Sent, Error> {
    hold(Some(&trouble)).await?;
    let answered = attempt.send(request).await?.whole();
    Ok(Sent::unwatched(
        answered.map(|body| Body::new(trouble.body(body))),
    ))
}

/// Waits, and fails if that is what is to happen.
pub(super) async fn hold(trouble: Option<&Injection>) -> Result<(), Error> {
    let Some(trouble) = trouble else {
        return Ok(());
    };
    trouble.wait().await;
    match trouble.abort() {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// What comes of it before the deadline. The future stays where it is: it is large, and moving it costs.
pub(super) async fn before<T>(
    deadline: Option<Instant>,
    timers: &Timers,
    mut answer: Pin<&mut impl Future<Output = Result<T, Error>>>,
) -> Result<T, Error> {
    let Some(deadline) = deadline else {
        return answer.await;
    };
    let mut timer = timers.until(deadline);
    poll_fn(|cx| {
        if let Poll::Ready(answered) = answer.as_mut().poll(cx) {
            return Poll::Ready(answered);
        }
        timer.poll_over(cx).map(|()| {
            Err(Error::new(
                ErrorKind::Timeout,
                "the service did not answer before the deadline (timeout)",
            ))
        })
    })
    .await
}
