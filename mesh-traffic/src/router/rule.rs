//! Rules: what they ask, and what they decide.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mesh_core::{ServiceName, Version};

use super::changes::Rewrite;
use super::condition::Condition;
use super::cors::Cors;
use super::header_edits::HeaderEdits;
use super::operator::Operator;
use super::path_change::PathChange;
use super::redirect::Redirect;
use super::respond::Respond;
use super::subject::Subject;
use super::weights::{Weights, WeightsError};

/// A rule: if all its conditions hold, its action is taken. One without conditions always holds.
///
/// ```
/// use mesh_traffic::router::{Operator, Respond, Subject};
/// use mesh_traffic::{Condition, Rule, RuleAction};
///
/// let deny = Rule::new("deny", RuleAction::Respond(Respond::new(403)?))?
///     .with_priority(300)
///     .with_condition(Condition::new(Subject::Path, Operator::Prefix, ["/deny"])?);
/// assert_eq!(deny.id(), "deny");
/// assert!(deny.is_enabled());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Rule {
    id: Arc<str>,
    name: Option<Box<str>>,
    priority: i32,
    enabled: bool,
    conditions: Vec<Condition>,
    action: RuleAction,
    rewrite: Rewrite,
    request_headers: HeaderEdits,
    response_headers: HeaderEdits,
    cors: Option<Arc<Cors>>,
    timeout: Option<Duration>,
}

/// What a rule does with a request.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RuleAction {
    /// Sends it to one of some destinations.
    Split(Split),
    /// Answers it.
    Respond(Respond),
    /// Sends the client elsewhere.
    Redirect(Redirect),
}

/// Why something is not a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleError {
    id: Box<str>,
    why: &'static str,
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: String = self.id.chars().take(100).collect();
        write!(
            f,
            "{shown:?} is not a rule's id: {}; expected 1 to {} characters",
            self.why,
            Rule::LONGEST_ID
        )
    }
}

impl std::error::Error for RuleError {}

impl Rule {
    /// The longest id, in bytes: it becomes a label of metrics.
    pub const LONGEST_ID: usize = 128;

    /// An enabled rule of priority 0 without conditions.
    pub fn new(id: &str, action: RuleAction) -> Result<Self, RuleError> {
        let refuse = |why| Err(RuleError { id: id.into(), why });
        if id.is_empty() {
            return refuse("it is empty");
        }
        if id.len() > Self::LONGEST_ID {
            return refuse("it is too long for a label of metrics");
        }
        if id.chars().any(char::is_control) {
            return refuse("it has a control character");
        }
        Ok(Self {
            id: id.into(),
            name: None,
            priority: 0,
            enabled: true,
            conditions: Vec::new(),
            action,
            rewrite: Rewrite::new(),
            request_headers: HeaderEdits::new(),
            response_headers: HeaderEdits::new(),
            cors: None,
            timeout: None,
        })
    }

    /// The same with a name for people.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<Box<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The same with this priority. Higher ones are tried first.
    #[must_use]
    pub fn with_priority(mut self, priority: i32) -> Self {
        self.priority = priority;
        self
    }

    /// The same, or switched off: it stays in the table and is never tried.
    #[must_use]
    pub fn with_enabled(mut self, enabled: bool) -> Self {
        self.enabled = enabled;
        self
    }

    /// The same with one more condition.
    #[must_use]
    pub fn with_condition(mut self, condition: Condition) -> Self {
        self.conditions.push(condition);
        self
    }

    /// The same, changing path or host of what it sends on. A prefix takes the place of what the rule's one
    /// condition on the path names (operator `prefix` or `equals`).
    #[must_use]
    pub fn with_rewrite(mut self, rewrite: Rewrite) -> Self {
        self.rewrite = rewrite;
        self
    }

    /// The same, changing header fields of what it sends on.
    #[must_use]
    pub fn with_request_headers(mut self, edits: HeaderEdits) -> Self {
        self.request_headers = edits;
        self
    }

    /// The same, changing header fields of the responses, its own answers among them.
    #[must_use]
    pub fn with_response_headers(mut self, edits: HeaderEdits) -> Self {
        self.response_headers = edits;
        self
    }

    /// The same, saying in its responses which pages of other origins may read them. Preflight requests are answered
    /// when the request they ask for would match, as far as it is known by then: a browser tells its method, and of
    /// its header fields only the names.
    #[must_use]
    pub fn with_cors(mut self, cors: Cors) -> Self {
        self.cors = Some(Arc::new(cors));
        self
    }

