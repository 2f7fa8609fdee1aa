//! Refusals of the API, as they cross the wire.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use mesh_core::body::Body;
use serde::{Deserialize, Serialize};

use crate::authority::{CaError, CaErrorKind};

/// A refusal: a problem document of RFC 9457, of which `code` is for programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    status: StatusCode,
    code: &'static str,
    detail: String,
    retry_after: Option<Duration>,
    allow: Option<&'static str>,
}

#[derive(Serialize)]
struct Written<'r> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: &'r str,
    code: &'static str,
}

/// As the client reads it. A later version may say more.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Read {
    detail: String,
    code: String,
}

/// What kinds are called on the wire. A kind without a row is the CA's own affair.
const KINDS: &[(CaErrorKind, &str, StatusCode)] = &[
    (
        CaErrorKind::InvalidRequest,
        "invalid_request",
        StatusCode::BAD_REQUEST,
    ),
    (CaErrorKind::Denied, "denied", StatusCode::UNAUTHORIZED),
    (CaErrorKind::Throttled, "throttled", StatusCode::TOO_MANY_REQUESTS),
    (CaErrorKind::Conflict, "conflict", StatusCode::CONFLICT),
    (
        CaErrorKind::IssuerExpiring,
        "issuer_expiring",
        StatusCode::SERVICE_UNAVAILABLE,
    ),
    (
        CaErrorKind::Unavailable,
        "unavailable",
        StatusCode::SERVICE_UNAVAILABLE,
    ),
    (CaErrorKind::Clock, "clock", StatusCode::SERVICE_UNAVAILABLE),
    (CaErrorKind::Storage, "storage", StatusCode::SERVICE_UNAVAILABLE),
];

impl Refusal {
    pub(super) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            retry_after: None,
            allow: None,
        }
    }

    /// What is told of an error of the CA. Its message goes to the log alone, except where it speaks of what the caller
    /// sent.
    pub(super) fn of(error: &CaError) -> Self {
        let row = KINDS.iter().find(|(kind, ..)| *kind == error.kind());
        let (code, status) = row.map_or(("internal", StatusCode::INTERNAL_SERVER_ERROR), |row| {
            (row.1, row.2)
        });
        let detail = match error.kind() {
            CaErrorKind::InvalidRequest => error.to_string(),
            CaErrorKind::Denied => {
                "the proof is not accepted; why stands in the log of the CA, whose operator can make a new join token".into()
            }
            CaErrorKind::Throttled => "too many ask for certificates: ask again later".into(),
            CaErrorKind::Conflict => "the same certificate is being renewed with another key".into(),
            CaErrorKind::IssuerExpiring => "the CA's own certificate ends too soon: it has to be rotated".into(),
            _ => "the CA cannot sign now; why stands in its log".into(),
        };
        let mut refusal = Self::new(status, code, detail);
        refusal.retry_after = error.retry_after();
        refusal
    }

    /// Denied to somebody who is known: another proof of the same kind would not help.
    pub(super) fn forbidden(mut self) -> Self {
        if self.status == StatusCode::UNAUTHORIZED {
            self.status = StatusCode::FORBIDDEN;
        }
        self
    }

    pub(super) fn throttled(wait: Duration) -> Self {
        Self::of(&CaError::new(CaErrorKind::Throttled, "").with_retry_after(wait))
    }

    pub(super) fn busy() -> Self {
        Self::of(
            &CaError::new(CaErrorKind::Unavailable, "")
                .with_retry_after(Duration::from_secs(fastrand::u64(1..=5))),
        )
    }

    pub(super) fn method(allow: &'static str) -> Self {
        let mut refusal = Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method",
            format!("expected the method {allow}"),
        );
        refusal.allow = Some(allow);
        refusal
    }

    pub(super) fn response(&self) -> Response<Body> {
        let written = Written {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Refused"),
            status: self.status.as_u16(),
            detail: &self.detail,
            code: self.code,
        };
        // Text is written without failing.
        let mut text = serde_json::to_vec(&written).unwrap_or_default();
        text.push(b'\n');
        let mut response = Response::new(Body::full(text));
        *response.status_mut() = self.status;
        let fields = response.headers_mut();
        fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(wait) = self.retry_after {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            fields.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            fields.insert(WWW_AUTHENTICATE, HeaderValue::from_static("MeshProof"));
        }
        if let Some(allow) = self.allow {
            fields.insert(ALLOW, HeaderValue::from_static(allow));
        }
        response
    }
}

/// The error that an answer tells, on the side that asked. What somebody else than the CA wrote is not believed to be
/// a refusal of it.
pub(super) fn error_of(status: StatusCode, retry_after: Option<&HeaderValue>, body: &Bytes) -> CaError {
    let read: Read = serde_json::from_slice(body).unwrap_or_default();
    let row = KINDS.iter().find(|(_, code, _)| *code == read.code);
    let kind = match row {
        Some((kind, ..)) => *kind,
        None if status == StatusCode::PAYLOAD_TOO_LARGE => CaErrorKind::InvalidRequest,
        None if status.is_server_error() => CaErrorKind::Unavailable,
        None => CaErrorKind::InvalidAnswer,
    };
    let detail: String = match read.detail.is_empty() {
        true => "without a reason".into(),
        false => read
            .detail
            .chars()
            .filter(|c| !c.is_control())
            .take(300)
            .collect(),
    };
    let error = CaError::new(kind, format!("the CA answered with {status}: {detail}"));
    let seconds = retry_after.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    match seconds {
        Some(seconds) => error.with_retry_after(Duration::from_secs(seconds.min(3600))),
        None => error,
    }
}
