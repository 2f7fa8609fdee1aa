//! One request, made anew for each try.

use http::{Extensions, HeaderName, HeaderValue, Method, Request, Uri, Version};
use mesh_core::MeshContext;
use mesh_core::body::Body;
use mesh_core::forwarded::{X_MESH_ATTEMPT, X_MESH_DEADLINE_MS};
use mesh_core::tried::TriedEndpoints;
use tokio::time::Instant;

use super::budget::RetryBudget;

/// A request extension: the request was counted in this budget.
#[derive(Clone)]
pub(crate) struct Counted(RetryBudget);

impl Counted {
    /// Counts a request, unless a layer with the same budget has done so.
    pub(crate) fn count<B>(request: &mut Request<B>, budget: &RetryBudget, now: Instant) {
        let counted = request.extensions().get::<Self>();
        if counted.is_some_and(|Self(counted)| counted.is_same_as(budget)) {
            return;
        }
        budget.on_request(now);
        request.extensions_mut().insert(Self(budget.clone()));
    }
}

/// What each try of a request has in common. A list costs less to copy than a map does, and few are ever made a request
/// again.
pub(crate) struct Tries {
    method: Method,
    uri: Uri,
    version: Version,
    fields: Vec<(HeaderName, HeaderValue)>,
    extensions: Extensions,
    tried: TriedEndpoints,
}

impl Tries {
    /// Of a request that is about to be tried for the first time.
    pub(crate) fn of<B>(request: &mut Request<B>) -> Self {
        // Before more is added, so that little is copied.
        let extensions = request.extensions().clone();
        // So that who picks an endpoint tells which, and avoids it the next time.
        let tried = request
            .extensions_mut()
            .get_or_insert_with(TriedEndpoints::default)
            .clone();
        let fields = request.headers().iter();
        Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            version: request.version(),
            fields: fields
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
            extensions,
            tried,
        }
    }

    /// The request once more, at this attempt: 1 for the second.
    pub(crate) fn request(&self, body: Body, attempt: u32, now: Instant) -> Request<Body> {
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.version_mut() = self.version;
        let headers = request.headers_mut();
        headers.reserve(self.fields.len() + 1);
        for (name, value) in &self.fields {
            headers.append(name.clone(), value.clone());
        }
        headers.insert(X_MESH_ATTEMPT, HeaderValue::from(attempt));
        *request.extensions_mut() = self.extensions.clone();
        request.extensions_mut().insert(self.tried.clone());
        let context = context(&mut request, now);
        context.attempt = attempt;
        if let Some(deadline) = context.deadline
            && request.headers().contains_key(X_MESH_DEADLINE_MS)
        {
            let left = deadline.saturating_duration_since(now).as_millis();
            let left = HeaderValue::from(u32::try_from(left).unwrap_or(u32::MAX));
            request.headers_mut().insert(X_MESH_DEADLINE_MS, left);
        }
        request
    }
}

/// The context of a request, made if there is none.
pub(crate) fn context<B>(request: &mut Request<B>, now: Instant) -> &mut MeshContext {
    request
        .extensions_mut()
        .get_or_insert_with(|| MeshContext::new(now))
}
