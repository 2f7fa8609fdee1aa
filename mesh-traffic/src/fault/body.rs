//! A body in trouble.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use mesh_core::{BoxError, Error, ErrorKind};
use tokio::time::{Instant, Sleep, sleep_until};

use super::faults::Fault;
use super::pace::Pace;
use super::switch::Active;

pin_project_lite::pin_project! {
    /// A response's body that breaks off or comes slowly, or is as it was.
    pub struct FaultBody<B> {
        #[pin]
        body: B,
        trouble: Option<Box<Trouble>>,
    }
}

/// The trouble of a body.
struct Trouble {
    /// It breaks off after so many more bytes.
    left: Option<u64>,
    pace: Option<Pace>,
    /// Nothing goes before it fires.
    timer: Option<Pin<Box<Sleep>>>,
    /// What came and did not go yet.
    held: Bytes,
    /// It breaks off at the next look: what went before has to be on its way by then.
    breaking: bool,
    broken: bool,
    active: Active,
}

impl<B: Body> FaultBody<B> {
    /// A body as it is.
    pub fn whole(body: B) -> Self {
        Self { body, trouble: None }
    }

    pub(super) fn new(body: B, fault: &Fault, active: Active) -> Self {
        let is_in_trouble = (fault.reset.is_some() || fault.throttle.is_some()) && !body.is_end_stream();
        let trouble = || {
            Box::new(Trouble {
                left: fault.reset,
                pace: fault.throttle.map(|rate| Pace::new(rate, Instant::now())),
                timer: None,
                held: Bytes::new(),
                breaking: false,
                broken: false,
                active,
            })
        };
        Self {
            body,
            trouble: is_in_trouble.then(trouble),
        }
    }
}

impl<B> Body for FaultBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut this = self.project();
        let Some(trouble) = this.trouble else {
            return this.body.poll_frame(cx).map_err(Into::into);
        };
        if trouble.broken {
            return Poll::Ready(None);
        }
        if trouble.breaking {
            trouble.broken = true;
            return Poll::Ready(Some(Err(broken().into())));
        }
        if !trouble.active.switch().is_on() {
            let held = std::mem::take(&mut trouble.held);
            *this.trouble = None;
            return match held.is_empty() {
                true => this.body.poll_frame(cx).map_err(Into::into),
                false => Poll::Ready(Some(Ok(Frame::data(held)))),
            };
        }
        if let Some(timer) = &mut trouble.timer {
            ready!(timer.as_mut().poll(cx));
            trouble.timer = None;
        }
        if trouble.held.is_empty() {
            match ready!(this.body.as_mut().poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if data.is_empty() => return Poll::Ready(Some(Ok(Frame::data(data)))),
                    Ok(data) => trouble.held = data,
                    // Trailers are the end.
                    Err(_) if trouble.left.is_some() => return trouble.breaks(cx),
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                None if trouble.left.is_some() => return trouble.breaks(cx),
                None => return Poll::Ready(None),
            }
        }
        trouble.piece(this.body.is_end_stream(), cx)
    }

    fn is_end_stream(&self) -> bool {
        match &self.trouble {
            Some(trouble) if !trouble.broken => {
                trouble.held.is_empty() && trouble.left.is_none() && self.body.is_end_stream()
            }
            Some(_) => true,
            None => self.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.body.size_hint();
        if let Some(trouble) = &self.trouble {
            let held = trouble.held.len() as u64;
            if let Some(upper) = hint.upper() {
                hint.set_upper(upper.saturating_add(held));
            }
            hint.set_lower(hint.lower().saturating_add(held));
        }
        hint
    }
}

type Polled = Poll<Option<Result<Frame<Bytes>, BoxError>>>;

impl Trouble {
    /// The next piece of what is held; `last` says that nothing follows it.
    fn piece(&mut self, last: bool, cx: &Context<'_>) -> Polled {
        let mut size = self.held.len();
        if let Some(left) = self.left {
            // Whole, it would not be broken.
            let would_be_whole = last && size as u64 <= left;
            if left == 0 || would_be_whole {
                return self.breaks(cx);
            }
            size = size.min(usize::try_from(left).unwrap_or(usize::MAX));
        }
        if let Some(pace) = &mut self.pace {
            size = pace.piece(size);
            let next = pace.sent(size, Instant::now());
            self.timer = Some(Box::pin(sleep_until(next)));
        }
        if let Some(left) = &mut self.left {
            *left -= size as u64;
        }
        Poll::Ready(Some(Ok(Frame::data(self.held.split_to(size)))))
    }

    /// Lets whoever reads send what it has, then breaks off: an error at once would take head and all with it.
    fn breaks(&mut self, cx: &Context<'_>) -> Polled {
        self.breaking = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

fn broken() -> Error {
    Error::new(
        ErrorKind::FaultInjected,
        "this response was broken off on purpose, as faults are configured",
    )
}

#[cfg(test)]
mod tests;
