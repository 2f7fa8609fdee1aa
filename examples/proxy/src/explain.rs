//! `mesh-proxy explain`: what would happen to a request, and why.

mod authorization;
mod policies;
mod text;

use std::net::IpAddr;

use http::header::HOST;
use http::request::Parts;
use http::uri::Scheme;
use http::{HeaderName, HeaderValue, Method, Request};
use mesh_core::edge::{EdgePolicy, admit};
use mesh_core::{RequestHead, SpiffeId};
use mesh_traffic::LiveSplits;
use mesh_traffic::router::{Action, Asking, Cors, Decision, Explanation, SplitTaken, Tried, Verdict};
use serde_json::{Value, json};

use crate::config::{self, Config, Origin};
use crate::routing;
use authorization::Authorized;

pub use policies::Policy;

/// A request to explain.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The method.
    pub method: Method,
    /// The path, with a query if there is one; or a whole URL.
    pub target: String,
    /// The header fields.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Who sends it; none: nobody that proved who it is.
    pub identity: Option<SpiffeId>,
    /// The address it comes from.
    pub client: Option<IpAddr>,
}

/// What would happen to a request, and why.
#[derive(Clone, Debug)]
pub struct Report {
    method: Method,
    /// As rules see it.
    host: String,
    target: String,
    source: String,
    rules: Vec<RuleReport>,
    /// What decided.
    by: By,
    splits: Vec<SplitReport>,
    outcome: Outcome,
    changes: Vec<(&'static str, String)>,
    authorized: Option<Authorized>,
    policies: Vec<Policy>,
    sets_cookie: bool,
}

#[derive(Clone, Debug)]
struct RuleReport {
    id: String,
    name: String,
    at: Option<Origin>,
    verdict: RuleVerdict,
}

#[derive(Clone, Debug)]
enum RuleVerdict {
    Off,
    Failed {
        /// From 1.
        condition: usize,
        expected: String,
        found: Vec<String>,
        at: Option<Origin>,
    },
    Holds,
}

#[derive(Clone, Debug)]
enum By {
    Rule(String),
    Host,
    Nothing(String),
}

#[derive(Clone, Debug)]
struct SplitReport {
    of_rollout: bool,
    shares: Vec<(Outcome, f64)>,
    /// Not if another request would take another.
    taken: Option<usize>,
    why: &'static str,
}

#[derive(Clone, Debug)]
enum Outcome {
    Forward {
        service: String,
        version: Option<String>,
    },
    Respond(u16),
    Redirect(u16, Option<String>),
    NoRoute,
}

impl Report {
    /// Explains a request by a configuration, with the shares of versions as they are in `splits`.
    ///
    /// # Errors
    /// The request is one the edge refuses, or the configuration was not checked as it should have been.
    pub fn of(config: &Config, splits: &LiveSplits, asked: &Asked) -> Result<Self, String> {
        let (table, _) = routing::table(config, splits)?;
        let parts = admitted(config, asked)?;
        let head = RequestHead::of_parts(&parts);
        let source = asked
            .identity
            .as_ref()
            .and_then(SpiffeId::service)
            .unwrap_or("unknown");
        let mut asking = Asking::new(&head, source).with_client(asked.client);
        // What a browser asks leave for decides, where a rule gives it.
        let preflight = Cors::asked_method(&head).filter(|_| table.preflight(&asking).is_some());
        if let Some(method) = &preflight {
            asking.head.method = method;
        }
        let explanation = table.explain(&asking);
        let by = match explanation.decision {
            Some(decision) => decision.rule().map_or(By::Host, |id| By::Rule(id.to_owned())),
            None => By::Nothing(
                table
                    .route(&asking)
                    .err()
                    .map_or_else(String::new, |no| no.to_string()),
            ),
        };
        let routed = explanation.decision.filter(|_| preflight.is_none());
        let outcome = match (explanation.decision, &preflight) {
            (None, _) => Outcome::NoRoute,
            (Some(_), Some(_)) => Outcome::Respond(204),
            (Some(decision), None) => outcome(decision, Some(&head)),
        };
        Ok(Self {
            method: parts.method.clone(),
            host: head.host().unwrap_or_default().to_owned(),
            target: parts.uri.to_string(),
            source: source.to_owned(),
            rules: explanation
                .tried
                .iter()
                .map(|tried| rule(tried, config))
                .collect(),
            splits: explanation.splits.iter().map(split).collect(),
            changes: explanation
                .decision
                .map_or_else(Vec::new, |decision| changes(decision, &head)),
            authorized: authorization::of(config, routed, &head, asked)?,
            policies: policies::of(config, explanation.decision),
            sets_cookie: sets_cookie(&explanation),
            by,
            outcome,
        })
    }

