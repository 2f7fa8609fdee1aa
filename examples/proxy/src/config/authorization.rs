//! `services[].authorization`: who may do what, by verified identity.

use std::fmt;

use super::grammar::{self, IDENTITY_PATTERN, METHOD, PATH_PATTERN};
use super::shape::{Fields, boolean, list, object, parsed, word};
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

pub(super) fn read(fields: &mut Fields<'_>) -> Option<Option<Authorization>> {
    let enabled = fields.or("enabled", boolean(), true);
    let modes = word(&[
        ("enforce", AuthorizationMode::Enforce),
        ("audit", AuthorizationMode::Audit),
    ]);
    let mode = fields.or("mode", modes, AuthorizationMode::Enforce);
    let rules = fields.optional("rules", list(object(read_rule)));
    if enabled && rules.as_ref().is_none_or(Vec::is_empty) && !fields.has("rules") {
        fields.advise("rules", "without rules every request is denied");
    }
    let rules = rules.unwrap_or_default();
    Some(enabled.then_some(Authorization { mode, rules }))
}

fn read_rule(fields: &mut Fields<'_>) -> Option<AuthorizationRule> {
    let actions = word(&[
        ("allow", AuthorizationAction::Allow),
        ("deny", AuthorizationAction::Deny),
    ]);
    let action = fields.required("action", actions);
    // An empty list would be "nobody" to one reader and "anybody" to the next.
    let from = list(parsed(IDENTITY_PATTERN, grammar::identity_pattern)).not_empty();
    let methods = list(parsed(METHOD, grammar::method)).not_empty();
    let paths = list(parsed(PATH_PATTERN, grammar::path_pattern)).not_empty();
    let from = fields.optional("from", from);
    let methods = fields.optional("methods", methods);
    let paths = fields.optional("paths", paths);
    Some(AuthorizationRule {
        action: action?,
        from: from.unwrap_or_default(),
        methods: methods.unwrap_or_default(),
        paths: paths.unwrap_or_default(),
    })
}
