//! An answer that a rule gives by itself, prepared when the rule is made.

use std::fmt;

use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE,
};
use http::{HeaderMap, Response, StatusCode};
use mesh_core::reject::RejectBody;

/// An answer: status, header fields, body.
///
/// It is the operator's answer and not a failure of the mesh, so it carries no `x-mesh-error`.
///
/// ```
/// use mesh_traffic::router::Respond;
///
/// let gone = Respond::new(410)?.with_body("moved to /v2\n")?.with_header("cache-control", "no-store")?;
/// let response = gone.response::<mesh_core::body::Body>();
/// assert_eq!(response.status(), 410);
/// assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
/// # Ok::<(), mesh_traffic::router::RespondError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Respond {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

/// Why an answer cannot be given.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RespondError {
    /// The status is none a final response may have.
    Status(u16),
    /// A response of this status has no body.
    Body(StatusCode),
    /// The header's name is not one.
    HeaderName(Box<str>),
    /// The header's value has bytes that a value may not have.
    HeaderValue(HeaderName),
    /// The header belongs to the connection or to the body's framing; the mesh sets it.
    HeaderOfConnection(HeaderName),
}

impl fmt::Display for RespondError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(
                f,
                "a response cannot have the status {status}; expected 200 to 599"
            ),
            Self::Body(status) => {
                write!(
                    f,
                    "a response of status {} has no body; leave out the body",
                    status.as_u16()
                )
            }
            Self::HeaderName(name) => write!(f, "{name:?} is not a header name"),
            Self::HeaderValue(name) => {
                write!(f, "the value of header {name} has a byte that no value may have")
            }
            Self::HeaderOfConnection(name) => {
                write!(
                    f,
                    "header {name} belongs to the connection; leave it out, the mesh sets it where needed"
                )
            }
        }
    }
}

impl std::error::Error for RespondError {}

impl Respond {
    /// An answer of this status, 200 to 599, with nothing in it.
    pub fn new(status: u16) -> Result<Self, RespondError> {
        let valid = StatusCode::from_u16(status)
            .ok()
            .filter(|_| (200..600).contains(&status));
        let status = valid.ok_or(RespondError::Status(status))?;
        Ok(Self {
            status,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        })
    }

    /// The same with a body. It is `text/plain; charset=utf-8` unless a header says otherwise.
    pub fn with_body(mut self, body: impl Into<Bytes>) -> Result<Self, RespondError> {
        let body = body.into();
        let bodiless = [
            StatusCode::NO_CONTENT,
            StatusCode::RESET_CONTENT,
            StatusCode::NOT_MODIFIED,
        ];
        if !body.is_empty() && bodiless.contains(&self.status) {
            return Err(RespondError::Body(self.status));
        }
        self.body = body;
        if !self.body.is_empty() && !self.headers.contains_key(CONTENT_TYPE) {
            self.headers.insert(
                CONTENT_TYPE,
                HeaderValue::from_static("text/plain; charset=utf-8"),
            );
        }
        Ok(self)
    }

    /// The same with this header field, in place of any of its name.
    pub fn with_header(mut self, name: &str, value: &str) -> Result<Self, RespondError> {
        let name = HeaderName::try_from(name).map_err(|_| RespondError::HeaderName(name.into()))?;
        let of_connection = [
            CONNECTION,
            CONTENT_LENGTH,
            TE,
            TRAILER,
            TRANSFER_ENCODING,
            UPGRADE,
        ];
        if of_connection.contains(&name) || matches!(name.as_str(), "keep-alive" | "proxy-connection") {
            return Err(RespondError::HeaderOfConnection(name));
        }
        let value = HeaderValue::try_from(value).map_err(|_| RespondError::HeaderValue(name.clone()))?;
        self.headers.insert(name, value);
        Ok(self)
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The header fields.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The body.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The response, for a service whose own body is a `B`.
    pub fn response<B>(&self) -> Response<RejectBody<B>> {
        let mut response = Response::new(RejectBody::full(self.body.clone()));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers.clone();
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_http_does_not_know_is_refused() {
        for status in [0, 99, 100, 101, 199, 600, 1000] {
            assert_eq!(Respond::new(status), Err(RespondError::Status(status)));
        }
        let empty = Respond::new(204).expect("a status");
        assert_eq!(
            empty.clone().with_body("x"),
            Err(RespondError::Body(StatusCode::NO_CONTENT))
        );
        assert!(empty.with_body("").is_ok());
    }

    #[test]
    fn headers_that_would_break_the_framing_are_refused() {
        let answer = Respond::new(200).expect("a status");
        for name in [
            "Content-Length",
            "transfer-encoding",
            "Connection",
            "keep-alive",
            "upgrade",
        ] {
            let error = answer.clone().with_header(name, "1").expect_err(name);
            assert!(error.to_string().contains("belongs to the connection"), "{error}");
        }
        assert!(matches!(
            answer.clone().with_header("a b", "1"),
            Err(RespondError::HeaderName(_))
        ));
        assert!(matches!(
            answer.with_header("a", "x\r\nset-cookie: y"),
            Err(RespondError::HeaderValue(_))
        ));
    }

    #[test]
    fn the_type_of_a_body_is_the_given_one() {
        let json = |answer: Respond| answer.with_header("content-type", "application/json");
        let before = json(Respond::new(200).expect("a status")).and_then(|answer| answer.with_body("{}"));
        let after = Respond::new(200)
            .and_then(|answer| answer.with_body("{}"))
            .and_then(json);
        assert_eq!(before, after);
        assert_eq!(before.expect("valid").headers()[CONTENT_TYPE], "application/json");
    }
}
