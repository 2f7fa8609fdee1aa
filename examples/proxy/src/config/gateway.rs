//! Routes of the Kubernetes Gateway API, read from files into rules of the same table.
//!
//! Documents of the kinds `HTTPRoute` and `GRPCRoute` become rules behind those of the configuration, in the
//! precedence the Gateway API prescribes. What a document asks for and this version does not do is refused, with
//! file and line.

mod backend;
mod filter;
mod mirror;
mod order;
mod retry;
mod route;
mod route_match;

use std::collections::HashMap;
use std::time::Duration;

use super::context::{Context, Wrong};
use super::grammar;
use super::origin::Origin;
use super::report::Report;
use super::rule::Rule;
use super::shape::{Fields, Shape, object};
use super::warning::Warning;
use super::yaml::{self, Node};
use super::{Mesh, read_bounded};

use order::Precedence;
use route::{Host, Route};

/// Behind every rule of the configuration, whose least priority is one more.
pub(super) const PRIORITY: i32 = -1_000_001;

/// Reads the files a configuration names and adds their routes to its rules.
///
/// # Errors
/// Everything that is wrong with all of them.
pub(super) fn extend(mesh: &mut Mesh, warnings: &mut Vec<Warning>) -> Result<(), Report> {
    let mut found: Vec<(Precedence, Rule)> = Vec::new();
    let mut seen: HashMap<String, Origin> = HashMap::new();
    let mut wrong = Vec::new();
    for path in &mesh.gateway_files {
        let (name, text) = match read_bounded(path) {
            Ok(read) => read,
            Err(report) => {
                wrong.push(report);
                continue;
            }
        };
        let mut context = Context::new(&name);
        for route in read(&text, mesh, &mut context) {
            match seen.get(&route.id()) {
                Some(earlier) => {
                    let wrong = Wrong::expected(format!("a name of its own; {earlier} has it already"));
                    context.refuse(route.place, format!("{} a second time", route.id()), wrong);
                }
                None => {
                    seen.insert(route.id(), route.origin.clone());
                    rules(&route, &mut found);
                }
            }
        }
        let (problems, is_whole, told) = context.finish();
        warnings.extend(told);
        wrong.extend(Report::of(&name, &text, problems, is_whole));
    }
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    mesh.rules.extend(found.into_iter().map(|(_, rule)| rule));
    Report::of_all(wrong)
}

/// The routes of a text.
fn read(text: &str, mesh: &Mesh, context: &mut Context) -> Vec<Route> {
    let (documents, problems) = yaml::read_all(text);
    problems.into_iter().for_each(|problem| context.problem(problem));
    let routes = documents.iter().filter_map(|document| {
        let kind = document.get("kind").and_then(Node::text).unwrap_or_default();
        let grpc = match kind {
            "HTTPRoute" => false,
            "GRPCRoute" => true,
            "" => {
                let wrong = Wrong::expected("kind: HTTPRoute or kind: GRPCRoute in each document");
                context.refuse(document.place, "a document without a kind", wrong);
                return None;
            }
            other => {
                let message =
                    format!("documents of the kind {other} are not read, HTTPRoute and GRPCRoute are");
                context.advise(document.place, message);
                return None;
            }
        };
        let place = document.place;
        object(|fields: &mut Fields<'_>| route::read(fields, grpc, place, mesh)).read(document, context)
    });
    routes.collect()
}

/// A rule for each host and each match of each rule of a route.
fn rules(route: &Route, found: &mut Vec<(Precedence, Rule)>) {
    for (number, of_route) in route.rules.iter().enumerate() {
        for (place, matched) in of_route.matches.iter().enumerate() {
            for (host_place, host) in route.hosts.iter().enumerate() {
                let mut id = format!("{}/{number}/{place}", route.id());
                if route.hosts.len() > 1 {
                    id.push_str(&format!("/{host_place}"));
                }
                let mut conditions = matched.conditions.clone();
                conditions.extend(
                    host.condition()
                        .map(|condition| (route.origin.clone(), condition)),
                );
                let (condition_origins, conditions) = conditions.into_iter().unzip();
                let rule = Rule {
                    origin: of_route.origin.clone(),
                    name: id.as_str().into(),
                    id: id.into(),
                    priority: PRIORITY,
                    enabled: true,
                    conditions,
                    condition_origins,
                    action: of_route.action.clone(),
                    rewrite: of_route.filters.rewrite.clone(),
                    request_headers: of_route.filters.request_headers.clone(),
                    response_headers: of_route.filters.response_headers.clone(),
                    cors: of_route.filters.cors.clone(),
                    timeout: of_route.timeout,
                    attempt_timeout: of_route.attempt_timeout,
                    retry: of_route.retry.clone().map(Some),
                    fault_injection: None,
                    rate_limiting: None,
                    mirrors: of_route.filters.mirrors.clone(),
                };
                let rank = Precedence::of(route, host, matched, (number, place));
                found.push((rank, rule));
            }
        }
    }
}

/// A duration as the Gateway API writes it (GEP-2257): `1h30m`, `10s`, `500ms`; nothing for zero, which means none.
fn gep_duration(text: &str) -> Result<Option<Duration>, Wrong> {
    const WHAT: &str = "a duration as 10s, 500ms or 1h30m; 0s for none";
    let wrong = || Wrong::expected(WHAT);
    let mut total = Duration::ZERO;
    let mut rest = text;
    for _ in 0..4 {
        if rest.is_empty() {
            break;
        }
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = match digits {
            1..=5 => rest[..digits].parse().map_err(|_| wrong())?,
            _ => return Err(wrong()),
        };
        rest = &rest[digits..];
        let (unit, after) = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)]
            .into_iter()
            .find_map(|(unit, millis)| Some((millis, rest.strip_prefix(unit)?)))
            .ok_or_else(wrong)?;
        total += Duration::from_millis(number * unit);
        rest = after;
    }
    match rest.is_empty() && !text.is_empty() {
        true => Ok(Some(total).filter(|total| !total.is_zero())),
        false => Err(wrong()),
    }
}

/// The name of a Kubernetes object.
fn object_name(text: &str) -> Result<Box<str>, Wrong> {
    let valid = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    match (1..=LONGEST_NAME).contains(&text.len()) && text.bytes().all(valid) {
        true => Ok(text.into()),
        false => Err(Wrong::expected(NAME)),
    }
}

/// So that the id of a rule, which is a label of metrics, holds it.
const LONGEST_NAME: usize = 63;
const NAME: &str = "a name of at most 63 lower-case letters, digits, '-' and '.'";

/// A host, or `*.` and a host.
fn host(text: &str) -> Result<Host, Wrong> {
    match text.strip_prefix("*.") {
        Some(domain) => grammar::host(domain).map(|domain| Host::Below(domain.as_str().into())),
        None => grammar::host(text).map(Host::Exact),
    }
}

#[cfg(test)]
mod tests;
