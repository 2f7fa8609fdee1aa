//! The pool: a connection for a request, made or taken from rest, and the request's exchange on it.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::task::{Context, Poll};

use http::{Request, Response};
use hyper::body::Incoming;
use mesh_core::body::Body;
use mesh_core::connect::{Connected, HttpProtocol};
use mesh_core::{Endpoint, Error, ErrorKind, PeerInfo};
use tokio::time::{Instant, timeout};

use super::failure::{NoConnection, SendFailure, failed_handshake};
use super::fit::{for_http1, for_http2};
use super::http1::{self, Http1};
use super::http2::{self, Http2};
use super::idle::IdleSet;
use super::io::{BoxedIo, ErasedConnect};
use super::limits::{ConnectionPermit, RequestPermit, ServiceLimits};
use super::peer_idle::PeerIdle;
use super::recovery::Recovery;
use super::settings::{Limits, PoolSettings, Protocol};
use crate::load::{EndpointLoad, InFlight};

/// What a request holds until its response's body is over.
pub(crate) struct Guards {
    pub(crate) _in_flight: InFlight,
    pub(crate) _permit: RequestPermit,
}

/// Whether a request may be sent on a connection that has rested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rested {
    Use,
    Avoid,
}

/// The connections to one endpoint.
pub(crate) struct EndpointPool {
    endpoint: Arc<Endpoint>,
    load: Arc<EndpointLoad>,
    connect: Arc<dyn ErasedConnect>,
    settings: PoolSettings,
    limits: Arc<ServiceLimits>,
    idle: IdleSet<Http1>,
    http2: http2::Connections,
    /// Which version the endpoint agreed to last.
    spoken: AtomicU8,
    /// Many requests that may share a new connection wait for one handshake, and fail with it.
    handshake: tokio::sync::Mutex<Option<(ErrorKind, String)>>,
    failed_handshakes: AtomicU32,
    recovery: Recovery,
    peer_idle: PeerIdle,
    epoch: AtomicU32,
}

/// What carries a request.
enum Route {
    Http1(Box<Http1>),
    Http2(http2::Stream),
}

impl Route {
    fn peer(&self) -> Option<&Arc<PeerInfo>> {
        match self {
            Self::Http1(connection) => connection.peer(),
            Self::Http2(stream) => stream.peer(),
        }
    }
}

/// A response, and who gave it if the connector verified that.
pub(crate) type Answered<B> = (Response<B>, Option<Arc<PeerInfo>>);

/// What came of waiting for a connection.
enum Leave {
    Connect(ConnectionPermit),
    Use(Route),
}

const UNKNOWN: u8 = 0;
const HTTP1: u8 = 1;
const HTTP2: u8 = 2;

impl EndpointPool {
    pub(crate) fn new(
        endpoint: Arc<Endpoint>,
        load: Arc<EndpointLoad>,
        connect: Arc<dyn ErasedConnect>,
        settings: PoolSettings,
        limits: Arc<ServiceLimits>,
    ) -> Arc<Self> {
        let spoken = match settings.protocol {
            Protocol::Auto => UNKNOWN,
            Protocol::Http1 => HTTP1,
            Protocol::Http2 => HTTP2,
        };
        let idle = IdleSet::new(settings.max_idle);
        let pool = Arc::new(Self {
            endpoint,
            load,
            connect,
            settings,
            limits,
            idle,
            http2: http2::Connections::default(),
            spoken: AtomicU8::new(spoken),
            handshake: tokio::sync::Mutex::default(),
            failed_handshakes: AtomicU32::new(0),
            recovery: Recovery::new(Instant::now()),
            peer_idle: PeerIdle::new(),
            epoch: AtomicU32::new(0),
        });
        pool.limits.join(&pool);
        pool
    }

    pub(crate) fn peer_idle(&self) -> &PeerIdle {
        &self.peer_idle
    }

    /// Whether its connections keep to these limits.
    pub(crate) fn keeps_to(&self, limits: &Limits) -> bool {
        self.limits.limits() == limits
    }

