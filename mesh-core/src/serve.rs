//! Serving HTTP: accept, shake hands, limit, time, drain.
//!
//! `axum::serve` and hyper's helpers leave a server open to slow heads, endless bodies and idle connections,
//! and cannot close one peer's connections. This server has a limit or a timer for each, on by default, and
//! takes any tower service, an `axum::Router` among them.

mod connection;
mod handshakes;
mod idle;
mod io;
mod limits;
mod registry;
mod service;
mod sniff;
mod streams;
mod tunnel;
mod unreadable;

use std::future::Future as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tower_service::Service;

use crate::accept::{Accept, Accepted, PlainAccept};
use crate::body::Body;
use crate::drain::DrainWatcher;
use crate::error::BoxError;
use crate::peer::PeerInfo;
use handshakes::{Handshakes, Source};
use unreadable::OnUnreadable;

pub use limits::ServeLimits;
pub use registry::Connections;
pub use service::ServeBody;
pub use unreadable::Unreadable;

/// A server: how connections are accepted, limited, and ended.
///
/// ```
/// use std::convert::Infallible;
/// use http::{Request, Response};
/// use mesh_core::body::Body;
/// use mesh_core::drain::drain;
/// use mesh_core::serve::Server;
/// use tokio::net::TcpListener;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
/// let (trigger, watcher) = drain();
/// let hello = tower::service_fn(async |_: Request<Body>| {
///     Ok::<_, Infallible>(Response::new(Body::full("hello")))
/// });
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// let server = tokio::spawn(Server::new().drain(watcher).serve(listener, hello));
/// // Later: stop accepting, finish what is in flight, say goodbye.
/// trigger.start();
/// server.await.expect("it ended by itself");
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "a server does nothing before `serve`"]
pub struct Server<A = PlainAccept> {
    accept: Arc<A>,
    limits: ServeLimits,
    drain: Option<DrainWatcher>,
    connections: Connections,
    room: Arc<Semaphore>,
    handshakes: Handshakes,
    on_unreadable: OnUnreadable,
}

impl<A> Clone for Server<A> {
    fn clone(&self) -> Self {
        Self {
            accept: Arc::clone(&self.accept),
            limits: self.limits.clone(),
            drain: self.drain.clone(),
            connections: self.connections.clone(),
            room: Arc::clone(&self.room),
            handshakes: self.handshakes.clone(),
            on_unreadable: self.on_unreadable.clone(),
        }
    }
}

impl Server {
    /// A plaintext server with the default limits.
    pub fn new() -> Self {
        Self::accepting(PlainAccept::new())
    }
}

impl Default for Server {
    fn default() -> Self {
        Self::new()
    }
}

impl<A: Accept> Server<A> {
    /// A server whose connections are made ready by `accept`.
    pub fn accepting(accept: A) -> Self {
        let limits = ServeLimits::default();
        Self {
            accept: Arc::new(accept),
            room: room(&limits),
            handshakes: Handshakes::new(limits.max_handshakes),
            limits,
            drain: None,
            connections: Connections::default(),
            on_unreadable: OnUnreadable::default(),
        }
    }

    /// Other limits and timers than the default ones. Clones of this server share `max_connections` and
    /// `max_handshakes`.
    pub fn limits(mut self, limits: ServeLimits) -> Self {
        self.room = room(&limits);
        self.handshakes = Handshakes::new(limits.max_handshakes);
        self.limits = limits;
        self
    }

    /// Drains when this is signalled: stops accepting, ends each connection after the response in flight
    /// (HTTP/1.1 says `Connection: close`, HTTP/2 GOAWAY), and returns when all are gone. Tunnels are waited
    /// for too: how long is the caller's to limit, by dropping the future.
    pub fn drain(mut self, drain: DrainWatcher) -> Self {
        self.drain = Some(drain);
        self
    }

    /// Tells this of what comes and becomes no request, which no service sees: for metrics and a log. It is called by the task of
    /// the connection, and must not wait.
    pub fn on_unreadable(mut self, tell: impl Fn(&PeerInfo, Unreadable) + Send + Sync + 'static) -> Self {
        self.on_unreadable = OnUnreadable::new(tell);
        self
    }

    /// The connections being served: for closing those of chosen peers.
    pub fn connections(&self) -> Connections {
        self.connections.clone()
    }

