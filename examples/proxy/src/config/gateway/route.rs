//! One route: its metadata, its hosts, its rules.

use std::time::{Duration, SystemTime};

use mesh_traffic::Condition;
use mesh_traffic::router::{HostName, Operator, Subject};

use super::backend::{self, Backend};
use super::filter::{self, Filters};
use super::retry;
use super::route_match::{self, Match};
use super::{NAME, gep_duration, object_name};
use crate::config::context::{Context, Wrong};
use crate::config::origin::Origin;
use crate::config::retry::Retry;
use crate::config::rfc3339;
use crate::config::rule::RuleAction;
use crate::config::schema::Schema;
use crate::config::shape::{Fields, Shape, integer, list, object, parsed, text};
use crate::config::yaml::{Node, Place};
use crate::config::{Mesh, grammar};

/// A route.
pub(super) struct Route {
    pub(super) origin: Origin,
    pub(super) place: Place,
    pub(super) kind: &'static str,
    pub(super) namespace: Box<str>,
    pub(super) name: Box<str>,
    pub(super) created: Option<SystemTime>,
    /// Never empty.
    pub(super) hosts: Vec<Host>,
    pub(super) rules: Vec<RouteRule>,
}

/// Whom a route is for.
pub(super) enum Host {
    Any,
    Exact(HostName),
    /// Every host below this domain.
    Below(Box<str>),
    /// The hosts of a service: a route of the mesh, whose parent the service is.
    Of(Vec<HostName>),
}

/// A rule of a route.
pub(super) struct RouteRule {
    pub(super) origin: Origin,
    /// Never empty.
    pub(super) matches: Vec<Match>,
    pub(super) filters: Filters,
    pub(super) action: RuleAction,
    pub(super) timeout: Option<Duration>,
    /// How long a try may take.
    pub(super) attempt_timeout: Option<Duration>,
    /// In place of the service's.
    pub(super) retry: Option<Retry>,
}

impl Route {
    pub(super) fn id(&self) -> String {
        format!("{}/{}/{}", self.kind, self.namespace, self.name)
    }
}

impl Host {
    pub(super) fn condition(&self) -> Option<Condition> {
        let host = Subject::Host;
        match self {
            Self::Any => None,
            Self::Exact(name) => Condition::new(host, Operator::Equals, [name.as_str()]).ok(),
            Self::Below(domain) => Condition::new(host, Operator::Suffix, [format!(".{domain}")]).ok(),
            Self::Of(names) => Condition::new(host, Operator::In, names.iter().map(HostName::as_str)).ok(),
        }
    }
}

/// What belongs to Kubernetes and says nothing about routing.
pub(super) struct Anything;

impl Shape for Anything {
    type Value = ();

    fn read(&self, _: &Node, _: &mut Context) -> Option<()> {
        Some(())
    }

    fn schema(&self) -> Schema {
        Schema::Object(Vec::new())
    }
}

pub(super) fn read(fields: &mut Fields<'_>, grpc: bool, place: Place, mesh: &Mesh) -> Option<Route> {
    let origin = fields.origin();
    let version = fields.required("apiVersion", parsed(VERSIONS, api_version));
    let kind = fields.required("kind", text("HTTPRoute or GRPCRoute"));
    let metadata = fields.required("metadata", object(read_metadata));
    fields.optional("status", Anything);
    let namespace = metadata
        .as_ref()
        .and_then(|metadata| metadata.namespace.clone())
        .unwrap_or_else(|| mesh.namespace.as_str().into());
    let spec = |fields: &mut Fields<'_>| read_spec(fields, grpc, &namespace, mesh);
    let spec = fields.required("spec", object(spec));
    version?;
    kind?;
    let (metadata, (hosts, rules)) = (metadata?, spec?);
    Some(Route {
        origin,
        place,
        kind: if grpc { "grpcroute" } else { "httproute" },
        namespace,
        name: metadata.name,
        created: metadata.created,
        hosts,
        rules,
    })
}