    pub(crate) fn settings(&self) -> &PoolSettings {
        &self.settings
    }

    /// Sends a request, fitted to the protocol the connection speaks. `reused` tells whether the connection had
    /// carried another request before.
    pub(crate) async fn send(
        self: &Arc<Self>,
        mut request: Request<Body>,
        guards: Guards,
        rested: Rested,
        now: Instant,
        reused: &mut bool,
    ) -> Result<Answered<Body>, SendFailure> {
        let at_hand = match rested {
            Rested::Use => self.at_hand(now).await,
            Rested::Avoid => None,
        };
        *reused = at_hand.is_some();
        let route = match at_hand {
            Some(route) => route,
            // Boxed, since it is rare and would make every request's future as large as its own.
            None => match Box::pin(self.fresh()).await {
                Ok(route) => {
                    // Having waited, it may be one that came to rest meanwhile.
                    *reused = matches!(&route, Route::Http1(connection) if connection.is_used());
                    route
                }
                Err(none) => return Err(none.failure(request)),
            },
        };
        let peer = route.peer().cloned();
        let response = match route {
            Route::Http1(connection) => {
                for_http1(&mut request);
                http1::exchange(self, connection, request, guards).await?
            }
            Route::Http2(stream) => {
                for_http2(&mut request, stream.is_secure());
                http2::exchange(stream, request, guards, self.settings.body_idle_timeout).await?
            }
        };
        Ok((response, peer))
    }

    /// A connection or a stream that can be used at once.
    async fn at_hand(&self, now: Instant) -> Option<Route> {
        if self.spoken.load(Ordering::Relaxed) == HTTP2 {
            self.http2.stream().map(Route::Http2)
        } else {
            self.rested(now).await.map(Route::Http1)
        }
    }

    /// Sends a request that asks for an upgrade, on a connection of its own. The permit is held as long as that
    /// lives, be it a tunnel or not.
    pub(crate) async fn send_upgrade(
        &self,
        mut request: Request<Body>,
        request_permit: RequestPermit,
    ) -> Result<Answered<Incoming>, SendFailure> {
        let connected = async {
            let permit = match self.leave(false).await? {
                Leave::Connect(permit) => permit,
                // A tunnel begins on a fresh connection; the one at rest makes room for it.
                Leave::Use(Route::Http1(connection)) => connection.into_permit(),
                Leave::Use(Route::Http2(_)) => return Err(self.exhausted().into()),
            };
            let connected = self.in_time(self.connect()).await?;
            if connected.protocol == Some(HttpProtocol::Http2) {
                let message = format!("{} speaks HTTP/2 only, which has no upgrade", self.endpoint.id());
                return Err(Error::new(ErrorKind::UpstreamConnect, message).into());
            }
            Ok(connected.map(|io| io.holding((permit, request_permit))))
        };
        match connected.await {
            Ok(Connected { io, peer, .. }) => {
                for_http1(&mut request);
                let response = http1::upgrade(io, &self.settings, request).await?;
                Ok((response, peer))
            }
            Err(none) => Err(NoConnection::failure(none, request)),
        }
    }

    /// A connection at rest that is still good: it is polled once, here.
    async fn rested(&self, now: Instant) -> Option<Box<Http1>> {
        // Unconstrained, since to a task that has used up its turn a closed connection seems to be open.
        tokio::task::unconstrained(poll_fn(|cx| {
            while let Some(mut connection) = self.idle.take() {
                let rest = connection.rest(now);
                if !connection.is_ready(cx) {
                    self.peer_idle.closed_after(rest, now);
                } else if self.peer_idle.is_safe(rest) {
                    return Poll::Ready(Some(connection));
                }
            }
            Poll::Ready(None)
        }))
        .await
    }

    /// Closes a connection at rest, to make room for one to another endpoint. Whether there was one.
    pub(crate) fn close_one_at_rest(&self) -> bool {
        self.idle.take().is_some() || self.http2.close_one_at_rest()
    }

