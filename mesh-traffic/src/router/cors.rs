//! Which pages of other origins a browser lets read what a rule's requests answer (the CORS protocol of the Fetch
//! standard, as the Gateway API's filter has it).

mod origin;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderName, HeaderValue,
    ORIGIN, VARY,
};
use http::{Method, Response, StatusCode};
use mesh_core::RequestHead;
use mesh_core::reject::RejectBody;

use origin::Origins;

const ANY: HeaderValue = HeaderValue::from_static("*");
const VARY_ACTUAL: HeaderValue = HeaderValue::from_static("Origin");
const VARY_PREFLIGHT: HeaderValue =
    HeaderValue::from_static("Origin, Access-Control-Request-Method, Access-Control-Request-Headers");

/// What pages of which origins may do. The mesh answers their preflight requests, and what it says takes the place
/// of what the service says about it.
///
/// Without more than origins, pages may send the methods and header fields that need no leave, and are asked again
/// after 5 s, the Gateway API's default.
///
/// ```
/// use http::Request;
/// use mesh_core::RequestHead;
/// use mesh_core::body::Body;
/// use mesh_traffic::router::Cors;
///
/// let cors = Cors::new(["https://*.example.com"])?.with_methods(["PUT"])?;
/// let preflight = Request::options("/orders/7")
///     .header("origin", "https://shop.example.com")
///     .header("access-control-request-method", "PUT")
///     .body(())?;
/// let answer = cors.preflight::<Body>(&RequestHead::of(&preflight));
/// assert_eq!(answer.headers()["access-control-allow-origin"], "https://shop.example.com");
/// assert_eq!(answer.headers()["access-control-allow-methods"], "PUT");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cors {
    origins: Origins,
    methods: Names,
    headers: Names,
    exposed: Names,
    credentials: bool,
    max_age: HeaderValue,
}

/// Names that are allowed, as a list for a header field.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Names {
    None,
    Any,
    These(HeaderValue),
}

/// Why that cannot be allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CorsError {
    /// No origin is named: nobody would be allowed anything.
    NoOrigin,
    /// The text is not an origin.
    Origin(Box<str>),
    /// The text is not a method.
    Method(Box<str>),
    /// The text is not the name of a header field.
    Header(Box<str>),
    /// A browser takes `*` for exposed fields literally when credentials are allowed.
    ExposesAllWithCredentials,
}

impl fmt::Display for CorsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoOrigin => f.write_str("no origin is allowed; name one, or \"*\" for all"),
            Self::Origin(text) => write!(
                f,
                "{text:?} is not an origin; expected a scheme and a host as https://shop.example.com, with a port if \
                 it is not the scheme's own, \"*.\" before the host for all below it, or \"*\" for all"
            ),
            Self::Method(text) => write!(f, "{text:?} is not a method; expected one as PUT, or \"*\" for all"),
            Self::Header(text) => {
                write!(f, "{text:?} is not the name of a header field; expected one, or \"*\" for all")
            }
            Self::ExposesAllWithCredentials => f.write_str(
                "browsers do not take \"*\" for exposed header fields when credentials are allowed; name the fields",
            ),
        }
    }
}

impl std::error::Error for CorsError {}

impl Cors {
    /// How long browsers keep the answer to a preflight request, unless told.
    pub const MAX_AGE: Duration = Duration::from_secs(5);

    /// Pages of these origins: `https://shop.example.com`, `https://*.example.com` for every host below that one,
    /// `*` for all.
    ///
    /// # Errors
    /// One of them is no origin, or there is none.
    pub fn new<T: AsRef<str>>(origins: impl IntoIterator<Item = T>) -> Result<Self, CorsError> {
        Ok(Self {
            origins: Origins::new(origins)?,
            methods: Names::None,
            headers: Names::None,
            exposed: Names::None,
            credentials: false,
            max_age: seconds(Self::MAX_AGE),
        })
    }

    /// The same, and with these methods besides those that need no leave. `*`: with all.
    ///
    /// # Errors
    /// One of them is no method.
    pub fn with_methods<T: AsRef<str>>(
        mut self,
        methods: impl IntoIterator<Item = T>,
    ) -> Result<Self, CorsError> {
        self.methods = Names::new(methods, |text| {
            Method::from_bytes(text.as_bytes()).map_err(|_| CorsError::Method(text.into()))?;
            Ok(text.to_owned())
        })?;
        Ok(self)
    }

    /// The same, and with these request header fields besides those that need no leave. `*`: with all.
    ///
    /// # Errors
    /// One of them is no name of a field.
    pub fn with_headers<T: AsRef<str>>(
        mut self,
        headers: impl IntoIterator<Item = T>,
    ) -> Result<Self, CorsError> {
        self.headers = Names::new(headers, field)?;
        Ok(self)
    }

    /// The same, and they may read these response header fields besides those that need no leave. `*`: all.
    ///
    /// # Errors
    /// One of them is no name of a field; or all are exposed, and credentials are allowed.
    pub fn with_exposed_headers<T: AsRef<str>>(
        mut self,
        headers: impl IntoIterator<Item = T>,
    ) -> Result<Self, CorsError> {
        self.exposed = Names::new(headers, field)?;
        self.checked()
    }

