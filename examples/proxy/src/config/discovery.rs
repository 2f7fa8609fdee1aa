//! `services[].discovery`: where endpoints come from that are not listed.

use std::path::PathBuf;
use std::time::Duration;

use mesh_core::{ServiceName, Version};

use super::identity::DnsName;

/// Where endpoints come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Discovery {
    /// EndpointSlices of Kubernetes.
    Kubernetes {
        /// How an endpoint's version is known.
        versions: VersionsFrom,
    },
    /// A DNS name.
    Dns {
        /// The name; `None`: the service's own.
        name: Option<DnsName>,
        /// How often it is looked up; `None`: as long as the answer says it is good for.
        interval: Option<Duration>,
    },
    /// A file that is watched.
    File {
        /// The file.
        path: PathBuf,
    },
}

/// How an endpoint's version is known in Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VersionsFrom {
    /// The value of this label of its pod. Default `version`.
    Label(Box<str>),
    /// The Kubernetes service it belongs to.
    Services(Vec<(Version, ServiceName)>),
}
