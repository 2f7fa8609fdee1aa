//! The names of services, known before anything that names them is read.

use mesh_core::{ServiceName, Version};

use super::context::Wrong;
use super::grammar::{self, SERVICE};
use super::near::nearest;
use super::shape::{Shape, parsed};
use super::yaml::Node;

/// The names of all services of a file.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    names: Vec<ServiceName>,
    /// False if a service has no readable name, or if the file is about something else: then none is missing.
    complete: bool,
}

impl Names {
    /// Looks for them in a tree that was not read yet.
    pub(super) fn of(root: &Node) -> Self {
        let Some(mesh) = root.get("serviceMesh") else {
            return Self::default();
        };
        let Some(services) = mesh.get("services") else {
            return Self {
                names: Vec::new(),
                complete: mesh.entries().is_some(),
            };
        };
        let items = services.items().unwrap_or_default();
        let name = |service: &Node| ServiceName::new(service.get("name")?.text()?).ok();
        let names: Vec<_> = items.iter().filter_map(|service| name(service)).collect();
        Self {
            complete: services.items().is_some() && names.len() == items.len(),
            names,
        }
    }

    /// The service and version a name means. `sample-service-v2` is version `v2` of `sample-service` if there is no
    /// service of that name; of several ways to take it apart, the one with the longest name of a service counts.
    pub(super) fn resolve(&self, name: &ServiceName) -> Option<(ServiceName, Option<Version>)> {
        if self.names.contains(name) {
            return Some((name.clone(), None));
        }
        let text = name.as_str();
        text.rmatch_indices('-').find_map(|(dash, _)| {
            let version = Version::new(&text[dash + 1..]).ok()?;
            let service = self.names.iter().find(|known| known.as_str() == &text[..dash])?;
            Some((service.clone(), Some(version)))
        })
    }

    fn check(&self, found: bool, name: &ServiceName) -> Result<(), Wrong> {
        if found || !self.complete {
            return Ok(());
        }
        let known: Vec<&str> = self.names.iter().map(ServiceName::as_str).collect();
        let wrong = match known.as_slice() {
            [] => Wrong::expected("a service that serviceMesh.services lists; it lists none"),
            known => Wrong::expected(format!(
                "a service that serviceMesh.services lists: {}",
                known.join(", ")
            )),
        };
        Err(wrong
            .because("there is no such service")
            .meant(nearest(name.as_str(), known)))
    }
}

/// The name of a service there is.
pub(super) fn service(names: &Names) -> impl Shape<Value = ServiceName> {
    parsed(SERVICE, |text| {
        let name = grammar::service_name(text)?;
        names.check(names.names.contains(&name), &name)?;
        Ok(name)
    })
}

/// The name of a service there is, or of one of its versions.
pub(super) fn service_or_version(names: &Names) -> impl Shape<Value = (ServiceName, Option<Version>)> {
    parsed(SERVICE, |text| {
        let name = grammar::service_name(text)?;
        let resolved = names.resolve(&name);
        names.check(resolved.is_some(), &name)?;
        Ok(resolved.unwrap_or((name, None)))
    })
}
