//! `services[].authorization`: who may do what, by verified identity.

use std::fmt;

use http::Method;

/// Deny comes before allow; what no rule allows is denied.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Authorization {
    /// Whether a denial is enforced. Default: it is.
    pub mode: AuthorizationMode,
    /// The rules, in the order of the file.
    pub rules: Vec<AuthorizationRule>,
}

/// What happens to a request that is denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AuthorizationMode {
    /// It is refused.
    Enforce,
    /// It passes, and is told in the log.
    Audit,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuthorizationRule {
    /// What it says.
    pub action: AuthorizationAction,
    /// About whom; empty: anyone, also without an identity.
    pub from: Vec<IdentityPattern>,
    /// Which methods; empty: all.
    pub methods: Vec<Method>,
    /// Which paths; empty: all.
    pub paths: Vec<PathPattern>,
}

/// What a rule says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AuthorizationAction {
    /// Let through.
    Allow,
    /// Refuse.
    Deny,
}

/// A SPIFFE ID in which `*` stands for one segment of the path, and `/**` at the end for the rest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IdentityPattern(Box<str>);

impl IdentityPattern {
    pub(super) fn new_unchecked(text: &str) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IdentityPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A path in which `*` stands for one segment, and `/**` at the end for the rest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PathPattern(Box<str>);

impl PathPattern {
    pub(super) fn new_unchecked(text: &str) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
