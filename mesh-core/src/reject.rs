//! The one place that makes refusals: a status, `x-mesh-error`, and a problem document (RFC 9457); for gRPC
//! a trailers-only response.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{HeaderMap, Method, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};

use crate::error::{Error, ErrorKind};
use crate::forwarded::X_MESH_ATTEMPT;

/// The header that marks a response the mesh made itself, with the [code](ErrorKind::code).
pub const X_MESH_ERROR: HeaderName = HeaderName::from_static("x-mesh-error");

const GRPC: &str = "application/grpc";

/// Whether these request fields are a gRPC call's: the media type is `application/grpc`, or one with a suffix as
/// `application/grpc+proto`. gRPC-Web is not: it is answered in HTTP.
pub fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| {
        let (kind, rest) = value.as_bytes().split_at_checked(GRPC.len()).unwrap_or_default();
        kind.eq_ignore_ascii_case(GRPC.as_bytes())
            && matches!(rest.first(), None | Some(b'+' | b';' | b' ' | b'\t'))
    })
}

/// The same of a request whose method is known: calls are POST, and most requests are not.
pub fn is_grpc_call(method: &Method, headers: &HeaderMap) -> bool {
    *method == Method::POST && is_grpc(headers)
}

/// The refusal of a request. `grpc` says in which of the two languages ([`is_grpc`]).
///
/// The response's extensions hold the [`ErrorKind`], so that layers outside count it by its reason. If it was tried
/// several times, the field [`x-mesh-attempt`](X_MESH_ATTEMPT) says how often.
///
/// ```
/// use mesh_core::{Error, ErrorKind};
/// use mesh_core::body::Body;
/// use mesh_core::reject::reject;
///
/// let error = Error::new(ErrorKind::NoRoute, "no rule and no service matches host \"x\"");
/// let http = reject::<Body>(&error, false);
/// assert_eq!(http.status(), 404);
/// assert_eq!(http.headers()["x-mesh-error"], "no_route");
///
/// let grpc = reject::<Body>(&error, true);
/// assert_eq!(grpc.status(), 200);
/// assert_eq!(grpc.headers()["grpc-status"], "12");
/// ```
pub fn reject<B>(error: &Error, grpc: bool) -> Response<RejectBody<B>> {
    let kind = error.kind();
    let mut response = if grpc { grpc_refusal(error) } else { problem(error) };
    response
        .headers_mut()
        .insert(X_MESH_ERROR, HeaderValue::from_static(kind.code()));
    if let Some(attempts) = error.attempts() {
        response
            .headers_mut()
            .insert(X_MESH_ATTEMPT, HeaderValue::from(attempts));
    }
    response.extensions_mut().insert(kind);
    response
}

fn problem<B>(error: &Error) -> Response<RejectBody<B>> {
    let status = error.http_status();
    let mut text = String::with_capacity(160 + error.message().len());
    text.push_str("{\"type\":\"about:blank\",\"title\":");
    json_string(&mut text, status.canonical_reason().unwrap_or("Refused"));
    text.push_str(",\"status\":");
    text.push_str(status.as_str());
    text.push_str(",\"detail\":");
    json_string(&mut text, error.message());
    text.push_str(",\"code\":");
    json_string(&mut text, error.kind().code());
    text.push_str("}\n");
    let mut response = Response::new(RejectBody::full(Bytes::from(text)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if let Some(after) = error.retry_after() {
        let seconds = after
            .as_secs()
            .saturating_add(u64::from(after.subsec_nanos() > 0));
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
    response
}

fn grpc_refusal<B>(error: &Error) -> Response<RejectBody<B>> {
    let mut response = Response::new(RejectBody::full(Bytes::new()));
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(GRPC));
    headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    headers.insert(
        "grpc-status",
        HeaderValue::from(u16::from(error.grpc_code().number())),
    );
    // grpc-message is percent-encoded, space to '~' except '%' stand for themselves.
    let mut message = String::with_capacity(error.message().len());
    for byte in error.message().bytes() {
        if (b' '..=b'~').contains(&byte) && byte != b'%' {
            message.push(char::from(byte));
        } else {
            message.push_str(&format!("%{byte:02X}"));
        }
    }
    if let Ok(value) = HeaderValue::try_from(message) {
        headers.insert("grpc-message", value);
    }
    response
}

fn json_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// The kind of refusal a response is, if the mesh made it.
pub fn refusal_of<B>(response: &Response<B>) -> Option<ErrorKind> {
    response.extensions().get::<ErrorKind>().copied()
}

pin_project_lite::pin_project! {
    /// The inner body, or the bytes of a refusal. Works for any inner body.
    pub struct RejectBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project_lite::pin_project! {
    #[project = KindProj]
    enum Kind<B> {
        Inner { #[pin] body: B },
        Refusal { bytes: Bytes },
    }
}

impl<B> RejectBody<B> {
    /// The body of a response that passed.
    pub fn inner(body: B) -> Self {
        Self {
            kind: Kind::Inner { body },
        }
    }

    /// The body of an answer the mesh gives by itself.
    pub fn full(bytes: Bytes) -> Self {
        Self {
            kind: Kind::Refusal { bytes },
        }
    }
}

impl<B: Default> Default for RejectBody<B> {
    fn default() -> Self {
        Self::inner(B::default())
    }
}

impl<B: Body<Data = Bytes>> Body for RejectBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().kind.project() {
            KindProj::Inner { body } => body.poll_frame(cx),
            KindProj::Refusal { bytes } if bytes.is_empty() => Poll::Ready(None),
            KindProj::Refusal { bytes } => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Inner { body } => body.is_end_stream(),
            Kind::Refusal { bytes } => bytes.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Inner { body } => body.size_hint(),
            Kind::Refusal { bytes } => SizeHint::with_exact(bytes.len() as u64),
        }
    }
}

#[cfg(test)]
mod tests;
