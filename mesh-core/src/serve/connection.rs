//! One connection: hyper serves it, this watches the clock and the order to end.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until};
use tower_service::Service;

use super::io::{Waiting, Watch, WatchedIo};
use super::limits::ServeLimits;
use super::registry::Registered;
use super::service::Connected;
use super::sniff::sniff;
use super::streams::Streams;
use super::tunnel::CloseOnDrop;
use super::unreadable::{OnUnreadable, Unreadable};
use crate::accept::Accepted;
use crate::body::Body;
use crate::connect::HttpProtocol;
use crate::control::{Order, Seen};
use crate::cork::cork;
use crate::error::BoxError;
use crate::peer::PeerInfo;

/// Serves the connection until it ends.
pub(super) async fn serve<Io, S, B>(
    accepted: Accepted<Io>,
    registered: &Registered,
    limits: &ServeLimits,
    on_unreadable: &OnUnreadable,
    service: S,
) where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let Accepted {
        io, peer, protocol, ..
    } = accepted;
    let (io, is_http2, ahead) = match protocol {
        Some(protocol) => (io, protocol == HttpProtocol::Http2, Bytes::new()),
        None => match Box::pin(sniffed(io, &peer, registered, limits)).await {
            Some(sniffed) => sniffed,
            None => return,
        },
    };
    let watch = Watch::new(is_http2, !ahead.is_empty());
    let io = WatchedIo::new(io, ahead, Arc::clone(&watch), peer.tls);
    let service = Connected {
        service,
        peer: Arc::clone(&peer),
        watch: Arc::clone(&watch),
        idle: limits.idle,
    };
    // In boxes: a future holds whatever is given to another one twice, as long as it lives, and there are many at rest.
    let ended = if is_http2 {
        // Several streams have something to say at once, and hyper flushes after each.
        let (io, cork) = cork(io);
        let connection =
            cork.drive(http2_builder(limits).serve_connection(TokioIo::new(io), service.in_box()));
        drive(
            Box::pin(connection),
            |connection| http2::Connection::graceful_shutdown(connection.get_pin_mut()),
            &watch,
            registered,
            limits,
        )
        .await
    } else {
        let connection = http1_builder(limits)
            .serve_connection(TokioIo::new(io), service)
            .with_upgrades();
        drive(
            Box::pin(connection),
            http1::UpgradeableConnection::graceful_shutdown,
            &watch,
            registered,
            limits,
        )
        .await
    };
    match ended {
        Ended::Itself(Ok(())) => tunnel(&watch, registered).await,
        Ended::Itself(Err(error)) => {
            tracing::debug!(peer = %peer.address, %error, "a connection ended with an error");
            if let Some(why) = Unreadable::of(&error) {
                on_unreadable.tell(&peer, why);
            }
        }
        Ended::Cut(why) => {
            tracing::debug!(peer = %peer.address, why = why.told(), "a connection was cut");
            if why == Cut::Head {
                on_unreadable.tell(&peer, Unreadable::TooSlow);
            }
        }
    }
}

/// Which protocol it is, by what the client says first, which is given along. `None` if it ended before that.
async fn sniffed<Io>(
    mut io: Io,
    peer: &PeerInfo,
    registered: &Registered,
    limits: &ServeLimits,
) -> Option<(Io, bool, Bytes)>
where
    Io: AsyncRead + Unpin,
{
    let sniffed = {
        let mut sniffed = pin!(sniff(&mut io, limits.keep_alive, limits.request_head));
        poll_fn(|cx| {
            registered.wake(cx.waker());
            let polled = sniffed.as_mut().poll(cx);
            // As long as nothing came, nothing is in flight, so there is nothing to finish.
            if polled.is_pending() && registered.is_to_finish() {
                Poll::Ready(Ok(None))
            } else {
                polled
            }
        })
        .await
    };
    match sniffed {
        Ok(Some(sniffed)) => Some((io, sniffed.http2, sniffed.read)),
        Ok(None) => None,
        Err(error) => {
            tracing::debug!(peer = %peer.address, %error, "the connection broke before a request");
            None
        }
    }
}

fn http1_builder(limits: &ServeLimits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_buf_size(limits.max_head_bytes.max(8 * 1024));
    // hyper keeps its default number of fields on the stack, any other on the heap.
    if limits.max_headers != 100 {
        builder.max_headers(limits.max_headers);
    }
    builder
}

