//! What must not occur twice: names, ids, addresses, hosts. Looked for in the tree, so that a service with another
//! problem still counts.

use std::collections::HashMap;
use std::net::SocketAddr;

use mesh_core::ServiceName;
use mesh_traffic::Service;
use mesh_traffic::router::HostPattern;

use super::context::{Context, Step, Wrong};
use super::defaults;
use super::yaml::{Node, Place};

/// Where something stands, and how to get there.
#[derive(Clone)]
struct At {
    place: Place,
    steps: Vec<Step>,
}

pub(super) fn check(root: &Node, context: &mut Context) {
    let canary = root.get("canaryDeployment");
    let templates = canary.and_then(|canary| canary.get("analysisTemplates"));
    let here = items(root.get("analysisTemplates"), &["analysisTemplates"]);
    let there = items(templates, &["canaryDeployment", "analysisTemplates"]);
    once(here.into_iter().chain(there), "name", "template", context);
    let rolled_out = canary.and_then(|canary| canary.get("services"));
    once_listed(items(rolled_out, &["canaryDeployment", "services"]), context);
    let Some(mesh) = root.get("serviceMesh") else {
        return;
    };
    let services = items(mesh.get("services"), &["serviceMesh", "services"]);
    let listeners = items(mesh.get("listeners"), &["serviceMesh", "listeners"]);
    let rules = mesh
        .get("trafficManagement")
        .and_then(|traffic| traffic.get("rules"));
    let rules = items(rules, &["serviceMesh", "trafficManagement", "rules"]);
    once(services.iter().cloned(), "name", "service", context);
    once(listeners.iter().cloned(), "name", "listener", context);
    once(rules.into_iter(), "id", "rule", context);
    check_hosts(mesh, &services, context);
    check_addresses(mesh, &listeners, context);
}

/// The items of a list, with the steps that lead to each.
fn items<'n>(list: Option<&'n Node>, steps: &[&str]) -> Vec<(Vec<Step>, &'n Node)> {
    let items = list.and_then(Node::items).unwrap_or_default();
    let step = |index: usize| {
        steps
            .iter()
            .map(|step| Step::from(*step))
            .chain([index.into()])
            .collect()
    };
    items
        .iter()
        .enumerate()
        .map(|(index, item)| (step(index), &**item))
        .collect()
}

/// Refuses an item whose `key` says the same as an earlier one's.
fn once<'n>(
    items: impl Iterator<Item = (Vec<Step>, &'n Node)>,
    key: &str,
    what: &str,
    context: &mut Context,
) {
    let mut seen: HashMap<&str, Place> = HashMap::new();
    for (mut steps, item) in items {
        let Some(node) = item.get(key) else { continue };
        let Some(text) = node.scalar().map(|scalar| &*scalar.text) else {
            continue;
        };
        steps.push(key.into());
        let at = At {
            place: node.place,
            steps,
        };
        match seen.get(text) {
            None => {
                seen.insert(text, node.place);
            }
            Some(earlier) => {
                let found = format!("{} a second time", node.described());
                let article = if key == "id" { "an" } else { "a" };
                let line = earlier.line;
                let expected =
                    format!("{article} {key} that no other {what} has; line {line} has it already");
                refuse(&at, found, Wrong::expected(expected), context);
            }
        }
    }
}

/// Refuses a name that a list has already.
fn once_listed(names: Vec<(Vec<Step>, &Node)>, context: &mut Context) {
    let mut seen: HashMap<&str, Place> = HashMap::new();
    for (steps, node) in names {
        let Some(text) = node.text() else { continue };
        if let Some(earlier) = seen.get(text) {
            let found = format!("{} a second time", node.described());
            let expected = format!("each service once; line {} has it already", earlier.line);
            let place = node.place;
            refuse(&At { place, steps }, found, Wrong::expected(expected), context);
        } else {
            seen.insert(text, node.place);
        }
    }
}

fn refuse(at: &At, found: String, wrong: Wrong, context: &mut Context) {
    context.at(&at.steps, |context| context.refuse(at.place, found, wrong));
}

