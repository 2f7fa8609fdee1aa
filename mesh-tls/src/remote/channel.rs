//! Asking the server of a CA: HTTP/1.1 over TLS, with bounds on everything.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, RETRY_AFTER};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use mesh_core::connect::{Connect, HttpProtocol};
use mesh_core::endpoint::{Address, Endpoint};
use serde::de::DeserializeOwned;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::problem::error_of;
use super::wire;
use crate::authority::{CaError, CaErrorKind};
use crate::client::TlsConnect;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(10);

/// Where the CA is.
#[derive(Clone, Debug)]
pub(super) struct CaAddress {
    pub(super) url: String,
    endpoint: Endpoint,
    host: HeaderValue,
}

impl CaAddress {
    /// The address of a URL.
    pub(super) fn read(url: &str) -> Result<Self, CaError> {
        let wrong = |why: &str| {
            let message = format!("the URL of the CA {why}: expected one as https://ca.example:9443");
            CaError::new(CaErrorKind::InvalidRequest, message)
        };
        let uri: Uri = url.parse().map_err(|_| wrong("cannot be read"))?;
        if uri.scheme_str() != Some("https") {
            return Err(wrong("does not begin with https://"));
        }
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(wrong("has a path"));
        }
        let authority = uri.authority().ok_or_else(|| wrong("has no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("holds a name or password"));
        }
        let (host, port) = (authority.host(), authority.port_u16().unwrap_or(443));
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let address = match bare.parse() {
            Ok(ip) => Address::Socket(std::net::SocketAddr::new(ip, port)),
            Err(_) => Address::Host {
                name: host.into(),
                port,
            },
        };
        Ok(Self {
            url: url.trim_end_matches('/').to_owned(),
            endpoint: Endpoint::new(address),
            host: HeaderValue::try_from(authority.as_str()).map_err(|_| wrong("has no host"))?,
        })
    }
}

/// A connection to the CA.
pub(super) struct Channel {
    sender: SendRequest<Full<Bytes>>,
    host: HeaderValue,
    url: String,
    driver: JoinHandle<()>,
}

impl Channel {
    pub(super) async fn open(connect: TlsConnect, server: &CaAddress) -> Result<Self, CaError> {
        let url = server.url.clone();
        let unavailable = |why: String| CaError::new(CaErrorKind::Unavailable, format!("{url}: {why}"));
        let connect = connect.with_protocols([HttpProtocol::Http1]);
        let connected = match timeout(CONNECT, connect.connect(&server.endpoint)).await {
            Ok(connected) => connected.map_err(|error| unavailable(error.to_string()).with_source(error))?,
            Err(_) => return Err(unavailable(format!("no connection within {CONNECT:?}"))),
        };
        let (sender, connection) = handshake(TokioIo::new(connected.io))
            .await
            .map_err(|error| unavailable(error.to_string()))?;
        let driver = tokio::spawn(async move {
            // Its error is the request's as well.
            let _ = connection.await;
        });
        Ok(Self {
            sender,
            host: server.host.clone(),
            url,
            driver,
        })
    }

    /// What the CA answers; `None` if it has nothing to say (204). No other answer than a success is followed.
    pub(super) async fn ask<T: DeserializeOwned>(
        &mut self,
        method: Method,
        path: &str,
        body: Bytes,
        patience: Duration,
        most: usize,
    ) -> Result<Option<T>, CaError> {
        let answer = timeout(patience, self.exchange(method, path, body, most)).await;
        let (status, retry_after, body) = answer.unwrap_or_else(|_| {
            let message = format!("{}: no answer within {patience:?}", self.url);
            Err(CaError::new(CaErrorKind::Unavailable, message))
        })?;
        match status {
            StatusCode::NO_CONTENT => Ok(None),
            StatusCode::OK | StatusCode::CREATED => wire::read(&body).map(Some),
            _ => Err(error_of(status, retry_after.as_ref(), &body)),
        }
    }

    async fn exchange(
        &mut self,
        method: Method,
        path: &str,
        body: Bytes,
        most: usize,
    ) -> Result<(StatusCode, Option<HeaderValue>, Bytes), CaError> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, &self.host)
            .body(Full::new(body.clone()))
            .map_err(|error| CaError::new(CaErrorKind::Internal, error.to_string()))?;
        if !body.is_empty() {
            request
                .headers_mut()
                .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        self.sender.ready().await.map_err(|error| self.failed(&error))?;
        let response = self
            .sender
            .send_request(request)
            .await
            .map_err(|error| self.failed(&error))?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, most).collect().await.map_err(|error| {
            let kind = match error.is::<http_body_util::LengthLimitError>() {
                true => CaErrorKind::InvalidAnswer,
                false => CaErrorKind::Unavailable,
            };
            CaError::new(kind, format!("{}: the answer cannot be read: {error}", self.url))
        })?;
        Ok((
            head.status,
            head.headers.get(RETRY_AFTER).cloned(),
            body.to_bytes(),
        ))
    }

    /// A certificate that the server does not believe is told by an alert, after the handshake in TLS 1.3.
    fn failed(&self, error: &hyper::Error) -> CaError {
        let io = error
            .source()
            .and_then(|source| source.downcast_ref::<io::Error>());
        let tls = io
            .and_then(io::Error::get_ref)
            .and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match tls {
            Some(rustls::Error::AlertReceived(alert)) => CaError::new(
                CaErrorKind::Denied,
                format!(
                    "{}: the CA does not accept the certificate of this process ({alert:?})",
                    self.url
                ),
            ),
            _ => {
                let why = io.map_or_else(|| error.to_string(), ToString::to_string);
                CaError::new(
                    CaErrorKind::Unavailable,
                    format!("{}: the connection broke: {why}", self.url),
                )
            }
        }
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
