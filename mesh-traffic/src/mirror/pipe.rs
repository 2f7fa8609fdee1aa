//! What a request's body brings, on its way to the copy: bounded, and never waited for by who brings it.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use parking_lot::Mutex;

use super::counts::Ending;

/// A piece takes memory besides its bytes, and may keep more of them than it shows.
const LEAST: usize = 256;

/// Both ends look at it; each holds the lock only for a moment.
pub(super) struct Pipe {
    most: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    frames: VecDeque<Frame<Bytes>>,
    held: usize,
    end: End,
    /// Nobody reads any more.
    left: bool,
    reader: Option<Waker>,
    watcher: Option<Waker>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum End {
    #[default]
    Open,
    Whole,
    Broken(Ending),
}

/// Where the request's body puts what it brings. Dropped before it is [whole](Self::whole), the copy is cut short.
pub(super) struct Writer {
    pipe: Arc<Pipe>,
    /// How many bytes are still to come, if that is known: who reads may stop when it has them.
    left: Option<u64>,
}

/// The body of the copy.
pub(super) struct Reader {
    pipe: Arc<Pipe>,
    /// What is still to come, if that is known.
    hint: SizeHint,
}

/// Tells when the copy has to be broken off, also if nobody reads its body just then.
pub(super) struct Watch(Arc<Pipe>);

impl Pipe {
    #[expect(clippy::new_ret_no_self, reason = "it is only seen through its ends")]
    pub(super) fn new(most: usize, hint: SizeHint) -> (Writer, Reader, Watch) {
        let pipe = Arc::new(Self {
            most,
            state: Mutex::default(),
        });
        let reader = Reader {
            pipe: Arc::clone(&pipe),
            hint,
        };
        let writer = Writer {
            left: reader.hint.exact(),
            pipe: Arc::clone(&pipe),
        };
        (writer, reader, Watch(pipe))
    }

    /// Ends it, unless it has ended. What is held goes: nobody may take it for more than it is.
    fn finish(&self, end: End) {
        let mut state = self.state.lock();
        if state.end != End::Open {
            return;
        }
        state.end = end;
        let mut watcher = None;
        if matches!(end, End::Broken(_)) {
            state.frames = VecDeque::new();
            watcher = state.watcher.take();
        }
        let reader = state.reader.take();
        drop(state);
        reader.into_iter().chain(watcher).for_each(Waker::wake);
    }
}

impl Writer {
    /// A piece of the body. One too many breaks the copy off.
    pub(super) fn push(&mut self, frame: Frame<Bytes>) {
        let length = frame.data_ref().map_or(0, Bytes::len) as u64;
        self.left = self.left.map(|left| left.saturating_sub(length));
        let size = cost(&frame);
        let mut state = self.pipe.state.lock();
        if state.left || state.end != End::Open {
            return;
        }
        if state.held.saturating_add(size) > self.pipe.most {
            drop(state);
            self.pipe.finish(End::Broken(Ending::Lagging));
            return;
        }
        state.held += size;
        state.frames.push_back(frame);
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// There is no more to come.
    pub(super) fn whole(&self) {
        self.pipe.finish(End::Whole);
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.pipe.finish(match self.left {
            Some(0) => End::Whole,
            _ => End::Broken(Ending::CutShort),
        });
    }
}

impl Watch {
    /// Why the copy is broken off, when it is.
    pub(super) fn poll_broken(&self, cx: &Context<'_>) -> Poll<Ending> {
        let mut state = self.0.state.lock();
        match state.end {
            End::Broken(why) => Poll::Ready(why),
            End::Whole => Poll::Pending,
            End::Open => {
                keep(&mut state.watcher, cx);
                Poll::Pending
            }
        }
    }
}

impl Body for Reader {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let mut state = self.pipe.state.lock();
        if let Some(frame) = state.frames.pop_front() {
            state.held = state.held.saturating_sub(cost(&frame));
            drop(state);
            let length = frame.data_ref().map_or(0, Bytes::len) as u64;
            if let Some(left) = self.hint.exact() {
                self.hint = SizeHint::with_exact(left.saturating_sub(length));
            }
            return Poll::Ready(Some(Ok(frame)));
        }
        match state.end {
            End::Whole => Poll::Ready(None),
            End::Broken(why) => Poll::Ready(Some(Err(BrokenOff(why)))),
            End::Open => {
                keep(&mut state.reader, cx);
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let state = self.pipe.state.lock();
        state.frames.is_empty() && state.end == End::Whole
    }

    fn size_hint(&self) -> SizeHint {
        // Only an exact one holds for a body of which parts were read.
        self.hint.exact().map(SizeHint::with_exact).unwrap_or_default()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.pipe.state.lock();
        state.left = true;
        state.held = 0;
        let frames = std::mem::take(&mut state.frames);
        drop(state);
        drop(frames);
    }
}

/// The error of a copy's body that was broken off.
#[derive(Clone, Copy, Debug)]
pub(super) struct BrokenOff(Ending);

impl fmt::Display for BrokenOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the copy of a request was broken off: {}", self.0)
    }
}

impl std::error::Error for BrokenOff {}

fn cost(frame: &Frame<Bytes>) -> usize {
    let size = match (frame.data_ref(), frame.trailers_ref()) {
        (Some(data), _) => data.len(),
        (None, Some(trailers)) => trailers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len())
            .sum(),
        (None, None) => 0,
    };
    size.max(LEAST)
}

fn keep(slot: &mut Option<Waker>, cx: &Context<'_>) {
    match slot {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *slot = Some(cx.waker().clone()),
    }
}
