//! A connection that does what it is told and nothing by itself: no pool, no second try.

use std::io;
use std::net::SocketAddr;

use axum::body::Body;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;

/// One connection to the proxy.
pub enum Connection {
    /// Carries one request at a time.
    Http1(http1::SendRequest<Body>),
    /// Carries many.
    Http2(http2::SendRequest<Body>),
}

impl Connection {
    /// Opens a connection with HTTP/1.1.
    ///
    /// # Errors
    /// If nobody listens.
    pub async fn http1(address: SocketAddr) -> io::Result<Self> {
        let stream = open(address).await?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        // Its error is the request's as well.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(Self::Http1(sender))
    }

    /// Opens a connection with HTTP/2, by prior knowledge.
    ///
    /// # Errors
    /// If nobody listens.
    pub async fn http2(address: SocketAddr) -> io::Result<Self> {
        let stream = open(address).await?;
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.timer(TokioTimer::new());
        let (sender, connection) = builder
            .handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        // Its error is the request's as well.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(Self::Http2(sender))
    }

    /// As many senders for the same connection as are wanted.
    ///
    /// # Panics
    /// If it is an HTTP/1.1 connection.
    pub fn streams(self, count: usize) -> Vec<Self> {
        let Self::Http2(sender) = self else {
            panic!("HTTP/1.1 carries one request at a time")
        };
        (0..count).map(|_| Self::Http2(sender.clone())).collect()
    }

    /// Sends a request and waits for the head of the answer.
    ///
    /// # Errors
    /// If the connection ends before that.
    pub async fn send(&mut self, mut request: Request<Body>) -> hyper::Result<Response<Incoming>> {
        match self {
            Self::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
            Self::Http2(sender) => {
                // The host stands in the URI there.
                if let Some(host) = request.headers_mut().remove(http::header::HOST) {
                    let host = host.to_str().expect("a host is text");
                    let uri = format!("http://{host}{}", request.uri());
                    *request.uri_mut() = uri.parse().expect("an address");
                }
                sender.ready().await?;
                sender.send_request(request).await
            }
        }
    }

    /// Whether no further request can be sent.
    pub fn is_closed(&self) -> bool {
        match self {
            Self::Http1(sender) => sender.is_closed(),
            Self::Http2(sender) => sender.is_closed(),
        }
    }
}

/// Small writes leave at once, as those of any real client: HTTP/2 would crawl otherwise, one window an acknowledgement.
async fn open(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
