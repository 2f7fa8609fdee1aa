//! Whether an endpoint says of itself that it serves: the health service of gRPC.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, TE, USER_AGENT};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, Request, StatusCode, response};
use mesh_core::connect::{Connect, Connected, HttpProtocol, TcpConnect};
use mesh_core::duration::display;
use mesh_core::{BoxError, Endpoint, GrpcCode};
use tokio::time::{Instant, timeout};

use super::connection::{Running, chain, give_up_in_time, open};
use super::http::{AGENT, http2, target};
use super::{HealthCheck, HealthError};
use crate::endpoint::{BoxedIo, ErasedConnect};

mod wire;

use wire::Status;

const CHECK: PathAndQuery = PathAndQuery::from_static("/grpc.health.v1.Health/Check");
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const TRAILERS: HeaderValue = HeaderValue::from_static("trailers");
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// Well is who answers `grpc.health.v1.Health/Check` with SERVING, in time.
///
/// One that does not know the call (UNIMPLEMENTED) is well too, as gRPC's own clients take it: it answered, and
/// nobody taught it to say more. NOT_SERVING, SERVICE_UNKNOWN, any other code, and an answer that is not gRPC are
/// not well. HTTP/2 is spoken, on a connection without TLS by prior knowledge, and each question has a connection
/// of its own.
///
/// ```
/// use std::time::Duration;
/// use mesh_core::Endpoint;
/// use mesh_lb::health::{GrpcCheck, HealthCheck};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), mesh_core::BoxError> {
/// let endpoint = Endpoint::new("127.0.0.1:1".parse()?);
/// let check = GrpcCheck::new("shop.Orders").limit(Duration::from_secs(5));
/// let error = check.check(&endpoint).await.expect_err("nobody is there");
/// assert!(error.to_string().starts_with("127.0.0.1:1 takes no connection: "));
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct GrpcCheck {
    connect: Arc<dyn ErasedConnect>,
    service: Arc<str>,
    host: Option<Authority>,
    limit: Duration,
}

impl GrpcCheck {
    /// Asks for this gRPC service on plain TCP, within a second. The empty name asks for the process as a whole.
    pub fn new(service: impl Into<Arc<str>>) -> Self {
        Self {
            connect: <dyn ErasedConnect>::new(TcpConnect::new()),
            service: service.into(),
            host: None,
            limit: Duration::from_secs(1),
        }
    }

    /// Connects in another way. If TLS agrees on HTTP/1.1, the endpoint is not well.
    #[must_use]
    pub fn connect(mut self, connect: impl Connect) -> Self {
        self.connect = <dyn ErasedConnect>::new(connect);
        self
    }

    /// The host that is asked for. Default: the endpoint's address.
    #[must_use]
    pub fn host(mut self, host: Authority) -> Self {
        self.host = Some(host);
        self
    }

    /// How long an answer may take, the connection included. Default 1 s.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    fn request(&self, connected: &Connected<BoxedIo>, host: Authority) -> Result<Request<()>, BoxError> {
        // The protocol has room for eight digits.
        let millis = self.limit.as_millis().min(99_999_999);
        Ok(Request::post(target(connected, host, CHECK)?)
            .header(CONTENT_TYPE, GRPC)
            .header(TE, TRAILERS)
            .header(GRPC_TIMEOUT, format!("{millis}m"))
            .header(USER_AGENT, AGENT)
            .body(())?)
    }

    async fn ask(
        &self,
        connected: Connected<BoxedIo>,
        host: Authority,
    ) -> Result<(Answer, Running<h2::client::Connection<BoxedIo>>), BoxError> {
        if connected.protocol == Some(HttpProtocol::Http1) {
            return Err("TLS agreed on HTTP/1.1, and gRPC needs HTTP/2".into());
        }
        let request = self.request(&connected, host)?;
        let message = wire::request(&self.service);
        let (send, connection) = http2().handshake::<_, Bytes>(connected.io).await?;
        let mut running = Running::new(connection);
        let answer = running
            .beside(async move {
                let mut send = send.ready().await?;
                let (response, mut upload) = send.send_request(request, false)?;
                upload.send_data(message, true)?;
                whole(response.await?).await
            })
            .await?;
        Ok((answer, running))
    }
}

impl fmt::Debug for GrpcCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrpcCheck")
            .field("service", &self.service)
            .field("host", &self.host)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

impl HealthCheck for GrpcCheck {
    async fn check(&self, endpoint: &Endpoint) -> Result<(), HealthError> {
        let id = endpoint.id();
        let host = super::http::host_of(self.host.as_ref(), endpoint)?;
        let begun = Instant::now();
        let connected = open(&*self.connect, endpoint, self.limit).await?;
        let left = self.limit.saturating_sub(begun.elapsed());
        match timeout(left, self.ask(connected, host)).await {
            Ok(Ok((answer, running))) => {
                give_up_in_time(running.end()).await;
                answer
                    .judge()
                    .map_err(|found| HealthError::new(format!("{id} {found}: expected SERVING")))
            }
            Ok(Err(error)) => {
                let message = format!("{id} gave no answer to {CHECK}: {}", chain(&*error));
                Err(HealthError::new(message).with_source(error))
            }
            Err(_) => {
                let limit = display(self.limit);
                Err(HealthError::new(format!(
                    "{id} gave no answer to {CHECK} within {limit}"
                )))
            }
        }
    }
}

/// A response, read whole.
struct Answer {
    head: response::Parts,
    message: Bytes,
    trailers: Option<HeaderMap>,
}

async fn whole(response: http::Response<h2::RecvStream>) -> Result<Answer, BoxError> {
    let (head, mut body) = response.into_parts();
    let mut message = BytesMut::new();
    while let Some(data) = body.data().await {
        let data = data?;
        if message.len() + data.len() > wire::MAX_ANSWER {
            return Err(format!("its answer is longer than {} bytes", wire::MAX_ANSWER).into());
        }
        message.extend_from_slice(&data);
    }
    Ok(Answer {
        head,
        message: message.freeze(),
        trailers: body.trailers().await?,
    })
}

impl Answer {
    /// What was found, if that is not well.
    fn judge(&self) -> Result<(), String> {
        // In the trailers, or in the head of an answer that has nothing else.
        let code = self.trailers.as_ref().and_then(GrpcCode::in_fields);
        match code.or_else(|| GrpcCode::in_fields(&self.head.headers)) {
            Some(GrpcCode::UNIMPLEMENTED) => Ok(()),
            Some(GrpcCode::OK) => match wire::status_of(&self.message) {
                Ok(Status::Serving) => Ok(()),
                Ok(other) => Err(format!("says that it is {other}")),
                Err(wrong) => Err(format!("answered with a message that is malformed ({wrong})")),
            },
            // What a Check of a service that the endpoint does not have comes to.
            Some(GrpcCode::NOT_FOUND) => Err("does not know the service (grpc-status 5)".to_owned()),
            Some(code) => Err(format!("answered with grpc-status {code}")),
            None if self.head.status == StatusCode::OK => Err("answered without a grpc-status".to_owned()),
            None => Err(format!(
                "answered with HTTP status {} and no grpc-status",
                self.head.status.as_u16()
            )),
        }
    }
}

#[cfg(test)]
mod tests;
