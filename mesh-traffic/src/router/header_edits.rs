//! Header fields that a rule changes.

use std::fmt;

use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE,
};
use mesh_core::forwarded::is_set_by_mesh;

/// Header fields that are changed: first removed, then set, then added, each in the order given.
///
/// ```
/// use http::HeaderMap;
/// use mesh_traffic::router::HeaderEdits;
///
/// let edits = HeaderEdits::new().remove("x-debug")?.set("x-team", "payments")?.add("via", "mesh")?;
/// let mut headers = HeaderMap::new();
/// headers.insert("x-debug", "1".parse().expect("valid"));
/// headers.insert("via", "edge".parse().expect("valid"));
/// edits.apply(&mut headers);
/// assert!(!headers.contains_key("x-debug"));
/// assert_eq!(headers.get_all("via").iter().collect::<Vec<_>>(), ["edge", "mesh"]);
///
/// let error = HeaderEdits::new().set("x-source-service", "me").expect_err("who sent it is proved, not said");
/// assert!(error.to_string().contains("the mesh's own"), "{error}");
/// # Ok::<(), mesh_traffic::router::HeaderEditError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderEdits {
    remove: Vec<HeaderName>,
    set: Vec<(HeaderName, HeaderValue)>,
    add: Vec<(HeaderName, HeaderValue)>,
}

/// Why a rule may not change a header so.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeaderEditError {
    /// The name is not one.
    Name(Box<str>),
    /// The value has bytes that a value may not have.
    Value(HeaderName),
    /// It is a pseudo-header: the request's method, path or host.
    Pseudo(Box<str>),
    /// It is `Host`, which only a rewrite changes.
    Host,
    /// It belongs to the connection or to the body's framing.
    OfConnection(HeaderName),
    /// It is one the mesh sets, and tells the truth in.
    OfMesh(HeaderName),
    /// There are more than [`HeaderEdits::MOST`].
    TooMany,
}

impl fmt::Display for HeaderEditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, "{name:?} is not a header name"),
            Self::Value(name) => write!(f, "the value of header {name} has a byte that no value may have"),
            Self::Pseudo(name) => write!(
                f,
                "{name:?} is a pseudo-header, no field; to change path or host, use a rewrite"
            ),
            Self::Host => f.write_str("the host is changed by a rewrite, not as a header"),
            Self::OfConnection(name) => {
                write!(
                    f,
                    "header {name} belongs to the connection or to the body's framing"
                )
            }
            Self::OfMesh(name) => write!(f, "header {name} is the mesh's own: it tells what the mesh knows"),
            Self::TooMany => write!(f, "a rule changes at most {} header fields", HeaderEdits::MOST),
        }
    }
}

impl std::error::Error for HeaderEditError {}

impl HeaderEdits {
    /// The most changes of one rule in one direction.
    pub const MOST: usize = 64;

    /// No change.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, and all fields of this name are taken away.
    ///
    /// # Errors
    /// A rule may not change this header.
    pub fn remove(mut self, name: &str) -> Result<Self, HeaderEditError> {
        self.remove.push(editable(name)?);
        self.counted()
    }

    /// The same, and this field in place of any of its name.
    ///
    /// # Errors
    /// A rule may not change this header, or the value cannot be one.
    pub fn set(mut self, name: &str, value: &str) -> Result<Self, HeaderEditError> {
        self.set.push(field(name, value)?);
        self.counted()
    }

    /// The same, and this field besides those of its name.
    ///
    /// # Errors
    /// A rule may not change this header, or the value cannot be one.
    pub fn add(mut self, name: &str, value: &str) -> Result<Self, HeaderEditError> {
        self.add.push(field(name, value)?);
        self.counted()
    }

    /// As [`set`](Self::set), with a value that is one already: its bytes need not be a text.
    ///
    /// # Errors
    /// A rule may not change this header.
    pub fn set_value(mut self, name: &str, value: HeaderValue) -> Result<Self, HeaderEditError> {
        self.set.push((editable(name)?, value));
        self.counted()
    }

    /// As [`add`](Self::add), with a value that is one already: its bytes need not be a text.
    ///
    /// # Errors
    /// A rule may not change this header.
    pub fn add_value(mut self, name: &str, value: HeaderValue) -> Result<Self, HeaderEditError> {
        self.add.push((editable(name)?, value));
        self.counted()
    }

