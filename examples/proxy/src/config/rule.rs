//! `trafficManagement.rules`: which requests go where.

use std::time::Duration;

use http::uri::Scheme;
use mesh_core::{ServiceName, Version};
use mesh_traffic::router::{
    Cors, HeaderEditError, HeaderEdits, Operator, PathChange, PathError, Redirect, Respond, Rewrite, Split,
    Subject,
};
use mesh_traffic::{Condition, Destination};

use super::context::Wrong;
use super::defaults;
use super::fault::FaultInjection;
use super::grammar::{self, HEADER, HOST};
use super::names::{self, Names};
use super::origin::Origin;
use super::rate_limit::RateLimiting;
use super::retry::Retry;
use super::shape::{
    Fields, boolean, duration, integer, list, map_of, object, parsed, percent, text, word, written,
};
use super::share::Percent;
use super::{condition, cors, fault, rate_limit, retry};

/// A rule.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Rule {
    /// Where it was written.
    pub origin: Origin,
    /// Its id, unlike the others'.
    pub id: Box<str>,
    /// Its name for people. Default: its id.
    pub name: Box<str>,
    /// Higher ones are tried first; of one priority, in the order of the file. Default 0.
    pub priority: i32,
    /// Whether it is tried at all. Default true.
    pub enabled: bool,
    /// All must hold; none: it always does.
    pub conditions: Vec<Condition>,
    /// Where each of the conditions was written.
    pub condition_origins: Vec<Origin>,
    /// What it does.
    pub action: RuleAction,
    /// What of the request is changed.
    pub rewrite: Rewrite,
    /// Header fields of the request that are changed.
    pub request_headers: HeaderEdits,
    /// Header fields of the response that are changed.
    pub response_headers: HeaderEdits,
    /// Which pages of other origins may read its responses.
    pub cors: Option<Cors>,
    /// In place of the service's.
    pub timeout: Option<Duration>,
    /// How long one try may take, whatever retries say. Only the Gateway API has a key of its own for it.
    pub attempt_timeout: Option<Duration>,
    /// Which failures are tried again, instead of what its services say; `Some(None)`: none.
    pub retry: Option<Option<Retry>>,
    /// In place of the service's.
    pub fault_injection: Option<FaultInjection>,
    /// Besides the service's.
    pub rate_limiting: Option<RateLimiting>,
    /// Where copies go. More than one only in routes of the Gateway API.
    pub mirrors: Vec<Mirror>,
}

/// What a rule does with a request.
#[derive(Clone, Debug)]
pub enum RuleAction {
    /// Sends it to one of some destinations. Services exist, and a name like `sample-service-v2` is taken apart
    /// into service and version already.
    Forward(Split),
    /// Answers it.
    Respond(Respond),
    /// Sends the client elsewhere.
    Redirect(Redirect),
}

/// Where a copy of requests goes.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Mirror {
    /// The service.
    pub service: ServiceName,
    /// Its version; `None`: the stable one.
    pub version: Option<Version>,
    /// How many. Default 100 %.
    pub percentage: Percent,
}

