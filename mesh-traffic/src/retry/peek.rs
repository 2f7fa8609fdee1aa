//! The status of a gRPC call, before its response is handed on: from the head, or from trailers that come before any
//! message.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;
use mesh_core::body::Body;
use mesh_core::reject::is_grpc;
use mesh_core::{BoxError, Error, GrpcCode};
use tokio::time::timeout;

/// How long a head is held back for what follows it. A server that fails at once says so at once; the head of a stream
/// whose first message takes its time must not wait for that.
const PATIENCE: Duration = Duration::from_millis(50);

/// A response whose end is known, if it came at once.
pub(super) struct Peeked {
    pub(super) response: Response<Body>,
    /// How the call ended, if it did.
    pub(super) grpc: Option<GrpcCode>,
    /// Trailers that came before any message.
    pub(super) trailers: Option<HeaderMap>,
}

/// Waits a moment for the status of a call that sent a head without one. Anything that is not such a head is as it was.
///
/// # Errors
/// The response broke off before anything of it came.
pub(super) async fn peek(response: Response<Body>) -> Result<Peeked, Error> {
    let as_it_is = |response, grpc| Peeked {
        response,
        grpc,
        trailers: None,
    };
    if !is_grpc(response.headers()) || response.status() != StatusCode::OK {
        let grpc = GrpcCode::in_fields(response.headers());
        return Ok(as_it_is(response, grpc));
    }
    if let Some(code) = GrpcCode::in_fields(response.headers()) {
        return Ok(as_it_is(response, Some(code)));
    }
    if response.body().is_end_stream() {
        // Without a status, to its client it is UNKNOWN.
        return Ok(as_it_is(response, Some(GrpcCode::UNKNOWN)));
    }
    let (parts, mut body) = response.into_parts();
    let Ok(first) = timeout(PATIENCE, body.frame()).await else {
        return Ok(as_it_is(Response::from_parts(parts, body), None));
    };
    let first = match first {
        None => {
            let response = Response::from_parts(parts, Body::empty());
            return Ok(as_it_is(response, Some(GrpcCode::UNKNOWN)));
        }
        Some(Err(error)) => return Err(Error::wrap(error)),
        Some(Ok(first)) => first,
    };
    let trailers = first.trailers_ref().cloned();
    let grpc = trailers
        .as_ref()
        .map(|trailers| GrpcCode::in_fields(trailers).unwrap_or(GrpcCode::UNKNOWN));
    let body = Begun {
        first: Some(first),
        rest: body,
    };
    Ok(Peeked {
        response: Response::from_parts(parts, Body::boxed(Box::pin(body))),
        grpc,
        trailers,
    })
}

/// A body of which one frame was read.
struct Begun {
    first: Option<Frame<Bytes>>,
    rest: Body,
}

impl http_body::Body for Begun {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.first.take() {
            Some(first) => Poll::Ready(Some(Ok(first))),
            None => Pin::new(&mut self.rest).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let first = self
            .first
            .as_ref()
            .and_then(Frame::data_ref)
            .map_or(0, Bytes::len) as u64;
        let rest = self.rest.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(first));
        if let Some(upper) = rest.upper().and_then(|upper| upper.checked_add(first)) {
            hint.set_upper(upper);
        }
        hint
    }
}
