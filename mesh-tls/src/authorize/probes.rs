//! Requests that ask whether a service is well, and pass unasked.

use std::net::IpAddr;

use http::Method;
use ipnet::IpNet;
use mesh_core::edge::{EdgePolicy, canonical_path};

use super::question::Question;

/// Who asks whether a service is well has no identity, as the kubelet: `GET` and `HEAD` of these paths pass before any
/// rule is tried. Nothing else does: paths are compared by the letter, and there are no patterns.
///
/// ```
/// use http::Method;
/// use mesh_tls::authorize::{AuthorizationPolicy, Probes, Question};
///
/// let probes = Probes::of(["/healthz"])?.from_networks(["10.0.0.0/8".parse()?]);
/// let policy = AuthorizationPolicy::new([])?.with_probes(probes);
/// let probe = Question::of_request(None, &Method::GET, "/healthz");
/// assert!(policy.decide(&probe.with_address("10.1.2.3".parse()?)).is_allowed());
/// assert!(!policy.decide(&probe.with_address("192.0.2.1".parse()?)).is_allowed());
/// # Ok::<(), mesh_core::BoxError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Probes {
    paths: Box<[Box<str>]>,
    /// Nothing: from anywhere.
    networks: Option<Box<[IpNet]>>,
}

impl Probes {
    /// Probes of these paths, from anywhere.
    ///
    /// # Errors
    /// A path that no request has: it is not in the canonical form of [`mesh_core::edge`].
    pub fn of<P: AsRef<str>>(paths: impl IntoIterator<Item = P>) -> Result<Self, mesh_core::Error> {
        let mut known = Vec::new();
        for path in paths {
            let path = path.as_ref();
            if let Some(canonical) = canonical_path(path, &EdgePolicy::default())? {
                return Err(mesh_core::Error::new(
                    mesh_core::ErrorKind::BadRequest,
                    format!("{path:?} is not in the canonical form of paths; write {canonical:?}"),
                ));
            }
            known.push(path.into());
        }
        known.sort_unstable();
        Ok(Self {
            paths: known.into(),
            networks: None,
        })
    }

    /// Only from these networks: the address of the connection counts, not what a header says.
    #[must_use]
    pub fn from_networks(self, networks: impl IntoIterator<Item = IpNet>) -> Self {
        Self {
            networks: Some(networks.into_iter().collect()),
            ..self
        }
    }

    /// Whether it is a probe.
    pub fn mean(&self, question: &Question<'_>) -> bool {
        let reads = question
            .method
            .is_some_and(|method| matches!(*method, Method::GET | Method::HEAD));
        reads
            && question
                .canonical
                .is_some_and(|path| self.paths.binary_search_by(|known| (**known).cmp(path)).is_ok())
            && self.is_near(question.address)
    }

    fn is_near(&self, address: Option<IpAddr>) -> bool {
        let Some(networks) = &self.networks else {
            return true;
        };
        let within = |address: IpAddr| {
            let address = address.to_canonical();
            networks.iter().any(|network| network.contains(&address))
        };
        address.is_some_and(within)
    }
}
