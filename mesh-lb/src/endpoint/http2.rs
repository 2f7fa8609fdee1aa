//! HTTP/2 to an endpoint: many requests share a connection, which has a task of its own.

mod answer;
mod connection;
mod session;
mod upload;

use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as _, Frame, SizeHint};
use mesh_core::body::Body;
use mesh_core::control::{ConnectionControl, Order, Seen};
use mesh_core::stall::Stall;
use mesh_core::{BoxError, PeerInfo};
use tokio::sync::Notify;

use super::ahead;
use super::failure::{SendFailure, failure_of_http2, lost_on_http2, stood_still};
use super::io::BoxedIo;
use super::limits::ConnectionPermit;
use super::pool::Guards;
use super::settings::PoolSettings;
use answer::Answer;
use session::{NoAnswer, Sender};

/// A connection that many requests share.
pub(crate) struct Http2 {
    send: Sender,
    streams: AtomicUsize,
    max_streams: Arc<AtomicUsize>,
    leaving: AtomicBool,
    /// Whether it was used since the last sweep.
    used: AtomicBool,
    /// The last sweep that found it used.
    rested: AtomicU32,
    secure: bool,
    /// Who is at the other end, if the connector verified it.
    peer: Option<Arc<PeerInfo>>,
    /// What ends it when that one is not trusted any more.
    control: Option<ConnectionControl>,
    /// Told when it is no longer full.
    freed: Arc<Notify>,
}

/// A stream of a connection, counted until it is dropped.
pub(crate) struct Stream(Arc<Http2>);

impl Drop for Stream {
    fn drop(&mut self) {
        let before = self.0.streams.fetch_sub(1, Ordering::Relaxed);
        if before >= self.0.max_streams.load(Ordering::Relaxed) {
            self.0.freed.notify_one();
        }
    }
}

impl Stream {
    /// Whether the connection is encrypted.
    pub(crate) fn is_secure(&self) -> bool {
        self.0.secure
    }

    pub(crate) fn peer(&self) -> Option<&Arc<PeerInfo>> {
        self.0.peer.as_ref()
    }
}

impl Http2 {
    /// Begins HTTP/2 on a fresh connection and gives it its task, which ends with the connection: when the
    /// endpoint closes it, or when no request and no pool holds it any more.
    pub(crate) async fn handshake(
        io: BoxedIo,
        settings: &PoolSettings,
        permit: ConnectionPermit,
        secure: bool,
        (peer, control): (Option<Arc<PeerInfo>>, Option<ConnectionControl>),
        freed: Arc<Notify>,
    ) -> Result<Arc<Self>, h2::Error> {
        let (send, mut connection) = session::handshake(io, settings).await?;
        let max_streams = Arc::new(AtomicUsize::new(connection.current_max_send_streams()));
        let published = Arc::clone(&max_streams);
        let of_task = control.clone();
        tokio::spawn(async move {
            let _permit = permit;
            let mut seen = Seen::default();
            let ended = poll_fn(|cx| {
                let told = of_task.as_ref().and_then(|c| c.poll_told(&mut seen, cx));
                if told == Some(Order::Close) {
                    // The byte stream ends with this task, and everything on it.
                    return Poll::Ready(Ok(()));
                }
                let polled = Pin::new(&mut connection).poll(cx);
                if polled.is_pending() {
                    // One that was told to end takes no further stream, which costs those who ask nothing.
                    let most = match told {
                        None => connection.current_max_send_streams(),
                        Some(_) => 0,
                    };
                    published.store(most, Ordering::Relaxed);
                }
                polled
            });
            if let Err(error) = ended.await {
                tracing::debug!(%error, "an HTTP/2 connection to an endpoint ended");
            }
        });
        Ok(Arc::new(Self {
            send,
            streams: AtomicUsize::new(0),
            max_streams,
            leaving: AtomicBool::new(false),
            used: AtomicBool::new(true),
            rested: AtomicU32::new(0),
            secure,
            peer,
            control,
            freed,
        }))
    }

    fn is_usable(&self) -> bool {
        !self.leaving.load(Ordering::Relaxed) && !self.send.is_closed()
    }

    fn is_dismissed(&self) -> bool {
        self.control.as_ref().is_some_and(|control| !control.is_free())
    }

    /// A stream on this connection, unless it carries as many as the endpoint allows.
    fn stream(self: &Arc<Self>) -> Option<Stream> {
        if !self.is_usable() {
            return None;
        }
        if self.streams.fetch_add(1, Ordering::Relaxed) >= self.max_streams.load(Ordering::Relaxed) {
            self.streams.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        self.used.store(true, Ordering::Relaxed);
        Some(Stream(Arc::clone(self)))
    }
}

/// The HTTP/2 connections to one endpoint.
#[derive(Default)]
pub(crate) struct Connections {
    all: ArcSwap<Vec<Arc<Http2>>>,
    freed: Arc<Notify>,
}

impl Connections {
    /// A stream on any of them.
    pub(crate) fn stream(&self) -> Option<Stream> {
        self.all.load().iter().find_map(Http2::stream)
    }

    /// Told when a connection that was full has room for a stream.
    pub(crate) fn freed(&self) -> &Arc<Notify> {
        &self.freed
    }

