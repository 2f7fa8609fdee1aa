//! A rule that sends the client elsewhere.

use std::fmt;

use http::header::{HeaderValue, LOCATION};
use http::uri::Scheme;
use http::{Response, StatusCode};
use mesh_core::RequestHead;
use mesh_core::reject::RejectBody;

use super::host::{HostName, written_host};
use super::path_change::{PathChange, PathEdit};

/// Where a client is sent. What is not said stays as in the request: scheme, host, port, path; the query always
/// does. A port that its scheme implies is left out.
///
/// ```
/// use http::uri::Scheme;
/// use mesh_traffic::router::Redirect;
///
/// let secure = Redirect::new(308)?.with_scheme(Scheme::HTTPS);
/// assert_eq!(secure.status(), 308);
/// assert!(Redirect::new(304).is_err(), "that is no redirect");
/// # Ok::<(), mesh_traffic::router::RedirectError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    status: StatusCode,
    scheme: Option<Scheme>,
    host: Option<HostName>,
    port: Option<u16>,
    path: Option<PathChange>,
    edit: Option<PathEdit>,
}

/// The status is none a redirect has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RedirectError(u16);

impl fmt::Display for RedirectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a redirect cannot have the status {}; expected 301, 302, 303, 307 or 308",
            self.0
        )
    }
}

impl std::error::Error for RedirectError {}

impl Redirect {
    /// A redirect of this status that leads to the request's own URL.
    ///
    /// # Errors
    /// It is none of 301, 302, 303, 307 and 308.
    pub fn new(status: u16) -> Result<Self, RedirectError> {
        match (StatusCode::from_u16(status), status) {
            (Ok(status), 301 | 302 | 303 | 307 | 308) => Ok(Self {
                status,
                scheme: None,
                host: None,
                port: None,
                path: None,
                edit: None,
            }),
            _ => Err(RedirectError(status)),
        }
    }

    /// The same, to this scheme, at its usual port unless one is given.
    #[must_use]
    pub fn with_scheme(mut self, scheme: Scheme) -> Self {
        self.scheme = Some(scheme);
        self
    }

    /// The same, to this host.
    #[must_use]
    pub fn with_host(mut self, host: HostName) -> Self {
        self.host = Some(host);
        self
    }

    /// The same, to this port.
    #[must_use]
    pub fn with_port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// The same, to this path.
    #[must_use]
    pub fn with_path(mut self, path: PathChange) -> Self {
        self.edit = path.is_whole().then(|| path.compile(None));
        self.path = Some(path);
        self
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// What becomes of the path.
    pub fn path(&self) -> Option<&PathChange> {
        self.path.as_ref()
    }

    /// Fits it to a rule whose condition on the path names `matched`.
    pub(crate) fn compile(&self, matched: Option<&str>) -> Self {
        Self {
            edit: self.path.as_ref().map(|path| path.compile(matched)),
            ..self.clone()
        }
    }

    /// Where this request is sent. `scheme` is the one it came by.
    pub fn location(&self, head: &RequestHead<'_>, scheme: &Scheme) -> String {
        let (own_host, own_port) = authority_of(head);
        let scheme = self.scheme.as_ref().unwrap_or(scheme);
        let host = self.host.as_ref().map_or(own_host, HostName::as_str);
        let kept = own_port.filter(|_| self.scheme.is_none());
        let port = self
            .port
            .or(kept)
            .filter(|port| Some(*port) != usual_port(scheme));
        let path = match &self.edit {
            Some(edit) => edit.apply(head.path(), head.query()),
            None => head
                .uri
                .path_and_query()
                .map_or("/", |path| path.as_str())
                .to_owned(),
        };
        match (host, port) {
            // Without any host the client's own is meant.
            ("", _) => path,
            (host, Some(port)) => format!("{scheme}://{host}:{port}{path}"),
            (host, None) => format!("{scheme}://{host}{path}"),
        }
    }

    /// The response, for a service whose own body is a `B`.
    pub fn response<B>(&self, head: &RequestHead<'_>, scheme: &Scheme) -> Response<RejectBody<B>> {
        let mut response = Response::new(RejectBody::full(bytes::Bytes::new()));
        *response.status_mut() = self.status;
        // All parts of it were in a URL or a header before.
        if let Ok(location) = HeaderValue::try_from(self.location(head, scheme)) {
            response.headers_mut().insert(LOCATION, location);
        }
        response
    }
}

fn usual_port(scheme: &Scheme) -> Option<u16> {
    match scheme.as_str() {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

/// The host and the port a request was sent to.
fn authority_of<'r>(head: &RequestHead<'r>) -> (&'r str, Option<u16>) {
    let written = written_host(head).unwrap_or_default();
    let written = written.rsplit_once('@').map_or(written, |(_, host)| host);
    match written.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()),
        _ => (written, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(redirect: &Redirect, host: &str, target: &str) -> String {
        let request = http::Request::get(target).header("host", host).body(());
        redirect.location(&RequestHead::of(&request.expect("valid")), &Scheme::HTTP)
    }

    #[test]
    fn what_is_not_said_stays() {
        let other: HostName = "other.example".parse().expect("a host");
        let redirect = Redirect::new(302).expect("a status");
        let path = |path: &str| PathChange::whole(path).expect("a path");
        for (redirect, expected) in [
            (
                redirect.clone().with_host(other.clone()),
                "http://other.example:8080/a?b=c",
            ),
            (
                redirect.clone().with_scheme(Scheme::HTTPS),
                "https://here.example/a?b=c",
            ),
            (
                redirect.clone().with_scheme(Scheme::HTTPS).with_port(8443),
                "https://here.example:8443/a?b=c",
            ),
            (
                redirect.clone().with_scheme(Scheme::HTTP).with_port(80),
                "http://here.example/a?b=c",
            ),
            (redirect.clone().with_port(80), "http://here.example/a?b=c"),
            (
                redirect.clone().with_path(path("/x")),
                "http://here.example:8080/x?b=c",
            ),
        ] {
            assert_eq!(location(&redirect, "here.example:8080", "/a?b=c"), expected);
        }
    }

    #[test]
    fn a_prefix_is_replaced_and_an_ipv6_host_kept() {
        let prefix = PathChange::prefix("/v2").expect("a path");
        let redirect = Redirect::new(301)
            .expect("a status")
            .with_path(prefix)
            .compile(Some("/v1"));
        assert_eq!(location(&redirect, "[::1]:80", "/v1/x"), "http://[::1]/v2/x");
        assert_eq!(location(&redirect, "[::1]", "/v1"), "http://[::1]/v2");
    }

    #[test]
    fn only_what_a_client_follows_is_a_redirect() {
        for status in [200, 300, 304, 305, 306, 399, 404] {
            assert_eq!(Redirect::new(status), Err(RedirectError(status)));
        }
    }

    #[test]
    fn without_a_host_the_path_is_told() {
        let request = http::Request::get("/a").body(()).expect("valid");
        let redirect = Redirect::new(307).expect("a status").with_scheme(Scheme::HTTPS);
        assert_eq!(redirect.location(&RequestHead::of(&request), &Scheme::HTTP), "/a");
        let response = redirect.response::<mesh_core::body::Body>(&RequestHead::of(&request), &Scheme::HTTP);
        assert_eq!(
            (response.status().as_u16(), &response.headers()["location"]),
            (307, &HeaderValue::from_static("/a"))
        );
    }
}
