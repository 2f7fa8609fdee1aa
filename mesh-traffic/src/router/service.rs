//! A service, as routing knows it.

use std::time::Duration;

use mesh_core::ServiceName;

use super::host::{HostError, HostName, HostPattern};
use super::live_split::LiveSplit;
use super::pins::Pins;

/// A service and the hosts that mean it when no rule decides.
///
/// ```
/// use mesh_core::ServiceName;
/// use mesh_traffic::Service;
///
/// let service = Service::new(ServiceName::new("sample-service")?).with_hosts(["api.example.org".parse()?]);
/// assert_eq!(service.name().as_str(), "sample-service");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Service {
    name: ServiceName,
    hosts: Option<Vec<HostPattern>>,
    timeout: Option<Duration>,
    split: Option<LiveSplit>,
    pins: Pins,
}

impl Service {
    /// A service that is meant by its name and its cluster DNS names: `<name>`, `<name>.<namespace>`,
    /// `<name>.<namespace>.svc` and `<name>.<namespace>.svc.cluster.local`, at any port.
    pub fn new(name: ServiceName) -> Self {
        Self {
            name,
            hosts: None,
            timeout: None,
            split: None,
            pins: Pins::default(),
        }
    }

    /// The same, meant by these hosts only.
    #[must_use]
    pub fn with_hosts(mut self, hosts: impl IntoIterator<Item = HostPattern>) -> Self {
        self.hosts = Some(hosts.into_iter().collect());
        self
    }

    /// The same with a time limit for each of its requests, unless the deciding rule has its own.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.timeout = timeout;
        self
    }

    /// The same with these shares of its versions, wherever none is named.
    #[must_use]
    pub fn with_split(mut self, split: LiveSplit) -> Self {
        self.split = Some(split);
        self
    }

    /// The same with who is kept to which of its versions, where these share requests.
    #[must_use]
    pub fn with_pins(mut self, pins: Pins) -> Self {
        self.pins = pins;
        self
    }

    /// The shares of its versions.
    pub fn split(&self) -> Option<&LiveSplit> {
        self.split.as_ref()
    }

    /// Who is kept to which of its versions.
    pub fn pins(&self) -> &Pins {
        &self.pins
    }

    /// The name.
    pub fn name(&self) -> &ServiceName {
        &self.name
    }

    /// The time limit.
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// The hosts that mean it, in a mesh of this namespace. Fails if the namespace can be no part of a host.
    pub fn hosts(&self, namespace: &str) -> Result<Vec<HostPattern>, HostError> {
        if let Some(hosts) = &self.hosts {
            return Ok(hosts.clone());
        }
        let name = &self.name;
        let names = [
            name.to_string(),
            format!("{name}.{namespace}"),
            format!("{name}.{namespace}.svc"),
            format!("{name}.{namespace}.svc.cluster.local"),
        ];
        names
            .iter()
            .map(|text| text.parse::<HostName>().map(HostPattern::Name))
            .collect()
    }
}
