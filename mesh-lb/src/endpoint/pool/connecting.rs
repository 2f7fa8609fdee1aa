//! How a pool gets another connection: leave for it within the limits, the handshake, and what became free meanwhile.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use mesh_core::connect::{Connected, HttpProtocol};
use mesh_core::{Error, ErrorKind};
use tokio::time::{Instant, timeout};

use super::super::failure::failed_handshake;
use super::super::http1::Http1;
use super::super::http2::Http2;
use super::super::io::BoxedIo;
use super::super::limits::ConnectionPermit;
use super::super::recovery::Turn;
use super::super::settings::Protocol;
use super::{EndpointPool, HTTP1, HTTP2, Rested, Route};

/// What came of waiting for a connection.
pub(super) enum Leave {
    Connect(ConnectionPermit),
    Use(Route),
}

impl EndpointPool {
    /// A new connection, or what became free while waiting for one.
    pub(super) async fn fresh(&self) -> Result<Route, Error> {
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
            return Err(Error::new(*kind, message.clone()));
        }
        let opened = self.open().await;
        if let Err(error) = &opened {
            *turn = Some((error.kind(), error.message().to_owned()));
            self.failed_handshakes.fetch_add(1, Ordering::Relaxed);
        }
        opened
    }

    async fn open(&self) -> Result<Route, Error> {
        match self.leave(true).await? {
            Leave::Use(route) => Ok(route),
            Leave::Connect(permit) => self.in_time(self.shake_hands(permit)).await,
        }
    }

    /// Connects within the time for it.
    pub(super) async fn in_time<T>(
        &self,
        connecting: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let connected = timeout(self.settings.connect_timeout, connecting).await;
        let connected = connected.unwrap_or_else(|_| Err(self.late()));
        match &connected {
            Ok(_) => self.recovery.succeeded(),
            Err(error) => self.recovery.failed(error.message(), Instant::now()),
        }
        connected
    }

    /// Waits for leave to connect to the endpoint, if it failed just now: who comes here all the same has no other.
    /// As long as that takes, but not beyond `patience`.
    pub(super) async fn recovered(&self, patience: Instant) -> Result<Turn<'_>, Error> {
        if self.recovery.is_well() {
            return Ok(None);
        }
        let _waiting = self.limits.wait()?;
        let turn = self.recovery.turn(patience).await;
        turn.map_err(|message| Error::new(ErrorKind::UpstreamConnect, message))
    }

    /// Opens a connection ahead of the first request.
    pub(crate) async fn warm_up(&self) {
        match self.fresh().await {
            Ok(Route::Http1(mut connection)) => {
                connection.rest_at(self.epoch.load(Ordering::Relaxed), Instant::now());
                // Without a place at rest it is closed.
                drop(self.idle.put(connection));
            }
            // It is kept among the connections.
            Ok(Route::Http2(_)) => {}
            Err(error) => tracing::debug!(endpoint = %self.endpoint.id(), %error, "not connected ahead"),
        }
    }

    async fn shake_hands(&self, permit: ConnectionPermit) -> Result<Route, Error> {
        let Connected {
            io,
            protocol: agreed,
            peer,
            control,
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
            let connection = Http1::handshake(io, &self.settings, permit, peer, control)
                .await
                .map_err(failed_handshake)?;
            return Ok(Route::Http1(connection));
        }
        // Only TLS agrees on a protocol.
        let (secure, freed) = (agreed.is_some(), Arc::clone(self.http2.freed()));
        let connection = Http2::handshake(io, &self.settings, permit, secure, (peer, control), freed)
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
    pub(super) async fn leave(&self, streams: bool) -> Result<Leave, Error> {
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
                if let Some(connection) = self.rested(Rested::Use, Instant::now()).await {
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

    pub(super) fn exhausted(&self) -> Error {
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

    pub(super) async fn connect(&self) -> Result<Connected<BoxedIo>, Error> {
        self.connect.connect(&self.endpoint).await.map_err(|error| {
            let message = format!("no connection to {}: {error}", self.endpoint.id());
            Error::new(ErrorKind::UpstreamConnect, message).with_source(error)
        })
    }
}
