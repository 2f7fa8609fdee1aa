//! A service that answers by a script and keeps what it was asked.

use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tower_service::Service;

/// What a [`Scripted`] service does with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<Response, Error> {
    /// Answers at once.
    Answer(Response),
    /// Fails at once.
    Fail(Error),
    /// Answers after a while of tokio's time.
    AnswerAfter(Duration, Response),
    /// Fails after a while of tokio's time.
    FailAfter(Duration, Error),
    /// Never ends.
    Hang,
}

/// Answers the n-th request by the n-th step of its script. Clones share script and record. Always ready.
///
/// It panics when it is asked more often than the script has steps: a test that does not expect a request
/// should not get an answer.
pub struct Scripted<Request, Response, Error> {
    shared: Arc<Mutex<Shared<Request, Response, Error>>>,
}

struct Shared<Request, Response, Error> {
    steps: VecDeque<Step<Response, Error>>,
    requests: Vec<Request>,
    count: usize,
    cancelled: usize,
}

/// What a [`Scripted`] service was asked.
pub struct Calls<Request, Response, Error> {
    shared: Arc<Mutex<Shared<Request, Response, Error>>>,
}

impl<Request, Response, Error> Scripted<Request, Response, Error> {
    /// A service with this script, and the record of what it is asked.
    pub fn new(
        steps: impl IntoIterator<Item = Step<Response, Error>>,
    ) -> (Self, Calls<Request, Response, Error>) {
        let shared = Shared {
            steps: steps.into_iter().collect(),
            requests: Vec::new(),
            count: 0,
            cancelled: 0,
        };
        let shared = Arc::new(Mutex::new(shared));
        (
            Self {
                shared: Arc::clone(&shared),
            },
            Calls { shared },
        )
    }
}

impl<Request, Response, Error> Calls<Request, Response, Error> {
    /// How many requests came.
    pub fn count(&self) -> usize {
        lock(&self.shared).count
    }

    /// How many steps are left.
    pub fn left(&self) -> usize {
        lock(&self.shared).steps.len()
    }

    /// How many requests were given up before they ended.
    pub fn cancelled(&self) -> usize {
        lock(&self.shared).cancelled
    }

    /// Takes the requests that came since the last time.
    pub fn take(&self) -> Vec<Request> {
        std::mem::take(&mut lock(&self.shared).requests)
    }

    /// The requests that came and were not taken.
    pub fn requests(&self) -> Vec<Request>
    where
        Request: Clone,
    {
        lock(&self.shared).requests.clone()
    }
}

impl<Request, Response, Error> Service<Request> for Scripted<Request, Response, Error>
where
    Response: Send + 'static,
    Error: Send + 'static,
    Request: Send + 'static,
{
    type Response = Response;
    type Error = Error;
    type Future = ScriptedFuture<Response, Error>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let mut shared = lock(&self.shared);
        shared.requests.push(request);
        shared.count += 1;
        let count = shared.count;
        let step = shared.steps.pop_front();
        drop(shared);
        let inner: Inner<Response, Error> = match step {
            Some(Step::Answer(response)) => Box::pin(ready(Ok(response))),
            Some(Step::Fail(error)) => Box::pin(ready(Err(error))),
            Some(Step::AnswerAfter(wait, response)) => Box::pin(after(wait, Ok(response))),
            Some(Step::FailAfter(wait, error)) => Box::pin(after(wait, Err(error))),
            Some(Step::Hang) => Box::pin(std::future::pending()),
            None => panic!("request {count} came, but the script has no step for it"),
        };
        let shared = Arc::clone(&self.shared);
        let cancelled = Box::new(move || lock(&shared).cancelled += 1);
        ScriptedFuture {
            inner,
            cancelled: Some(cancelled),
        }
    }
}

type Inner<Response, Error> = Pin<Box<dyn Future<Output = Result<Response, Error>> + Send>>;

async fn after<T>(wait: Duration, result: T) -> T {
    tokio::time::sleep(wait).await;
    result
}

/// The answer to come.
pub struct ScriptedFuture<Response, Error> {
    inner: Inner<Response, Error>,
    cancelled: Option<Box<dyn FnOnce() + Send>>,
}

impl<Response, Error> Future for ScriptedFuture<Response, Error> {
    type Output = Result<Response, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let result = std::task::ready!(self.inner.as_mut().poll(cx));
        self.cancelled = None;
        Poll::Ready(result)
    }
}

impl<Response, Error> Drop for ScriptedFuture<Response, Error> {
    fn drop(&mut self) {
        if let Some(cancelled) = self.cancelled.take() {
            cancelled();
        }
    }
}

impl<Request, Response, Error> Clone for Scripted<Request, Response, Error> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<Request, Response, Error> Clone for Calls<Request, Response, Error> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<Request, Response, Error> fmt::Debug for Scripted<Request, Response, Error> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scripted")
            .field("left", &lock(&self.shared).steps.len())
            .finish_non_exhaustive()
    }
}

impl<Request, Response, Error> fmt::Debug for Calls<Request, Response, Error> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calls")
            .field("count", &self.count())
            .finish_non_exhaustive()
    }
}

impl<Response, Error> fmt::Debug for ScriptedFuture<Response, Error> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptedFuture").finish_non_exhaustive()
    }
}

// A test that panicked elsewhere should still be told what was asked.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