    /// Takes a connection back whose response is read whole. One that is not ready for another request, or
    /// finds no place, is closed.
    pub(crate) fn give_back(&self, mut connection: Box<Http1>, cx: &mut Context<'_>) {
        if !connection.is_ready(cx) {
            return;
        }
        connection.rest_at(self.epoch.load(Ordering::Relaxed));
        if self.idle.put(connection).is_ok() {
            self.limits.connection_returned();
        }
    }

    /// Closes what the other side has closed and what has rested for more than `max_rest` sweeps.
    pub(crate) fn sweep(&self, cx: &mut Context<'_>, max_rest: u32) {
        let epoch = self.epoch.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        self.idle
            .retain(|c| epoch.wrapping_sub(c.rested()) <= max_rest && c.is_ready(cx));
        self.http2.sweep(epoch, max_rest);
        self.peer_idle.forget(Instant::now());
    }

    /// A new connection, or what became free while waiting for one.
    async fn fresh(&self) -> Result<Route, NoConnection> {
        let failures = self.failed_handshakes.load(Ordering::Relaxed);
        if self.spoken.load(Ordering::Relaxed) == HTTP1 {
            return self.open().await;
        }
        let mut turn = match self.handshake.try_lock() {
            Ok(turn) => turn,
            Err(_) => {
                let _waiting = self.limits.wait()?;
                self.handshake.lock().await
            }
        };
        if self.spoken.load(Ordering::Relaxed) == HTTP1 {
            drop(turn);
            return self.open().await;
        }
        if let Some(stream) = self.http2.stream() {
            return Ok(Route::Http2(stream));
        }
        if self.failed_handshakes.load(Ordering::Relaxed) != failures
            && let Some((kind, message)) = &*turn
        {
            return Err(Error::new(*kind, message.clone()).into());
        }
        let opened = self.open().await;
        if let Err(NoConnection { error, tried: true }) = &opened {
            *turn = Some((error.kind(), error.message().to_owned()));
            self.failed_handshakes.fetch_add(1, Ordering::Relaxed);
        }
        opened
    }

    async fn open(&self) -> Result<Route, NoConnection> {
        match self.leave(true).await? {
            Leave::Use(route) => Ok(route),
            Leave::Connect(permit) => self.in_time(self.shake_hands(permit)).await,
        }
    }

