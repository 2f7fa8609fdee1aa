//! What routing decides, prepared when the table is compiled.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use mesh_core::context::Target;
use mesh_core::{Assignment, Error, ErrorKind};

use super::changes::Changes;
use super::cors::Cors;
use super::pins::StickyCookie;
use super::redirect::Redirect;
use super::respond::Respond;

/// One thing a table can decide: a destination of a rule, a rule's answer, or a service by its host.
#[derive(Clone, Debug)]
pub struct Decision {
    pub(crate) index: usize,
    pub(crate) rule: Option<Arc<str>>,
    pub(crate) action: Action,
    pub(crate) changes: Option<Arc<Changes>>,
    pub(crate) cors: Option<Arc<Cors>>,
    pub(crate) timeout: Option<Duration>,
}

/// What is done with the request.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Action {
    /// It goes to this version of this service.
    Forward(Target),
    /// It is answered.
    Respond(Respond),
    /// The client is sent elsewhere.
    Redirect(Redirect),
}

impl Decision {
    /// The place among [`RouteTable::decisions`](super::RouteTable::decisions). What a user of the table
    /// prepares for each decision (metric handles, a balancer) belongs in a vector of the same order, which
    /// saves a map lookup a request.
    pub fn index(&self) -> usize {
        self.index
    }

    /// The id of the rule that decides so; none if the service was found by host.
    pub fn rule(&self) -> Option<&str> {
        self.rule.as_deref()
    }

    /// What is done.
    pub fn action(&self) -> &Action {
        &self.action
    }

    /// Where the request goes, if it is not answered.
    pub fn target(&self) -> Option<&Target> {
        match &self.action {
            Action::Forward(target) => Some(target),
            Action::Respond(_) | Action::Redirect(_) => None,
        }
    }

    /// What is changed of the request, if it is forwarded, and of the response.
    pub fn changes(&self) -> Option<&Arc<Changes>> {
        self.changes.as_ref()
    }

    /// Which pages of other origins may read the response.
    pub fn cors(&self) -> Option<&Arc<Cors>> {
        self.cors.as_ref()
    }

    /// How long the request may take: the rule's time limit, or else the service's.
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout
    }
}

/// A decision, and what the client is given with the response.
#[derive(Clone, Copy, Debug)]
pub struct Routed<'t> {
    pub(crate) decision: &'t Decision,
    pub(crate) cookie: Option<StickyCookie<'t>>,
    pub(crate) assignment: Assignment,
}

impl<'t> Routed<'t> {
    /// The decision.
    pub fn decision(&self) -> &'t Decision {
        self.decision
    }

    /// How the request came to its version. What a rule or the client itself names was asked for; what the versions of
    /// a service share was drawn.
    pub fn assignment(&self) -> Assignment {
        self.assignment
    }

    /// The cookie that keeps the client to its version, if it is to get one.
    pub fn cookie(&self) -> Option<StickyCookie<'t>> {
        self.cookie
    }
}

impl Deref for Routed<'_> {
    type Target = Decision;

    fn deref(&self) -> &Decision {
        self.decision
    }
}

/// Nothing matches a request.
///
/// The message names the rule that came nearest, of the first hundred, and which of its conditions failed first;
/// what that asked for is not told, since clients see the message.
///
/// ```
/// use mesh_core::{Error, ErrorKind, RequestHead};
/// use mesh_traffic::RouteTable;
/// use mesh_traffic::router::Asking;
///
/// let table = RouteTable::new("dept-barc", [], [])?;
/// let request = http::Request::get("http://nowhere.example/x").body(())?;
/// let asking = Asking::new(&RequestHead::of(&request), "unknown");
/// let nothing = table.route(&asking).expect_err("the table is empty");
/// let error = Error::from(nothing);
/// assert_eq!(error.kind(), ErrorKind::NoRoute);
/// assert!(error.message().contains("nowhere.example") && error.message().contains("/x"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRoute<'t, 'r> {
    pub(crate) host: Option<&'r str>,
    pub(crate) path: &'r str,
    pub(crate) near: Option<Near<'t>>,
}

/// A rule that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Near<'t> {
    pub(crate) rule: &'t str,
    /// The place of the first condition that failed, and what it looks at.
    pub(crate) condition: usize,
    pub(crate) kind: &'static str,
}

impl NoRoute<'_, '_> {
    /// The id of the rule that came nearest, and the place of its first condition that failed.
    pub fn nearest(&self) -> Option<(&str, usize)> {
        self.near.map(|near| (near.rule, near.condition))
    }
}

/// How much of a host or a path a message repeats, in characters.
const SHOWN: usize = 200;

impl fmt::Display for NoRoute<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host {
            Some(host) => write!(f, "no rule and no service matches host \"{}\"", Shown(host))?,
            None => f.write_str("no rule matches, and without a host no service does:")?,
        }
        write!(
            f,
            " path \"{}\"; add a rule, or the host to the hosts of a service",
            Shown(self.path)
        )?;
        match self.near {
            Some(Near {
                rule,
                condition,
                kind,
            }) => write!(
                f,
                "; nearest is rule {rule:?}, whose condition {} (on the {kind}) does not hold",
                condition + 1
            ),
            None => Ok(()),
        }
    }
}

impl std::error::Error for NoRoute<'_, '_> {}

impl From<NoRoute<'_, '_>> for Error {
    fn from(nothing: NoRoute<'_, '_>) -> Self {
        Self::new(ErrorKind::NoRoute, nothing.to_string())
    }
}

/// The beginning of a text a client chose, control characters escaped.
struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut characters = self.0.chars();
        for character in characters.by_ref().take(SHOWN) {
            write!(f, "{}", character.escape_debug())?;
        }
        if characters.next().is_some() {
            f.write_str("…")
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_repeats_no_more_of_a_request_than_a_little() {
        let path = format!("/{}", "x".repeat(10_000));
        let message = NoRoute {
            host: Some("a\"b\u{1}"),
            path: &path,
            near: None,
        }
        .to_string();
        assert!(message.len() < 400, "{}", message.len());
        assert!(message.contains(r#"host "a\"b\u{1}" path"#), "{message}");
    }

    #[test]
    fn the_message_says_when_the_host_is_missing() {
        let message = NoRoute {
            host: None,
            path: "/x",
            near: None,
        }
        .to_string();
        assert!(
            message.contains("without a host") && message.contains("path \"/x\""),
            "{message}"
        );
    }
}
