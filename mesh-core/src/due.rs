//! When whoever answers a request is late, by the configuration and not by what the client asks for or does.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use tokio::time::Instant;

use crate::BoxError;
use crate::body::Body;

/// When an answer is late: a request extension for whoever blames an endpoint or a service for it. A deadline that the
/// client named does not count, and the time it lets its own body be waited for is not the service's.
///
/// Without this extension, who passes the deadline of [`MeshContext`](crate::MeshContext) is late.
///
/// ```
/// use std::time::Duration;
/// use mesh_core::due::Due;
/// use tokio::time::Instant;
///
/// let now = Instant::now();
/// let due = Due::new(Some(now + Duration::from_secs(1)), now);
/// assert!(!due.is_over(now));
/// assert!(due.is_over(now + Duration::from_secs(1)));
/// assert!(!Due::new(None, now).is_over(now + Duration::from_secs(3600)), "nothing is configured");
/// ```
#[derive(Clone, Debug)]
pub struct Due(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    at: Option<Instant>,
    origin: Instant,
    /// How long the client was waited for, in nanoseconds; without the time since `since`.
    waited: AtomicU64,
    /// Since when it is, in nanoseconds from `origin` and one more; 0: it is not.
    since: AtomicU64,
}

impl Due {
    /// An answer is late from then on; without a time, never.
    pub fn new(at: Option<Instant>, now: Instant) -> Self {
        Self(Arc::new(Inner {
            at,
            origin: now,
            waited: AtomicU64::new(0),
            since: AtomicU64::new(0),
        }))
    }

    /// The same body; while it is asked for and does not come, the client is waited for.
    pub fn watch(&self, body: Body) -> Body {
        match body.is_end_stream() {
            true => body,
            false => Body::new(Watched {
                body,
                due: self.clone(),
            }),
        }
    }

    /// How long the client was waited for until now: time that is not the service's.
    ///
    /// ```
    /// use std::time::Duration;
    /// use mesh_core::due::Due;
    /// use tokio::time::Instant;
    ///
    /// let now = Instant::now();
    /// assert_eq!(Due::new(None, now).waited(now), Duration::ZERO);
    /// ```
    pub fn waited(&self, now: Instant) -> Duration {
        let Inner { waited, since, .. } = &*self.0;
        let (waited, since) = (waited.load(Ordering::Relaxed), since.load(Ordering::Relaxed));
        Duration::from_nanos(match since {
            0 => waited,
            began => waited.saturating_add(self.nanos(now).saturating_sub(began - 1)),
        })
    }

    /// Whether the answer is late: not if the client has had so much of the time that what was left is less than is
    /// configured.
    pub fn is_over(&self, now: Instant) -> bool {
        let at = self.0.at.and_then(|at| at.checked_add(self.waited(now)));
        at.is_some_and(|at| at <= now)
    }

    fn nanos(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.0.origin).as_nanos()).unwrap_or(u64::MAX)
    }

    /// The body was asked for. Only the one task that has it writes.
    fn asked(&self, came: bool) {
        let Inner { waited, since, .. } = &*self.0;
        let began = since.load(Ordering::Relaxed);
        match (began, came) {
            (0, true) => {}
            (0, false) => {
                let now = self.nanos(Instant::now());
                since.store(now.saturating_add(1), Ordering::Relaxed);
            }
            (_, false) => {}
            (began, true) => {
                let now = self.nanos(Instant::now());
                waited.fetch_add(now.saturating_sub(began - 1), Ordering::Relaxed);
                since.store(0, Ordering::Relaxed);
            }
        }
    }
}

struct Watched {
    body: Body,
    due: Due,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        self.due.asked(frame.is_ready());
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http_body_util::BodyExt;
    use tokio::time::{advance, sleep};

    use super::*;

    /// Comes whole after this time.
    fn slow(after: Duration) -> Body {
        let mut waits = Some(Box::pin(sleep(after)));
        Body::new(http_body_util::StreamBody::new(futures_util::stream::poll_fn(
            move |cx| match &mut waits {
                None => Poll::Ready(None),
                Some(wait) => {
                    std::task::ready!(wait.as_mut().poll(cx));
                    waits = None;
                    Poll::Ready(Some(Ok::<_, BoxError>(Frame::data(Bytes::from_static(b"whole")))))
                }
            },
        )))
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_client_takes_for_its_body_is_not_the_services_time() {
        let second = Duration::from_secs(1);
        let start = Instant::now();
        let due = Due::new(Some(start + second), start);
        let body = due.watch(slow(second * 9 / 10));
        assert_eq!(body.collect().await.expect("whole").to_bytes(), "whole");
        assert_eq!(due.waited(Instant::now()), second * 9 / 10);
        advance(second / 10).await;
        assert_eq!(due.waited(Instant::now()), second * 9 / 10, "it is all there");
        assert!(!due.is_over(Instant::now()), "it has had a tenth of its second");
        advance(second * 8 / 10).await;
        assert!(!due.is_over(Instant::now()));
        advance(second / 10).await;
        assert!(due.is_over(Instant::now()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_is_not_late_while_its_client_is_waited_for() {
        let second = Duration::from_secs(1);
        let start = Instant::now();
        let due = Due::new(Some(start + second), start);
        let mut body = due.watch(slow(second * 3600));
        tokio::select! {
            _ = body.frame() => panic!("it does not come"),
            () = sleep(second * 60) => {}
        }
        assert_eq!(due.waited(Instant::now()), second * 60);
        assert!(!due.is_over(Instant::now()));
    }
}
