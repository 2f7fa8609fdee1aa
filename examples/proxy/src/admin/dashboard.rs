//! The dashboard: one page that shows what the API says, once a second. It holds nothing of its own, loads nothing from
//! elsewhere, and puts what the API says into the page as text only.

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::get;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};

use super::Shared;

const PAGE: &str = include_str!("dashboard/page.html");
const SCRIPT: &str = include_str!("dashboard/page.js");
const STYLE: &str = include_str!("dashboard/page.css");

/// Its own script and style, the API beside it, and nothing else; in no frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(super) fn routes() -> Router<Shared> {
    let served = |kind: &'static str, text: &'static str| get(move || std::future::ready(file(kind, text)));
    Router::new()
        .route("/", served("text/html; charset=utf-8", PAGE))
        .route("/dashboard.js", served("text/javascript; charset=utf-8", SCRIPT))
        .route("/dashboard.css", served("text/css; charset=utf-8", STYLE))
}

fn file(kind: &'static str, text: &'static str) -> impl IntoResponse {
    let fields = [
        (CONTENT_TYPE, kind),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        // The next version of the proxy has another page.
        (CACHE_CONTROL, "no-cache"),
    ];
    (fields, text)
}
