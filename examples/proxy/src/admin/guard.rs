//! Who may ask.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, WWW_AUTHENTICATE};
use http::request::Parts;
use http::uri::Authority;
use http::{Method, StatusCode, Uri};
use mesh_core::{MeshContext, SpiffeId};
use mesh_tls::ClientCerts;
use tokio::io::AsyncReadExt;

use super::live;
use super::problem::Problem;
use crate::config;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The longest token.
const MAX_TOKEN: u64 = 4096;

/// Who may ask: who proves one of these identities, or shows the token. Where neither is written, whoever is on this
/// machine, but no page that a browser on it happens to show.
#[derive(Debug, Default)]
pub(super) struct Guard {
    allow: Vec<SpiffeId>,
    token_file: Option<PathBuf>,
}

impl Guard {
    pub(super) fn new(admin: &config::Admin) -> Self {
        Self {
            allow: admin.allow.clone(),
            token_file: admin.token_file.clone(),
        }
    }

    /// Whether a client has to show a certificate: who shows the token has none.
    pub(super) fn client_certs(&self) -> ClientCerts {
        match self.token_file {
            None => ClientCerts::Required,
            Some(_) => ClientCerts::Optional,
        }
    }

    async fn check(&self, request: &Parts) -> Result<(), Problem> {
        let headers = &request.headers;
        refuse_pages(&request.method, &request.uri, headers)?;
        if self.allow.is_empty() && self.token_file.is_none() {
            return refuse_names(&request.uri, headers);
        }
        let context = request.extensions.get::<MeshContext>();
        let identity = context.and_then(|context| context.peer.as_ref()?.identity.clone());
        if identity.as_ref().is_some_and(|id| self.allow.contains(id)) {
            return Ok(());
        }
        let Some(path) = &self.token_file else {
            let who = identity.map_or_else(|| "nobody".to_owned(), |id| id.to_string());
            let detail = format!("{who} may not ask here: serviceMesh.admin.allow names who may");
            return Err(Problem::new(StatusCode::FORBIDDEN, detail));
        };
        let shown = bearer(headers).ok_or_else(|| {
            Problem::new(
                StatusCode::UNAUTHORIZED,
                "a token is needed: authorization: Bearer <the content of admin.tokenFile>",
            )
        })?;
        // Read anew: a token that was replaced counts from then on.
        let token = token(path).await.map_err(|why| {
            tracing::error!("nobody is let in to the admin API: {}: {why}", path.display());
            Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "the token cannot be read; the log says why",
            )
        })?;
        match aws_lc_rs::constant_time::verify_slices_are_equal(shown, &token) {
            Ok(()) => Ok(()),
            Err(_) => Err(Problem::new(StatusCode::UNAUTHORIZED, "it is another token")),
        }
    }
}

/// Lets a call through, or answers it.
pub(super) async fn admit(
    State(guard): State<Arc<ArcSwap<Guard>>>,
    request: Request,
    next: Next,
) -> Response {
    let guard = guard.load_full();
    let (parts, body) = request.into_parts();
    match guard.check(&parts).await {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(problem) => {
            let mut response = problem.into_response();
            if response.status() == StatusCode::UNAUTHORIZED {
                let scheme = HeaderValue::from_static("Bearer");
                response.headers_mut().insert(WWW_AUTHENTICATE, scheme);
            }
            response
        }
    }
}

/// A page of another origin may not have things done, nor take a reader's place in a stream, of which there are few: a browser
/// says where the page is from.
fn refuse_pages(method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    if method.is_safe() && !is_stream(uri.path()) {
        return Ok(());
    }
    let elsewhere = || Problem::new(StatusCode::FORBIDDEN, "a page of another origin may not do this");
    // What a page embeds, as an image, comes without an origin. `none`: somebody typed it.
    let site = headers.get(SEC_FETCH_SITE).map(HeaderValue::as_bytes);
    if !matches!(site, None | Some(b"same-origin" | b"none")) {
        return Err(elsewhere());
    }
    let Some(origin) = headers.get(ORIGIN) else {
        return Ok(());
    };
    let asked = asked_host(uri, headers);
    let from = origin.to_str().ok().and_then(|origin| origin.parse::<Uri>().ok());
    let from = from.as_ref().and_then(Uri::authority);
    match (from, asked) {
        (Some(from), Some(asked)) if *from == asked => Ok(()),
        _ => Err(elsewhere()),
    }
}