    /// Connects within the time for it, unless the endpoint failed just now.
    async fn in_time<T>(
        &self,
        connecting: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, NoConnection> {
        if let Some((wait, message)) = self.recovery.rest(Instant::now()) {
            let message = format!("{message}; it is tried again in {wait:?}");
            let error = Error::new(ErrorKind::UpstreamConnect, message);
            return Err(NoConnection { error, tried: false });
        }
        let connected = timeout(self.settings.connect_timeout, connecting).await;
        let connected = connected.unwrap_or_else(|_| Err(self.late()));
        match &connected {
            Ok(_) => self.recovery.succeeded(),
            Err(error) => self.recovery.failed(error.message(), Instant::now()),
        }
        connected.map_err(NoConnection::from)
    }

    /// Whether connecting failed a moment ago, so that others are to be preferred.
    pub(crate) fn recovers(&self, now: Instant) -> bool {
        self.recovery.is_resting(now)
    }

    /// Opens a connection ahead of the first request.
    pub(crate) async fn warm_up(&self) {
        match self.fresh().await {
            Ok(Route::Http1(mut connection)) => {
                connection.rest_at(self.epoch.load(Ordering::Relaxed));
                // Without a place at rest it is closed.
                drop(self.idle.put(connection));
            }
            // It is kept among the connections.
            Ok(Route::Http2(_)) => {}
            Err(NoConnection { error, .. }) => {
                tracing::debug!(endpoint = %self.endpoint.id(), %error, "not connected ahead")
            }
        }
    }

    async fn shake_hands(&self, permit: ConnectionPermit) -> Result<Route, Error> {
        let Connected {
            io,
            protocol: agreed,
            peer,
            ..
        } = self.connect().await?;
        let http2 = match self.settings.protocol {
            Protocol::Http1 => false,
            Protocol::Http2 => true,
            Protocol::Auto => agreed == Some(HttpProtocol::Http2),
        };
        self.spoken
            .store(if http2 { HTTP2 } else { HTTP1 }, Ordering::Relaxed);
        if !http2 {
            let connection = Http1::handshake(io, &self.settings, permit, peer)
                .await
                .map_err(failed_handshake)?;
            return Ok(Route::Http1(connection));
        }
        // Only TLS agrees on a protocol.
        let (secure, freed) = (agreed.is_some(), Arc::clone(self.http2.freed()));
        let connection = Http2::handshake(io, &self.settings, permit, secure, peer, freed)
            .await
            .map_err(failed_handshake)?;
        self.http2.add(&connection).map(Route::Http2).ok_or_else(|| {
            let message = format!(
                "{} allows no request on a new HTTP/2 connection",
                self.endpoint.id()
            );
            Error::new(ErrorKind::UpstreamConnect, message)
        })
    }

    /// Leave to connect; or, having waited for it, what became free meanwhile: a connection at rest or, if those
    /// will do, a stream.
    async fn leave(&self, streams: bool) -> Result<Leave, Error> {
        if let Some(permit) = self.make_room() {
            return Ok(Leave::Connect(permit));
        }
        let waiting = self.limits.wait()?;
        let wait = async {
            loop {
                let mut returned = pin!(waiting.returned());
                let mut freed = pin!(self.http2.freed().notified());
                // In line before looking, so that what becomes free in between is told.
                returned.as_mut().enable();
                freed.as_mut().enable();
                if let Some(connection) = self.rested(Instant::now()).await {
                    return Leave::Use(Route::Http1(connection));
                }
                if streams && let Some(stream) = self.http2.stream() {
                    return Leave::Use(Route::Http2(stream));
                }
                if let Some(permit) = self.make_room() {
                    return Leave::Connect(permit);
                }
                tokio::select! {
                    () = returned => {}
                    () = freed => {}
                }
            }
        };
        timeout(self.limits.limits().max_wait, wait)
            .await
            .map_err(|_| self.exhausted())
    }

    /// Leave to connect, if need be by closing a connection at rest: one to another endpoint, or one of another
    /// pool, must not keep this one from being reached.
    fn make_room(&self) -> Option<ConnectionPermit> {
        let permit = || self.limits.connection(&self.load);
        permit().or_else(|| {
            let full = self.load.connections() >= self.limits.limits().max_connections_per_endpoint;
            let helps = |pool: &Self| !full || pool.endpoint.id() == self.endpoint.id();
            if self.limits.close_one_at_rest(helps) {
                permit()
            } else {
                None
            }
        })
    }

    fn exhausted(&self) -> Error {
        let limits = self.limits.limits();
        let message = if self.load.connections() >= limits.max_connections_per_endpoint {
            format!(
                "all {} connections to {} stayed in use for {:?}",
                limits.max_connections_per_endpoint,
                self.endpoint.id(),
                limits.max_wait
            )
        } else {
            format!(
                "all {} connections to the service stayed in use for {:?} (circuitBreaker.maxConnections)",
                limits.max_connections, limits.max_wait
            )
        };
        Error::new(ErrorKind::Overloaded, message)
    }

    fn late(&self) -> Error {
        let message = format!(
            "no connection to {} within {:?}",
            self.endpoint.id(),
            self.settings.connect_timeout
        );
        Error::new(ErrorKind::UpstreamConnect, message)
    }

    async fn connect(&self) -> Result<Connected<BoxedIo>, Error> {
        self.connect.connect(&self.endpoint).await.map_err(|error| {
            let message = format!("no connection to {}: {error}", self.endpoint.id());
            Error::new(ErrorKind::UpstreamConnect, message).with_source(error)
        })
    }
}
