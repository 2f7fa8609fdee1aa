//! HTTP/1.1 to an endpoint: one request at a time on a connection that the request's own task polls.

mod download;

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use mesh_core::body::Body;
use mesh_core::control::{ConnectionControl, Controlled, Order};
use mesh_core::{BoxError, PeerInfo};
use tokio::time::Instant;

use super::failure::{SendFailure, failure, lost};
use super::io::BoxedIo;
use super::limits::ConnectionPermit;
use super::pool::{EndpointPool, Guards};
use super::settings::PoolSettings;
use super::wakes::Wakes;
use download::Download;

/// A connection that serves one request at a time.
pub(crate) struct Http1 {
    send: http1::SendRequest<Body>,
    line: Line,
    wakes: Wakes,
    /// The pool's epoch in which it came to rest.
    rested: u32,
    rested_since: Instant,
    /// Whether it has carried a request.
    used: bool,
    /// Who is at the other end, if the connector verified it.
    peer: Option<Arc<PeerInfo>>,
    _permit: ConnectionPermit,
}

/// What has to be polled.
struct Line {
    connection: http1::Connection<TokioIo<BoxedIo>, Body>,
    open: bool,
    /// What ends it when whom it leads to is not trusted any more.
    control: Option<ConnectionControl>,
}

impl Line {
    /// Lets the connection read and write. Whether it is still open.
    fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        if self.open && Pin::new(&mut self.connection).poll(cx).is_ready() {
            self.open = false;
        }
        self.open
    }

    /// The same while something is waited for, which may take until it is told to close.
    fn poll_while_waiting(&mut self, cx: &mut Context<'_>) -> bool {
        if let Some(control) = &self.control {
            control.wake(cx.waker());
            if control.is_told(Order::Close) {
                self.open = false;
            }
        }
        self.poll(cx)
    }
}

impl Http1 {
    /// Begins HTTP/1.1 on a fresh connection.
    pub(crate) async fn handshake(
        io: BoxedIo,
        settings: &PoolSettings,
        permit: ConnectionPermit,
        peer: Option<Arc<PeerInfo>>,
        control: Option<ConnectionControl>,
    ) -> Result<Box<Self>, hyper::Error> {
        let mut builder = http1::Builder::new();
        builder.max_buf_size(settings.max_head_bytes.max(8 * 1024));
        let (send, connection) = builder.handshake(TokioIo::new(io)).await?;
        Ok(Box::new(Self {
            send,
            line: Line {
                connection,
                open: true,
                control,
            },
            wakes: Wakes::new(),
            rested: 0,
            rested_since: Instant::now(),
            used: false,
            peer,
            _permit: permit,
        }))
    }

    /// Whether it was told to end.
    pub(crate) fn is_dismissed(&self) -> bool {
        let control = self.line.control.as_ref();
        control.is_some_and(|control| !control.is_free())
    }

    /// Whether it can take a request: nothing is half sent or half read, no byte came unasked, and neither the
    /// other side has closed it nor was it told to end here. It is looked at only if anything came since it was asked this
    /// last.
    pub(crate) fn is_ready(&mut self) -> bool {
        if self.wakes.are_due() {
            let line = &mut self.line;
            self.wakes.poll_at_rest(|cx| line.poll(cx));
        }
        !self.is_dismissed() && self.line.open && self.send.is_ready()
    }

    /// Comes to rest: whether it can take another request.
    fn settle(&mut self) -> bool {
        let line = &mut self.line;
        self.wakes.poll_at_rest(|cx| line.poll(cx));
        self.is_ready()
    }

    /// Whether it has carried a request before.
    pub(crate) fn is_used(&self) -> bool {
        self.used
    }

    pub(crate) fn peer(&self) -> Option<&Arc<PeerInfo>> {
        self.peer.as_ref()
    }

    pub(crate) fn rested(&self) -> u32 {
        self.rested
    }

    /// How long it has rested.
    pub(crate) fn rest(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.rested_since)
    }

    pub(crate) fn rest_at(&mut self, epoch: u32, now: Instant) {
        self.rested = epoch;
        self.rested_since = now;
        self.used = true;
    }

    /// Closes it and keeps its place within the limit.
    pub(crate) fn into_permit(self) -> ConnectionPermit {
        self._permit
    }
}

