//! `mutualTLS.authority`: who signs certificates.

use std::fmt;
use std::path::PathBuf;

use super::identity::HttpUrl;

/// Who signs certificates. Default: [`Authority::Local`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authority {
    /// A CA of the mesh's own, kept in `stateDir`.
    Local,
    /// Certificates someone else puts into files. They are watched.
    Files {
        /// The certificate chain, PEM.
        cert: PathBuf,
        /// Its key, PEM.
        key: PathBuf,
        /// The roots, PEM.
        ca: PathBuf,
        /// The revocation list, PEM or DER.
        crl: Option<PathBuf>,
    },
    /// A CA at another place.
    Remote {
        /// Its address.
        url: HttpUrl,
        /// What proves that this proxy may join.
        join_token: Secret,
    },
    /// A secret of Kubernetes.
    Kubernetes {
        /// Its name.
        secret: Box<str>,
    },
    /// A SPIRE agent.
    Spire {
        /// Its socket.
        socket: PathBuf,
    },
}

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    pub(super) fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
