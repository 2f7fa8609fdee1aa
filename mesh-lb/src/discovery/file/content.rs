//! What the file may hold, read strictly and with every problem at once.

use std::borrow::Cow;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::Path;

use mesh_core::endpoint::Address;
use mesh_core::{Endpoint, EndpointSet, ServiceName, Version};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::position::Position;

const MAX_ENDPOINTS: usize = 10_000;
const MAX_WEIGHT: u32 = 1_000_000;
const MAX_ZONE_LEN: usize = 253;
/// How many problems are told.
const MAX_PROBLEMS: usize = 20;

pub(super) type Services = HashMap<ServiceName, EndpointSet>;

/// Reads the whole file.
pub(super) fn parse(content: &[u8]) -> Result<Services, Problems> {
    let mut problems = Problems::default();
    let text = match str::from_utf8(content) {
        Ok(text) => text,
        Err(error) => {
            let before = content.get(..error.valid_up_to()).unwrap_or_default();
            let text = str::from_utf8(before).unwrap_or_default();
            let end = Position::of(text.get(text.len()..).unwrap_or_default(), text);
            problems.add(end, "", "it is not UTF-8");
            return Err(problems);
        }
    };
    // A sequence of its fields would be taken for the object.
    let start = text.trim_start();
    if start.starts_with(|first| first != '{') {
        problems.add(
            Position::of(start, text),
            "",
            "expected an object with `services`",
        );
        return Err(problems);
    }
    let document = match serde_json::from_str::<Document<'_>>(text) {
        Ok(document) => document,
        Err(error) => {
            problems.add(Position::of(text, text).at(&error), "", message(&error));
            return Err(problems);
        }
    };
    let mut reader = Reader { text, problems };
    let mut services = Services::new();
    for (name, list) in document.services.0 {
        let Some((name, set)) = reader.service(&name, list) else {
            continue;
        };
        match services.entry(name) {
            Entry::Vacant(free) => {
                free.insert(set);
            }
            Entry::Occupied(taken) => {
                let at = reader.position(list);
                let path = format!("services.{}", taken.key());
                reader
                    .problems
                    .add(at, &path, "it is there twice; expected each service once");
            }
        }
    }
    match reader.problems.found.is_empty() {
        true => Ok(services),
        false => Err(reader.problems),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document<'a> {
    #[serde(borrow)]
    services: Entries<'a>,
}

/// An object whose entries are read later, each by itself.
struct Entries<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of services: a name, and a list of endpoints")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<'de>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written<'a> {
    #[serde(borrow)]
    address: Cow<'a, str>,
    #[serde(borrow)]
    version: Option<Cow<'a, str>>,
    weight: Option<u32>,
    #[serde(borrow)]
    zone: Option<Cow<'a, str>>,
}

struct Reader<'a> {
    text: &'a str,
    problems: Problems,
}

impl<'a> Reader<'a> {
    fn position(&self, part: &RawValue) -> Position {
        Position::of(part.get(), self.text)
    }

    fn service(&mut self, name: &str, list: &'a RawValue) -> Option<(ServiceName, EndpointSet)> {
        let at = self.position(list);
        let path = format!("services.{name}");
        let service = name.parse::<ServiceName>();
        if let Err(error) = &service {
            self.problems.add(at, "services", error);
        }
        let set = self.endpoints(list, at, &path);
        Some((service.ok()?, set?))
    }

