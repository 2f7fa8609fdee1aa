//! A fault that is under way.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use mesh_core::Error;

use super::body::FaultBody;
use super::faults::Fault;
use super::switch::Active;

/// A fault that is under way: it counts as such until this, and the body that it was given, are dropped.
///
/// For who calls instead of layering: [`wait`](Self::wait), then fail with [`abort`](Self::abort) or go on, then give
/// the response's body to [`body`](Self::body).
#[derive(Debug)]
pub struct Injection {
    fault: Fault,
    active: Active,
}

impl Injection {
    pub(super) fn new(fault: Fault, active: Active) -> Self {
        Self { fault, active }
    }

    /// What happens.
    pub fn fault(&self) -> &Fault {
        &self.fault
    }

    /// Waits as long as the request is to wait, or until faults are switched off.
    pub async fn wait(&self) {
        let Some(delay) = self.fault.delay else {
            return;
        };
        let mut over = pin!(tokio::time::sleep(delay));
        let mut off = pin!(self.active.switch().off());
        poll_fn(|cx| match over.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(()),
            Poll::Pending => off.as_mut().poll(cx),
        })
        .await;
    }

    /// How the request ends, if it is to end now.
    pub fn abort(&self) -> Option<Error> {
        let abort = self.fault.abort?;
        self.active.switch().is_on().then(|| abort.error())
    }

    /// The body of the response, with the trouble it is to have.
    pub fn body<B: http_body::Body>(self, body: B) -> FaultBody<B> {
        FaultBody::new(body, &self.fault, self.active)
    }
}