    /// Keeps a new connection, and gives its first stream. One that allows no stream is not kept.
    pub(crate) fn add(&self, connection: &Arc<Http2>) -> Option<Stream> {
        let stream = connection.stream()?;
        self.all.rcu(|all| {
            let usable = all
                .iter()
                .filter(|c| c.is_usable() && !Arc::ptr_eq(c, connection))
                .cloned();
            usable.chain([Arc::clone(connection)]).collect::<Vec<_>>()
        });
        Some(stream)
    }

    /// Lets go of the connections that are closed or leaving, and of those unused for more than `max_rest`
    /// sweeps. A connection ends when its last stream does.
    pub(crate) fn sweep(&self, epoch: u32, max_rest: u32) {
        let all = self.all.load();
        for c in all.iter() {
            if c.is_dismissed() {
                c.leaving.store(true, Ordering::Relaxed);
            }
            let used = c.used.swap(false, Ordering::Relaxed) || c.streams.load(Ordering::Relaxed) > 0;
            if used {
                c.rested.store(epoch, Ordering::Relaxed);
            } else if epoch.wrapping_sub(c.rested.load(Ordering::Relaxed)) > max_rest {
                c.leaving.store(true, Ordering::Relaxed);
            }
        }
        if all.iter().any(|c| !c.is_usable()) {
            self.drop_unusable();
        }
    }

    /// Lets go of a connection that carries nothing. Whether there was one.
    pub(crate) fn close_one_at_rest(&self) -> bool {
        let all = self.all.load();
        let at_rest = |c: &&Arc<Http2>| c.is_usable() && c.streams.load(Ordering::Relaxed) == 0;
        let Some(found) = all.iter().find(at_rest) else {
            return false;
        };
        found.leaving.store(true, Ordering::Relaxed);
        self.drop_unusable();
        true
    }

    fn drop_unusable(&self) {
        self.all
            .rcu(|all| all.iter().filter(|c| c.is_usable()).cloned().collect::<Vec<_>>());
    }
}

/// Sends a request on the stream and waits for the head of its response.
pub(crate) async fn exchange(
    stream: Stream,
    request: &mut Request<Body>,
    guards: Guards,
    body_idle_timeout: Duration,
) -> Result<Response<Body>, SendFailure> {
    match stream.0.send.send(request).await {
        Ok(response) => {
            let (parts, answer) = response.into_parts();
            let mut body = StreamBody {
                answer,
                first: None,
                held: Some((stream, guards)),
                stall: Stall::new(body_idle_timeout),
            };
            let whole = poll_fn(|cx| Poll::Ready(body.take_at_once(cx))).await;
            let body = whole.unwrap_or_else(|| Body::boxed(Box::pin(body)));
            Ok(Response::from_parts(parts, body))
        }
        Err(NoAnswer::Unsent(error)) => {
            // It is on its way out, or closed: the next request takes another one.
            stream.0.leaving.store(true, Ordering::Relaxed);
            Err(SendFailure::Unsent(failure_of_http2(error)))
        }
        Err(NoAnswer::Body(error)) => Err(SendFailure::Failed(error)),
        Err(NoAnswer::Lost(error)) => {
            let refused = never_processed(&error);
            if refused && !is_refused_stream(&error) {
                stream.0.leaving.store(true, Ordering::Relaxed);
            }
            Err(match refused {
                true => SendFailure::NotProcessed(failure_of_http2(error)),
                false => lost_on_http2(error),
            })
        }
    }
}

fn is_refused_stream(error: &h2::Error) -> bool {
    error.is_remote() && error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM)
}

/// Whether the endpoint said that it did nothing with the request: REFUSED_STREAM, or a GOAWAY without error
/// that names an earlier stream.
fn never_processed(error: &h2::Error) -> bool {
    let is_leaving = error.is_go_away() && error.is_remote();
    is_refused_stream(error) || is_leaving && error.reason() == Some(h2::Reason::NO_ERROR)
}

/// A response's body on a stream. Dropped before its end, the stream is reset.
struct StreamBody {
    answer: Answer,
    first: Option<Result<Frame<Bytes>, h2::Error>>,
    held: Option<(Stream, Guards)>,
    stall: Stall,
}

impl StreamBody {
    /// The whole body, if it has arrived with the head: the common case of a small answer needs no box.
    fn take_at_once(&mut self, cx: &mut Context<'_>) -> Option<Body> {
        if self.answer.is_end_stream() {
            return Some(Body::empty());
        }
        let Poll::Ready(frame) = Pin::new(&mut self.answer).poll_frame(cx) else {
            return None;
        };
        match frame {
            None => Some(Body::empty()),
            Some(Ok(frame)) if frame.is_data() && self.answer.is_end_stream() => {
                Some(frame.into_data().map_or_else(|_| Body::empty(), Body::full))
            }
            first => {
                self.first = first;
                None
            }
        }
    }
}

impl http_body::Body for StreamBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let polled = match this.first.take() {
            Some(first) => Poll::Ready(Some(first)),
            None => Pin::new(&mut this.answer).poll_frame(cx),
        };
        match polled {
            Poll::Ready(frame) => {
                this.stall.moved();
                if !matches!(frame, Some(Ok(_))) || this.answer.is_end_stream() {
                    this.held = None;
                }
                Poll::Ready(frame.map(|frame| frame.map_err(|error| failure_of_http2(error).into())))
            }
            Poll::Pending => {
                std::task::ready!(this.stall.poll_stalled(cx));
                this.held = None;
                Poll::Ready(Some(Err(stood_still(this.stall.limit()).into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.answer.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        ahead::size_hint(self.first.as_ref(), self.answer.size_hint())
    }
}