const VERSIONS: &str = "gateway.networking.k8s.io/v1";

fn api_version(text: &str) -> Result<(), Wrong> {
    match text.strip_prefix("gateway.networking.k8s.io/") {
        Some("v1" | "v1beta1" | "v1alpha2") => Ok(()),
        _ => Err(Wrong::expected(VERSIONS)),
    }
}

struct Metadata {
    name: Box<str>,
    namespace: Option<Box<str>>,
    created: Option<SystemTime>,
}

fn read_metadata(fields: &mut Fields<'_>) -> Option<Metadata> {
    let name = fields.required("name", parsed(NAME, object_name));
    let namespace = fields.optional("namespace", parsed(NAME, object_name));
    let created = fields.optional(
        "creationTimestamp",
        parsed("a date as 2026-01-31T12:00:00Z", rfc3339::parse),
    );
    for key in OF_KUBERNETES {
        fields.optional(key, Anything);
    }
    Some(Metadata {
        name: name?,
        namespace,
        created,
    })
}

const OF_KUBERNETES: [&str; 9] = [
    "annotations",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "ownerReferences",
    "resourceVersion",
    "uid",
];

fn read_spec(
    fields: &mut Fields<'_>,
    grpc: bool,
    namespace: &str,
    mesh: &Mesh,
) -> Option<(Vec<Host>, Vec<RouteRule>)> {
    let parents = fields.optional("parentRefs", list(object(read_parent)));
    let hostnames = fields.optional("hostnames", list(parsed(HOSTNAME, super::host)));
    let rule = |fields: &mut Fields<'_>| read_rule(fields, grpc, namespace, mesh);
    let rules = fields.optional("rules", list(object(rule)));
    let services: Vec<Box<str>> = parents.unwrap_or_default().into_iter().flatten().collect();
    if !services.is_empty() && hostnames.as_ref().is_some_and(|hosts| !hosts.is_empty()) {
        let wrong =
            Wrong::expected("no hostnames in a route whose parent is a Service: the service is who is meant");
        fields.refuse("hostnames", "hostnames beside a Service as the parent", wrong);
    }
    let mut hosts = hostnames.unwrap_or_default();
    for service in &services {
        let names = [
            service.to_string(),
            format!("{service}.{namespace}"),
            format!("{service}.{namespace}.svc"),
            format!("{service}.{namespace}.svc.cluster.local"),
        ];
        hosts.push(Host::Of(
            names.iter().filter_map(|name| grammar::host(name).ok()).collect(),
        ));
    }
    if hosts.is_empty() {
        hosts.push(Host::Any);
    }
    // The API's default: one rule, which matches everything and has no backend.
    let rules = match rules {
        Some(rules) => rules,
        None if fields.has("rules") => return None,
        None => vec![fields.unwritten(|fields| read_rule(fields, grpc, namespace, mesh))?],
    };
    Some((hosts, rules))
}

const HOSTNAME: &str = "a host as api.example.org, or *.example.org for all below it; without a port";

/// The name of the service that is the parent; nothing if it is a Gateway: this proxy is that.
fn read_parent(fields: &mut Fields<'_>) -> Option<Option<Box<str>>> {
    let group = fields.optional("group", crate::config::shape::written("an API group"));
    let kind = fields.optional("kind", text("Gateway or Service"));
    let name = fields.required("name", parsed(NAME, object_name));
    fields.optional("namespace", parsed(NAME, object_name));
    for key in ["sectionName", "port"] {
        fields.optional(key, Anything);
        if fields.has(key) {
            fields.advise(
                key,
                "not honoured by this version yet: the route is for every listener",
            );
        }
    }
    let name = name?;
    match (
        group.as_deref().unwrap_or("gateway.networking.k8s.io"),
        kind.as_deref().unwrap_or("Gateway"),
    ) {
        ("gateway.networking.k8s.io", "Gateway") => Some(None),
        ("" | "core", "Service") => Some(Some(name)),
        (group, kind) => {
            let wrong = Wrong::expected("kind: Gateway, or group: \"\" and kind: Service");
            fields.refuse("kind", format!("{kind} of group {group:?}"), wrong);
            None
        }
    }
}

