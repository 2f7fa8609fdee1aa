//! One address of a service, and the whole set of them as discovery saw it.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;

use crate::name::{Version, shortened};

/// Where an endpoint listens.
///
/// A host name is kept in lower case, so that one address has one spelling.
///
/// ```
/// use mesh_core::endpoint::Address;
///
/// assert!(matches!("[::1]:3001".parse()?, Address::Socket(_)));
/// assert_eq!("Orders.dept-barc.svc:3001".parse::<Address>()?.to_string(), "orders.dept-barc.svc:3001");
/// assert!("10.0.0.7".parse::<Address>().is_err()); // no port
/// # Ok::<(), mesh_core::endpoint::AddressError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    /// An IP address and a port.
    Socket(SocketAddr),
    /// A host name, resolved when a connection is made.
    Host {
        /// The name.
        name: Arc<str>,
        /// The port.
        port: u16,
    },
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(address) => address.fmt(f),
            Self::Host { name, port } => write!(f, "{name}:{port}"),
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Socket(address)
    }
}

/// Why a text is not an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressError(String);

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is not an address: expected host:port, as 10.0.0.7:3001, [::1]:3001 or orders:3001",
            self.0
        )
    }
}

impl std::error::Error for AddressError {}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let refuse = || AddressError(shortened(text));
        if let Ok(address) = text.parse::<SocketAddr>() {
            return if address.port() == 0 {
                Err(refuse())
            } else {
                Ok(Self::Socket(address))
            };
        }
        let (name, port) = text.rsplit_once(':').ok_or_else(refuse)?;
        let port = port.parse::<u16>().ok().filter(|p| *p != 0).ok_or_else(refuse)?;
        let label = |l: &str| {
            let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
            !l.is_empty() && l.len() <= 63 && l.bytes().all(inner) && !l.starts_with('-') && !l.ends_with('-')
        };
        // A dot at the end says that no search domain is to be tried.
        let labels = name.strip_suffix('.').unwrap_or(name);
        // A last label of digits is a mistyped IP address, never a top-level domain.
        let numeric = labels
            .rsplit('.')
            .next()
            .is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
        if labels.len() > 253 || numeric || !labels.split('.').all(label) {
            return Err(refuse());
        }
        Ok(Self::Host {
            name: name.to_ascii_lowercase().into(),
            port,
        })
    }
}

/// What makes an endpoint the same one after a discovery update: its address. Statistics, ejection and
/// connections are kept by it. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointId(Arc<Address>);

impl EndpointId {
    /// The address.
    pub fn address(&self) -> &Address {
        &self.0
    }
}

impl fmt::Display for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whether an endpoint takes requests, as discovery says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Readiness {
    /// Takes requests.
    #[default]
    Ready,
    /// The last resort: on its way out but still serving, or held in reserve.
    Terminating,
    /// Takes none.
    NotReady,
}

/// One endpoint of a service.
///
/// ```
/// use mesh_core::Endpoint;
///
/// let endpoint = Endpoint::new("10.0.0.7:3001".parse()?).with_weight(3);
/// assert_eq!(endpoint.id().to_string(), "10.0.0.7:3001");
/// # Ok::<(), mesh_core::endpoint::AddressError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Endpoint {
    id: EndpointId,
    /// Where it listens.
    pub address: Address,
    /// Its version; without one it is stable.
    pub version: Option<Version>,
    /// Its share, relative to the others'. Default 1; 0 takes no requests.
    pub weight: u32,
    /// Its zone.
    pub zone: Option<Arc<str>>,
    /// Whether it takes requests.
    pub readiness: Readiness,
}

impl Endpoint {
    /// A ready endpoint of weight 1.
    pub fn new(address: Address) -> Self {
        Self {
            id: EndpointId(Arc::new(address.clone())),
            address,
            version: None,
            weight: 1,
            zone: None,
            readiness: Readiness::Ready,
        }
    }

    /// What makes it the same endpoint after an update.
    pub fn id(&self) -> &EndpointId {
        &self.id
    }

    /// With a version.
    #[must_use]
    pub fn with_version(mut self, version: Option<Version>) -> Self {
        self.version = version;
        self
    }

    /// With a weight.
    #[must_use]
    pub fn with_weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }

    /// With a zone.
    #[must_use]
    pub fn with_zone(mut self, zone: Option<Arc<str>>) -> Self {
        self.zone = zone;
        self
    }

    /// With a readiness.
    #[must_use]
    pub fn with_readiness(mut self, readiness: Readiness) -> Self {
        self.readiness = readiness;
        self
    }
}

/// Every endpoint of a service at one moment. Replaced whole, never patched: there is no lost "remove".
///
/// ```
/// use mesh_core::{Endpoint, EndpointSet};
///
/// let set = EndpointSet::new([
///     Endpoint::new("10.0.0.7:3001".parse()?),
///     Endpoint::new("10.0.0.8:3001".parse()?),
///     Endpoint::new("10.0.0.7:3001".parse()?).with_weight(3),
/// ]);
/// assert_eq!(set.endpoints.len(), 2);
/// assert_eq!(set.endpoints[0].weight, 3);
/// # Ok::<(), mesh_core::endpoint::AddressError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndpointSet {
    /// The endpoints, each address once.
    pub endpoints: Vec<Arc<Endpoint>>,
}

impl EndpointSet {
    /// A set of these endpoints. Of two with one address the later counts.
    pub fn new(endpoints: impl IntoIterator<Item = Endpoint>) -> Self {
        let mut set: Vec<Arc<Endpoint>> = Vec::new();
        let mut seen = std::collections::HashMap::new();
        for endpoint in endpoints {
            match seen.entry(endpoint.id().clone()) {
                std::collections::hash_map::Entry::Occupied(at) => {
                    let at: usize = *at.get();
                    set[at] = Arc::new(endpoint);
                }
                std::collections::hash_map::Entry::Vacant(free) => {
                    free.insert(set.len());
                    set.push(Arc::new(endpoint));
                }
            }
        }
        Self { endpoints: set }
    }
}

impl FromIterator<Endpoint> for EndpointSet {
    fn from_iter<I: IntoIterator<Item = Endpoint>>(endpoints: I) -> Self {
        Self::new(endpoints)
    }
}

#[cfg(test)]
mod tests;
