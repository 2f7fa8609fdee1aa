//! Compiles a table, and finds what is wrong with it as a whole.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use mesh_core::context::Target;
use mesh_core::{ServiceName, Version};

use super::choice::{Arms, Choice, PinnedArms, Versions};
use super::problem::{TableError, TableProblem};
use super::{Compiled, Hosts, RouteTable};
use crate::router::changes::Changes;
use crate::router::condition::Condition;
use crate::router::decision::{Action, Decision};
use crate::router::host::HostPattern;
use crate::router::index::Index;
use crate::router::pins::salt;
use crate::router::rule::{Destination, Rule, RuleAction, Split};
use crate::router::service::Service;

/// A table in the making. Services come before the rules that name them.
pub(super) struct Compiler<'n> {
    namespace: &'n str,
    services: Vec<Service>,
    service_places: HashMap<ServiceName, usize>,
    rules: Vec<Rule>,
    rule_places: HashMap<Box<str>, usize>,
    hosts: Hosts,
    decisions: Vec<Decision>,
    problems: Vec<TableProblem>,
}

impl<'n> Compiler<'n> {
    pub(super) fn new(namespace: &'n str) -> Self {
        Self {
            namespace,
            services: Vec::new(),
            service_places: HashMap::new(),
            rules: Vec::new(),
            rule_places: HashMap::new(),
            hosts: Hosts::default(),
            decisions: Vec::new(),
            problems: Vec::new(),
        }
    }

    pub(super) fn add_service(&mut self, service: Service) {
        let place = self.services.len();
        match self.service_places.get(service.name()) {
            Some(&earlier) => {
                let name = service.name().clone();
                self.problems.push(TableProblem::SameService {
                    service: place,
                    earlier,
                    name,
                });
            }
            None => {
                self.service_places.insert(service.name().clone(), place);
                match service.hosts(self.namespace) {
                    Ok(hosts) => hosts.into_iter().for_each(|host| self.add_host(place, host)),
                    // It is the same for all services: told once.
                    Err(_) if self.namespace_is_told() => {}
                    Err(error) => self.problems.push(TableProblem::Namespace(error)),
                }
            }
        }
        let target = Target::service(service.name().clone());
        self.decide(None, Action::Forward(target), None, service.timeout());
        self.services.push(service);
    }

    fn namespace_is_told(&self) -> bool {
        self.problems
            .iter()
            .any(|problem| matches!(problem, TableProblem::Namespace(_)))
    }

    /// A service's decision stands at the service's own place.
    fn add_host(&mut self, place: usize, host: HostPattern) {
        let taken = match &host {
            HostPattern::Any => *self.hosts.any.get_or_insert(place),
            HostPattern::Name(name) => *self
                .hosts
                .named
                .entry(name.as_str().as_bytes().into())
                .or_insert(place),
        };
        if taken != place
            && let Some(earlier) = self.services.get(taken)
        {
            let earlier = earlier.name().clone();
            self.problems.push(TableProblem::SameHost {
                service: place,
                earlier,
                host,
            });
        }
    }

    pub(super) fn add_rule(&mut self, rule: Rule) {
        let place = self.rules.len();
        match self.rule_places.get(rule.id()) {
            Some(&earlier) => {
                self.problems.push(TableProblem::SameRule {
                    rule: place,
                    earlier,
                    id: rule.id().into(),
                });
            }
            None => {
                self.rule_places.insert(rule.id().into(), place);
            }
        }
        if rule.replaces_prefix() && rule.matched_prefix().is_none() {
            self.problems.push(TableProblem::NoPrefix {
                rule: place,
                id: rule.id().into(),
            });
        }
        if let RuleAction::Split(split) = rule.action() {
            for (destination, wanted) in split.destinations().iter().enumerate() {
                if let Some(service) = wanted.service()
                    && self.resolve(wanted).is_none()
                {
                    let service = service.clone();
                    let id = rule.id().into();
                    self.problems.push(TableProblem::UnknownService {
                        rule: place,
                        id,
                        destination,
                        service,
                    });
                }
            }
        }
        self.rules.push(rule);
    }

    pub(super) fn finish(mut self) -> Result<RouteTable, TableError> {
        if !self.problems.is_empty() {
            return Err(TableError::new(self.problems));
        }
        let mut rules = std::mem::take(&mut self.rules);
        // Stable: rules of one priority stay in the order given.
        rules.sort_by_key(|rule| std::cmp::Reverse(rule.priority()));
        let rules: Box<[Compiled]> = rules
            .into_iter()
            .map(|rule| {
                let choice = self.choice(&rule);
                Compiled { rule, choice }
            })
            .collect();
        let tried = rules
            .iter()
            .enumerate()
            .filter(|(_, compiled)| compiled.rule.is_enabled());
        let index = Index::build(
            tried.map(|(place, compiled)| (place, compiled.rule.conditions().iter().map(Condition::matcher))),
        );
        let versions = self.versions();
        let enabled = rules.iter().filter(|compiled| compiled.rule.is_enabled());
        let answers_preflights = { enabled }.any(|compiled| compiled.rule.cors().is_some());
        Ok(RouteTable {
            answers_preflights,
            rules,
            index,
            hosts: self.hosts,
            decisions: self.decisions.into(),
            versions,
        })
    }

