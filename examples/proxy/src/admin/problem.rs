//! What is wrong with a call, as a problem document (RFC 9457).

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, StatusCode, Uri};
use mesh_tls::{CaError, CaErrorKind};
use serde::Serialize;
use utoipa::ToSchema;

/// Why a call was not done. Sent as `application/problem+json`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Problem {
    /// Always `about:blank`: the status says what kind of problem it is.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The status in words.
    title: &'static str,
    /// The status.
    status: u16,
    /// What happened, and what to do.
    detail: String,
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Refused"),
            status: status.as_u16(),
            detail: detail.into(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self)).into_response();
        let problem = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(CONTENT_TYPE, problem);
        response
    }
}

impl From<CaError> for Problem {
    fn from(error: CaError) -> Self {
        let status = match error.kind() {
            CaErrorKind::InvalidRequest => StatusCode::BAD_REQUEST,
            CaErrorKind::Denied => StatusCode::FORBIDDEN,
            CaErrorKind::UnknownCertificate => StatusCode::NOT_FOUND,
            CaErrorKind::WrongState | CaErrorKind::Conflict | CaErrorKind::IssuerExpiring => {
                StatusCode::CONFLICT
            }
            CaErrorKind::Throttled => StatusCode::TOO_MANY_REQUESTS,
            CaErrorKind::Unavailable | CaErrorKind::Clock | CaErrorKind::Storage => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            CaErrorKind::Unsupported => StatusCode::NOT_IMPLEMENTED,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.to_string())
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text())
    }
}

pub(super) async fn no_such_call(uri: Uri) -> Problem {
    let detail = format!(
        "there is no {}: /api/v1/openapi.json lists what there is",
        uri.path()
    );
    Problem::new(StatusCode::NOT_FOUND, detail)
}

pub(super) async fn no_such_method(method: Method, uri: Uri) -> Problem {
    let detail = format!(
        "{} does not take {method}: /api/v1/openapi.json says what it takes",
        uri.path()
    );
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail)
}
