//! `services[].authorization`: who may do what, by verified identity.

use http::Method;
use ipnet::IpNet;
use mesh_tls::authorize::{Action, PathPattern, Probes, Source};

use super::context::Context;
use super::grammar::{self, IDENTITY_PATTERN, METHOD, NETWORK, PATH_PATTERN, PROBE_PATH};
use super::origin::Origin;
use super::shape::{Fields, boolean, list, object, parsed, word};
use super::{Config, Direction, ListenerTls, Warning};

/// Deny comes before allow; what no rule allows is denied.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Authorization {
    /// Where it was written.
    pub origin: Origin,
    /// Whether a denial is enforced. Default: it is.
    pub mode: AuthorizationMode,
    /// The rules, in the order of the file.
    pub rules: Vec<AuthorizationRule>,
    /// What passes before any rule.
    pub probes: Option<Probes>,
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
    /// Where it was written.
    pub origin: Origin,
    /// What it says.
    pub action: Action,
    /// About whom; `None`: anyone, also without an identity.
    pub from: Option<Vec<Source>>,
    /// Which methods; `None`: all.
    pub methods: Option<Vec<Method>>,
    /// Which paths; `None`: all.
    pub paths: Option<Vec<PathPattern>>,
}

pub(super) fn read(fields: &mut Fields<'_>) -> Option<Option<Authorization>> {
    let origin = fields.origin();
    let enabled = fields.or("enabled", boolean(), true);
    let modes = word(&[
        ("enforce", AuthorizationMode::Enforce),
        ("audit", AuthorizationMode::Audit),
    ]);
    let mode = fields.or("mode", modes, AuthorizationMode::Enforce);
    let rules = fields.optional("rules", list(object(read_rule)));
    let probes = fields.optional("probes", object(read_probes));
    if enabled && rules.as_ref().is_none_or(Vec::is_empty) && !fields.has("rules") {
        fields.advise("rules", "without rules every request is denied");
    }
    let rules = rules.unwrap_or_default();
    Some(enabled.then_some(Authorization {
        origin,
        mode,
        rules,
        probes,
    }))
}

fn read_rule(fields: &mut Fields<'_>) -> Option<AuthorizationRule> {
    let origin = fields.origin();
    let actions = word(&[("allow", Action::Allow), ("deny", Action::Deny)]);
    let action = fields.required("action", actions);
    // An empty list would be "nobody" to one reader and "anybody" to the next.
    let from = list(parsed(IDENTITY_PATTERN, grammar::identity_pattern)).not_empty();
    let methods = list(parsed(METHOD, grammar::method)).not_empty();
    let paths = list(parsed(PATH_PATTERN, grammar::path_pattern)).not_empty();
    let from = fields.optional("from", from);
    let methods = fields.optional("methods", methods);
    let paths = fields.optional("paths", paths);
    Some(AuthorizationRule {
        origin,
        action: action?,
        from,
        methods,
        paths,
    })
}

fn read_probes(fields: &mut Fields<'_>) -> Option<Probes> {
    let paths = list(parsed(PROBE_PATH, grammar::probe_path)).not_empty();
    let paths: Option<Vec<Box<str>>> = fields.required("paths", paths);
    let networks: Option<Vec<IpNet>> =
        fields.optional("networks", list(parsed(NETWORK, grammar::network)).not_empty());
    // Each path was looked at when it was read.
    let probes = Probes::of(paths?).ok()?;
    Some(match networks {
        Some(networks) => probes.from_networks(networks),
        None => probes,
    })
}

/// A rule about identities that nobody can prove never holds: it denies nothing, and allows nothing.
pub(super) fn check(config: &Config, context: &mut Context) {
    let proves = |listener: &super::Listener| {
        listener.tls != ListenerTls::Off || listener.direction == Direction::Outbound
    };
    if config.mesh.listeners.iter().any(proves) {
        return;
    }
    for (service, written) in config.mesh.services.iter().enumerate() {
        let rules = written
            .authorization
            .iter()
            .flat_map(|authorization| &authorization.rules);
        for (place, rule) in rules.enumerate() {
            let needs_identity = |from: &Vec<Source>| !from.contains(&Source::Unauthenticated);
            if !rule.from.as_ref().is_some_and(needs_identity) {
                continue;
            }
            let steps = [
                "serviceMesh".into(),
                "services".into(),
                service.into(),
                "authorization".into(),
                "rules".into(),
                place.into(),
            ];
            context.at(&steps, |context| {
                let message =
                    "it never holds: no listener has TLS, by which a client could prove an identity";
                let warning = Warning::advice(rule.origin.clone(), context.path(), message);
                context.warning(warning);
            });
        }
    }
}