    /// Adds the decisions of versions behind those that leave the version open.
    fn versions(&mut self) -> Box<[Option<Box<Versions>>]> {
        (0..self.decisions.len())
            .map(|index| self.versions_of(index).map(Box::new))
            .collect()
    }

    fn versions_of(&mut self, index: usize) -> Option<Versions> {
        let open = self.decisions.get(index)?.clone();
        let target = open.target().filter(|target| target.version.is_none())?;
        let service = self.services.get(*self.service_places.get(&target.service)?)?;
        let split = service
            .split()
            .filter(|split| split.versions().len() > 1)?
            .clone();
        let pins = service.pins().clone();
        let first = self.decisions.len();
        for version in split.versions() {
            self.decisions.push(Decision {
                index: self.decisions.len(),
                action: Action::Forward(target.clone().with_version(version.clone())),
                ..open.clone()
            });
        }
        Some(Versions { first, split, pins })
    }

    /// Who is kept to which of a rule's destinations, if these are versions of one service.
    fn pinned(&self, rule: &Rule, split: &Split) -> Option<PinnedArms> {
        let resolved: Option<Vec<_>> = split
            .destinations()
            .iter()
            .map(|wanted| self.resolve(wanted))
            .collect();
        let resolved = resolved?;
        let (service, _) = resolved.first()?;
        if resolved.iter().any(|(other, _)| other.name() != service.name()) {
            return None;
        }
        let of_service = service
            .split()
            .and_then(|split| split.versions().first().cloned().flatten());
        let is_stable = |version: &Option<Version>| version.is_none() || *version == of_service;
        let stable = resolved
            .iter()
            .position(|(_, version)| is_stable(version))
            .unwrap_or(0);
        let other = |(_, version): &(_, Option<Version>)| *version != resolved[stable].1;
        let canary = resolved.iter().rposition(other)?;
        Some(PinnedArms {
            pins: service.pins().clone(),
            stable,
            canary,
            salt: salt(rule.id()),
        })
    }

    fn choice(&mut self, rule: &Rule) -> Choice {
        if !rule.is_enabled() {
            return Choice::Never;
        }
        let first = self.decisions.len();
        let matched = rule.matched_prefix();
        let changes = Changes::compile(
            rule.rewrite(),
            matched,
            rule.request_headers(),
            rule.response_headers(),
        );
        let changes = changes.map(Arc::new);
        match rule.action() {
            RuleAction::Respond(respond) => {
                let action = Action::Respond(respond.clone());
                self.decide(Some(rule), action, changes, rule.timeout());
                Choice::Only(first)
            }
            RuleAction::Redirect(redirect) => {
                let action = Action::Redirect(redirect.compile(matched));
                self.decide(Some(rule), action, changes, rule.timeout());
                Choice::Only(first)
            }
            RuleAction::Split(split) => {
                for wanted in split.destinations() {
                    let changes = changes.clone();
                    match (self.resolve(wanted), wanted.answer()) {
                        (Some((service, version)), _) => {
                            let target = Target::service(service.name().clone())
                                .with_version(version)
                                .with_route(Some(rule.shared_id()));
                            let timeout = rule.timeout().or_else(|| service.timeout());
                            self.decide(Some(rule), Action::Forward(target), changes, timeout);
                        }
                        (None, Some(answer)) => {
                            let action = Action::Respond(answer.clone());
                            self.decide(Some(rule), action, changes, rule.timeout());
                        }
                        // Every destination was resolved when the rule was added.
                        (None, None) => {}
                    }
                }
                match split.destinations() {
                    [_] => Choice::Only(first),
                    _ => Choice::Weighted(Box::new(Arms {
                        first,
                        weights: split.weights().clone(),
                        pinned: self.pinned(rule, split),
                    })),
                }
            }
        }
    }

    fn decide(
        &mut self,
        rule: Option<&Rule>,
        action: Action,
        changes: Option<Arc<Changes>>,
        timeout: Option<Duration>,
    ) {
        let index = self.decisions.len();
        self.decisions.push(Decision {
            index,
            rule: rule.map(Rule::shared_id),
            action,
            changes,
            cors: rule.and_then(Rule::cors).cloned(),
            timeout,
        });
    }

    /// The service and version a destination means.
    fn resolve(&self, wanted: &Destination) -> Option<(&Service, Option<Version>)> {
        let known = |name: &str| {
            self.service_places
                .get(name)
                .and_then(|&place| self.services.get(place))
        };
        let name = wanted.service()?.as_str();
        if let Some(service) = known(name) {
            return Some((service, wanted.version().cloned()));
        }
        if wanted.version().is_some() {
            return None;
        }
        // The longest name of a service that leaves a version: "a-b-v2" is version v2 of "a-b" before it is
        // version b-v2 of "a".
        name.rmatch_indices('-').find_map(|(dash, _)| {
            let version = Version::new(&name[dash + 1..]).ok()?;
            known(&name[..dash]).map(|service| (service, Some(version)))
        })
    }
}
