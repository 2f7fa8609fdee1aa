//! Who may do what: the policies of a configuration, asked about its requests.

mod standing;

use std::collections::HashMap;
use std::sync::Arc;

use mesh_core::context::Direction;
use mesh_core::{Error, ServiceName, SpiffeId};
use mesh_telemetry::Telemetry;
use mesh_tls::authorize::{Action, AuthorizationPolicy, Decision, Question, Rule};
use tokio::time::Instant;

use crate::config::{self, AuthorizationMode, Mesh};
use crate::seldom::Seldom;
use standing::AskedFor;

pub use standing::Standing;

/// The policy of a service.
pub struct Authorization {
    service: ServiceName,
    policy: AuthorizationPolicy,
    /// What this process is: who asks, on a listener for its own application.
    own: SpiffeId,
    telemetry: Telemetry,
    told: Seldom,
}

/// The policies of one configuration.
pub struct Compiled(HashMap<ServiceName, Arc<Authorization>>);

/// Compiles the policies of a configuration.
///
/// # Errors
/// One that cannot be: the configuration was not checked as it should have been.
pub fn compile(mesh: &Mesh, telemetry: &Telemetry) -> Result<Compiled, String> {
    let own = &mesh.identity.id;
    let written = mesh.services.iter().filter_map(|service| {
        let authorization = service.authorization.as_ref()?;
        Some((service.name.clone(), authorization))
    });
    let compiled = written.map(|(service, written)| {
        let policy = policy(written).map_err(|error| format!("service {service}: {error}"))?;
        let authorization = Authorization {
            service: service.clone(),
            policy,
            own: own.clone(),
            telemetry: telemetry.clone(),
            told: Seldom::default(),
        };
        Ok((service, Arc::new(authorization)))
    });
    compiled.collect::<Result<_, String>>().map(Compiled)
}

/// What was written, compiled. A rule is called by its place, `rules[0]`.
///
/// # Errors
/// It cannot be: the configuration was not checked as it should have been.
pub fn policy(written: &config::Authorization) -> Result<AuthorizationPolicy, String> {
    let rule = |(place, written): (usize, &config::AuthorizationRule)| {
        let mut rule = Rule::new(format!("rules[{place}]"), written.action);
        if let Some(sources) = &written.from {
            rule = rule.from(sources.iter().cloned());
        }
        if let Some(methods) = &written.methods {
            rule = rule.methods(methods.iter().cloned());
        }
        match &written.paths {
            Some(paths) => rule.paths(paths.iter().cloned()),
            None => rule,
        }
    };
    let rules = written.rules.iter().enumerate().map(rule);
    let mut policy = AuthorizationPolicy::new(rules).map_err(|error| format!("authorization: {error}"))?;
    if let Some(probes) = &written.probes {
        policy = policy.with_probes(probes.clone());
    }
    Ok(match written.mode {
        AuthorizationMode::Enforce => policy,
        AuthorizationMode::Audit => policy.audit(),
    })
}

/// The identity that a service of this mesh has.
///
/// # Errors
/// The parts make no SPIFFE ID.
pub fn identity_of(mesh: &Mesh, service: &ServiceName) -> Result<SpiffeId, String> {
    SpiffeId::of_service(
        mesh.trust_domain.as_str(),
        mesh.namespace.as_str(),
        service.as_str(),
    )
    .map_err(|error| error.to_string())
}

/// What a policy says to a request that a rule of traffic may send on under another path. What allows is about the path
/// that was asked for; what denies is about either.
pub fn decide<'p, 'r>(
    policy: &'p AuthorizationPolicy,
    asked: Question<'r>,
    rewritten: Option<Question<'r>>,
) -> Decision<'p, 'r> {
    let decision = policy.decide(&asked);
    match rewritten {
        Some(rewritten) if decision.is_allowed() => {
            let denied = policy.decide(&rewritten);
            let is_denied = denied.rule().is_some_and(|rule| rule.action() == Action::Deny);
            if is_denied { denied } else { decision }
        }
        _ => decision,
    }
}

impl Compiled {
    /// The policy that the requests of a decision are asked about.
    pub fn met_by(&self, decision: &mesh_traffic::Decision) -> Option<Arc<Authorization>> {
        self.of(&decision.target()?.service).cloned()
    }

    /// The policy of a service, if it has one.
    pub fn of(&self, service: &ServiceName) -> Option<&Arc<Authorization>> {
        self.0.get(service)
    }
}

impl Authorization {
    /// Asks about a request.
    fn check(&self, asked_for: &AskedFor, received: Instant) -> Result<(), Error> {
        let asked = self.question(asked_for);
        let rewritten = asked_for.rewritten.as_deref().map(|path| asked.with_path(path));
        let decision = decide(&self.policy, asked, rewritten);
        if decision.is_allowed() {
            return Ok(());
        }
        self.tell(&decision, received);
        decision.error().map_or(Ok(()), Err)
    }

    fn question<'r>(&'r self, asked_for: &'r AskedFor) -> Question<'r> {
        let AskedFor {
            direction,
            peer,
            method,
            uri,
            ..
        } = asked_for;
        let peer = match direction {
            Direction::Inbound => peer.as_deref(),
            Direction::Outbound => return Question::of_request(Some(&self.own), method, uri.path()),
        };
        let identity = peer.and_then(|peer| peer.identity.as_ref());
        let question = Question::of_request(identity, method, uri.path());
        match peer {
            Some(peer) => question.with_address(peer.address.ip()),
            None => question,
        }
    }

    fn tell(&self, decision: &Decision<'_, '_>, received: Instant) {
        if decision.passes() {
            self.telemetry.process().authorization_audited();
        }
        let Some(untold) = self.told.at(received) else {
            return;
        };
        let service = &self.service;
        match decision.passes() {
            true => tracing::warn!(%service, untold, "authorization would refuse (mode: audit): {decision}"),
            false => tracing::warn!(%service, untold, "authorization refused: {decision}"),
        }
    }
}

/// The path of a target.
pub fn without_query(target: &str) -> &str {
    target.split_once('?').map_or(target, |(path, _)| path)
}

#[cfg(test)]
mod tests;
