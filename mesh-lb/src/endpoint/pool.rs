//! The pool: a connection for a request, made or taken from rest, and the request's exchange on it.

mod connecting;

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::task::Poll;

use http::{Request, Response};
use hyper::body::Incoming;
use mesh_core::body::Body;
use mesh_core::connect::{Connected, HttpProtocol};
use mesh_core::{Endpoint, Error, ErrorKind, PeerInfo};
use tokio::time::Instant;

use super::failure::{NoConnection, SendFailure};
use super::fit::{for_http1, for_http2};
use super::http1::{self, Http1};
use super::http2;
use super::idle::IdleSet;
use super::io::ErasedConnect;
use super::limits::{RequestPermit, ServiceLimits};
use super::peer_idle::PeerIdle;
use super::recovery::Recovery;
use super::settings::{Limits, PoolSettings, Protocol};
use super::sweep;
use crate::load::{EndpointLoad, InFlight};
use connecting::Leave;

/// What a request holds until its response's body is over.
pub(crate) struct Guards {
    pub(crate) _in_flight: InFlight,
    pub(crate) _permit: RequestPermit,
}

/// On which terms a request is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) rested: Rested,
    /// When this attempt began.
    pub(crate) begun: Instant,
    /// How long it may wait for an endpoint that could not be connected to just now.
    pub(crate) patience: Instant,
}

/// Whether a request may be sent on a connection that has rested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rested {
    Use,
    /// On one that will not be closed meanwhile, as far as can be known: the request cannot be sent again.
    Proven,
    Avoid,
}

/// How many connections that a request cannot be trusted to it looks at before it gets one of its own.
const UNPROVEN: usize = 4;

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

/// An endpoint's answer.
pub(crate) struct Answered<B> {
    pub(crate) response: Response<B>,
    /// Who gave it, if the connector verified that.
    pub(crate) peer: Option<Arc<PeerInfo>>,
    /// When its head came.
    pub(crate) at: Instant,
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

    /// Sends a request, fitted to the protocol the connection speaks. It stays where it is until there is one to carry it: it
    /// is long, and each future on the way that took it would have room for it twice. `reused` tells whether the connection had
    /// carried another request before.
    pub(crate) async fn send(
        self: &Arc<Self>,
        request: &mut Request<Body>,
        guards: Guards,
        terms: &Terms,
        reused: &mut bool,
    ) -> Result<Answered<Body>, SendFailure> {
        let at_hand = match terms.rested {
            Rested::Avoid => None,
            rested => self.at_hand(rested, terms.begun).await,
        };
        *reused = at_hand.is_some();
        let route = match at_hand {
            Some(route) => route,
            // Boxed, since it is rare and would make every request's future as large as its own.
            None => match Box::pin(self.another(terms.patience)).await {
                Ok(route) => {
                    // Having waited, it may be one that came to rest meanwhile.
                    *reused = matches!(&route, Route::Http1(connection) if connection.is_used());
                    route
                }
                Err(none) => return Err(none.failure()),
            },
        };
        let peer = route.peer().cloned();
        let (response, at) = match route {
            Route::Http1(connection) => {
                for_http1(request);
                http1::exchange(self, connection, request, guards).await?
            }
            Route::Http2(stream) => {
                for_http2(request, stream.is_secure());
                let idle = self.settings.body_idle_timeout;
                let response = http2::exchange(stream, request, guards, idle).await?;
                (response, Instant::now())
            }
        };
        Ok(Answered { response, peer, at })
    }

    /// A connection or a stream that is new, or became free while this waited for it.
    async fn another(&self, patience: Instant) -> Result<Route, NoConnection> {
        let _turn = self.recovered(patience).await.map_err(NoConnection::untried)?;
        Ok(self.fresh().await?)
    }

    /// A connection or a stream that can be used at once.
    async fn at_hand(&self, rested: Rested, now: Instant) -> Option<Route> {
        if self.spoken.load(Ordering::Relaxed) == HTTP2 {
            self.http2.stream().map(Route::Http2)
        } else {
            self.rested(rested, now).await.map(Route::Http1)
        }
    }

    /// Sends a request that asks for an upgrade, on a connection of its own. It is in flight as long as that lives, be it
    /// a tunnel or not.
    pub(crate) async fn send_upgrade(
        &self,
        request: &mut Request<Body>,
        guards: Guards,
        patience: Instant,
    ) -> Result<Answered<Incoming>, SendFailure> {
        let connected = async {
            let _turn = self.recovered(patience).await.map_err(NoConnection::untried)?;
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
            Ok(connected.map(|io| io.holding((permit, guards))))
        };
        match connected.await {
            Ok(Connected {
                io, peer, control, ..
            }) => {
                for_http1(request);
                let response = http1::upgrade(io, control, &self.settings, request).await?;
                Ok(Answered {
                    response,
                    peer,
                    at: Instant::now(),
                })
            }
            Err(none) => Err(NoConnection::failure(none)),
        }
    }

    /// A connection at rest that is still good: it is polled once, here.
    async fn rested(&self, rested: Rested, now: Instant) -> Option<Box<Http1>> {
        // Unconstrained, since to a task that has used up its turn a closed connection seems to be open.
        tokio::task::unconstrained(poll_fn(|_| {
            let mut unproven = Vec::new();
            let mut found = None;
            while unproven.len() < UNPROVEN
                && let Some(mut connection) = self.idle.take()
            {
                if connection.is_dismissed() {
                    continue;
                }
                let rest = connection.rest(now);
                if !connection.is_ready() {
                    self.peer_idle.closed_after(rest, now);
                } else if !self.peer_idle.is_safe(rest) {
                    drop(connection);
                } else if rested == Rested::Proven && !self.peer_idle.is_proven(rest) {
                    unproven.push(connection);
                } else {
                    found = Some(connection);
                    break;
                }
            }
            // They are of use to others, and what they outlive is proof for the next one.
            for connection in unproven {
                if self.idle.put(connection).is_ok() {
                    self.limits.connection_returned();
                }
            }
            Poll::Ready(found)
        }))
        .await
    }

    /// Closes a connection at rest, to make room for one to another endpoint. Whether there was one.
    pub(crate) fn close_one_at_rest(&self) -> bool {
        self.idle.take().is_some() || self.http2.close_one_at_rest()
    }

    /// Takes a connection back whose response is read whole. One that is not ready for another request, or
    /// finds no place, is closed.
    pub(crate) fn give_back(&self, mut connection: Box<Http1>, now: Instant) {
        connection.rest_at(self.epoch.load(Ordering::Relaxed), now);
        if self.idle.put(connection).is_ok() {
            self.limits.connection_returned();
        }
    }

    /// Closes what the other side has closed and what has rested for more than `max_rest` sweeps.
    pub(crate) fn sweep(&self, max_rest: u32) {
        let epoch = self.epoch.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let now = Instant::now();
        self.idle.retain(|c| {
            let rest = c.rest(now);
            if !c.is_ready() {
                // Since the last sweep, at some time.
                self.peer_idle.closed_beyond(rest.saturating_sub(sweep::INTERVAL));
                return false;
            }
            self.peer_idle.open_after(rest);
            epoch.wrapping_sub(c.rested()) <= max_rest
        });
        self.http2.sweep(epoch, max_rest);
        self.peer_idle.forget(now);
    }

    /// Whether connecting failed a moment ago, so that others are to be preferred.
    pub(crate) fn recovers(&self, now: Instant) -> bool {
        self.recovery.is_doubtful(now)
    }
}