fn http2_builder(limits: &ServeLimits) -> http2::Builder<Streams> {
    let mut builder = http2::Builder::new(Streams { idle: limits.idle });
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.max_streams)
        .initial_stream_window_size(64 * 1024)
        .initial_connection_window_size(1024 * 1024)
        .max_send_buf_size(64 * 1024)
        .max_header_list_size(u32::try_from(limits.max_head_bytes).unwrap_or(u32::MAX))
        // Streams the client resets before they were looked at, and those it makes us reset: rapid reset and
        // its reverse.
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(100)
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(5));
    builder
}

enum Ended {
    Itself(hyper::Result<()>),
    Cut(Cut),
}

/// Why a connection is cut.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cut {
    Told,
    Head,
    Idle,
    Reader,
}

impl Cut {
    const fn told(self) -> &'static str {
        match self {
            Self::Told => "it was told to close",
            Self::Head => "a request's head took too long",
            Self::Idle => "it was idle",
            Self::Reader => "the client did not read",
        }
    }
}

async fn drive<C>(
    mut connection: Pin<Box<C>>,
    finish: fn(Pin<&mut C>),
    watch: &Watch,
    registered: &Registered,
    limits: &ServeLimits,
) -> Ended
where
    C: Future<Output = hyper::Result<()>>,
{
    let aged = limits
        .max_connection_age
        .map(|age| Instant::now() + age.mul_f64(0.9 + 0.2 * fastrand::f64()));
    // The timer is set no later than the connection's next deadline. It is moved to an earlier one at once and
    // to a later one only when it fires, so that a busy connection does not touch it.
    let mut armed = Instant::now() + limits.keep_alive;
    let mut timer = pin!(sleep_until(armed));
    let mut is_over_age = false;
    let mut finishing = false;
    let mut seen = Seen::default();
    poll_fn(move |cx| {
        // A task's waker stays the same.
        let told = registered.poll_told(&mut seen, cx);
        loop {
            if told == Some(Order::Close) {
                return Poll::Ready(Ended::Cut(Cut::Told));
            }
            let is_to_finish = !finishing && (is_over_age || told.is_some());
            if is_to_finish {
                watch.next_is_last();
            }
            watch.polled_anew();
            if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                return Poll::Ready(Ended::Itself(ended));
            }
            // A request that has begun to come in is in flight; hyper would take the connection for idle.
            if is_to_finish && !watch.is_amid_head() {
                finishing = true;
                finish(connection.as_mut());
                continue;
            }
            let due = deadline(watch, limits);
            let deadline = due.map(|(deadline, _)| deadline);
            let next = [deadline, aged.filter(|_| !is_over_age)]
                .into_iter()
                .flatten()
                .min();
            if let Some(next) = next
                && next < armed
            {
                armed = next;
                timer.as_mut().reset(armed);
            }
            ready!(timer.as_mut().poll(cx));
            let now = Instant::now();
            if let Some((_, why)) = due.filter(|(deadline, _)| *deadline <= now) {
                return Poll::Ready(Ended::Cut(why));
            }
            is_over_age = is_over_age || aged.is_some_and(|aged| aged <= now);
            armed = next.filter(|next| *next > now).unwrap_or(now + limits.keep_alive);
            timer.as_mut().reset(armed);
        }
    })
    .await
}

/// Stays with a connection that was upgraded until its byte stream is dropped: so long it counts, a drain waits
/// for it, and it can be closed. Returns at once if there was no upgrade.
async fn tunnel(watch: &Watch, registered: &Registered) {
    let _close = CloseOnDrop(&watch.tunnel);
    poll_fn(|cx| {
        registered.wake(cx.waker());
        if registered.is_to_leave() {
            Poll::Ready(())
        } else {
            watch.tunnel.poll_gone(cx)
        }
    })
    .await;
}

/// Until when what the connection waits for must come.
fn deadline(watch: &Watch, limits: &ServeLimits) -> Option<(Instant, Cut)> {
    match watch.waiting() {
        Waiting::Head(since) => Some((since + limits.request_head, Cut::Head)),
        Waiting::Request(since) => Some((since + limits.keep_alive, Cut::Idle)),
        Waiting::Reader(since) => Some((since + limits.idle, Cut::Reader)),
        Waiting::Service => None,
    }
}
