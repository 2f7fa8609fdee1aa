//! A request's body that can be sent again: what was read of it is kept, up to a cap.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};
use mesh_core::body::Body;
use mesh_core::{BoxError, Error, ErrorKind};
use parking_lot::Mutex;

/// The body of a request, for all its tries.
#[derive(Debug)]
pub(crate) enum Replay {
    /// There is none: every try has none.
    Empty,
    /// It is read once, and what was read is kept.
    Kept(Arc<Mutex<Kept>>),
    /// It is too long to be kept, and is there for one try only.
    Once(Option<Body>),
}

/// What was read of a body, and the rest.
#[derive(Debug)]
pub(crate) struct Kept {
    rest: Body,
    cap: usize,
    /// Copied, since small pieces could hold on to large buffers: a client decides how small.
    read: Vec<u8>,
    trailers: Option<HeaderMap>,
    state: State,
    /// Which reader is the last; those before have nothing more to read.
    reader: u64,
}

/// The number of readers that have all they need.
const BESIDE: u64 = u64::MAX;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// More is to come.
    Open,
    /// It is read to its end, and kept whole.
    Whole,
    /// It outgrew the cap, or broke: it cannot be read again.
    Lost,
}

impl Replay {
    /// A body that can be sent again, if it is no longer than `cap` bytes.
    pub(crate) fn new(body: Body, cap: usize) -> Self {
        if body.is_end_stream() {
            return Self::Empty;
        }
        if body.size_hint().lower() > cap as u64 {
            return Self::Once(Some(body));
        }
        Self::Kept(Arc::new(Mutex::new(Kept {
            rest: body,
            cap,
            read: Vec::new(),
            trailers: None,
            state: State::Open,
            reader: 0,
        })))
    }

    /// Whether it can be sent again.
    pub(crate) fn can_repeat(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Kept(kept) => kept.lock().state != State::Lost,
            Self::Once(_) => false,
        }
    }

    /// The body for the next try, from its beginning. The one before ends with an error, if it is still read. `None` if it
    /// cannot be sent again.
    pub(crate) fn next(&mut self) -> Option<Body> {
        match self {
            Self::Empty => Some(Body::empty()),
            Self::Once(body) => body.take(),
            Self::Kept(kept) => {
                let mut locked = kept.lock();
                if locked.state == State::Lost {
                    return None;
                }
                locked.reader += 1;
                let reader = Reader {
                    again: Bytes::copy_from_slice(&locked.read),
                    number: locked.reader,
                    done: false,
                    kept: Arc::clone(kept),
                };
                drop(locked);
                Some(Body::boxed(Box::pin(reader)))
            }
        }
    }
}

impl Replay {
    /// A body beside the one that is being sent, if all of it is here.
    pub(crate) fn beside(&self) -> Option<Body> {
        match self {
            Self::Empty => Some(Body::empty()),
            Self::Once(_) => None,
            Self::Kept(kept) => {
                let locked = kept.lock();
                (locked.state == State::Whole).then(|| {
                    Body::boxed(Box::pin(Reader {
                        again: Bytes::copy_from_slice(&locked.read),
                        number: BESIDE,
                        done: false,
                        kept: Arc::clone(kept),
                    }))
                })
            }
        }
    }
}

/// Nobody will ask for it again: a long upload need not be kept until its end.
impl Drop for Replay {
    fn drop(&mut self) {
        if let Self::Kept(kept) = self {
            let mut kept = kept.lock();
            kept.read = Vec::new();
            if kept.state == State::Open {
                kept.lose();
            }
        }
    }
}

impl Kept {
    fn is_read_by(&self, number: u64) -> bool {
        self.reader == number || number == BESIDE
    }

    fn keep(&mut self, frame: &Frame<Bytes>) {
        if self.state != State::Open {
            return;
        }
        if let Some(data) = frame.data_ref() {
            if self.read.len() + data.len() <= self.cap {
                self.read.extend_from_slice(data);
            } else {
                self.lose();
            }
        } else if let Some(trailers) = frame.trailers_ref() {
            let size: usize = trailers
                .iter()
                .map(|(name, value)| name.as_str().len() + value.len())
                .sum();
            if self.read.len() + size <= self.cap {
                self.trailers = Some(trailers.clone());
            } else {
                self.lose();
            }
        }
    }

    fn lose(&mut self) {
        self.state = State::Lost;
        self.read = Vec::new();
        self.trailers = None;
    }
}

/// The body of one try.
struct Reader {
    /// What former tries read and this one has not.
    again: Bytes,
    number: u64,
    done: bool,
    kept: Arc<Mutex<Kept>>,
}

impl http_body::Body for Reader {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        if this.done {
            return Poll::Ready(None);
        }
        let mut kept = this.kept.lock();
        if !kept.is_read_by(this.number) {
            let message = "the request is sent again; this try of it has ended";
            return Poll::Ready(Some(Err(Error::new(ErrorKind::UpstreamReset, message).into())));
        }
        if !this.again.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut this.again)))));
        }
        if kept.state == State::Whole {
            this.done = true;
            return Poll::Ready(
                kept.trailers
                    .clone()
                    .map(|trailers| Ok(Frame::trailers(trailers))),
            );
        }
        let frame = std::task::ready!(Pin::new(&mut kept.rest).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                kept.keep(frame);
                // It need not be asked once more, and perhaps nobody will.
                if frame.is_trailers() || kept.rest.is_end_stream() {
                    this.done = true;
                    if kept.state == State::Open {
                        kept.state = State::Whole;
                    }
                }
            }
            Some(Err(_)) => kept.lose(),
            None if kept.state == State::Open => kept.state = State::Whole,
            None => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        if self.done {
            return true;
        }
        let kept = self.kept.lock();
        let is_read = match kept.state {
            State::Whole => kept.trailers.is_none(),
            State::Open | State::Lost => kept.rest.is_end_stream(),
        };
        self.again.is_empty() && is_read && kept.is_read_by(self.number)
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.kept.lock().rest.size_hint();
        let again = self.again.len() as u64;
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(again));
        if let Some(upper) = rest.upper().and_then(|upper| upper.checked_add(again)) {
            hint.set_upper(upper);
        }
        hint
    }
}

#[cfg(test)]
mod tests;
