//! Whether an endpoint answers a request for a path.

use std::fmt;
use std::future::Future;
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HOST, HeaderValue, USER_AGENT};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, StatusCode, Uri};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use mesh_core::body::Body;
use mesh_core::connect::{Connect, Connected, HttpProtocol, TcpConnect};
use mesh_core::duration::display;
use mesh_core::{BoxError, Endpoint};
use tokio::time::{Instant, timeout};

use super::connection::{Running, chain, give_up_in_time, open};
use super::{HealthCheck, HealthError};
use crate::endpoint::{BoxedIo, ErasedConnect, Protocol};

/// The largest answer head, in bytes.
pub(super) const MAX_HEAD: u32 = 16 * 1024;
/// How much of an answer's body is read, so that the endpoint can end it in order.
const MAX_BODY: usize = 16 * 1024;
pub(super) const AGENT: HeaderValue = HeaderValue::from_static("mesh-health-check");

/// Well is who answers a `GET` of a path with a status as expected, in time.
///
/// Each question has a connection of its own: that one is taken is part of the answer, and a connection kept for
/// checks alone would stay with a process that takes no new ones. The head of the answer decides; the body is not
/// waited for. A redirect is not followed.
///
/// ```
/// use std::time::Duration;
/// use mesh_core::Endpoint;
/// use mesh_lb::health::{HealthCheck, HttpCheck};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), mesh_core::BoxError> {
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// let endpoint = Endpoint::new(listener.local_addr()?.into());
/// tokio::spawn(async move {
///     let (mut client, _) = listener.accept().await?;
///     client.read(&mut [0; 1024]).await?;
///     client.write_all(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n").await
/// });
///
/// let check = HttpCheck::new("/healthz".parse()?).limit(Duration::from_secs(5));
/// let error = check.check(&endpoint).await.expect_err("it is not well");
/// let expected = format!("{} answered 503 to GET /healthz: expected 200-299", endpoint.id());
/// assert_eq!(error.to_string(), expected);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct HttpCheck {
    connect: Arc<dyn ErasedConnect>,
    protocol: Protocol,
    path: PathAndQuery,
    host: Option<Authority>,
    expected: RangeInclusive<u16>,
    limit: Duration,
}

impl HttpCheck {
    /// Asks for this path on plain TCP, in HTTP/1.1, and expects 200 to 299 within a second.
    pub fn new(path: PathAndQuery) -> Self {
        Self {
            connect: <dyn ErasedConnect>::new(TcpConnect::new()),
            protocol: Protocol::Auto,
            path,
            host: None,
            expected: 200..=299,
            limit: Duration::from_secs(1),
        }
    }

    /// Connects in another way.
    #[must_use]
    pub fn connect(mut self, connect: impl Connect) -> Self {
        self.connect = <dyn ErasedConnect>::new(connect);
        self
    }

    /// The HTTP version. Default: what ALPN agrees on, else HTTP/1.1.
    #[must_use]
    pub fn protocol(mut self, protocol: Protocol) -> Self {
        self.protocol = protocol;
        self
    }

    /// The host that is asked for. Default: the endpoint's address.
    #[must_use]
    pub fn host(mut self, host: Authority) -> Self {
        self.host = Some(host);
        self
    }

    /// The statuses of a good answer. Default 200 to 299.
    #[must_use]
    pub fn expecting(mut self, statuses: RangeInclusive<u16>) -> Self {
        self.expected = statuses;
        self
    }

    /// How long an answer may take, the connection included. Default 1 s.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    fn is_http2(&self, agreed: Option<HttpProtocol>) -> bool {
        match self.protocol {
            Protocol::Http1 => false,
            Protocol::Http2 => true,
            Protocol::Auto => agreed == Some(HttpProtocol::Http2),
        }
    }

    async fn ask(&self, connected: Connected<BoxedIo>, host: Authority) -> Result<Answered, BoxError> {
        if self.is_http2(connected.protocol) {
            over_http2(connected, host, self.path.clone()).await
        } else {
            over_http1(connected.io, &host, self.path.clone()).await
        }
    }
}

impl fmt::Debug for HttpCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpCheck")
            .field("protocol", &self.protocol)
            .field("path", &self.path)
            .field("host", &self.host)
            .field("expected", &self.expected)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