    /// The same with a time limit for its requests, in place of the service's.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.timeout = timeout;
        self
    }

    /// The id.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn shared_id(&self) -> Arc<str> {
        Arc::clone(&self.id)
    }

    /// The name for people; without one, the id.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.id)
    }

    /// The priority.
    pub fn priority(&self) -> i32 {
        self.priority
    }

    /// Whether it is tried at all.
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// What it asks, in the order given.
    pub fn conditions(&self) -> &[Condition] {
        &self.conditions
    }

    /// What it does.
    pub fn action(&self) -> &RuleAction {
        &self.action
    }

    /// What it changes of path and host.
    pub fn rewrite(&self) -> &Rewrite {
        &self.rewrite
    }

    /// What it changes of the request's header fields.
    pub fn request_headers(&self) -> &HeaderEdits {
        &self.request_headers
    }

    /// What it changes of the response's header fields.
    pub fn response_headers(&self) -> &HeaderEdits {
        &self.response_headers
    }

    /// Which pages of other origins may read its responses.
    pub fn cors(&self) -> Option<&Arc<Cors>> {
        self.cors.as_ref()
    }

    /// The time limit.
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// What its one condition on the path names: what a prefix takes the place of.
    pub(crate) fn matched_prefix(&self) -> Option<&str> {
        let mut named = self.conditions.iter().filter(|condition| {
            *condition.subject() == Subject::Path
                && matches!(condition.operator(), Operator::Prefix | Operator::Equals)
        });
        let first = named.next()?;
        match named.next() {
            None => first.values().next(),
            Some(_) => None,
        }
    }

    /// Whether it replaces a prefix.
    pub(crate) fn replaces_prefix(&self) -> bool {
        let of_redirect = match &self.action {
            RuleAction::Redirect(redirect) => redirect.path(),
            _ => None,
        };
        [self.rewrite.path(), of_redirect]
            .into_iter()
            .flatten()
            .any(|path: &PathChange| !path.is_whole())
    }
}

/// Where a share of a rule's requests goes.
///
/// ```
/// use mesh_core::{ServiceName, Version};
/// use mesh_traffic::Destination;
///
/// let canary = Destination::new(ServiceName::new("sample-service")?, 10).with_version(Some(Version::new("v2")?));
/// assert_eq!(canary.weight(), 10);
/// # Ok::<(), mesh_core::name::NameError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    to: To,
    weight: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum To {
    Service(ServiceName, Option<Version>),
    Answer(Respond),
}

impl Destination {
    /// A share of `weight` to the stable version of `service`.
    ///
    /// If no service has this name, but one is left when `-<version>` is taken from its end, that version of
    /// that service is meant.
    pub fn new(service: ServiceName, weight: u32) -> Self {
        Self {
            to: To::Service(service, None),
            weight,
        }
    }

    /// A share that is answered: what the Gateway API asks for a backend that does not exist.
    pub fn answered(answer: Respond, weight: u32) -> Self {
        Self {
            to: To::Answer(answer),
            weight,
        }
    }

    /// The same, but this version; nothing changes for a share that is answered.
    #[must_use]
    pub fn with_version(mut self, wanted: Option<Version>) -> Self {
        if let To::Service(_, version) = &mut self.to {
            *version = wanted;
        }
        self
    }

    /// The service, as it was given; none if the share is answered.
    pub fn service(&self) -> Option<&ServiceName> {
        match &self.to {
            To::Service(service, _) => Some(service),
            To::Answer(_) => None,
        }
    }

    /// The version, as it was given.
    pub fn version(&self) -> Option<&Version> {
        match &self.to {
            To::Service(_, version) => version.as_ref(),
            To::Answer(_) => None,
        }
    }

    /// The answer, if the share is answered.
    pub fn answer(&self) -> Option<&Respond> {
        match &self.to {
            To::Service(..) => None,
            To::Answer(answer) => Some(answer),
        }
    }

    /// The weight: in percent, or relative to the others.
    pub fn weight(&self) -> u32 {
        self.weight
    }
}

/// Destinations and their shares.
#[derive(Clone, Debug)]
pub struct Split {
    destinations: Box<[Destination]>,
    weights: Weights,
}

impl Split {
    /// Takes the destinations if their weights add up to 100.
    pub fn new(destinations: impl IntoIterator<Item = Destination>) -> Result<Self, WeightsError> {
        let destinations: Box<[Destination]> = destinations.into_iter().collect();
        let weights = Weights::percent(destinations.iter().map(Destination::weight))?;
        Ok(Self {
            destinations,
            weights,
        })
    }

    /// Takes destinations whose weights are relative to their sum, as the Gateway API writes them.
    ///
    /// # Errors
    /// There is no destination, or none has a weight, or they are more than 32 bits hold.
    pub fn relative(destinations: impl IntoIterator<Item = Destination>) -> Result<Self, WeightsError> {
        let destinations: Box<[Destination]> = destinations.into_iter().collect();
        let weights = Weights::relative(destinations.iter().map(Destination::weight))?;
        Ok(Self {
            destinations,
            weights,
        })
    }

    /// The destinations, in the order given.
    pub fn destinations(&self) -> &[Destination] {
        &self.destinations
    }

    pub(crate) fn weights(&self) -> &Weights {
        &self.weights
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_can_be_no_label_is_refused() {
        let respond = || RuleAction::Respond(Respond::new(200).expect("a status"));
        for (id, why) in [
            ("", "empty"),
            ("a\nb", "control"),
            (&*"x".repeat(129), "too long"),
        ] {
            let error = Rule::new(id, respond()).expect_err(id).to_string();
            assert!(error.contains(why), "{error}");
        }
        assert_eq!(
            Rule::new("a b", respond()).map(|rule| rule.name().to_owned()),
            Ok("a b".to_owned())
        );
    }
}
