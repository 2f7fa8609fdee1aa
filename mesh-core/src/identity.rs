//! SPIFFE IDs: who a workload is.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A SPIFFE ID, `spiffe://<trust domain>/<path>`, as the SPIFFE ID specification writes it: at most 2048
/// bytes, a lower-case trust domain, no empty, `.` or `..` path segment, no query, no percent-encoding.
///
/// The mesh names a workload `spiffe://<trust domain>/ns/<namespace>/sa/<service>`.
///
/// ```
/// use mesh_core::SpiffeId;
///
/// let id: SpiffeId = "spiffe://cluster.local/ns/dept-barc/sa/frontend".parse()?;
/// assert_eq!(id.trust_domain(), "cluster.local");
/// assert_eq!(id.service(), Some("frontend"));
/// assert!("spiffe://cluster.local/ns//sa/x".parse::<SpiffeId>().is_err());
/// # Ok::<(), mesh_core::identity::SpiffeIdError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpiffeId {
    text: Arc<str>,
    domain_end: usize,
}

/// Why a text is not a SPIFFE ID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpiffeIdError {
    found: String,
    why: &'static str,
}

impl fmt::Display for SpiffeIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: String = self.found.chars().take(100).collect();
        write!(
            f,
            "{shown:?} is not a SPIFFE ID: {}; expected spiffe://<trust domain>/ns/<namespace>/sa/<service>",
            self.why
        )
    }
}

impl std::error::Error for SpiffeIdError {}

const SCHEME: &str = "spiffe://";

impl SpiffeId {
    /// The longest SPIFFE ID, in bytes.
    pub const MAX_LEN: usize = 2048;

    /// The ID the mesh gives to `service` in `namespace`.
    pub fn of_service(trust_domain: &str, namespace: &str, service: &str) -> Result<Self, SpiffeIdError> {
        format!("{SCHEME}{trust_domain}/ns/{namespace}/sa/{service}").parse()
    }

    /// The whole ID.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The trust domain.
    pub fn trust_domain(&self) -> &str {
        &self.text[SCHEME.len()..self.domain_end]
    }

    /// The path, with its leading `/`; empty if the ID names the trust domain itself.
    pub fn path(&self) -> &str {
        &self.text[self.domain_end..]
    }

    /// The namespace, of a path `/ns/<namespace>/sa/<service>`.
    pub fn namespace(&self) -> Option<&str> {
        self.parts().map(|(namespace, _)| namespace)
    }

    /// The service, of a path `/ns/<namespace>/sa/<service>`.
    pub fn service(&self) -> Option<&str> {
        self.parts().map(|(_, service)| service)
    }

    fn parts(&self) -> Option<(&str, &str)> {
        let (namespace, service) = self.path().strip_prefix("/ns/")?.split_once("/sa/")?;
        let whole = !namespace.contains('/') && !service.contains('/');
        whole.then_some((namespace, service))
    }
}

impl FromStr for SpiffeId {
    type Err = SpiffeIdError;

    fn from_str(text: &str) -> Result<Self, SpiffeIdError> {
        let refuse = |why| Err(SpiffeIdError { found: text.to_owned(), why });
        if text.len() > Self::MAX_LEN {
            return refuse("it is longer than 2048 bytes");
        }
        let Some(rest) = text.strip_prefix(SCHEME) else {
            return refuse("it does not begin with spiffe://");
        };
        let (domain, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let domain_byte = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_');
        if domain.is_empty() || domain.len() > 255 || !domain.bytes().all(domain_byte) {
            return refuse("the trust domain is not 1 to 255 lower-case letters, digits, '.', '-' and '_'");
        }
        let path_byte = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        for segment in path.split('/').skip(1) {
            if segment.is_empty() || segment == "." || segment == ".." || !segment.bytes().all(path_byte) {
                return refuse("a path segment is empty, '.' or '..', or has other bytes than letters, digits, '.', '-' and '_'");
            }
        }
        Ok(Self { text: text.into(), domain_end: SCHEME.len() + domain.len() })
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.text, f)
    }
}