impl HealthCheck for HttpCheck {
    async fn check(&self, endpoint: &Endpoint) -> Result<(), HealthError> {
        let (id, path) = (endpoint.id(), &self.path);
        let host = host_of(self.host.as_ref(), endpoint)?;
        let begun = Instant::now();
        let connected = open(&*self.connect, endpoint, self.limit).await?;
        let left = self.limit.saturating_sub(begun.elapsed());
        let answered = match timeout(left, self.ask(connected, host)).await {
            Ok(Ok(answered)) => answered,
            Ok(Err(error)) => {
                let message = format!("{id} gave no answer to GET {path}: {}", chain(&*error));
                return Err(HealthError::new(message).with_source(error));
            }
            Err(_) => {
                let limit = display(self.limit);
                return Err(HealthError::new(format!(
                    "{id} gave no answer to GET {path} within {limit}"
                )));
            }
        };
        give_up_in_time(answered.rest).await;
        let found = answered.status.as_u16();
        if self.expected.contains(&found) {
            return Ok(());
        }
        let (first, last) = (self.expected.start(), self.expected.end());
        Err(HealthError::new(format!(
            "{id} answered {found} to GET {path}: expected {first}-{last}"
        )))
    }
}

/// An answer's status, and what is left to do on the connection.
struct Answered {
    status: StatusCode,
    rest: Pin<Box<dyn Future<Output = ()> + Send>>,
}

async fn over_http1(io: BoxedIo, host: &Authority, path: PathAndQuery) -> Result<Answered, BoxError> {
    let request = Request::get(Uri::from(path))
        .header(HOST, host.as_str())
        .header(USER_AGENT, AGENT)
        .header(CONNECTION, HeaderValue::from_static("close"))
        .body(Body::empty())?;
    let mut builder = http1::Builder::new();
    builder.max_buf_size(MAX_HEAD as usize);
    let (mut send, connection) = builder.handshake(TokioIo::new(io)).await?;
    let mut running = Running::new(connection);
    let response = running
        .beside(async move { send.send_request(request).await })
        .await?;
    let (head, body) = response.into_parts();
    Ok(Answered {
        status: head.status,
        rest: Box::pin(async move {
            running.beside(skip(body)).await;
            running.end().await;
        }),
    })
}

async fn over_http2(
    connected: Connected<BoxedIo>,
    host: Authority,
    path: PathAndQuery,
) -> Result<Answered, BoxError> {
    let target = target(&connected, host, path)?;
    let request = Request::get(target).header(USER_AGENT, AGENT).body(())?;
    let (send, connection) = http2().handshake::<_, Bytes>(connected.io).await?;
    let mut running = Running::new(connection);
    let response = running
        .beside(async move {
            let mut send = send.ready().await?;
            let (response, _) = send.send_request(request, true)?;
            response.await
        })
        .await?;
    let (head, mut body) = response.into_parts();
    Ok(Answered {
        status: head.status,
        rest: Box::pin(async move {
            let skip = async move {
                let mut left = MAX_BODY;
                while let Some(Ok(data)) = body.data().await {
                    match left.checked_sub(data.len()) {
                        Some(rest) => left = rest,
                        None => return,
                    }
                }
            };
            running.beside(skip).await;
            running.end().await;
        }),
    })
}

/// The host to ask an endpoint for.
pub(super) fn host_of(host: Option<&Authority>, endpoint: &Endpoint) -> Result<Authority, HealthError> {
    match host {
        Some(host) => Ok(host.clone()),
        None => Authority::try_from(endpoint.address.to_string()).map_err(|error| {
            let message = format!("{} cannot be asked for as a host: {error}", endpoint.id());
            HealthError::new(message).with_source(error)
        }),
    }
}

/// Where a request on this connection goes.
pub(super) fn target(
    connected: &Connected<BoxedIo>,
    host: Authority,
    path: PathAndQuery,
) -> Result<Uri, http::uri::InvalidUriParts> {
    // Only TLS agrees on a protocol.
    let secure = connected.protocol.is_some() || connected.peer.as_ref().is_some_and(|peer| peer.tls);
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(if secure { Scheme::HTTPS } else { Scheme::HTTP });
    parts.authority = Some(host);
    parts.path_and_query = Some(path);
    Uri::from_parts(parts)
}

/// HTTP/2 for one request. The plain `h2`, since its connection needs no task: who drops the check drops all.
pub(super) fn http2() -> h2::client::Builder {
    let mut builder = h2::client::Builder::new();
    builder.enable_push(false).max_header_list_size(MAX_HEAD);
    builder
}

async fn skip(mut body: Incoming) {
    let mut left = MAX_BODY;
    while let Some(Ok(frame)) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        match left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

#[cfg(test)]
mod tests;
