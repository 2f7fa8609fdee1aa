//! What a connection has been told to do, by whoever may: a server that drains, or an identity that learns that the
//! peer is not to be trusted any more.

mod stream;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Waker};

use futures_util::task::AtomicWaker;

pub use stream::Controlled;

/// How a connection is to end. Later ones are stronger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Order {
    /// After what is in flight. A tunnel goes on until its user ends it.
    Finish = 1,
    /// After the requests in flight; a tunnel at once: the peer is not trusted any more.
    Leave = 2,
    /// At once.
    Close = 3,
}

impl Order {
    fn of(told: u8) -> Option<Self> {
        [Self::Close, Self::Leave, Self::Finish]
            .into_iter()
            .find(|order| *order as u8 <= told)
    }
}

/// What a task has [seen](ConnectionControl::poll_told) of its connection's orders. A task that changes needs a new one.
#[derive(Debug, Default)]
pub struct Seen(Option<u8>);

/// Ends one connection. Clones are of the same connection.
///
/// Whoever does the handshake may put one into [`Accepted`](crate::accept::Accepted) or
/// [`Connected`](crate::connect::Connected) and keep a clone; servers and pools do as it says, and looking costs them
/// one load.
///
/// ```
/// use mesh_core::control::{ConnectionControl, Order};
///
/// let control = ConnectionControl::new();
/// let of_the_server = control.clone();
/// assert!(of_the_server.is_free());
///
/// control.tell(Order::Leave);
/// control.tell(Order::Finish); // the weaker order changes nothing
/// assert!(of_the_server.is_told(Order::Finish) && of_the_server.is_told(Order::Leave));
/// assert!(!of_the_server.is_told(Order::Close));
/// ```
#[derive(Clone, Default)]
pub struct ConnectionControl(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// 0, or the strongest [`Order`] so far.
    told: AtomicU8,
    /// The task that drives the connection, or reads from it.
    task: AtomicWaker,
    /// The task that writes, where another one reads.
    writer: AtomicWaker,
}

impl ConnectionControl {
    /// Of a connection that has been told nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Tells the connection, and wakes who drives it.
    pub fn tell(&self, order: Order) {
        self.0.told.fetch_max(order as u8, Ordering::AcqRel);
        self.0.task.wake();
        self.0.writer.wake();
    }

    /// Whether it was told this, or something stronger.
    pub fn is_told(&self, order: Order) -> bool {
        self.0.told.load(Ordering::Acquire) >= order as u8
    }

    /// Whether it was told nothing: it may take requests.
    pub fn is_free(&self) -> bool {
        !self.is_told(Order::Finish)
    }

    /// The strongest order so far, for a task that drives the connection and is polled often: it is woken by the next
    /// one. As long as there is nothing new this costs one load.
    pub fn poll_told(&self, seen: &mut Seen, cx: &Context<'_>) -> Option<Order> {
        loop {
            let told = self.0.told.load(Ordering::Acquire);
            if seen.0 == Some(told) {
                return Order::of(told);
            }
            // Being woken takes the waker out. It may have been told in between: look again.
            self.0.task.register(cx.waker());
            seen.0 = Some(told);
        }
    }

    /// From now on this task is woken, once, when the connection is told something. Look only afterwards, so that
    /// nothing is missed.
    pub fn wake(&self, waker: &Waker) {
        self.0.task.register(waker);
    }

    fn wake_writer(&self, waker: &Waker) {
        self.0.writer.register(waker);
    }
}

impl fmt::Debug for ConnectionControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ConnectionControl")
            .field(&self.0.told.load(Ordering::Acquire))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;

    use super::*;

    #[tokio::test]
    async fn a_task_is_woken_by_every_order_and_not_only_by_the_first() {
        let control = ConnectionControl::new();
        let of_task = control.clone();
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            let mut seen = Seen::default();
            let mut last = None;
            poll_fn(|cx| {
                let now = of_task.poll_told(&mut seen, cx);
                if now != last {
                    last = now;
                    tell.send(now).expect("listened to");
                }
                match now {
                    Some(Order::Close) => Poll::Ready(()),
                    _ => Poll::Pending,
                }
            })
            .await;
        });
        for order in [Order::Finish, Order::Leave, Order::Close] {
            tokio::task::yield_now().await;
            control.tell(order);
            assert_eq!(told.recv().await, Some(Some(order)));
        }
        task.await.expect("it ended");
    }

    #[tokio::test]
    async fn both_directions_of_a_controlled_stream_are_cut_while_they_wait() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let control = ConnectionControl::new();
        let (near, _far) = tokio::io::duplex(1);
        let tunnel = Controlled::new(near, Some(control.clone()), Order::Leave);
        let (mut read, mut write) = tokio::io::split(tunnel);
        let reading = tokio::spawn(async move { read.read_u8().await });
        let writing = tokio::spawn(async move { write.write_all(b"more than fits").await });
        tokio::task::yield_now().await;
        control.tell(Order::Finish);
        tokio::task::yield_now().await;
        assert!(
            !reading.is_finished() && !writing.is_finished(),
            "a tunnel goes on in a drain"
        );
        control.tell(Order::Leave);
        for ended in [
            reading.await.expect("ran").map(|_| ()),
            writing.await.expect("ran"),
        ] {
            assert_eq!(
                ended.expect_err("cut").kind(),
                std::io::ErrorKind::ConnectionAborted
            );
        }
    }
}
