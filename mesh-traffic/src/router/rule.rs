//! Rules: what they ask, and what they decide.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mesh_core::{ServiceName, Version};

use super::condition::Condition;
use super::respond::Respond;
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

    /// The time limit.
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout
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
    service: ServiceName,
    version: Option<Version>,
    weight: u32,
}

impl Destination {
    /// `weight` percent to the stable version of `service`.
    ///
    /// If no service has this name, but one is left when `-<version>` is taken from its end, that version of
    /// that service is meant.
    pub fn new(service: ServiceName, weight: u32) -> Self {
        Self {
            service,
            version: None,
            weight,
        }
    }

    /// The same, but this version.
    #[must_use]
    pub fn with_version(mut self, version: Option<Version>) -> Self {
        self.version = version;
        self
    }

    /// The service, as it was given.
    pub fn service(&self) -> &ServiceName {
        &self.service
    }

    /// The version, as it was given.
    pub fn version(&self) -> Option<&Version> {
        self.version.as_ref()
    }

    /// The weight, in percent.
    pub fn weight(&self) -> u32 {
        self.weight
    }
}

/// Destinations whose weights add up to 100.
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