    /// The same; if allowed, requests may carry cookies, client certificates and `authorization`.
    ///
    /// # Errors
    /// All response header fields are exposed.
    pub fn with_credentials(mut self, allowed: bool) -> Result<Self, CorsError> {
        self.credentials = allowed;
        self.checked()
    }

    /// The same; browsers keep the answer to a preflight request so long, in whole seconds.
    #[must_use]
    pub fn with_max_age(mut self, age: Duration) -> Self {
        self.max_age = seconds(age);
        self
    }

    fn checked(self) -> Result<Self, CorsError> {
        match self.credentials && self.exposed == Names::Any {
            true => Err(CorsError::ExposesAllWithCredentials),
            false => Ok(self),
        }
    }

    /// The method a browser asks leave for, if this is a preflight request.
    pub fn asked_method(head: &RequestHead<'_>) -> Option<Method> {
        if *head.method != Method::OPTIONS || !head.headers.contains_key(ORIGIN) {
            return None;
        }
        let method = head.headers.get(ACCESS_CONTROL_REQUEST_METHOD)?;
        Method::from_bytes(method.as_bytes()).ok()
    }

    /// The answer to a preflight request. An origin that is not allowed gets one that allows nothing.
    pub fn preflight<B>(&self, head: &RequestHead<'_>) -> Response<RejectBody<B>> {
        let mut response = Response::new(RejectBody::full(bytes::Bytes::new()));
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        headers.insert(VARY, VARY_PREFLIGHT);
        let Some(origin) = self.allowed(head.headers) else {
            return response;
        };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        let asked = |name: &HeaderName| head.headers.get(name).cloned();
        let lists = [
            (
                &self.methods,
                ACCESS_CONTROL_ALLOW_METHODS,
                ACCESS_CONTROL_REQUEST_METHOD,
            ),
            (
                &self.headers,
                ACCESS_CONTROL_ALLOW_HEADERS,
                ACCESS_CONTROL_REQUEST_HEADERS,
            ),
        ];
        for (names, allow, request) in lists {
            // `*` means all only without credentials: then what is asked for is what is allowed.
            let value = match (names, self.credentials) {
                (Names::None, _) => None,
                (Names::These(list), _) => Some(list.clone()),
                (Names::Any, false) => Some(ANY),
                (Names::Any, true) => asked(&request),
            };
            value.and_then(|value| headers.insert(allow, value));
        }
        self.allow_credentials(headers);
        headers.insert(ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
        response
    }

    /// The origin a response tells that it may read it; none if the request comes from none that may.
    fn allowed(&self, request: &HeaderMap) -> Option<HeaderValue> {
        let origin = request.get(ORIGIN)?;
        match (&self.origins, self.credentials) {
            (Origins::Any, false) => Some(ANY),
            (origins, _) => origins.contains(origin.as_bytes()).then(|| origin.clone()),
        }
    }

    fn allow_credentials(&self, response: &mut HeaderMap) {
        if self.credentials {
            response.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }
}

/// A request to a rule that says who may read its responses, on its way: what its response has to say.
#[derive(Clone, Debug)]
pub struct CrossOrigin {
    cors: Arc<Cors>,
    allowed: Option<HeaderValue>,
}

impl CrossOrigin {
    /// Of the request with these header fields.
    pub fn of(cors: &Arc<Cors>, request: &HeaderMap) -> Self {
        Self {
            cors: Arc::clone(cors),
            allowed: cors.allowed(request),
        }
    }

    /// Says in the response who may read it. What the service says of that is taken away.
    pub fn apply(&self, response: &mut HeaderMap) {
        for name in [
            ACCESS_CONTROL_ALLOW_ORIGIN,
            ACCESS_CONTROL_ALLOW_CREDENTIALS,
            ACCESS_CONTROL_EXPOSE_HEADERS,
        ] {
            response.remove(name);
        }
        let Self { cors, allowed } = self;
        if cors.origins != Origins::Any || cors.credentials {
            response.append(VARY, VARY_ACTUAL);
        }
        let Some(origin) = allowed else { return };
        response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        cors.allow_credentials(response);
        let exposed = match &cors.exposed {
            Names::None => return,
            Names::Any => ANY,
            Names::These(list) => list.clone(),
        };
        response.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }
}

/// `pages of https://shop.example.com, https://*.example.org, with credentials`.
impl fmt::Display for Cors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pages of {}", self.origins)?;
        f.write_str(if self.credentials {
            ", with credentials"
        } else {
            ""
        })
    }
}

impl Names {
    fn new<T: AsRef<str>>(
        names: impl IntoIterator<Item = T>,
        name: impl Fn(&str) -> Result<String, CorsError>,
    ) -> Result<Self, CorsError> {
        let mut list = Vec::new();
        for text in names {
            match text.as_ref() {
                "*" => return Ok(Self::Any),
                text => list.push(name(text)?),
            }
        }
        if list.is_empty() {
            return Ok(Self::None);
        }
        // Names and methods are tokens, which are values.
        let list = list.join(", ");
        HeaderValue::try_from(&list)
            .map(Self::These)
            .map_err(|_| CorsError::Header(list.into()))
    }
}

fn field(text: &str) -> Result<String, CorsError> {
    let name = HeaderName::try_from(text).map_err(|_| CorsError::Header(text.into()))?;
    Ok(name.as_str().to_owned())
}

fn seconds(age: Duration) -> HeaderValue {
    HeaderValue::from(age.as_secs())
}

#[cfg(test)]
mod tests;
