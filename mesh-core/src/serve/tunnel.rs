//! What a connection is after an upgrade: bytes that its user carries, and that this server still counts, waits
//! for, and can close.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;

const NONE: u8 = 0;
const OPEN: u8 = 1;
const CLOSED: u8 = 2;

/// The state of the byte stream, between whoever holds it and the connection's task. As long as there is no
/// tunnel it costs a load a read.
#[derive(Debug, Default)]
pub(super) struct Tunnel {
    state: AtomicU8,
    reader: AtomicWaker,
    writer: AtomicWaker,
    gone: AtomicBool,
    task: AtomicWaker,
}

impl Tunnel {
    /// The service agreed to an upgrade.
    pub(super) fn open(&self) {
        // Nothing but this and `close` writes it, and what is closed stays closed.
        let _ = self
            .state
            .compare_exchange(NONE, OPEN, Ordering::AcqRel, Ordering::Acquire);
    }

    fn close(&self) {
        self.state.store(CLOSED, Ordering::Release);
        self.reader.wake();
        self.writer.wake();
    }

    pub(super) fn check_read(&self, cx: &Context<'_>) -> io::Result<()> {
        self.check(&self.reader, cx)
    }

    pub(super) fn check_write(&self, cx: &Context<'_>) -> io::Result<()> {
        self.check(&self.writer, cx)
    }

    fn check(&self, side: &AtomicWaker, cx: &Context<'_>) -> io::Result<()> {
        if self.state.load(Ordering::Acquire) == NONE {
            return Ok(());
        }
        side.register(cx.waker());
        if self.state.load(Ordering::Acquire) == CLOSED {
            return Err(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "the tunnel was told to close",
            ));
        }
        Ok(())
    }

    /// The byte stream was dropped.
    pub(super) fn is_gone(&self) {
        self.gone.store(true, Ordering::Release);
        self.task.wake();
    }

    /// Ready once the byte stream is dropped: at once, if there was no upgrade.
    pub(super) fn poll_gone(&self, cx: &Context<'_>) -> Poll<()> {
        self.task.register(cx.waker());
        if self.gone.load(Ordering::Acquire) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

/// Closes the tunnel when the connection's task is dropped.
pub(super) struct CloseOnDrop<'t>(pub(super) &'t Tunnel);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}