    /// Whether the request goes nowhere.
    pub fn is_no_route(&self) -> bool {
        matches!(self.outcome, Outcome::NoRoute)
    }

    /// Whether another request like it may go elsewhere.
    pub fn is_drawn(&self) -> bool {
        self.splits.iter().any(|split| split.taken.is_none())
    }

    /// The same as JSON.
    pub fn json(&self) -> Value {
        let (by, rule) = match &self.by {
            By::Rule(id) => ("rule", Some(id)),
            By::Host => ("host", None),
            By::Nothing(_) => ("nothing", None),
        };
        let mut report = json!({
            "request": {
                "method": self.method.as_str(), "host": self.host, "target": self.target, "source": self.source,
            },
            "rules": self.rules.iter().map(RuleReport::json).collect::<Vec<_>>(),
            "decidedBy": by,
            "rule": rule,
            "decision": self.outcome.json(),
            "drawn": self.is_drawn(),
            "splits": self.splits.iter().map(SplitReport::json).collect::<Vec<_>>(),
            "changes": self.changes.iter().map(|(what, to)| ((*what).to_owned(), json!(to))).collect::<serde_json::Map<_, _>>(),
            "authorization": self.authorized.as_ref().map(Authorized::json),
            "policies": self.policies.iter().map(Policy::json).collect::<Vec<_>>(),
            "setsCookie": self.sets_cookie,
        });
        if let (By::Nothing(message), Some(report)) = (&self.by, report.as_object_mut()) {
            report.insert("error".into(), json!({ "code": "no_route", "detail": message }));
        }
        report
    }
}

impl RuleReport {
    fn json(&self) -> Value {
        let verdict = match &self.verdict {
            RuleVerdict::Off => "off",
            RuleVerdict::Failed { .. } => "failed",
            RuleVerdict::Holds => "matched",
        };
        let mut rule = json!({
            "id": self.id, "name": self.name, "at": shown(self.at.as_ref()), "verdict": verdict,
        });
        let RuleVerdict::Failed {
            condition,
            expected,
            found,
            at,
        } = &self.verdict
        else {
            return rule;
        };
        if let Some(rule) = rule.as_object_mut() {
            let failed = json!({
                "place": condition, "expected": expected, "found": found, "at": shown(at.as_ref()),
            });
            rule.insert("condition".into(), failed);
        }
        rule
    }
}

impl SplitReport {
    fn json(&self) -> Value {
        let share = |(outcome, percent): &(Outcome, f64)| json!({ "to": outcome.json(), "percent": percent });
        json!({
            "of": if self.of_rollout { "service" } else { "rule" },
            "shares": self.shares.iter().map(share).collect::<Vec<_>>(),
            "taken": self.taken.map(|taken| self.shares[taken].0.json()),
            "why": self.why,
        })
    }
}

impl Outcome {
    fn json(&self) -> Value {
        match self {
            Self::Forward { service, version } => {
                json!({ "kind": "forward", "service": service, "version": version })
            }
            Self::Respond(status) => json!({ "kind": "respond", "status": status }),
            Self::Redirect(status, to) => json!({ "kind": "redirect", "status": status, "location": to }),
            Self::NoRoute => json!({ "kind": "no_route" }),
        }
    }
}

fn shown(origin: Option<&Origin>) -> Option<String> {
    origin.map(ToString::to_string)
}

/// The request as the edge lets it in: rules see what it makes of a request.
fn admitted(config: &Config, asked: &Asked) -> Result<Parts, String> {
    let mut builder = Request::builder().method(&asked.method).uri(&asked.target);
    for (name, value) in &asked.headers {
        builder = builder.header(name, value);
    }
    let request = builder
        .body(())
        .map_err(|error| format!("{}: {error}", asked.target))?;
    let mut parts = request.into_parts().0;
    let listener = config.mesh.listeners.first();
    if parts.uri.authority().is_none() && !parts.headers.contains_key(HOST) {
        // As of a client that was given the listener's address.
        let address = listener.map_or_else(|| "localhost".to_owned(), |listener| listener.bind.to_string());
        let address = HeaderValue::try_from(address).map_err(|error| error.to_string())?;
        parts.headers.insert(HOST, address);
    }
    let mut edge = EdgePolicy::default();
    if let Some(listener) = listener {
        edge.max_uri_bytes = listener.limits.max_uri_bytes;
        edge.max_headers = listener.limits.max_headers;
    }
    admit(&mut parts, &edge).map_err(|error| format!("the edge refuses the request: {}", error.message()))?;
    Ok(parts)
}

fn rule(tried: &Tried<'_>, config: &Config) -> RuleReport {
    let written = config.mesh.rules.iter().find(|rule| &*rule.id == tried.rule.id());
    let verdict = match &tried.verdict {
        Verdict::Failed { condition, found } => RuleVerdict::Failed {
            condition: condition + 1,
            expected: tried
                .rule
                .conditions()
                .get(*condition)
                .map_or_else(String::new, ToString::to_string),
            found: found.clone(),
            at: written
                .and_then(|rule| rule.condition_origins.get(*condition))
                .cloned(),
        },
        Verdict::Holds => RuleVerdict::Holds,
        _ => RuleVerdict::Off,
    };
    RuleReport {
        id: tried.rule.id().to_owned(),
        name: tried.rule.name().to_owned(),
        at: written.map(|rule| rule.origin.clone()),
        verdict,
    }
}

fn split(split: &SplitTaken<'_>) -> SplitReport {
    use mesh_traffic::router::Why;
    let percent = |weight: u32| f64::from(weight) * 100.0 / f64::from(split.total.max(1));
    SplitReport {
        of_rollout: split.of_rollout,
        shares: split
            .shares
            .iter()
            .map(|(decision, weight)| (outcome(decision, None), percent(*weight)))
            .collect(),
        taken: (!split.why.is_chance()).then_some(split.taken),
        why: match split.why {
            Why::Only => "no other has a share",
            Why::Header => "pinned by header",
            Why::Cookie => "pinned by cookie",
            Why::Sticky => "by the value in its cookie",
            Why::Client => "by its address, since it sends no cookies",
            Why::New => "by a new random value, which it is given in a cookie",
            _ => "drawn for each request",
        },
    }
}

fn outcome(decision: &Decision, head: Option<&RequestHead<'_>>) -> Outcome {
    match decision.action() {
        Action::Forward(target) => Outcome::Forward {
            service: target.service.to_string(),
            version: target.version.as_ref().map(ToString::to_string),
        },
        Action::Respond(respond) => Outcome::Respond(respond.status().as_u16()),
        Action::Redirect(redirect) => {
            let to = head.map(|head| redirect.location(head, &Scheme::HTTP));
            Outcome::Redirect(redirect.status().as_u16(), to)
        }
        _ => Outcome::NoRoute,
    }
}

fn changes(decision: &Decision, head: &RequestHead<'_>) -> Vec<(&'static str, String)> {
    let Some(changes) = decision.changes() else {
        return Vec::new();
    };
    let host = changes
        .host()
        .and_then(|host| host.to_str().ok())
        .map(str::to_owned);
    let names = |edits: &mesh_traffic::router::HeaderEdits| (!edits.is_empty()).then(|| edits.to_string());
    [
        ("path", changes.path(head.path(), head.query())),
        ("host", host),
        ("requestHeaders", names(changes.request_headers())),
        ("responseHeaders", names(changes.response_headers())),
    ]
    .into_iter()
    .filter_map(|(what, to)| Some((what, to?)))
    .collect()
}

fn sets_cookie(explanation: &Explanation<'_>) -> bool {
    explanation.cookie.is_some()
}

/// The service a decision leads to, as it was configured.
fn service_of<'c>(config: &'c Config, decision: &Decision) -> Option<&'c config::Service> {
    let target = decision.target()?;
    config
        .mesh
        .services
        .iter()
        .find(|service| service.name == target.service)
}

#[cfg(test)]
mod tests;
