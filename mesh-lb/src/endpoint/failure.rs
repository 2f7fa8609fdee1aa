//! How sending fails, and what the errors of hyper and h2 mean to the mesh.

use std::io;
use std::time::Duration;

use mesh_core::{Error, ErrorKind};

/// How sending failed.
pub(crate) enum SendFailure {
    /// Nothing of the request was sent; it is where it was.
    Unsent(Error),
    /// Nothing was tried, since connecting failed a moment ago. That was told then and says nothing new.
    Untried(Error),
    /// The endpoint said that it did nothing with it.
    NotProcessed(Error),
    /// The connection broke before any answer. The endpoint may have acted on the request, or never seen it.
    Broken(Error),
    /// The connection was reset before any answer. That is how a listener that ends gets rid of connections the
    /// application has not taken yet; a request that changes nothing may be sent again even on a fresh one.
    Reset(Error),
    /// The endpoint acted on it, or may have, and the answer is of no use.
    Failed(Error),
}

/// Why there is no connection for a request.
pub(super) struct NoConnection {
    pub(super) error: Error,
    /// Whether one was tried.
    pub(super) tried: bool,
}

impl NoConnection {
    pub(super) fn untried(error: Error) -> Self {
        Self { error, tried: false }
    }

    pub(super) fn failure(self) -> SendFailure {
        match self.tried {
            true => SendFailure::Unsent(self.error),
            false => SendFailure::Untried(self.error),
        }
    }
}

impl From<Error> for NoConnection {
    fn from(error: Error) -> Self {
        Self { error, tried: true }
    }
}

/// What it means that a connection could not begin to speak HTTP.
pub(super) fn failed_handshake(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(
        ErrorKind::UpstreamConnect,
        format!("the endpoint does not speak HTTP as expected: {error}"),
    )
    .with_source(error)
}

/// A response's body of which nothing came for this long.
pub(super) fn stood_still(limit: Duration) -> Error {
    let message = format!("the response's body stood still for {limit:?}");
    Error::new(ErrorKind::Timeout, message)
}

/// What hyper's error means to the mesh. A mesh error that caused it (the client's body failed) is that
/// error.
pub(super) fn failure(error: hyper::Error) -> Error {
    if let Some(own) = own_cause(&error) {
        return own;
    }
    let what = if error.is_parse() || error.is_parse_status() || error.is_parse_too_large() {
        "the endpoint's answer is malformed"
    } else if error.is_incomplete_message() || error.is_body_write_aborted() {
        "the endpoint closed the connection before its answer was whole"
    } else {
        "the connection to the endpoint broke"
    };
    let cause = std::error::Error::source(&error)
        .map_or_else(|| error.to_string(), |source| format!("{error}: {source}"));
    Error::new(ErrorKind::UpstreamReset, format!("{what} ({cause})")).with_source(error)
}

/// What it means that an exchange over HTTP/2 failed.
pub(super) fn failure_of_http2(error: h2::Error) -> Error {
    let what = match error.is_reset() && error.is_remote() {
        true => "the endpoint broke the exchange off",
        false => "the connection to the endpoint broke",
    };
    Error::new(ErrorKind::UpstreamReset, format!("{what} ({error})")).with_source(error)
}

/// An error after which a request over HTTP/2 is lost. A connection that spoke HTTP/2 was taken by the application, so
/// that it was reset does not say that the request never came there.
pub(super) fn lost_on_http2(error: h2::Error) -> SendFailure {
    match error.is_io() {
        true => SendFailure::Broken(failure_of_http2(error)),
        false => SendFailure::Failed(failure_of_http2(error)),
    }
}

/// An error after which the request is lost, as a failure of the right sort.
pub(super) fn lost(error: hyper::Error) -> SendFailure {
    let io = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<io::Error>());
    let reset = io.is_some_and(|io| {
        matches!(
            io.kind(),
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
        )
    });
    let broken = error.is_incomplete_message() || error.is_canceled() || error.is_closed() || io.is_some();
    let error = failure(error);
    match (reset, broken) {
        _ if error.kind() != ErrorKind::UpstreamReset => SendFailure::Failed(error),
        (true, _) => SendFailure::Reset(error),
        (false, true) => SendFailure::Broken(error),
        (false, false) => SendFailure::Failed(error),
    }
}

fn own_cause(error: &hyper::Error) -> Option<Error> {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(own) = cause.downcast_ref::<Error>() {
            return Some(Error::new(own.kind(), own.message().to_owned()).with_status(own.http_status()));
        }
        source = cause.source();
    }
    None
}
