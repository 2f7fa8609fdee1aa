//! Rules, as they are written.

use std::fmt;

use http::Method;

use super::pattern::{PathPattern, PatternError};
use super::source::Source;

/// A rule: whom it means, which methods, which paths; all three have to hold. Not given, a condition always holds; given
/// with an empty list, never, so that a list from which the last entry was taken does not become "anyone".
///
/// Its patterns are texts or values. What is wrong with a text is told by
/// [`AuthorizationPolicy::new`](super::AuthorizationPolicy::new), all of all rules at once.
///
/// ```
/// use http::Method;
/// use mesh_tls::authorize::{AuthorizationPolicy, Rule};
///
/// let rule = Rule::allow("readers")
///     .from(["spiffe://cluster.local/ns/shop/sa/frontend", "spiffe://cluster.local/ns/*/sa/search"])
///     .methods([Method::GET])
///     .paths(["/orders/**"]);
/// assert!(AuthorizationPolicy::new([rule]).is_ok());
///
/// let wrong = Rule::allow("readers").from(["frontend"]).methods(["G T"]).paths(["orders"]);
/// let error = AuthorizationPolicy::new([wrong]).expect_err("three of its texts mean nothing");
/// assert_eq!(error.problems().len(), 3);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    id: Box<str>,
    action: Action,
    sources: Option<Vec<Source>>,
    methods: Option<Vec<Method>>,
    paths: Option<Vec<PathPattern>>,
    wrong: Vec<WrongText>,
}

/// What a rule that holds says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Let through.
    Allow,
    /// Refuse.
    Deny,
}

/// A condition of a rule, in the order in which they are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Condition {
    /// Who asks.
    Source,
    /// The method.
    Method,
    /// The path.
    Path,
}

/// A text that means nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WrongText {
    pub(super) condition: Condition,
    pub(super) why: String,
}

impl Rule {
    /// A rule that lets through, by the name it is called in logs.
    pub fn allow(id: impl Into<Box<str>>) -> Self {
        Self::new(id, Action::Allow)
    }

    /// A rule that refuses, by the name it is called in logs. It comes before every rule that lets through.
    pub fn deny(id: impl Into<Box<str>>) -> Self {
        Self::new(id, Action::Deny)
    }

    /// A rule of this action.
    pub fn new(id: impl Into<Box<str>>, action: Action) -> Self {
        Self {
            id: id.into(),
            action,
            sources: None,
            methods: None,
            paths: None,
            wrong: Vec::new(),
        }
    }

    /// Of whom it speaks; one of them is enough. Not given: of everyone, also of who proved nothing. Given again, these
    /// are added.
    #[must_use]
    pub fn from<I>(mut self, sources: I) -> Self
    where
        I: IntoIterator<Item: TryInto<Source, Error: Into<PatternError>>>,
    {
        let known = self.sources.get_or_insert_default();
        for source in sources {
            match source.try_into() {
                Ok(source) => known.push(source),
                Err(error) => self
                    .wrong
                    .push(WrongText::of(Condition::Source, &error.into().to_string())),
            }
        }
        self
    }

    /// Of which methods it speaks. Not given: of all.
    #[must_use]
    pub fn methods<I>(mut self, methods: I) -> Self
    where
        I: IntoIterator<Item: TryInto<Method, Error: Into<http::Error>>>,
    {
        let known = self.methods.get_or_insert_default();
        for method in methods {
            match method.try_into() {
                Ok(method) => known.push(method),
                Err(error) => self
                    .wrong
                    .push(WrongText::of(Condition::Method, &error.into().to_string())),
            }
        }
        self
    }

    /// Of which paths it speaks. Not given: of all, and of connections that have none.
    #[must_use]
    pub fn paths<I>(mut self, paths: I) -> Self
    where
        I: IntoIterator<Item: TryInto<PathPattern, Error: Into<PatternError>>>,
    {
        let known = self.paths.get_or_insert_default();
        for path in paths {
            match path.try_into() {
                Ok(path) => known.push(path),
                Err(error) => self
                    .wrong
                    .push(WrongText::of(Condition::Path, &error.into().to_string())),
            }
        }
        self
    }

    /// Its name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What it says.
    pub fn action(&self) -> Action {
        self.action
    }

    /// Of whom it speaks; nothing: of everyone.
    pub fn sources(&self) -> Option<&[Source]> {
        self.sources.as_deref()
    }

    /// Of which methods; nothing: of all.
    pub fn of_methods(&self) -> Option<&[Method]> {
        self.methods.as_deref()
    }

    /// Of which paths; nothing: of all.
    pub fn of_paths(&self) -> Option<&[PathPattern]> {
        self.paths.as_deref()
    }

    pub(super) fn take_wrong(&mut self) -> Vec<WrongText> {
        std::mem::take(&mut self.wrong)
    }
}

impl WrongText {
    fn of(condition: Condition, why: &str) -> Self {
        let why = why.to_owned();
        Self { condition, why }
    }
}

impl Action {
    /// `allow` or `deny`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Condition {
    /// `from`, `methods` or `paths`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Source => "from",
            Self::Method => "methods",
            Self::Path => "paths",
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