    fn endpoints(&mut self, list: &'a RawValue, at: Position, path: &str) -> Option<EndpointSet> {
        if !list.get().starts_with('[') {
            self.problems
                .add(at, path, "expected a list of endpoints, as [\"10.0.0.7:3001\"]");
            return None;
        }
        let items: Vec<&RawValue> = match serde_json::from_str(list.get()) {
            Ok(items) => items,
            Err(error) => {
                self.problems.add(at.at(&error), path, message(&error));
                return None;
            }
        };
        if items.len() > MAX_ENDPOINTS {
            let found = format!("{} endpoints; expected {MAX_ENDPOINTS} at most", items.len());
            self.problems.add(at, path, found);
            return None;
        }
        let mut seen = HashSet::new();
        let mut endpoints = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let at = self.position(item);
            let path = format!("{path}[{index}]");
            let Some(endpoint) = self.endpoint(item, at, &path) else {
                continue;
            };
            if !seen.insert(endpoint.id().clone()) {
                let twice = format!("{} is there twice; expected each address once", endpoint.address);
                self.problems.add(at, &path, twice);
            }
            endpoints.push(endpoint);
        }
        if !endpoints.is_empty() && endpoints.iter().all(|endpoint| endpoint.weight == 0) {
            let weightless = "every weight is 0; expected at least one above 0, or an empty list";
            self.problems.add(at, path, weightless);
        }
        Some(EndpointSet::new(endpoints))
    }

    fn endpoint(&mut self, item: &'a RawValue, at: Position, path: &str) -> Option<Endpoint> {
        let text = item.get();
        let read = match text.as_bytes().first() {
            Some(b'"') => serde_json::from_str(text).map(|address| Written {
                address,
                version: None,
                weight: None,
                zone: None,
            }),
            Some(b'{') => serde_json::from_str(text),
            _ => {
                let expected = "expected an address, as \"10.0.0.7:3001\", or an object with `address`";
                self.problems.add(at, path, expected);
                return None;
            }
        };
        let written: Written<'_> = match read {
            Ok(written) => written,
            Err(error) => {
                self.problems.add(at.at(&error), path, message(&error));
                return None;
            }
        };
        let address = self.kept(written.address.parse::<Address>(), at, path);
        let version = written.version.map(|version| version.parse::<Version>());
        let version = version.map(|version| self.kept(version, at, path));
        let weight = written.weight.unwrap_or(1);
        if weight > MAX_WEIGHT {
            let found = format!("weight {weight}; expected 0 to {MAX_WEIGHT}");
            self.problems.add(at, path, found);
        }
        let zone = written.zone;
        if zone
            .as_ref()
            .is_some_and(|zone| zone.is_empty() || zone.len() > MAX_ZONE_LEN)
        {
            let found = format!("expected a zone of 1 to {MAX_ZONE_LEN} bytes");
            self.problems.add(at, path, found);
        }
        Some(
            Endpoint::new(address?)
                .with_version(version.flatten())
                .with_weight(weight)
                .with_zone(zone.map(|zone| zone.into())),
        )
    }

    /// The value; or nothing, and its error a problem.
    fn kept<T, E: fmt::Display>(&mut self, read: Result<T, E>, at: Position, path: &str) -> Option<T> {
        read.inspect_err(|error| self.problems.add(at, path, error)).ok()
    }
}

/// What serde_json says, without the place, which is told in another way.
fn message(error: &serde_json::Error) -> String {
    let whole = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    match whole.strip_suffix(&place) {
        Some(message) => message.to_owned(),
        None => whole,
    }
}

/// What is wrong with a file.
#[derive(Debug, Default)]
pub(super) struct Problems {
    found: Vec<String>,
    more: usize,
}

impl Problems {
    fn add(&mut self, at: Position, path: &str, what: impl fmt::Display) {
        if self.found.len() == MAX_PROBLEMS {
            self.more += 1;
            return;
        }
        let colon = if path.is_empty() { "" } else { ": " };
        self.found.push(format!("{at}: {path}{colon}{what}"));
    }

    /// All of it, each with the file's name.
    pub(super) fn told_of(&self, file: &Path) -> String {
        let file = file.display();
        let mut lines: Vec<String> = self
            .found
            .iter()
            .map(|problem| format!("{file}:{problem}"))
            .collect();
        if self.more > 0 {
            lines.push(format!("and {} more", self.more));
        }
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests;
