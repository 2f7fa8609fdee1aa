//! Who is who: namespace, trust domain, this process, and names and addresses of others.

use std::fmt;

use mesh_core::{ServiceName, SpiffeId};

macro_rules! text {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash)]
        pub struct $name(Box<str>);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
    };
}

text! {
    /// A namespace of Kubernetes: 1 to 63 lower-case letters, digits and `-`.
    Namespace
}

text! {
    /// The trust domain of SPIFFE IDs: 1 to 255 lower-case letters, digits, `.`, `-` and `_`.
    TrustDomain
}

text! {
    /// A DNS name in lower case.
    DnsName
}

text! {
    /// An `http` or `https` URL.
    HttpUrl
}

/// What this process is to its peers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Identity {
    /// Its service. Default `service-mesh-proxy`.
    pub service: ServiceName,
    /// Its SPIFFE ID: `spiffe://<trustDomain>/ns/<namespace>/sa/<service>`.
    pub id: SpiffeId,
}
