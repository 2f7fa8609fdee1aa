//! Sends a batch, on a connection that is kept.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderValue, RETRY_AFTER, TE};
use http::uri::{Scheme, Uri};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
#[cfg(feature = "otlp")]
use hyper::client::conn::http2;
#[cfg(feature = "otlp")]
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioIo;
use mesh_core::BoxError;
#[cfg(feature = "otlp")]
use mesh_core::GrpcCode;
use mesh_core::connect::{Connect, HttpProtocol};
use tokio::task::AbortHandle;

use super::destination::{Destination, Format};
#[cfg(feature = "otlp")]
use crate::trace::otlp;

/// The longest answer that is read, in bytes.
const LONGEST: usize = 64 * 1024;

/// Why a batch was not taken.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It may be taken later, perhaps after this time.
    Again { why: String, after: Option<Duration> },
    /// It would be refused again.
    Refused { why: String },
}

impl Trouble {
    pub(super) fn again(why: impl fmt::Display) -> Self {
        Self::Again {
            why: why.to_string(),
            after: None,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Again { why, .. } | Self::Refused { why } => f.write_str(why),
        }
    }
}

pub(super) struct Sender<C> {
    destination: Destination,
    connect: C,
    link: Option<Link>,
}

impl<C: Connect> Sender<C> {
    pub(super) const fn new(destination: Destination, connect: C) -> Self {
        Self {
            destination,
            connect,
            link: None,
        }
    }

    pub(super) const fn destination(&self) -> &Destination {
        &self.destination
    }

    pub(super) fn disconnect(&mut self) {
        self.link = None;
    }

    /// Sends a batch, and tells how many of its spans were not taken.
    pub(super) async fn send(&mut self, body: Bytes) -> Result<usize, Trouble> {
        if let Some(mut link) = self.link.take().filter(|link| !link.is_closed()) {
            match link.send(self.request(body.clone())).await {
                Ok(response) => return self.answered(link, response).await,
                // It had rested, and the collector has closed it: no trouble.
                Err(error) => tracing::debug!(%error, "the collector closed a connection"),
            }
        }
        let mut link = self.connect().await?;
        let response = link.send(self.request(body)).await.map_err(Trouble::again)?;
        self.answered(link, response).await
    }

    async fn connect(&self) -> Result<Link, Trouble> {
        let connected = self.connect.connect(&self.destination.endpoint).await;
        let io = TokioIo::new(connected.map_err(Trouble::again)?.io);
        let link = match self.destination.format {
            #[cfg(feature = "otlp")]
            Format::OtlpGrpc => {
                let (send, connection) = http2::handshake(TokioExecutor::new(), io)
                    .await
                    .map_err(Trouble::again)?;
                Link::new(Send::Http2(send), connection)
            }
            _ => {
                let (send, connection) = http1::handshake(io).await.map_err(Trouble::again)?;
                Link::new(Send::Http1(send), connection)
            }
        };
        Ok(link)
    }

    fn request(&self, body: Bytes) -> Request<Full<Bytes>> {
        let Destination {
            format,
            authority,
            path,
            ..
        } = &self.destination;
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        // First, so that what the protocol asks for stands.
        request
            .headers_mut()
            .extend(self.destination.headers.iter().cloned());
        let kind = match format {
            #[cfg(feature = "otlp")]
            Format::OtlpHttp => "application/x-protobuf",
            #[cfg(feature = "otlp")]
            Format::OtlpGrpc => "application/grpc",
            #[cfg(feature = "jaeger")]
            Format::Jaeger => "application/x-thrift",
        };
        request
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        match self.is_http2() {
            true => {
                let mut parts = http::uri::Parts::default();
                parts.scheme = Some(match self.destination.is_secure() {
                    true => Scheme::HTTPS,
                    false => Scheme::HTTP,
                });
                parts.authority = authority.as_bytes().try_into().ok();
                parts.path_and_query = Some(path.clone());
                *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
                request
                    .headers_mut()
                    .insert(TE, HeaderValue::from_static("trailers"));
            }
            false => {
                *request.uri_mut() = Uri::from(path.clone());
                request.headers_mut().insert(HOST, authority.clone());
            }
        }
        request
    }

