//! The table of a configuration: its services, its rules, and who is kept to which version.

use std::collections::{BTreeSet, HashMap};

use mesh_core::{ServiceName, Version};
use mesh_traffic::router::{CookieKey, Pins, Rule, RuleAction};
use mesh_traffic::{LiveSplit, LiveSplits, RouteTable, Service};

use crate::config::{self, Config};
use crate::cookie_keys;

/// Compiles the table of a configuration, for whoever looks at what it decides. The shares of versions go on as they are in `before`.
///
/// # Errors
/// The table refuses it: the configuration was not checked as it should have been.
pub fn table(config: &Config, before: &LiveSplits) -> Result<(RouteTable, LiveSplits), String> {
    table_with(config, before, &Found::new(), &cookie_keys::to_look(config)?)
}

/// As [`table`], with the versions of endpoints that are not listed, and sticky cookies signed with this key.
///
/// # Errors
/// As [`table`].
pub fn table_with(
    config: &Config,
    before: &LiveSplits,
    found: &Found,
    key: &CookieKey,
) -> Result<(RouteTable, LiveSplits), String> {
    let mesh = &config.mesh;
    let splits: LiveSplits = mesh
        .services
        .iter()
        .filter_map(|service| split(service, config, before, found.get(&service.name)))
        .collect();
    let services = mesh.services.iter().map(|service| {
        let routed = Service::new(service.name.clone())
            .with_timeout(service.timeout)
            .with_pins(pins(service, config, key));
        let routed = match splits.get(&service.name) {
            Some(split) => routed.with_split(split.clone()),
            None => routed,
        };
        match &service.hosts {
            Some(hosts) => routed.with_hosts(hosts.iter().cloned()),
            None => routed,
        }
    });
    let rules = mesh.rules.iter().map(rule).collect::<Result<Vec<_>, String>>()?;
    let table = RouteTable::new(mesh.namespace.as_str(), services, rules);
    Ok((table.map_err(|error| error.to_string())?, splits))
}

fn rule(rule: &config::Rule) -> Result<Rule, String> {
    let action = match &rule.action {
        config::RuleAction::Forward(split) => RuleAction::Split(split.clone()),
        config::RuleAction::Respond(respond) => RuleAction::Respond(respond.clone()),
        config::RuleAction::Redirect(redirect) => RuleAction::Redirect(redirect.clone()),
    };
    let made = Rule::new(&rule.id, action).map_err(|error| format!("{}: {error}", rule.origin))?;
    let made = made
        .with_name(rule.name.clone())
        .with_priority(rule.priority)
        .with_enabled(rule.enabled)
        .with_rewrite(rule.rewrite.clone())
        .with_request_headers(rule.request_headers.clone())
        .with_response_headers(rule.response_headers.clone())
        .with_timeout(rule.timeout);
    let made = match &rule.cors {
        Some(cors) => made.with_cors(cors.clone()),
        None => made,
    };
    Ok(rule.conditions.iter().cloned().fold(made, Rule::with_condition))
}

/// The versions of endpoints that were found, for each service; `None`: some have none.
pub type Found = HashMap<ServiceName, BTreeSet<Option<Version>>>;

/// The shares of a service's versions, if it has several: those its endpoints have, and those rules name.
fn split(
    service: &config::Service,
    config: &Config,
    before: &LiveSplits,
    found: Option<&BTreeSet<Option<Version>>>,
) -> Option<LiveSplit> {
    let mut others: Vec<Version> = Vec::new();
    let listed = service.endpoints.iter().map(|endpoint| endpoint.version.as_ref());
    let versions: Vec<Option<&Version>> = listed
        .chain(found.into_iter().flatten().map(Option::as_ref))
        .collect();
    for version in versions.iter().copied().flatten().chain(named(service, config)) {
        if service.stable_version.as_ref() != Some(version) && !others.contains(version) {
            others.push(version.clone());
        }
    }
    let all_are_one = service.stable_version.is_none()
        && others.len() < 2
        && !versions.is_empty()
        && versions.iter().all(Option::is_some);
    if others.is_empty() || all_are_one {
        return None;
    }
    let split = LiveSplit::new(service.name.clone(), service.stable_version.clone(), others);
    match before.get(&service.name) {
        // Whoever rolls out holds on to it.
        Some(before) if before.versions() == split.versions() => return Some(before.clone()),
        Some(before) => split.succeed(before),
        None => {}
    }
    Some(split)
}

fn named<'c>(service: &'c config::Service, config: &'c Config) -> impl Iterator<Item = &'c Version> {
    let splits = config.mesh.rules.iter().filter_map(|rule| match &rule.action {
        config::RuleAction::Forward(split) => Some(split),
        config::RuleAction::Respond(_) | config::RuleAction::Redirect(_) => None,
    });
    splits
        .flat_map(|split| split.destinations())
        .filter(|destination| destination.service() == Some(&service.name))
        .filter_map(|destination| destination.version())
}

/// `canaryDeployment.routing`, for the services that are rolled out.
pub fn pins(service: &config::Service, config: &Config, key: &CookieKey) -> Pins {
    let of_service = |canary: &&config::Canary| {
        let listed = canary.services.as_ref();
        canary.enabled && listed.is_none_or(|listed| listed.contains(&service.name))
    };
    let routing = config
        .canary
        .as_ref()
        .filter(of_service)
        .map(|canary| &canary.routing);
    let pins = routing.and_then(|routing| {
        let pins = Pins::new(routing.header.clone(), &routing.cookie).ok()?;
        Some(match routing.sticky {
            true => pins.sticky(key.clone()),
            false => pins,
        })
    });
    pins.unwrap_or_default()
}
