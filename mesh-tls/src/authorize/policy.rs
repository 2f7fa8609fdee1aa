//! Policies: rules, compiled.

use std::collections::HashMap;

use super::decision::{Decision, Reason};
use super::explain::{Explanation, Recorder, Silent, Tried, Verdict};
use super::index::Index;
use super::pattern::Pattern;
use super::probes::Probes;
use super::problem::{PolicyError, PolicyProblem};
use super::question::Question;
use super::reading::{Reading, Segments};
use super::rule::{Action, Condition, Rule};

/// Rules, compiled: what is asked of it costs about as much with a thousand rules as with ten, as long as they ask for
/// different identities or paths. See [the module](crate::authorize) for the order in which it decides.
///
/// Without rules it denies everything.
///
/// ```
/// use http::Method;
/// use mesh_tls::authorize::{AuthorizationPolicy, Question, Reason, Rule};
///
/// let policy = AuthorizationPolicy::new([Rule::allow("signed").from(["*"])])?;
/// let decision = policy.decide(&Question::of_request(None, &Method::GET, "/"));
/// assert_eq!(decision.reason, Reason::NoRule);
/// assert_eq!(decision.error().expect("refused").http_status(), 403);
///
/// let audited = policy.audit();
/// let decision = audited.decide(&Question::of_request(None, &Method::GET, "/"));
/// assert!(!decision.is_allowed() && decision.passes());
/// # Ok::<(), mesh_tls::authorize::PolicyError>(())
/// ```
#[derive(Debug)]
pub struct AuthorizationPolicy {
    rules: Box<[Rule]>,
    deny: Side,
    allow: Side,
    probes: Option<Probes>,
    enforced: bool,
}

/// The rules of one action.
#[derive(Debug)]
struct Side {
    action: Action,
    rules: Box<[Compiled]>,
    index: Index,
    /// Whether any of them asks for a path.
    reads_paths: bool,
}

#[derive(Debug)]
struct Compiled {
    /// Among all rules.
    place: usize,
    /// In the reading of their side.
    paths: Option<Box<[Pattern]>>,
}

impl AuthorizationPolicy {
    /// Compiles rules.
    ///
    /// # Errors
    /// Everything that is wrong with them, in one report.
    pub fn new(rules: impl IntoIterator<Item = Rule>) -> Result<Self, PolicyError> {
        let mut rules: Box<[Rule]> = rules.into_iter().collect();
        let problems = problems(&mut rules);
        if !problems.is_empty() {
            return Err(PolicyError::new(problems));
        }
        Ok(Self {
            deny: Side::new(Action::Deny, &rules),
            allow: Side::new(Action::Allow, &rules),
            rules,
            probes: None,
            enforced: true,
        })
    }

    /// The same, and nothing is refused: for a policy that is tried out.
    #[must_use]
    pub fn audit(self) -> Self {
        Self {
            enforced: false,
            ..self
        }
    }

    /// The same, and these requests pass unasked.
    #[must_use]
    pub fn with_probes(self, probes: Probes) -> Self {
        Self {
            probes: Some(probes),
            ..self
        }
    }

    /// The rules, in the order given.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Whether a denial is enforced.
    pub fn is_enforced(&self) -> bool {
        self.enforced
    }

    /// Decides.
    pub fn decide<'p, 'r>(&'p self, question: &Question<'r>) -> Decision<'p, 'r> {
        self.evaluate(question, &mut Silent)
    }

    /// Decides as [`decide`](Self::decide) does, and tells why: every rule that was tried, and the first condition of it
    /// that failed.
    ///
    /// ```
    /// use http::Method;
    /// use mesh_tls::authorize::{AuthorizationPolicy, Condition, Question, Rule, Verdict};
    ///
    /// let policy = AuthorizationPolicy::new([
    ///     Rule::allow("signed").from(["*"]),
    ///     Rule::deny("no-writes").methods(["POST", "PUT"]),
    /// ])?;
    /// let explanation = policy.explain(&Question::of_request(None, &Method::GET, "/"));
    /// let tried: Vec<_> = explanation.tried.iter().map(|tried| (tried.rule.id(), tried.verdict)).collect();
    /// assert_eq!(tried, [
    ///     ("no-writes", Verdict::Failed(Condition::Method)),
    ///     ("signed", Verdict::Failed(Condition::Source)),
    /// ]);
    /// assert!(!explanation.decision.is_allowed());
    /// # Ok::<(), mesh_tls::authorize::PolicyError>(())
    /// ```
    pub fn explain<'p, 'r>(&'p self, question: &Question<'r>) -> Explanation<'p, 'r> {
        let mut tried = Vec::new();
        let decision = self.evaluate(question, &mut tried);
        Explanation { tried, decision }
    }