fn read_rule(fields: &mut Fields<'_>, grpc: bool, namespace: &str, mesh: &Mesh) -> Option<RouteRule> {
    let origin = fields.origin();
    fields.optional("name", text("the name of a rule"));
    let matched = |fields: &mut Fields<'_>| match grpc {
        true => route_match::read_grpc(fields),
        false => route_match::read_http(fields),
    };
    let matches = fields.optional("matches", list(object(matched)));
    let filter = |fields: &mut Fields<'_>| filter::read(fields, namespace, mesh);
    let filters = fields.optional("filters", list(object(filter)));
    let backend = |fields: &mut Fields<'_>| backend::read(fields, namespace, mesh);
    let backends: Option<Vec<Backend>> = fields.optional("backendRefs", list(object(backend)));
    let timeouts = fields
        .optional("timeouts", object(read_timeouts))
        .unwrap_or_default();
    let retry = fields.optional("retry", object(retry::read));
    fields.optional("sessionPersistence", Anything);
    if fields.has("sessionPersistence") {
        let wrong = Wrong::expected("a rule without it: this version does not do that yet");
        fields.refuse("sessionPersistence", "sessionPersistence", wrong);
    }
    let matches = match matches {
        Some(matches) if !matches.is_empty() => matches,
        None if fields.has("matches") => return None,
        _ => vec![match grpc {
            true => fields.unwritten(route_match::read_grpc)?,
            false => fields.unwritten(route_match::read_http)?,
        }],
    };
    let filters = match Filters::join(filters.unwrap_or_default()) {
        Ok(filters) => filters,
        Err(wrong) => {
            fields.refuse("filters", "filters that do not go together", wrong);
            return None;
        }
    };
    let backends = backends.unwrap_or_default();
    if filters.redirect.is_some() && !backends.is_empty() {
        let wrong = Wrong::expected("no backendRefs in a rule that redirects");
        fields.refuse("backendRefs", "backendRefs beside a RequestRedirect", wrong);
    }
    if filters.replaces_prefix
        && matches
            .iter()
            .any(|matched| matched.path_rank != route_match::PREFIX)
    {
        let wrong = Wrong::expected("matches of the type PathPrefix only, whose value it replaces");
        fields.refuse("filters", "ReplacePrefixMatch", wrong);
    }
    let action = match &filters.redirect {
        Some(redirect) => RuleAction::Redirect(redirect.clone()),
        None => backend::action(&backends)?,
    };
    Some(RouteRule {
        origin,
        matches,
        filters,
        action,
        timeout: timeouts.request,
        attempt_timeout: timeouts.attempt,
        retry,
    })
}

/// How long a request may take, and each try of it.
#[derive(Default)]
struct Timeouts {
    request: Option<Duration>,
    attempt: Option<Duration>,
}

fn read_timeouts(fields: &mut Fields<'_>) -> Option<Timeouts> {
    const WHAT: &str = "a duration as 10s";
    let request = fields.optional("request", parsed(WHAT, gep_duration));
    let attempt = fields.optional("backendRequest", parsed(WHAT, gep_duration));
    let attempt = attempt.flatten();
    if let (Some(attempt), Some(Some(request))) = (attempt, request)
        && attempt > request
    {
        let wrong = Wrong::expected("at most what timeouts.request allows");
        fields.refuse("backendRequest", format!("{attempt:?}"), wrong);
    }
    Some(Timeouts {
        // Zero: none, also if the service has one.
        request: request.map(|limit| limit.unwrap_or(NO_LIMIT)),
        attempt,
    })
}

/// So long that it is none.
const NO_LIMIT: Duration = Duration::from_secs(365 * 24 * 3600);

/// A port of Kubernetes.
pub(super) fn port() -> impl Shape<Value = u16> {
    integer(1..=65_535_u16)
}
