//! For `axum::serve`: a listener that does the handshakes.
//!
//! `mesh_core::serve::Server` is the better way to serve: `axum::serve` has no time limit for a request's head, none
//! for a body that stands still, no limit of connections, and cannot close the connections of one peer. Who has to
//! stay with it has the mesh's identity at least.

use std::convert::Infallible;
use std::fmt;
use std::future::{Future, Ready};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::Request;
use axum::http::Response;
use axum::serve::{IncomingStream, Listener};
use mesh_core::accept::{Accept as _, Accepted};
use mesh_core::control::{Controlled, Order};
use mesh_core::{BoxError, MeshContext, PeerInfo};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};
use tower_service::Service;

use crate::accept::TlsAccept;
use crate::identity::Identity;
use crate::stream::MeshStream;

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How many handshakes may be going on. Who comes then waits until one is over.
const AT_ONCE: usize = 1024;

/// A listener for `axum::serve`, whose connections are mutual TLS by an [`Identity`].
///
/// A connection whose client is not trusted any more, by a new bundle or since its certificate has come to its end, is
/// cut after 5 seconds, whatever is in flight then.
///
/// A handshake takes at most 10 seconds and delays nobody else; 1024 may be going on at once. [`with_peer`] tells
/// the application who is at the other end.
///
/// ```no_run
/// use axum::{Router, routing::get};
/// use mesh_tls::axum::with_peer;
/// # async fn example(identity: mesh_tls::Identity) -> std::io::Result<()> {
/// let app = Router::new().route("/", get(async || "hello"));
/// let listener = identity.listen(tokio::net::TcpListener::bind("0.0.0.0:8443").await?);
/// axum::serve(listener, with_peer(app)).await
/// # }
/// ```
pub struct TlsListener {
    ready: mpsc::Receiver<Shaken>,
    local: io::Result<SocketAddr>,
    task: JoinHandle<()>,
}

/// A connection after its handshake. `axum::serve` cannot be told to end one, so that its stream is.
type Shaken = (Controlled<MeshStream>, Arc<PeerInfo>);

impl TlsListener {
    /// Accepts on this socket. Must be called within a tokio runtime.
    pub fn new(socket: TcpListener, accept: TlsAccept) -> Self {
        let local = socket.local_addr();
        let (give, ready) = mpsc::channel(1);
        Self {
            ready,
            local,
            task: tokio::spawn(run(socket, accept, give)),
        }
    }
}

impl Identity {
    /// A listener for `axum::serve`, strict: only for clients that prove to be members of the mesh.
    pub fn listen(&self, socket: TcpListener) -> TlsListener {
        TlsListener::new(socket, self.accept())
    }
}

impl Drop for TlsListener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for TlsListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsListener")
            .field("local", &self.local)
            .finish_non_exhaustive()
    }
}

impl Listener for TlsListener {
    type Io = Controlled<MeshStream>;
    type Addr = Arc<PeerInfo>;

    async fn accept(&mut self) -> Shaken {
        match self.ready.recv().await {
            Some(accepted) => accepted,
            // The task ended by a panic: nothing will come any more, and nothing else may be made of it here.
            None => std::future::pending().await,
        }
    }

    /// Where it listens, as a peer without TLS: `axum::serve` wants one type for both ends.
    fn local_addr(&self) -> io::Result<Arc<PeerInfo>> {
        match &self.local {
            Ok(address) => Ok(Arc::new(PeerInfo::plaintext(*address))),
            Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
        }
    }
}

async fn run(socket: TcpListener, accept: TlsAccept, give: mpsc::Sender<Shaken>) {
    let room = Arc::new(Semaphore::new(AT_ONCE));
    // Dropped with this task, and with it every handshake.
    let mut handshakes = JoinSet::new();
    loop {
        while handshakes.try_join_next().is_some() {}
        let Ok(place) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        let (stream, remote) = match socket.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::error!(%error, "connections cannot be accepted; trying again in 100 ms");
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (accept, give) = (accept.clone(), give.clone());
        handshakes.spawn(async move {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%remote, %error, "TCP_NODELAY could not be set");
            }
            match timeout(HANDSHAKE, accept.accept(stream, remote)).await {
                Ok(Ok(Accepted {
                    io, peer, control, ..
                })) => {
                    drop(place);
                    let io = Controlled::new(io, control, Order::Close);
                    // Nobody takes it any more once the listener is gone.
                    let _ = give.send((io, peer)).await;
                }
                Ok(Err(error)) => tracing::debug!(%remote, %error, "the handshake failed"),
                Err(_) => tracing::debug!(%remote, limit = ?HANDSHAKE, "the handshake took too long"),
            }
        });
    }
}

/// Tells an application who is at the other end of each connection of a [`TlsListener`]: in the
/// [`MeshContext`] of each request, where the layers of the mesh look for it.
pub fn with_peer<S>(app: S) -> WithPeer<S> {
    WithPeer(app)
}

/// Makes a [`PeerService`] for each connection.
#[derive(Clone, Debug)]
pub struct WithPeer<S>(S);

impl<S: Clone> Service<IncomingStream<'_, TlsListener>> for WithPeer<S> {
    type Response = PeerService<S>;
    type Error = Infallible;
    type Future = Ready<Result<PeerService<S>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, connection: IncomingStream<'_, TlsListener>) -> Self::Future {
        std::future::ready(Ok(PeerService {
            app: self.0.clone(),
            peer: Arc::clone(connection.remote_addr()),
        }))
    }
}

/// The application, for the requests of one connection.
#[derive(Clone, Debug)]
pub struct PeerService<S> {
    app: S,
    peer: Arc<PeerInfo>,
}

impl<S, B> Service<Request> for PeerService<S>
where
    S: Service<Request, Response = Response<B>>,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<axum::body::Body>;
    type Error = S::Error;
    type Future = PeerFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.app.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> PeerFuture<S::Future> {
        let mut context = MeshContext::new(Instant::now());
        context.peer = Some(Arc::clone(&self.peer));
        request.extensions_mut().insert(context);
        PeerFuture {
            answer: self.app.call(request),
        }
    }
}

pin_project_lite::pin_project! {
    /// The application's answer, with the body that axum wants.
    pub struct PeerFuture<F> {
        #[pin]
        answer: F,
    }
}

impl<F, B, E> Future for PeerFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Output = Result<Response<axum::body::Body>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answered = ready!(self.project().answer.poll(cx));
        Poll::Ready(answered.map(|response| response.map(axum::body::Body::new)))
    }
}