    fn evaluate<'p, 'r, R: Recorder<'p>>(
        &'p self,
        question: &Question<'r>,
        recorder: &mut R,
    ) -> Decision<'p, 'r> {
        let rules = &*self.rules;
        let reason = if self.probes.as_ref().is_some_and(|probes| probes.mean(question)) {
            Reason::Probe
        } else if let Some(rule) = self.deny.first(rules, question, recorder) {
            Reason::Denied(rule)
        } else if let Some(rule) = self.allow.first(rules, question, recorder) {
            Reason::Allowed(rule)
        } else {
            Reason::NoRule
        };
        Decision {
            question: *question,
            reason,
            enforced: self.enforced,
        }
    }
}

impl Side {
    fn new(action: Action, rules: &[Rule]) -> Self {
        let reading = reading(action);
        let own = rules
            .iter()
            .enumerate()
            .filter(|(_, rule)| rule.action() == action);
        let compiled: Box<[Compiled]> = own
            .map(|(place, rule)| Compiled {
                place,
                paths: rule
                    .of_paths()
                    .map(|paths| paths.iter().map(|path| path.pattern(reading)).collect()),
            })
            .collect();
        let indexed = compiled
            .iter()
            .map(|own| (rules[own.place].sources(), own.paths.as_deref()));
        Self {
            action,
            index: Index::build(indexed),
            reads_paths: compiled.iter().any(|own| own.paths.is_some()),
            rules: compiled,
        }
    }

    /// The first rule of this side that holds.
    fn first<'p, R: Recorder<'p>>(
        &self,
        all: &'p [Rule],
        question: &Question<'_>,
        recorder: &mut R,
    ) -> Option<&'p Rule> {
        let path = question.canonical.filter(|_| self.reads_paths);
        let read = path.map(|path| reading(self.action).of(path));
        let path = read.as_deref().map(Segments::of_path);
        let failing = |own: usize| {
            let own = &self.rules[own];
            self.first_failing(&all[own.place], own, question, path)
        };
        let everyone = 0..self.rules.len();
        // Rules stand by the paths they ask for; where there is no path, what denies is tried one by one.
        let all_may_hold = self.action == Action::Deny && path.is_none();
        let found = if R::RECORDS {
            self.one_by_one(all, failing, recorder)
        } else if all_may_hold {
            everyone.into_iter().find(|own| failing(*own).is_none())
        } else {
            self.index
                .first(question.identity, path, |own| failing(own).is_none())
        };
        Some(&all[self.rules[found?].place])
    }

    /// The first that holds; every one before it is told of.
    fn one_by_one<'p, R: Recorder<'p>>(
        &self,
        all: &'p [Rule],
        failing: impl Fn(usize) -> Option<Condition>,
        recorder: &mut R,
    ) -> Option<usize> {
        for (own, compiled) in self.rules.iter().enumerate() {
            let failed = failing(own);
            recorder.tried(Tried {
                rule: &all[compiled.place],
                place: compiled.place,
                verdict: failed.map_or(Verdict::Holds, Verdict::Failed),
            });
            if failed.is_none() {
                return Some(own);
            }
        }
        None
    }

    /// What of a rule does not hold. What cannot be read holds if the rule denies.
    fn first_failing(
        &self,
        rule: &Rule,
        compiled: &Compiled,
        question: &Question<'_>,
        path: Option<Segments<'_>>,
    ) -> Option<Condition> {
        let unread = self.action == Action::Deny;
        let sources = rule.sources();
        if sources.is_some_and(|sources| !sources.iter().any(|source| source.means(question.identity))) {
            return Some(Condition::Source);
        }
        let has_method = |methods: &[http::Method]| match question.method {
            Some(method) => methods.contains(method),
            None => unread && !methods.is_empty(),
        };
        if !rule.of_methods().is_none_or(has_method) {
            return Some(Condition::Method);
        }
        let has_path = |paths: &[Pattern]| match path {
            Some(path) => paths.iter().any(|pattern| pattern.matches(path)),
            None => unread && !paths.is_empty(),
        };
        let holds = compiled.paths.as_deref().is_none_or(has_path);
        (!holds).then_some(Condition::Path)
    }
}

/// What allows is taken by the letter, what denies as widely as anyone might take it.
fn reading(action: Action) -> Reading {
    match action {
        Action::Allow => Reading::ByTheLetter,
        Action::Deny => Reading::Careless,
    }
}

fn problems(rules: &mut [Rule]) -> Vec<PolicyProblem> {
    let mut problems = Vec::new();
    let mut places: HashMap<Box<str>, usize> = HashMap::new();
    for (place, rule) in rules.iter_mut().enumerate() {
        let wrong = rule.take_wrong().into_iter();
        problems.extend(wrong.map(|wrong| PolicyProblem::Text {
            rule: place,
            id: rule.id().into(),
            condition: wrong.condition,
            why: wrong.why,
        }));
        match places.get(rule.id()) {
            Some(&earlier) => problems.push(PolicyProblem::SameRule {
                rule: place,
                earlier,
                id: rule.id().into(),
            }),
            None => {
                places.insert(rule.id().into(), place);
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests;