fn is_stream(path: &str) -> bool {
    [live::EVENTS, live::TAP].contains(&path)
}

/// A name may be made to lead to this machine by whoever owns it, so that a page of theirs counts as one of here.
fn refuse_names(uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let asked = asked_host(uri, headers);
    let is_of_here = asked.is_some_and(|asked| {
        let host = asked.host().trim_start_matches('[').trim_end_matches(']');
        host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    });
    if is_of_here {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::FORBIDDEN,
        "asked for by another name than localhost or a loopback address: expected one of these, or serviceMesh.admin with a \
         tokenFile",
    ))
}

fn asked_host(uri: &Uri, headers: &HeaderMap) -> Option<Authority> {
    match uri.authority() {
        Some(authority) => Some(authority.clone()),
        None => headers.get(HOST)?.to_str().ok()?.parse().ok(),
    }
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let shown = headers.get(AUTHORIZATION)?.as_bytes();
    let (scheme, token) = shown.split_at_checked(7)?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then_some(token.trim_ascii())
}

async fn token(path: &Path) -> Result<Vec<u8>, String> {
    let failed = |error: std::io::Error| error.to_string();
    // A pipe would be waited for, and a device never ends.
    if !tokio::fs::metadata(path).await.map_err(failed)?.is_file() {
        return Err("it is no file".into());
    }
    let file = tokio::fs::File::open(path).await.map_err(failed)?;
    let mut content = Vec::new();
    let read = file.take(MAX_TOKEN + 1).read_to_end(&mut content).await;
    if read.map_err(failed)? as u64 > MAX_TOKEN {
        return Err(format!("it has more than {MAX_TOKEN} bytes"));
    }
    match content.trim_ascii() {
        [] => Err("it is empty: expected a token".into()),
        token => Ok(token.to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use mesh_core::PeerInfo;
    use tokio::time::Instant;

    use super::*;

    const ORDERS: &str = "spiffe://cluster.local/ns/dept-barc/sa/orders";

    fn asked(method: &str, fields: &[(&str, &str)]) -> Request {
        let request = http::Request::builder()
            .method(method)
            .uri("/api/v1/certificates");
        let request = fields
            .iter()
            .fold(request, |request, (name, value)| request.header(*name, *value));
        request.body(Body::empty()).expect("a request")
    }

    fn proven(id: &str) -> Request {
        let mut request = asked("GET", &[("host", "10.0.0.7:9091")]);
        let mut context = MeshContext::new(Instant::now());
        let address = "127.0.0.1:5".parse().expect("an address");
        context.peer = Some(Arc::new(PeerInfo::mtls(
            address,
            id.parse().expect("an ID"),
            "ab",
            "01",
        )));
        request.extensions_mut().insert(context);
        request
    }

    async fn status(guard: &Guard, request: Request) -> u16 {
        match guard.check(&request.into_parts().0).await {
            Ok(()) => 200,
            Err(problem) => problem.into_response().status().as_u16(),
        }
    }

    #[tokio::test]
    async fn without_a_token_only_this_machine_may_ask_and_by_no_name_that_others_own() {
        let guard = Guard::default();
        for host in [
            "localhost",
            "localhost:9091",
            "127.0.0.1:9091",
            "[::1]:9091",
            "LOCALHOST",
        ] {
            assert_eq!(
                status(&guard, asked("GET", &[("host", host)])).await,
                200,
                "{host}"
            );
        }
        for host in [
            "rebound.example.org",
            "10.0.0.7:9091",
            "localhost.example.org",
            "",
        ] {
            assert_eq!(
                status(&guard, asked("GET", &[("host", host)])).await,
                403,
                "{host}"
            );
        }
        assert_eq!(status(&guard, asked("GET", &[])).await, 403, "without a host");
    }

    #[tokio::test]
    async fn a_page_of_another_origin_may_not_have_things_done() {
        let guard = Guard::default();
        let from = |origin| asked("POST", &[("host", "localhost:9091"), ("origin", origin)]);
        assert_eq!(status(&guard, from("http://localhost:9091")).await, 200);
        for origin in [
            "http://localhost:8000",
            "https://shop.example.org",
            "null",
            "\u{fc}",
        ] {
            assert_eq!(status(&guard, from(origin)).await, 403, "{origin}");
        }
    }

    #[tokio::test]
    async fn a_page_of_another_origin_takes_no_place_in_a_stream() {
        let guard = Guard::default();
        let from = |path: &'static str, field, value| {
            let mut request = asked("GET", &[("host", "localhost:9091"), (field, value)]);
            *request.uri_mut() = Uri::from_static(path);
            request
        };
        for stream in ["/api/v1/events", "/api/v1/tap?status=5xx"] {
            for (field, value) in [
                ("origin", "https://shop.example.org"),
                ("sec-fetch-site", "cross-site"),
                ("sec-fetch-site", "same-site"),
            ] {
                assert_eq!(status(&guard, from(stream, field, value)).await, 403, "{value}");
            }
            for (field, value) in [
                ("origin", "http://localhost:9091"),
                ("sec-fetch-site", "same-origin"),
                ("sec-fetch-site", "none"),
            ] {
                assert_eq!(status(&guard, from(stream, field, value)).await, 200, "{value}");
            }
        }
        let linked = from("/", "sec-fetch-site", "cross-site");
        assert_eq!(
            status(&guard, linked).await,
            200,
            "the dashboard may be linked to"
        );
    }

    #[tokio::test]
    async fn who_proves_an_identity_that_is_allowed_is_let_in_and_nobody_else() {
        let guard = Guard {
            allow: vec![ORDERS.parse().expect("an ID")],
            token_file: None,
        };
        assert_eq!(status(&guard, proven(ORDERS)).await, 200);
        assert_eq!(
            status(&guard, proven("spiffe://cluster.local/ns/dept-barc/sa/billing")).await,
            403
        );
        assert_eq!(status(&guard, asked("GET", &[("host", "localhost")])).await, 403);
    }

    #[tokio::test]
    async fn the_token_is_read_anew_and_has_to_be_the_whole_one() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("token");
        let guard = Guard {
            allow: Vec::new(),
            token_file: Some(path.clone()),
        };
        let with = |token: &str| asked("GET", &[("host", "10.0.0.7"), ("authorization", token)]);
        assert_eq!(
            status(&guard, with("Bearer first")).await,
            503,
            "there is no file"
        );
        std::fs::write(&path, "first\n").expect("written");
        assert_eq!(status(&guard, with("Bearer first")).await, 200);
        assert_eq!(status(&guard, with("bearer first")).await, 200);
        for wrong in ["Bearer firs", "Bearer first2", "Bearer ", "Basic first", "first"] {
            assert_eq!(status(&guard, with(wrong)).await, 401, "{wrong}");
        }
        assert_eq!(status(&guard, asked("GET", &[("host", "10.0.0.7")])).await, 401);
        std::fs::write(&path, "second").expect("written");
        assert_eq!(status(&guard, with("Bearer first")).await, 401);
        assert_eq!(status(&guard, with("Bearer second")).await, 200);
        std::fs::write(&path, " \n").expect("written");
        assert_eq!(
            status(&guard, with("Bearer ")).await,
            503,
            "an empty token is none"
        );
    }
}
