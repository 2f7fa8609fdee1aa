//! What is said on a connection that speaks HTTP/2: requests in, answers out, both by the task of the request.
//!
//! It is made of `h2` alone. hyper's client hands a request to a task of the connection, which starts another one for
//! its answer: three switches of tasks and four channels a request more than this takes.

use std::convert::Infallible;
use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as _;
use mesh_core::body::Body;
use mesh_core::cork::cork;
use tokio::sync::oneshot;

use super::super::io::BoxedIo;
use super::super::settings::PoolSettings;
use super::answer::Answer;
use super::connection::{Connection, Heard};
use super::upload::Upload;

/// Sends requests on a connection, which ends when this is gone and every answer is over.
pub(super) struct Sender {
    // Dropped before `_held`: when the connection learns that it is let go, this holds it no more.
    streams: h2::client::SendRequest<Bytes>,
    shared: Arc<Shared>,
    _held: oneshot::Sender<Infallible>,
}

/// What a connection and its exchanges know of each other.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) closed: AtomicBool,
    /// Whether anything came from the endpoint lately.
    pub(super) heard: AtomicBool,
    /// Exchanges under way.
    pub(super) open: AtomicUsize,
}

/// An exchange, counted until it is over.
pub(super) struct Open(Arc<Shared>);

impl Open {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.open.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(shared))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Why there is no answer.
pub(super) enum NoAnswer {
    /// The connection takes no request any more; it is where it was.
    Unsent(h2::Error),
    /// The request was on its way.
    Lost(h2::Error),
    /// The request's own body failed.
    Body(mesh_core::Error),
}

/// Begins HTTP/2 on a fresh connection.
pub(super) async fn handshake(
    io: BoxedIo,
    settings: &PoolSettings,
) -> Result<(Sender, Connection), h2::Error> {
    let shared = Arc::<Shared>::default();
    let (io, cork) = cork(Heard::new(io, &shared));
    let (streams, connection) = h2::client::Builder::new()
        .enable_push(false)
        .initial_window_size(1024 * 1024)
        .initial_connection_window_size(4 * 1024 * 1024)
        .initial_max_send_streams(100)
        .max_send_buffer_size(1024 * 1024)
        .max_header_list_size(u32::try_from(settings.max_head_bytes).unwrap_or(u32::MAX))
        .handshake(io)
        .await?;
    let (held, let_go) = oneshot::channel();
    let sender = Sender {
        streams,
        shared: Arc::clone(&shared),
        _held: held,
    };
    Ok((sender, Connection::new(connection, cork, let_go, shared)))
}

impl Sender {
    /// Whether the connection has ended.
    pub(super) fn is_closed(&self) -> bool {
        self.shared.closed.load(Ordering::Relaxed)
    }

    /// Sends a request and waits for the head of its answer. Dropped before, the stream is reset.
    pub(super) async fn send(&self, request: &mut Request<Body>) -> Result<Response<Answer>, NoAnswer> {
        let mut streams = self.streams.clone();
        // Ready at once: what it would wait for is an earlier stream of the same clone.
        if let Err(error) = poll_fn(|cx| streams.poll_ready(cx)).await {
            return Err(NoAnswer::Unsent(error));
        }
        let open = Open::new(&self.shared);
        let (mut parts, body) = std::mem::take(request).into_parts();
        parts.extensions.clear();
        let whole = body.is_end_stream();
        let sent = streams.send_request(Request::from_parts(parts, ()), whole);
        drop(streams);
        let (mut response, stream) = sent.map_err(NoAnswer::Lost)?;
        let mut upload = (!whole).then(|| Upload::new(body, stream));
        let answered = poll_fn(|cx| {
            if let Some(going) = &mut upload
                && let Poll::Ready(gone) = Pin::new(going).poll(cx)
            {
                upload = None;
                gone.map_err(NoAnswer::Body)?;
            }
            Pin::new(&mut response).poll(cx).map_err(NoAnswer::Lost)
        });
        let response = answered.await?;
        if let Some(upload) = upload {
            // A slow reader of the answer must not hold it up. It ends with its stream.
            tokio::spawn(async move {
                if let Err(error) = upload.await {
                    tracing::debug!(%error, "a request's body broke off while its answer was on its way");
                }
            });
        }
        let (parts, stream) = response.into_parts();
        let answer = Answer::new(stream, &parts.headers, open);
        Ok(Response::from_parts(parts, answer))
    }
}