/// Sends a request that asks for an upgrade on a fresh connection, which is either the tunnel afterwards or
/// closed.
pub(crate) async fn upgrade(
    io: BoxedIo,
    control: Option<ConnectionControl>,
    settings: &PoolSettings,
    request: &mut Request<Body>,
) -> Result<Response<Incoming>, SendFailure> {
    // A tunnel is cut at once when whom it leads to is not trusted any more.
    let io = Controlled::new(io, control, Order::Leave);
    let mut builder = http1::Builder::new();
    builder.max_buf_size(settings.max_head_bytes.max(8 * 1024));
    let (mut send, connection) = match builder.handshake(TokioIo::new(io)).await {
        Ok(begun) => begun,
        Err(error) => return Err(SendFailure::Unsent(failure(error))),
    };
    let response = send.send_request(std::mem::take(request));
    // Without its sender it takes no further request, so it ends with this one, or gives its bytes to the tunnel.
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a connection to an endpoint ended instead of being upgraded");
        }
    });
    response
        .await
        .map_err(|error| SendFailure::Failed(failure(error)))
}

/// A request's body that tells whether all of it was handed to the connection.
struct Upload {
    body: Body,
    done: Arc<AtomicBool>,
}

impl http_body::Body for Upload {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if frame.is_none() || self.body.is_end_stream() {
            self.done.store(true, Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Lets the connection go on until the head of the response is there. One that has ended is dropped.
fn poll_head<F: Future>(
    connection: &mut Option<Box<Http1>>,
    mut response: Pin<&mut F>,
    cx: &mut Context<'_>,
) -> Poll<F::Output> {
    if let Some(Http1 { line, wakes, .. }) = connection.as_deref_mut() {
        let polled = wakes.poll(cx, |cx| {
            let open = line.poll_while_waiting(cx);
            match response.as_mut().poll(cx) {
                Poll::Ready(answered) => Poll::Ready(Some(answered)),
                Poll::Pending if open => Poll::Pending,
                Poll::Pending => Poll::Ready(None),
            }
        });
        if let Some(answered) = ready!(polled) {
            return Poll::Ready(answered);
        }
        // Whatever still waits in the connection is answered with an error when it goes.
        *connection = None;
    }
    response.poll(cx)
}

/// Sends a request on the connection and waits for the head of its response. Also tells when that came.
pub(crate) async fn exchange(
    pool: &Arc<EndpointPool>,
    mut connection: Box<Http1>,
    request: &mut Request<Body>,
    guards: Guards,
) -> Result<(Response<Body>, Instant), SendFailure> {
    let mut upload = None;
    if !request.body().is_end_stream() {
        let done = Arc::clone(upload.insert(Arc::new(AtomicBool::new(false))));
        let body = std::mem::take(request.body_mut());
        *request.body_mut() = Body::boxed(Box::pin(Upload { body, done }));
    }
    connection.wakes.rouse();
    let mut response = pin!(connection.send.try_send_request(std::mem::take(request)));
    // In this order, since what is given up frees its connection before its place among the requests.
    let mut guards = Some(guards);
    let mut connection = Some(connection);
    // All in one go, since whatever is kept from one poll to the next takes room in the request's future.
    poll_fn(|cx| {
        let answered = ready!(poll_head(&mut connection, response.as_mut(), cx));
        // Not polled again, it has them.
        let Some(guards) = guards.take() else {
            return Poll::Pending;
        };
        let connection = connection.take();
        Poll::Ready(match answered {
            Ok(response) => {
                let came = Instant::now();
                let (parts, incoming) = response.into_parts();
                pool.peer_idle().read(&parts.headers);
                let mut body = Download::new(incoming, connection, pool, guards);
                if upload.take().is_some_and(|done| !done.load(Ordering::Relaxed)) {
                    body.let_upload_go_on();
                }
                let body = match body.take_at_once(came, cx) {
                    Some(whole) => whole,
                    None => Body::boxed(Box::pin(body)),
                };
                Ok((Response::from_parts(parts, body), came))
            }
            Err(mut failed) => Err(match failed.take_message() {
                Some(unsent) => {
                    *request = unsent;
                    SendFailure::Unsent(failure(failed.into_error()))
                }
                None => lost(failed.into_error()),
            }),
        })
    })
    .await
}
