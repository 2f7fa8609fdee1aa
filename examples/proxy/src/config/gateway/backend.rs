//! The backends of a rule, and what becomes of their share if there is no such service.

use mesh_core::{ServiceName, Version};
use mesh_traffic::Destination;
use mesh_traffic::router::{Respond, Split};

use super::route::{Anything, port};
use super::{NAME, object_name};
use crate::config::Mesh;
use crate::config::context::Wrong;
use crate::config::rule::RuleAction;
use crate::config::shape::{Fields, integer, parsed, text, written};

/// A backend, and its weight.
pub(super) struct Backend {
    /// Nothing: there is none, and its share is answered with 500.
    service: Option<ServiceName>,
    weight: u32,
}

pub(super) fn read(fields: &mut Fields<'_>, namespace: &str, mesh: &Mesh) -> Option<Backend> {
    let weight = fields.or("weight", integer(0..=1_000_000), 1_u32);
    fields.optional("filters", Anything);
    if fields.has("filters") {
        let wrong =
            Wrong::expected("filters of the rule: those of one backend are not done by this version yet");
        fields.refuse("filters", "filters of a backend", wrong);
    }
    let missing = "its share of the requests is answered with 500, as the Gateway API says";
    let found = read_service(fields, namespace, mesh, missing)?;
    Some(Backend {
        service: found.map(|found| found.written),
        weight,
    })
}

/// A service that a route may use.
pub(super) struct Found {
    /// The name as it is written.
    written: ServiceName,
    /// The service.
    pub(super) service: ServiceName,
    /// The version, if the name is that of one: "orders-v2" is v2 of "orders", if no service has that name.
    pub(super) version: Option<Version>,
}

/// The service that is named; nothing, with advice that says what is done `instead`, if it cannot be used.
pub(super) fn read_service(
    fields: &mut Fields<'_>,
    namespace: &str,
    mesh: &Mesh,
    instead: &str,
) -> Option<Option<Found>> {
    let group = fields.optional("group", written("an API group"));
    let kind = fields.optional("kind", text("Service"));
    let name = fields.required("name", parsed(NAME, object_name));
    let of = fields.optional("namespace", parsed(NAME, object_name));
    let number = fields.optional("port", port());
    let name = name?;
    let is_service =
        group.as_deref().unwrap_or_default().is_empty() && kind.as_deref().is_none_or(|k| k == "Service");
    let mut missing = |key, why: String| fields.advise(key, format!("{why}: {instead}"));
    let known = |name: &str| mesh.services.iter().find(|service| service.name.as_str() == name);
    let version_of = |dash: usize| {
        let version = name.get(dash + 1..).and_then(|text| Version::new(text).ok());
        Some((known(name.get(..dash)?)?, Some(version?)))
    };
    let service = known(&name).map(|service| (service, None));
    let service = service.or_else(|| name.rmatch_indices('-').find_map(|(dash, _)| version_of(dash)));
    let found = if !is_service {
        missing("kind", "only a Service can be a backend".to_owned());
        None
    } else if of.as_deref().is_some_and(|of| of != namespace) {
        missing(
            "namespace",
            "no grant lets the route use a service of another namespace".to_owned(),
        );
        None
    } else {
        match service {
            None => {
                missing("name", format!("there is no service {name}"));
                None
            }
            Some((service, _)) if number.is_some_and(|number| number != service.port) => {
                missing(
                    "port",
                    format!("{name} has the port {}, and no other", service.port),
                );
                None
            }
            Some((service, version)) => ServiceName::new(&name).ok().map(|written| Found {
                written,
                service: service.name.clone(),
                version,
            }),
        }
    };
    Some(found)
}

/// What is done with the requests: each backend has its share; without any they are answered with 500.
pub(super) fn action(backends: &[Backend]) -> Option<RuleAction> {
    let broken = Respond::new(500)
        .and_then(|answer| answer.with_body("the route has no backend for this request\n"))
        .ok()?;
    let destinations = backends.iter().map(|backend| match &backend.service {
        Some(service) => Destination::new(service.clone(), backend.weight),
        None => Destination::answered(broken.clone(), backend.weight),
    });
    Some(match Split::relative(destinations) {
        Ok(split) => RuleAction::Forward(split),
        Err(_) => RuleAction::Respond(broken.clone()),
    })
}