    /// Serves until drained. Dropping the future closes every connection at once.
    pub async fn serve<S, B>(self, listener: TcpListener, service: S)
    where
        S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send + 'static,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        self.serve_with(listener, move |_| service.clone()).await;
    }

    /// As [`serve`](Self::serve), with a service made for each connection: the place for what depends on the
    /// peer alone.
    pub async fn serve_with<M, S, B>(self, listener: TcpListener, make: M)
    where
        M: Fn(&Arc<PeerInfo>) -> S + Clone + Send + 'static,
        S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send + 'static,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let mut tasks = JoinSet::new();
        let never = std::future::pending::<()>;
        let drained = async {
            match &self.drain {
                Some(drain) => drain.signaled().await,
                None => never().await,
            }
        };
        let mut drained = std::pin::pin!(drained);
        loop {
            tokio::select! {
                () = &mut drained => break,
                Some(ended) = tasks.join_next(), if !tasks.is_empty() => report(ended),
                (stream, remote) = next(&listener) => {
                    tasks.spawn(self.clone().connection(stream, remote, make.clone()));
                }
            }
        }
        drop(listener);
        self.connections.finish_all();
        while let Some(ended) = tasks.join_next().await {
            report(ended);
        }
    }

    /// Serves one connection that was accepted elsewhere: from a Unix socket, a pipe in a test. It has the
    /// timers of this server, is among its [`connections`](Self::connections) and ends with its drain; it does
    /// not count towards `max_connections`.
    pub async fn serve_connection<Io, S, B>(&self, accepted: Accepted<Io>, service: S)
    where
        Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send + 'static,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let registered = self
            .connections
            .register(&accepted.peer, accepted.control.clone());
        let finish = async {
            if let Some(drain) = &self.drain {
                drain.signaled().await;
                registered.finish();
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            () = finish => {}
            () = connection::serve(accepted, &registered, &self.limits, &self.on_unreadable, service) => {}
        }
    }

    async fn connection<M, S, B>(self, stream: TcpStream, remote: SocketAddr, make: M)
    where
        M: Fn(&Arc<PeerInfo>) -> S + Send + 'static,
        S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send + 'static,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        // A small write must not wait for an acknowledgement of the last one.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%remote, %error, "TCP_NODELAY could not be set");
        }
        let accepted = match self.handshake(stream, remote).await {
            Ok(accepted) => accepted,
            Err(why) => {
                tracing::debug!(%remote, "{why}");
                return;
            }
        };
        // Who has not shaken hands takes no place from those who have.
        let Ok(_room) = Arc::clone(&self.room).try_acquire_owned() else {
            tracing::warn!(%remote, limit = self.limits.max_connections, "connection closed: maxConnections is reached");
            return;
        };
        let service = make(&accepted.peer);
        let registered = self
            .connections
            .register(&accepted.peer, accepted.control.clone());
        // The drain may have begun during the handshake, when there was nothing to tell.
        if self.drain.as_ref().is_some_and(DrainWatcher::is_draining) {
            registered.finish();
        }
        connection::serve(accepted, &registered, &self.limits, &self.on_unreadable, service).await;
    }
}

impl<A: Accept> Server<A> {
    /// Makes a connection ready, within the time and the number of handshakes that are allowed.
    async fn handshake(&self, stream: TcpStream, remote: SocketAddr) -> Result<Accepted<A::Io>, String> {
        let mut accept = std::pin::pin!(self.accept.accept(stream, remote));
        // Plaintext is ready at once, and needs no place among the handshakes.
        let first = std::future::poll_fn(|cx| Poll::Ready(accept.as_mut().poll(cx))).await;
        let accepted = match first {
            Poll::Ready(accepted) => Ok(accepted),
            Poll::Pending => {
                let mut handshake = self.handshakes.begin(Source::of(remote));
                tokio::select! {
                    biased;
                    accepted = tokio::time::timeout(self.limits.handshake, accept) => accepted.map_err(|_| {
                        format!("the handshake took longer than {:?}", self.limits.handshake)
                    }),
                    () = handshake.cut() => Err(format!(
                        "the handshake was cut: {} are going on, and it was the oldest of the source with the most",
                        self.limits.max_handshakes
                    )),
                }
            }
        };
        accepted?.map_err(|error| format!("the handshake failed: {error}"))
    }
}

fn room(limits: &ServeLimits) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(limits.max_connections.min(Semaphore::MAX_PERMITS)))
}

/// The next connection. An error of one connection is not the listener's; one of the process (no file
/// descriptor left) is waited out, since accepting again at once would only burn the processor.
async fn next(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                let of_connection = matches!(
                    error.kind(),
                    std::io::ErrorKind::ConnectionAborted
                        | std::io::ErrorKind::ConnectionReset
                        | std::io::ErrorKind::ConnectionRefused
                        | std::io::ErrorKind::Interrupted
                );
                if !of_connection {
                    tracing::error!(%error, "connections cannot be accepted; trying again in 100 ms");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection's task panicked; the connection is lost");
    }
}
