//! What stands in a file of cases.

use std::net::IpAddr;
use std::time::Duration;

use mesh_core::{ServiceName, TrafficSplit, Version};
use mesh_traffic::router::{
    CookieKey, HeaderEdits, LiveSplit, PathChange, Pins, Redirect, Respond, Rewrite, Split, Subject,
};
use mesh_traffic::{Condition, Destination, RouteTable, Rule, RuleAction, Service};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Group {
    pub(crate) why: String,
    pub(crate) services: Vec<ServiceData>,
    #[serde(default)]
    pub(crate) rules: Vec<RuleData>,
    #[serde(default)]
    pub(crate) cases: Vec<Case>,
    /// Rules that are refused, and what the message says.
    #[serde(default)]
    pub(crate) refused: Vec<Refused>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Refused {
    pub(crate) it: String,
    pub(crate) rule: Value,
    pub(crate) because: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct ServiceData {
    pub(crate) name: String,
    pub(crate) hosts: Option<Vec<String>>,
    pub(crate) stable: Option<String>,
    /// Besides the stable one.
    #[serde(default)]
    pub(crate) versions: Vec<String>,
    /// What a rollout has set: the stable version first.
    pub(crate) weights: Option<Vec<(String, u8)>>,
    #[serde(default)]
    pub(crate) sticky: bool,
    pub(crate) timeout_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct RuleData {
    pub(crate) id: String,
    pub(crate) name: Option<String>,
    #[serde(default)]
    pub(crate) priority: i32,
    pub(crate) enabled: Option<bool>,
    #[serde(default)]
    pub(crate) conditions: Vec<ConditionData>,
    pub(crate) destinations: Option<Vec<DestinationData>>,
    /// Weights count relative to their sum.
    #[serde(default)]
    pub(crate) relative: bool,
    pub(crate) respond: Option<RespondData>,
    pub(crate) redirect: Option<RedirectData>,
    pub(crate) rewrite: Option<RewriteData>,
    #[serde(default)]
    pub(crate) request_headers: EditsData,
    #[serde(default)]
    pub(crate) response_headers: EditsData,
    pub(crate) timeout_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConditionData {
    pub(crate) r#type: String,
    pub(crate) field: Option<String>,
    pub(crate) operator: String,
    pub(crate) value: Option<OneOrMore>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum OneOrMore {
    One(String),
    More(Vec<String>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RespondData {
    pub(crate) status: u16,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RedirectData {
    pub(crate) status: u16,
    pub(crate) scheme: Option<String>,
    pub(crate) host: Option<String>,
    pub(crate) port: Option<u16>,
    pub(crate) path: Option<String>,
    pub(crate) prefix: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RewriteData {
    pub(crate) path: Option<String>,
    pub(crate) prefix: Option<String>,
    pub(crate) host: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(crate) struct EditsData {
    #[serde(default)]
    pub(crate) remove: Vec<String>,
    #[serde(default)]
    pub(crate) set: Vec<(String, String)>,
    #[serde(default)]
    pub(crate) add: Vec<(String, String)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DestinationData {
    pub(crate) service: Option<String>,
    pub(crate) version: Option<String>,
    /// In place of a service: the share is answered.
    pub(crate) answer: Option<u16>,
    pub(crate) weight: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Case {
    pub(crate) it: String,
    pub(crate) method: Option<String>,
    pub(crate) get: String,
    #[serde(default)]
    pub(crate) headers: Vec<String>,
    pub(crate) source: Option<String>,
    pub(crate) client: Option<IpAddr>,
    #[serde(default)]
    pub(crate) random: u32,
    pub(crate) rule: Option<String>,
    /// `service`, or `service@version`.
    pub(crate) to: Option<String>,
    pub(crate) respond: Option<u16>,
    /// The status, and where to.
    pub(crate) redirect: Option<String>,
    /// What the message has to mention.
    #[serde(alias = "no_route")]
    pub(crate) no_route: Option<Vec<String>>,
    /// The target the service sees.
    pub(crate) forwarded: Option<String>,
    /// Fields the service sees: `name: value`, or `name` of one it does not see.
    #[serde(default)]
    pub(crate) sees: Vec<String>,
    /// Fields the client sees of a response that has `server: origin`.
    #[serde(default)]
    pub(crate) back: Vec<String>,
    pub(crate) timeout_ms: Option<u64>,
    /// Why the share was taken.
    pub(crate) share: Option<String>,
}

impl Group {
    pub(crate) fn table(&self) -> RouteTable {
        let rules = self.rules.iter().map(|data| data.rule().expect("a rule"));
        RouteTable::new("dept-barc", self.services.iter().map(ServiceData::service), rules).expect("a table")
    }
}

/// The signatures in the cases are made with this key.
fn pins(sticky: bool) -> Pins {
    let key = CookieKey::new([7; CookieKey::LENGTH]);
    if sticky {
        Pins::default().sticky(key)
    } else {
        Pins::default()
    }
}

impl ServiceData {
    pub(crate) fn service(&self) -> Service {
        let name = ServiceName::new(&self.name).expect("a name");
        let version = |text: &String| Version::new(text).expect("a version");
        let mut service = Service::new(name.clone())
            .with_pins(pins(self.sticky))
            .with_timeout(self.timeout_ms.map(Duration::from_millis));
        if let Some(hosts) = &self.hosts {
            service = service.with_hosts(hosts.iter().map(|host| host.parse().expect("a host")));
        }
        if !self.versions.is_empty() {
            let split = LiveSplit::new(
                name.clone(),
                self.stable.as_ref().map(version),
                self.versions.iter().map(version),
            );
            if let Some(weights) = &self.weights {
                let shares = weights.iter().map(|(name, share)| (version(name), *share));
                let weights = mesh_core::Weights::new(name, shares).expect("they add up");
                split.set_weights(&weights).expect("known versions");
            }
            service = service.with_split(split);
        }
        service
    }
}

pub(crate) type Wrong = Box<dyn std::error::Error>;

impl RuleData {
    pub(crate) fn rule(&self) -> Result<Rule, Wrong> {
        let action = match (&self.respond, &self.destinations, &self.redirect) {
            (Some(data), None, None) => RuleAction::Respond(Respond::new(data.status)?),
            (None, None, Some(data)) => RuleAction::Redirect(data.redirect()?),
            (None, Some(destinations), None) => {
                let destinations = destinations.iter().map(DestinationData::destination);
                RuleAction::Split(match self.relative {
                    true => Split::relative(destinations)?,
                    false => Split::new(destinations)?,
                })
            }
            _ => panic!("rule {:?} has not exactly one action", self.id),
        };
        let mut rewrite = Rewrite::new();
        if let Some(data) = &self.rewrite {
            if let Some(path) = path_change(data.path.as_deref(), data.prefix.as_deref())? {
                rewrite = rewrite.with_path(path);
            }
            if let Some(host) = &data.host {
                rewrite = rewrite.with_host(host.parse()?);
            }
        }
        let rule = Rule::new(&self.id, action)?
            .with_name(self.name.as_deref().unwrap_or(&self.id))
            .with_priority(self.priority)
            .with_enabled(self.enabled.unwrap_or(true))
            .with_rewrite(rewrite)
            .with_request_headers(self.request_headers.edits()?)
            .with_response_headers(self.response_headers.edits()?)
            .with_timeout(self.timeout_ms.map(Duration::from_millis));
        self.conditions
            .iter()
            .try_fold(rule, |rule, data| Ok(rule.with_condition(data.condition()?)))
    }
}

fn path_change(path: Option<&str>, prefix: Option<&str>) -> Result<Option<PathChange>, Wrong> {
    Ok(match (path, prefix) {
        (Some(path), _) => Some(PathChange::whole(path)?),
        (None, Some(prefix)) => Some(PathChange::prefix(prefix)?),
        (None, None) => None,
    })
}

impl RedirectData {
    pub(crate) fn redirect(&self) -> Result<Redirect, Wrong> {
        let mut redirect = Redirect::new(self.status)?;
        if let Some(scheme) = &self.scheme {
            redirect = redirect.with_scheme(scheme.parse()?);
        }
        if let Some(host) = &self.host {
            redirect = redirect.with_host(host.parse()?);
        }
        if let Some(port) = self.port {
            redirect = redirect.with_port(port);
        }
        if let Some(path) = path_change(self.path.as_deref(), self.prefix.as_deref())? {
            redirect = redirect.with_path(path);
        }
        Ok(redirect)
    }
}

impl EditsData {
    pub(crate) fn edits(&self) -> Result<HeaderEdits, Wrong> {
        let mut edits = HeaderEdits::new();
        for name in &self.remove {
            edits = edits.remove(name)?;
        }
        for (name, value) in &self.set {
            edits = edits.set(name, value)?;
        }
        for (name, value) in &self.add {
            edits = edits.add(name, value)?;
        }
        Ok(edits)
    }
}

impl DestinationData {
    pub(crate) fn destination(&self) -> Destination {
        if let Some(status) = self.answer {
            return Destination::answered(Respond::new(status).expect("a status"), self.weight);
        }
        let service = self.service.as_deref().expect("a service or an answer");
        let version = self
            .version
            .as_deref()
            .map(|version| Version::new(version).expect("a version"));
        Destination::new(ServiceName::new(service).expect("a name"), self.weight).with_version(version)
    }
}

impl ConditionData {
    pub(crate) fn condition(&self) -> Result<Condition, Wrong> {
        let values = match &self.value {
            None => Vec::new(),
            Some(OneOrMore::One(value)) => vec![value.clone()],
            Some(OneOrMore::More(values)) => values.clone(),
        };
        let subject = Subject::parse(&self.r#type, self.field.as_deref())?;
        Ok(Condition::new(subject, self.operator.parse()?, values)?)
    }
}