    fn is_http2(&self) -> bool {
        self.destination.protocol() == HttpProtocol::Http2
    }

    async fn answered(&mut self, link: Link, response: Response<Incoming>) -> Result<usize, Trouble> {
        let (head, body) = response.into_parts();
        let body = Limited::new(body, LONGEST)
            .collect()
            .await
            .map_err(Trouble::again)?;
        self.link = Some(link);
        by_status(head.status, &head.headers)?;
        match self.destination.format {
            #[cfg(feature = "otlp")]
            Format::OtlpGrpc => {
                by_grpc_status(&head.headers, body.trailers())?;
                Ok(otlp::rejected_framed(&body.to_bytes()))
            }
            #[cfg(feature = "otlp")]
            Format::OtlpHttp => Ok(otlp::rejected(&body.to_bytes())),
            #[cfg(feature = "jaeger")]
            Format::Jaeger => {
                // It says nothing of single spans.
                drop(body);
                Ok(0)
            }
        }
    }
}

fn by_status(status: StatusCode, headers: &HeaderMap) -> Result<(), Trouble> {
    let why = format!("the collector answered {status}");
    match status.as_u16() {
        200..=299 => Ok(()),
        429 | 502 | 503 | 504 => {
            let after = headers
                .get(RETRY_AFTER)
                .and_then(|after| after.to_str().ok()?.parse().ok());
            Err(Trouble::Again {
                why,
                after: after.map(Duration::from_secs),
            })
        }
        _ => Err(Trouble::Refused { why }),
    }
}

/// As the specification of OTLP/gRPC says which may be sent again.
#[cfg(feature = "otlp")]
fn by_grpc_status(head: &HeaderMap, trailers: Option<&HeaderMap>) -> Result<(), Trouble> {
    let code = trailers.and_then(GrpcCode::in_fields);
    let code = code.or_else(|| GrpcCode::in_fields(head));
    let Some(code) = code else {
        return Err(Trouble::again("the collector's answer has no gRPC status"));
    };
    let why = || format!("the collector answered with gRPC status {code}");
    match code {
        GrpcCode::OK => Ok(()),
        GrpcCode::CANCELLED
        | GrpcCode::DEADLINE_EXCEEDED
        | GrpcCode::RESOURCE_EXHAUSTED
        | GrpcCode::ABORTED
        | GrpcCode::OUT_OF_RANGE
        | GrpcCode::UNAVAILABLE
        | GrpcCode::DATA_LOSS => Err(Trouble::again(why())),
        _ => Err(Trouble::Refused { why: why() }),
    }
}

/// A connection, which ends when this is dropped.
struct Link {
    send: Send,
    connection: AbortHandle,
}

enum Send {
    Http1(http1::SendRequest<Full<Bytes>>),
    #[cfg(feature = "otlp")]
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Link {
    fn new(
        send: Send,
        connection: impl Future<Output = Result<(), hyper::Error>> + std::marker::Send + 'static,
    ) -> Self {
        let connection = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to a collector ended");
            }
        });
        Self {
            send,
            connection: connection.abort_handle(),
        }
    }

    fn is_closed(&self) -> bool {
        match &self.send {
            Send::Http1(send) => send.is_closed(),
            #[cfg(feature = "otlp")]
            Send::Http2(send) => send.is_closed(),
        }
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, BoxError> {
        Ok(match &mut self.send {
            Send::Http1(send) => {
                send.ready().await?;
                send.send_request(request).await?
            }
            #[cfg(feature = "otlp")]
            Send::Http2(send) => {
                send.ready().await?;
                send.send_request(request).await?
            }
        })
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.connection.abort();
    }
}
