//! Of whom a rule speaks.

use std::fmt;
use std::str::FromStr;

use mesh_core::SpiffeId;

use super::pattern::{IdentityPattern, PatternError};

/// Of whom a rule speaks.
///
/// As text: a pattern of SPIFFE IDs, `*` for anyone who proved an identity, or `unauthenticated`.
///
/// ```
/// use mesh_tls::authorize::Source;
///
/// let anyone: Source = "*".parse()?;
/// assert!(anyone.means(Some(&"spiffe://cluster.local/ns/shop/sa/frontend".parse()?)));
/// assert!(!anyone.means(None), "who proved nothing is not anyone");
/// assert!("unauthenticated".parse::<Source>()?.means(None));
/// # Ok::<(), mesh_core::BoxError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// Who proved an identity of this pattern.
    Identity(IdentityPattern),
    /// Who proved any identity.
    Authenticated,
    /// Who proved none: a client in plaintext, or without a certificate.
    Unauthenticated,
}

const UNAUTHENTICATED: &str = "unauthenticated";

impl Source {
    /// Whether it means a peer with this identity, or without one.
    pub fn means(&self, identity: Option<&SpiffeId>) -> bool {
        match (self, identity) {
            (Self::Identity(pattern), Some(identity)) => pattern.matches(identity),
            (Self::Authenticated, identity) => identity.is_some(),
            (Self::Unauthenticated, identity) => identity.is_none(),
            (Self::Identity(_), None) => false,
        }
    }
}

impl FromStr for Source {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        match text {
            "*" => Ok(Self::Authenticated),
            UNAUTHENTICATED => Ok(Self::Unauthenticated),
            text => text.parse().map(Self::Identity),
        }
    }
}

impl TryFrom<&str> for Source {
    type Error = PatternError;

    fn try_from(text: &str) -> Result<Self, PatternError> {
        text.parse()
    }
}

impl From<IdentityPattern> for Source {
    fn from(pattern: IdentityPattern) -> Self {
        Self::Identity(pattern)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identity(pattern) => pattern.fmt(f),
            Self::Authenticated => f.write_str("*"),
            Self::Unauthenticated => f.write_str(UNAUTHENTICATED),
        }
    }
}