/// No host means two services.
fn check_hosts(mesh: &Node, services: &[(Vec<Step>, &Node)], context: &mut Context) {
    let namespace = mesh
        .get("namespace")
        .and_then(Node::text)
        .unwrap_or(defaults::NAMESPACE);
    let mut taken: HashMap<HostPattern, (usize, &str, u32)> = HashMap::new();
    for (index, (steps, service)) in services.iter().enumerate() {
        let Some(name) = service.get("name").and_then(Node::text) else {
            continue;
        };
        for (host, at) in hosts_of(service, name, namespace, steps) {
            let claim = (index, name, at.place.line);
            let (by, other, line) = *taken.entry(host.clone()).or_insert(claim);
            // Of two services of one name the name is the problem.
            if by == index || other == name {
                continue;
            }
            let found = format!("the host {:?}", host.to_string());
            let expected = format!("a host that means one service; in line {line} it means {other} already");
            refuse(&at, found, Wrong::expected(expected), context);
        }
    }
}

/// The hosts a service lists, or else the names it is known by.
fn hosts_of(service: &Node, name: &str, namespace: &str, steps: &[Step]) -> Vec<(HostPattern, At)> {
    let below = |key: &str, index: Option<usize>, place: Place| At {
        place,
        steps: steps
            .iter()
            .cloned()
            .chain([key.into()])
            .chain(index.map(Step::from))
            .collect(),
    };
    if let Some(hosts) = service.get("hosts") {
        let items = hosts.items().unwrap_or_default().iter().enumerate();
        return items
            .filter_map(|(index, item)| {
                let host = item.text()?.parse().ok()?;
                Some((host, below("hosts", Some(index), item.place)))
            })
            .collect();
    }
    let place = service.get("name").map_or(service.place, |node| node.place);
    let at = below("name", None, place);
    let hosts = ServiceName::new(name)
        .ok()
        .and_then(|name| Service::new(name).hosts(namespace).ok());
    hosts
        .into_iter()
        .flatten()
        .map(|host| (host, at.clone()))
        .collect()
}

/// No two listeners share an address; metrics and admin listen too.
fn check_addresses(mesh: &Node, listeners: &[(Vec<Step>, &Node)], context: &mut Context) {
    let mut taken: Vec<(SocketAddr, String)> = Vec::new();
    let written = |node: &Node, mut steps: Vec<Step>, who: String| {
        let bind = node.get("bind")?;
        steps.push("bind".into());
        let at = At {
            place: bind.place,
            steps,
        };
        Some((bind.text()?.parse::<SocketAddr>().ok(), at, who))
    };
    let mut all: Vec<(Option<SocketAddr>, At, String)> = Vec::new();
    for (index, (steps, listener)) in listeners.iter().enumerate() {
        let name = listener.get("name").and_then(Node::text);
        let who = name.map_or_else(
            || format!("listener {index}"),
            |name| format!("listener {name:?}"),
        );
        all.extend(written(listener, steps.clone(), who));
    }
    if mesh.get("listeners").is_none() {
        taken.push((defaults::LISTENER_BIND, "the default listener".to_owned()));
    }
    for (key, default) in [
        ("metrics", defaults::METRICS_BIND),
        ("admin", defaults::ADMIN_BIND),
    ] {
        let node = mesh.get(key);
        let is_off = node
            .and_then(|node| node.get("enabled")?.scalar()?.boolean())
            .is_some_and(|enabled| !enabled);
        if is_off {
            continue;
        }
        let steps = vec!["serviceMesh".into(), key.into()];
        match node.and_then(|node| written(node, steps, key.to_owned())) {
            Some(written) => all.push(written),
            None => taken.push((default, format!("{key}, by default,"))),
        }
    }
    for (address, at, who) in all {
        let Some(address) = address else { continue };
        match taken.iter().find(|(other, _)| overlap(*other, address)) {
            None => taken.push((address, who)),
            Some((other, whose)) => {
                let found = format!("the address {address}");
                let expected = format!("an address of its own; {whose} listens on {other}");
                refuse(&at, found, Wrong::expected(expected), context);
            }
        }
    }
}

/// Whether one of two addresses takes the other's connections. Port 0 is another one each time.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let any = a.ip().is_unspecified() || b.ip().is_unspecified();
    let same_family = a.is_ipv4() == b.is_ipv4();
    a.port() != 0 && a.port() == b.port() && (a.ip() == b.ip() || (any && same_family))
}
