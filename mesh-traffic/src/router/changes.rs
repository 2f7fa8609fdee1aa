//! What a rule changes of a request on its way, and of the response to it.

use http::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery};

use super::header_edits::HeaderEdits;
use super::host::HostName;
use super::path_change::{PathChange, PathEdit};

const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// What of a request is changed before it is sent on.
///
/// ```
/// use mesh_traffic::router::{PathChange, Rewrite};
///
/// let rewrite = Rewrite::new().with_path(PathChange::prefix("/v2")?).with_host("orders.internal".parse()?);
/// assert_eq!(rewrite.host().map(|host| host.as_str()), Some("orders.internal"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewrite {
    path: Option<PathChange>,
    host: Option<HostName>,
}

impl Rewrite {
    /// No change.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, with this change of the path.
    #[must_use]
    pub fn with_path(mut self, path: PathChange) -> Self {
        self.path = Some(path);
        self
    }

    /// The same, with this host in place of the request's. The one it had is told in `x-forwarded-host`,
    /// unless somebody in front did already.
    #[must_use]
    pub fn with_host(mut self, host: HostName) -> Self {
        self.host = Some(host);
        self
    }

    /// What becomes of the path.
    pub fn path(&self) -> Option<&PathChange> {
        self.path.as_ref()
    }

    /// What becomes of the host.
    pub fn host(&self) -> Option<&HostName> {
        self.host.as_ref()
    }
}

/// What is changed of a request that is forwarded and of the response to it, compiled for one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    path: Option<PathEdit>,
    host: Option<(HeaderValue, Option<Authority>)>,
    request: HeaderEdits,
    response: HeaderEdits,
}

impl Changes {
    /// Nothing if nothing is changed. `matched` is what the rule's condition on the path names.
    pub(crate) fn compile(
        rewrite: &Rewrite,
        matched: Option<&str>,
        request: &HeaderEdits,
        response: &HeaderEdits,
    ) -> Option<Self> {
        let host = rewrite.host.as_ref().and_then(|host| {
            let value = HeaderValue::from_str(host.as_str()).ok()?;
            Some((value, host.as_str().parse().ok()))
        });
        let changes = Self {
            path: rewrite.path.as_ref().map(|path| path.compile(matched)),
            host,
            request: request.clone(),
            response: response.clone(),
        };
        let some = changes.path.is_some()
            || changes.host.is_some()
            || !changes.request.is_empty()
            || !changes.response.is_empty();
        some.then_some(changes)
    }

    /// Whether anything of the request is changed.
    pub fn touch_request(&self) -> bool {
        self.path.is_some() || self.host.is_some() || !self.request.is_empty()
    }

    /// Changes a request that the rule matched: path, host, header fields.
    pub fn apply_to_request(&self, parts: &mut Parts) {
        if let Some(path) = &self.path {
            let changed = path.apply(parts.uri.path(), parts.uri.query());
            // A canonical path with a query that was in a URL before.
            if let Ok(path_and_query) = PathAndQuery::try_from(changed) {
                replace(parts, |uri| uri.path_and_query = Some(path_and_query));
            }
        }
        if let Some((host, authority)) = &self.host {
            let before = match parts.uri.authority() {
                Some(authority) => HeaderValue::from_str(authority.as_str()).ok(),
                None => parts.headers.get(HOST).cloned(),
            };
            if let Some(before) = before.filter(|_| !parts.headers.contains_key(X_FORWARDED_HOST)) {
                parts.headers.insert(X_FORWARDED_HOST, before);
            }
            parts.headers.insert(HOST, host.clone());
            if parts.uri.authority().is_some() {
                replace(parts, |uri| uri.authority.clone_from(authority));
            }
        }
        self.request.apply(&mut parts.headers);
    }

    /// Changes the header fields of the response.
    pub fn apply_to_response(&self, headers: &mut HeaderMap) {
        self.response.apply(headers);
    }

    /// The path and the query this path and query become.
    pub fn path(&self, path: &str, query: Option<&str>) -> Option<String> {
        self.path.as_ref().map(|edit| edit.apply(path, query))
    }

    /// The host that takes the place of the request's.
    pub fn host(&self) -> Option<&HeaderValue> {
        self.host.as_ref().map(|(value, _)| value)
    }

    /// The changes of the request's header fields.
    pub fn request_headers(&self) -> &HeaderEdits {
        &self.request
    }

    /// The changes of the response's header fields.
    pub fn response_headers(&self) -> &HeaderEdits {
        &self.response
    }
}

fn replace(parts: &mut Parts, change: impl FnOnce(&mut http::uri::Parts)) {
    let mut uri = std::mem::take(&mut parts.uri).into_parts();
    change(&mut uri);
    // What was whole before and had a part exchanged for one of its kind is whole.
    if let Ok(uri) = http::Uri::from_parts(uri) {
        parts.uri = uri;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(rewrite: &Rewrite, target: &str, host: &str) -> Parts {
        let none = HeaderEdits::new();
        let changes = Changes::compile(rewrite, Some("/v1"), &none, &none).expect("something changes");
        let request = http::Request::get(target).header("host", host).body(());
        let mut parts = request.expect("valid").into_parts().0;
        changes.apply_to_request(&mut parts);
        parts
    }

    #[test]
    fn path_and_host_are_changed_in_both_forms_of_a_target() {
        let rewrite = Rewrite::new()
            .with_path(PathChange::prefix("/v2").expect("a path"))
            .with_host("new.example".parse().expect("a host"));
        let parts = changed(&rewrite, "/v1/x?q=1", "old.example:80");
        assert_eq!(parts.uri, "/v2/x?q=1");
        assert_eq!(parts.headers["host"], "new.example");
        assert_eq!(parts.headers["x-forwarded-host"], "old.example:80");

        let parts = changed(&rewrite, "http://old.example/v1", "ignored");
        assert_eq!(parts.uri, "http://new.example/v2");
        assert_eq!(parts.headers["x-forwarded-host"], "old.example");
    }

    #[test]
    fn nothing_to_change_is_nothing() {
        let none = HeaderEdits::new();
        assert_eq!(Changes::compile(&Rewrite::new(), None, &none, &none), None);
    }
}