pub(super) fn read(fields: &mut Fields<'_>, names: &Names) -> Option<Rule> {
    let origin = fields.origin();
    let id = fields.required("id", parsed(ID, rule_id));
    let name = fields.optional("name", text("a name for people"));
    let priority = fields.or("priority", integer(-1_000_000..=1_000_000), 0_i32);
    let enabled = fields.or("enabled", boolean(), true);
    let condition = |fields: &mut Fields<'_>| Some((fields.origin(), condition::read(fields)?));
    let conditions = fields.optional("conditions", list(object(condition)));
    let action = read_action(fields, names);
    let rewrite = fields.optional("rewrite", object(read_rewrite));
    let request_headers = fields.optional("requestHeaders", object(read_edits));
    let response_headers = fields.optional("responseHeaders", object(read_edits));
    let cors = fields.optional("cors", object(cors::read));
    let timeout = fields.optional("timeout", duration());
    let retry = fields.optional("retry", object(retry::read));
    let fault_injection = fields.optional("faultInjection", object(fault::read));
    let rate_limiting = fields.optional("rateLimiting", object(rate_limit::read));
    let mirror = fields.optional(
        "mirror",
        object(|fields: &mut Fields<'_>| read_mirror(fields, names)),
    );

    let (condition_origins, conditions): (Vec<_>, Vec<_>) =
        conditions.unwrap_or_default().into_iter().unzip();
    if fields.has("destinations") || fields.has("redirect") {
        check_prefix(fields, &conditions);
    }
    let is_shared = matches!(&rate_limiting, Some(Some(limit)) if limit.shared);
    if !fields.has("destinations") && is_shared {
        let wrong =
            Wrong::expected("shared: true beside destinations only: what is answered here needs no store");
        fields.refuse(
            "rateLimiting",
            "a shared limit of a rule that sends requests nowhere",
            wrong,
        );
    }
    if !fields.has("destinations") {
        for key in ["rewrite", "requestHeaders", "retry", "faultInjection", "mirror"] {
            if fields.has(key) {
                let wrong = Wrong::expected("this key beside destinations only");
                fields.refuse(key, format!("{key} of a rule that sends requests nowhere"), wrong);
            }
        }
    }
    let id = id?;
    Some(Rule {
        origin,
        name: name.unwrap_or_else(|| id.clone()),
        id,
        priority,
        enabled,
        conditions,
        condition_origins,
        action: action?,
        rewrite: rewrite.unwrap_or_default(),
        request_headers: request_headers.unwrap_or_default(),
        response_headers: response_headers.unwrap_or_default(),
        cors,
        timeout,
        attempt_timeout: None,
        retry,
        fault_injection: fault_injection.flatten(),
        rate_limiting: rate_limiting.flatten(),
        mirrors: mirror.into_iter().collect(),
    })
}

const ID: &str = "an id: 1 to 128 bytes without control characters";

fn rule_id(id: &str) -> Result<Box<str>, Wrong> {
    match id.is_empty() || id.len() > mesh_traffic::Rule::LONGEST_ID || id.chars().any(char::is_control) {
        true => Err(Wrong::expected(ID)),
        false => Ok(id.into()),
    }
}

/// Destinations, an answer, or a redirect: one of them.
fn read_action(fields: &mut Fields<'_>, names: &Names) -> Option<RuleAction> {
    const KINDS: [&str; 3] = ["destinations", "respond", "redirect"];
    let destination = |fields: &mut Fields<'_>| read_destination(fields, names);
    let destinations = fields.optional("destinations", list(object(destination)));
    let respond = fields.optional("respond", object(read_respond));
    let redirect = fields.optional("redirect", object(read_redirect));
    let written: Vec<&'static str> = KINDS.into_iter().filter(|kind| fields.has(kind)).collect();
    match *written.as_slice() {
        [] => fields.missing(
            "destinations",
            Wrong::expected("one of destinations, respond, redirect"),
        ),
        [_] => {}
        [_, second, ..] => {
            let found = format!("{} in one rule", written.join(" and "));
            fields.refuse(
                second,
                found,
                Wrong::expected("one of destinations, respond, redirect"),
            );
        }
    }
    let split = destinations.and_then(|destinations| match Split::new(destinations) {
        Ok(split) => Some(RuleAction::Forward(split)),
        Err(error) => {
            let message = error.to_string();
            let (found, expected) = message
                .rsplit_once("; expected ")
                .unwrap_or((&message, "weights that add up to 100"));
            fields.refuse("destinations", found, Wrong::expected(expected));
            None
        }
    });
    split
        .or_else(|| respond.map(RuleAction::Respond))
        .or_else(|| redirect.map(RuleAction::Redirect))
}

fn read_destination(fields: &mut Fields<'_>, names: &Names) -> Option<Destination> {
    let service = fields.required("service", names::service_or_version(names));
    let version = read_version(fields, service.as_ref());
    let weight = fields.or("weight", integer(0..=100), 100_u32);
    let (service, _) = service?;
    Some(Destination::new(service, weight).with_version(version))
}

/// The version beside a service's name, or the one in it.
fn read_version(
    fields: &mut Fields<'_>,
    service: Option<&(ServiceName, Option<Version>)>,
) -> Option<Version> {
    let version = parsed(grammar::VERSION, grammar::version).verbatim();
    let version = fields.optional("version", version);
    let in_name = service.and_then(|(_, version)| version.clone());
    if let (Some((service, Some(in_name))), true) = (service, fields.has("version")) {
        let why = format!("the service's name means version {in_name} of {service} already");
        let wrong = Wrong::expected(format!("service: {service} with a version, or no version")).because(why);
        fields.refuse("version", "a version beside a name with a version", wrong);
    }
    version.or(in_name)
}

fn read_respond(fields: &mut Fields<'_>) -> Option<Respond> {
    let status = fields.required("status", integer(200..=599_u16));
    let body = fields.optional("body", written("a text"));
    let value = parsed(VALUE, grammar::header_value).verbatim();
    let headers = fields.optional("headers", map_of(grammar::editable_header, value));
    let mut respond = Respond::new(status?).ok()?;
    for (name, value) in headers.unwrap_or_default() {
        let value = value.to_str().unwrap_or_default();
        respond = match respond.with_header(name.as_str(), value) {
            Ok(respond) => respond,
            Err(error) => {
                fields.refuse(
                    "headers",
                    error.to_string(),
                    Wrong::expected("headers a response may have"),
                );
                return None;
            }
        };
    }
    match respond.with_body(body.map(String::from).unwrap_or_default()) {
        Ok(respond) => Some(respond),
        Err(error) => {
            fields.refuse("body", error.to_string(), Wrong::expected("no body"));
            None
        }
    }
}

fn read_redirect(fields: &mut Fields<'_>) -> Option<Redirect> {
    let status = fields.or("status", integer(300..=399_u16), 302);
    let schemes = word(&[("http", false), ("https", true)]);
    let secure = fields.optional("scheme", schemes);
    let host = fields.optional("host", parsed(HOST, grammar::host));
    let port = fields.optional("port", integer(1..=65_535_u16));
    let path = fields.optional("path", parsed(PATH, whole_path));
    let prefix = fields.optional("prefix", parsed(PREFIX, path_prefix));
    let redirect = Redirect::new(status);
    if redirect.is_err() {
        let wrong = Wrong::expected("301, 302, 303, 307 or 308");
        fields.refuse("status", status.to_string(), wrong);
    }
    if fields.has("path") && fields.has("prefix") {
        fields.refuse("prefix", "prefix beside path", Wrong::expected("one of both"));
    }
    let changes = ["scheme", "host", "port", "path", "prefix"];
    if !changes.iter().any(|key| fields.has(key)) {
        let wrong =
            Wrong::expected("one of scheme, host, port, path, prefix").because("it would lead back here");
        fields.refuse_whole("a redirect that changes nothing", wrong);
    }
    let mut redirect = redirect.ok()?;
    if let Some(secure) = secure {
        redirect = redirect.with_scheme(if secure { Scheme::HTTPS } else { Scheme::HTTP });
    }
    if let Some(host) = host {
        redirect = redirect.with_host(host);
    }
    if let Some(port) = port {
        redirect = redirect.with_port(port);
    }
    if let Some(path) = path.or(prefix) {
        redirect = redirect.with_path(path);
    }
    Some(redirect)
}

fn read_rewrite(fields: &mut Fields<'_>) -> Option<Rewrite> {
    let prefix = fields.optional("prefix", parsed(PREFIX, path_prefix));
    let host = fields.optional("host", parsed(HOST, grammar::host));
    if !fields.has("prefix") && !fields.has("host") {
        fields.refuse_whole(
            "a rewrite that changes nothing",
            Wrong::expected("prefix, host or both"),
        );
    }
    let mut rewrite = Rewrite::new();
    if let Some(prefix) = prefix {
        rewrite = rewrite.with_path(prefix);
    }
    if let Some(host) = host {
        rewrite = rewrite.with_host(host);
    }
    Some(rewrite)
}

const PATH: &str = "a path that begins with '/', without a query";
const PREFIX: &str = "a path that begins with '/', without a query; / takes the prefix away";

fn whole_path(text: &str) -> Result<PathChange, Wrong> {
    PathChange::whole(text).map_err(|error| no_path(&error, PATH))
}

fn path_prefix(text: &str) -> Result<PathChange, Wrong> {
    PathChange::prefix(text).map_err(|error| no_path(&error, PREFIX))
}

fn no_path(error: &PathError, expected: &str) -> Wrong {
    Wrong::expected(expected).because(error.why())
}

/// What a prefix stands in place of has to be one prefix.
fn check_prefix(fields: &mut Fields<'_>, conditions: &[Condition]) {
    let of_path = |condition: &&Condition| *condition.subject() == Subject::Path;
    let prefixes = conditions
        .iter()
        .filter(of_path)
        .filter(|condition| matches!(condition.operator(), Operator::Prefix | Operator::Equals))
        .count();
    for key in ["rewrite", "redirect"] {
        let has_prefix = fields.node(key).is_some_and(|node| node.get("prefix").is_some());
        if has_prefix && prefixes != 1 {
            let wrong = Wrong::expected(
                "one condition on the path, with the operator prefix, whose value it replaces",
            );
            fields.refuse(
                key,
                format!("prefix in a rule with {prefixes} such conditions"),
                wrong,
            );
        }
    }
}

const VALUE: &str = "a header's value: one line without control characters";

fn read_edits(fields: &mut Fields<'_>) -> Option<HeaderEdits> {
    let value = || parsed(VALUE, grammar::header_value).verbatim();
    let set = fields.optional("set", map_of(grammar::editable_header, value()));
    let add = fields.optional("add", map_of(grammar::editable_header, value()));
    let remove = fields.optional("remove", list(parsed(HEADER, grammar::editable_header)));
    let edits = || {
        let mut edits = HeaderEdits::new();
        for name in remove.iter().flatten() {
            edits = edits.remove(name.as_str())?;
        }
        for (name, value) in set.iter().flatten() {
            edits = edits.set_value(name.as_str(), value.clone())?;
        }
        for (name, value) in add.iter().flatten() {
            edits = edits.add_value(name.as_str(), value.clone())?;
        }
        Ok::<_, HeaderEditError>(edits)
    };
    match edits() {
        Ok(edits) => Some(edits),
        Err(error) => {
            let expected = format!("at most {} changes", HeaderEdits::MOST);
            fields.refuse_whole(error.to_string(), Wrong::expected(expected));
            None
        }
    }
}

fn read_mirror(fields: &mut Fields<'_>, names: &Names) -> Option<Mirror> {
    let service = fields.required("service", names::service_or_version(names));
    let version = read_version(fields, service.as_ref());
    let percentage = fields.or("percentage", percent(), defaults::MIRROR_PERCENTAGE);
    let (service, _) = service?;
    Some(Mirror {
        service,
        version,
        percentage,
    })
}
