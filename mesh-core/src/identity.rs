//! SPIFFE IDs: who a workload is.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::name::shortened;

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
    /// Where `/sa/` stands, of a path `/ns/<namespace>/sa/<service>`: asked for with every request.
    parts: Option<usize>,
}

/// Why a text is not a SPIFFE ID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpiffeIdError {
    found: String,
    why: &'static str,
}

impl fmt::Display for SpiffeIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is not a SPIFFE ID: {}; expected spiffe://<trust domain>/ns/<namespace>/sa/<service>",
            self.found, self.why
        )
    }
}

impl std::error::Error for SpiffeIdError {}

impl SpiffeIdError {
    /// What is wrong, without what was found and what was expected.
    pub fn reason(&self) -> &'static str {
        self.why
    }
}

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
        let at = self.parts?;
        Some((
            &self.text[self.domain_end + NAMESPACE.len()..at],
            &self.text[at + SERVICE.len()..],
        ))
    }
}

const NAMESPACE: &str = "/ns/";
const SERVICE: &str = "/sa/";

/// Where in the text `/sa/` stands, if the path is `/ns/<namespace>/sa/<service>`.
fn parts(text: &str, domain_end: usize) -> Option<usize> {
    let (namespace, service) = text[domain_end..].strip_prefix(NAMESPACE)?.split_once(SERVICE)?;
    let whole = !namespace.contains('/') && !service.contains('/');
    whole.then_some(domain_end + NAMESPACE.len() + namespace.len())
}

impl FromStr for SpiffeId {
    type Err = SpiffeIdError;

    fn from_str(text: &str) -> Result<Self, SpiffeIdError> {
        let refuse = |why| {
            Err(SpiffeIdError {
                found: shortened(text),
                why,
            })
        };
        if text.len() > Self::MAX_LEN {
            return refuse("it is longer than 2048 bytes");
        }
        let Some(rest) = text.strip_prefix(SCHEME) else {
            return refuse("it does not begin with spiffe://");
        };
        let (domain, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let domain_byte =
            |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_');
        if domain.is_empty() || domain.len() > 255 || !domain.bytes().all(domain_byte) {
            return refuse("the trust domain is not 1 to 255 lower-case letters, digits, '.', '-' and '_'");
        }
        let path_byte = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        for segment in path.split('/').skip(1) {
            if segment.is_empty() || segment == "." || segment == ".." || !segment.bytes().all(path_byte) {
                return refuse(
                    "a path segment is empty, '.' or '..', or has other bytes than letters, digits, '.', '-' and '_'",
                );
            }
        }
        let domain_end = SCHEME.len() + domain.len();
        Ok(Self {
            parts: parts(text, domain_end),
            text: text.into(),
            domain_end,
        })
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(text: &str) -> SpiffeId {
        text.parse().expect(text)
    }

    #[test]
    fn a_workload_of_the_mesh_has_namespace_and_service() {
        let id = SpiffeId::of_service("cluster.local", "dept-barc", "orders").expect("valid parts");
        assert_eq!(id.as_str(), "spiffe://cluster.local/ns/dept-barc/sa/orders");
        assert_eq!(id.trust_domain(), "cluster.local");
        assert_eq!(id.path(), "/ns/dept-barc/sa/orders");
        assert_eq!(
            (id.namespace(), id.service()),
            (Some("dept-barc"), Some("orders"))
        );
    }

    #[test]
    fn other_paths_are_identities_without_a_service() {
        for text in [
            "spiffe://bench.local",
            "spiffe://bench.local/ns/a",
            "spiffe://bench.local/ns/a/sa/b/c",
            "spiffe://bench.local/ns/a/b/sa/c",
            "spiffe://bench.local/x/ns/a/sa/b",
            "spiffe://bench.local/ns/sa/b",
        ] {
            let id = id(text);
            assert_eq!((id.trust_domain(), id.service()), ("bench.local", None), "{text}");
        }
        assert_eq!(id("spiffe://bench.local").path(), "");
        assert_eq!(id("spiffe://x/ns/sa/sa/sa").service(), Some("sa"));
    }

    #[test]
    fn a_part_cannot_smuggle_in_a_path() {
        assert!(
            SpiffeId::of_service("cluster.local", "a/sa/admin", "b").is_ok_and(|id| id.service().is_none())
        );
        assert!(SpiffeId::of_service("cluster.local", "a", "../b").is_err());
        assert!(SpiffeId::of_service("evil/ns/x", "a", "b").is_ok_and(|id| id.service().is_none()));
        assert!(SpiffeId::of_service("", "a", "b").is_err());
    }

    #[test]
    fn what_the_specification_forbids_is_refused() {
        for text in [
            "",
            "spiffe:/x",
            "SPIFFE://cluster.local",
            "https://cluster.local/ns/a/sa/b",
            "spiffe://",
            "spiffe:///ns/a/sa/b",
            "spiffe://Cluster.local/x",
            "spiffe://cluster.local:443/x",
            "spiffe://user@cluster.local/x",
            "spiffe://cluster.local/",
            "spiffe://cluster.local/x/",
            "spiffe://cluster.local//x",
            "spiffe://cluster.local/./x",
            "spiffe://cluster.local/../x",
            "spiffe://cluster.local/x?y=z",
            "spiffe://cluster.local/x#y",
            "spiffe://cluster.local/%41",
            "spiffe://cluster.local/ü",
            "spiffe://cluster.local/a b",
        ] {
            assert!(text.parse::<SpiffeId>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn it_is_at_most_2048_bytes_long_and_its_trust_domain_255() {
        let of_length = |length: usize| format!("spiffe://x/{}", "a".repeat(length - 11));
        assert!(of_length(2048).parse::<SpiffeId>().is_ok());
        let error = of_length(2049).parse::<SpiffeId>().expect_err("too long");
        assert!(error.to_string().contains("longer than 2048 bytes"), "{error}");
        assert!(error.to_string().len() < 300, "{error}");
        assert!(
            format!("spiffe://{}/a", "d".repeat(255))
                .parse::<SpiffeId>()
                .is_ok()
        );
        assert!(
            format!("spiffe://{}/a", "d".repeat(256))
                .parse::<SpiffeId>()
                .is_err()
        );
    }

    proptest! {
        #[test]
        fn what_is_accepted_prints_as_it_was_written(
            domain in "[a-z0-9._-]{1,40}",
            path in "(/[a-zA-Z0-9_-][a-zA-Z0-9._-]{0,10}){0,6}",
        ) {
            let text = format!("spiffe://{domain}{path}");
            let id: SpiffeId = text.parse().expect("valid by construction");
            prop_assert_eq!(id.to_string(), text);
            prop_assert_eq!((id.trust_domain(), id.path()), (&*domain, &*path));
        }

        #[test]
        fn no_text_panics(text in "\\PC*|(spiffe)?(://)?\\PC{0,20}(/\\PC{0,5}){0,4}") {
            if let Ok(id) = text.parse::<SpiffeId>() {
                prop_assert_eq!(format!("spiffe://{}{}", id.trust_domain(), id.path()), text);
            }
        }
    }
}