    fn counted(self) -> Result<Self, HeaderEditError> {
        match self.remove.len() + self.set.len() + self.add.len() {
            ..=Self::MOST => Ok(self),
            _ => Err(HeaderEditError::TooMany),
        }
    }

    /// Whether nothing is changed.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }

    /// Makes the changes.
    pub fn apply(&self, headers: &mut HeaderMap) {
        for name in &self.remove {
            headers.remove(name);
        }
        for (name, value) in &self.set {
            headers.insert(name, value.clone());
        }
        for (name, value) in &self.add {
            headers.append(name, value.clone());
        }
    }
}

/// The names of the changes, never the values: these may be secrets.
impl fmt::Display for HeaderEdits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let changes = (self.remove.iter().map(|name| ("remove", name)))
            .chain(self.set.iter().map(|(name, _)| ("set", name)))
            .chain(self.add.iter().map(|(name, _)| ("add", name)));
        for (place, (what, name)) in changes.enumerate() {
            write!(f, "{}{what} {name}", if place == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

fn field(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), HeaderEditError> {
    let name = editable(name)?;
    match HeaderValue::try_from(value) {
        Ok(value) => Ok((name, value)),
        Err(_) => Err(HeaderEditError::Value(name)),
    }
}

/// A header that a rule may change.
fn editable(name: &str) -> Result<HeaderName, HeaderEditError> {
    if name.starts_with(':') {
        return Err(HeaderEditError::Pseudo(name.into()));
    }
    let name = HeaderName::try_from(name).map_err(|_| HeaderEditError::Name(name.into()))?;
    let of_connection = [
        CONNECTION,
        CONTENT_LENGTH,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
        UPGRADE,
    ];
    let by_name = matches!(
        name.as_str(),
        "keep-alive" | "proxy-connection" | "http2-settings" | "proxy-authenticate" | "proxy-authorization"
    );
    if name == HOST {
        Err(HeaderEditError::Host)
    } else if by_name || of_connection.contains(&name) {
        Err(HeaderEditError::OfConnection(name))
    } else if is_set_by_mesh(name.as_str()) {
        Err(HeaderEditError::OfMesh(name))
    } else {
        Ok(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_connection_or_the_mesh_sets_is_refused() {
        for (name, why) in [
            (":path", "pseudo-header"),
            ("Host", "rewrite"),
            ("Connection", "belongs to the connection"),
            ("content-length", "framing"),
            ("transfer-encoding", "framing"),
            ("keep-alive", "belongs to the connection"),
            ("x-mesh-error", "the mesh's own"),
            ("X-Source-Service", "the mesh's own"),
            ("x-request-id", "the mesh's own"),
            ("traceparent", "the mesh's own"),
            ("x-forwarded-for", "the mesh's own"),
            ("a b", "not a header name"),
        ] {
            let edits = HeaderEdits::new;
            for result in [
                edits().set(name, "1"),
                edits().add(name, "1"),
                edits().remove(name),
            ] {
                let error = result.expect_err(name).to_string();
                assert!(error.contains(why), "{error}");
            }
        }
        assert!(matches!(
            HeaderEdits::new().set("a", "x\r\nset-cookie: y"),
            Err(HeaderEditError::Value(_))
        ));
    }

    #[test]
    fn what_is_removed_may_be_set_again_and_what_is_set_added_to() {
        let edits = HeaderEdits::new()
            .add("a", "3")
            .and_then(|edits| edits.set("a", "1"))
            .and_then(|edits| edits.set("a", "2"))
            .and_then(|edits| edits.remove("a"))
            .expect("allowed");
        let mut headers = HeaderMap::new();
        headers.append("a", HeaderValue::from_static("0"));
        edits.apply(&mut headers);
        assert_eq!(headers.get_all("a").iter().collect::<Vec<_>>(), ["2", "3"]);
        assert_eq!(edits.to_string(), "remove a, set a, set a, add a");
    }

    #[test]
    fn a_rule_cannot_fill_a_head() {
        let edits = (0..HeaderEdits::MOST).try_fold(HeaderEdits::new(), |edits, _| edits.add("a", "b"));
        assert_eq!(
            edits.expect("that many").add("a", "b"),
            Err(HeaderEditError::TooMany)
        );
    }
}
