//! Routing cases as data: `cases/routing.json`.

use std::collections::BTreeMap;

use mesh_core::{Error, RequestHead, ServiceName, Version};
use mesh_traffic::router::{Action, Respond, Split, Subject};
use mesh_traffic::{Condition, Destination, RouteTable, Rule, RuleAction, Service};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    why: String,
    services: Vec<ServiceData>,
    #[serde(default)]
    rules: Vec<RuleData>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ServiceData {
    name: String,
    hosts: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleData {
    id: String,
    name: Option<String>,
    #[serde(default)]
    priority: i32,
    enabled: Option<bool>,
    #[serde(default)]
    conditions: Vec<ConditionData>,
    destinations: Option<Vec<DestinationData>>,
    respond: Option<RespondData>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConditionData {
    r#type: String,
    field: Option<String>,
    operator: String,
    value: Option<OneOrMore>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RespondData {
    status: u16,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DestinationData {
    service: String,
    version: Option<String>,
    weight: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    it: String,
    method: Option<String>,
    get: String,
    #[serde(default)]
    headers: Vec<String>,
    source: Option<String>,
    #[serde(default)]
    random: u32,
    rule: Option<String>,
    /// `service`, or `service@version`.
    to: Option<String>,
    respond: Option<u16>,
    /// What the message has to mention.
    no_route: Option<Vec<String>>,
}

/// What was decided, in the words of a case.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    To(String, Option<String>),
    Respond(u16, Option<String>),
    NoRoute,
}

impl Group {
    fn table(&self) -> RouteTable {
        let services = self.services.iter().map(|data| {
            let service = Service::new(ServiceName::new(&data.name).expect("a name"));
            match &data.hosts {
                None => service,
                Some(hosts) => service.with_hosts(hosts.iter().map(|host| host.parse().expect("a host"))),
            }
        });
        RouteTable::new("dept-barc", services, self.rules.iter().map(RuleData::rule)).expect("a table")
    }
}

impl RuleData {
    fn rule(&self) -> Rule {
        let action = match (&self.respond, &self.destinations) {
            (Some(data), None) => RuleAction::Respond(Respond::new(data.status).expect("a status")),
            (None, Some(destinations)) => {
                let destinations = destinations.iter().map(DestinationData::destination);
                RuleAction::Split(Split::new(destinations).expect("weights add up"))
            }
            _ => panic!("rule {:?} has not exactly one action", self.id),
        };
        let rule = Rule::new(&self.id, action)
            .expect("an id")
            .with_name(self.name.as_deref().unwrap_or(&self.id))
            .with_priority(self.priority)
            .with_enabled(self.enabled.unwrap_or(true));
        self.conditions
            .iter()
            .map(ConditionData::condition)
            .fold(rule, Rule::with_condition)
    }
}

impl DestinationData {
    fn destination(&self) -> Destination {
        let version = self
            .version
            .as_deref()
            .map(|version| Version::new(version).expect("a version"));
        Destination::new(ServiceName::new(&self.service).expect("a name"), self.weight).with_version(version)
    }
}

impl ConditionData {
    fn condition(&self) -> Condition {
        let values = match &self.value {
            None => Vec::new(),
            Some(OneOrMore::One(value)) => vec![value.clone()],
            Some(OneOrMore::More(values)) => values.clone(),
        };
        let subject = Subject::parse(&self.r#type, self.field.as_deref()).expect("a subject");
        Condition::new(subject, self.operator.parse().expect("an operator"), values).expect("a condition")
    }
}

impl Case {
    fn request(&self) -> http::Request<()> {
        let method = self.method.as_deref().unwrap_or("GET");
        let mut builder = http::Request::builder().method(method).uri(&*self.get);
        for header in &self.headers {
            let (name, value) = header.split_once(':').expect("name: value");
            builder = builder.header(name, value.trim());
        }
        builder.body(()).expect("a request")
    }

    fn expected(&self) -> Outcome {
        match (&self.to, self.respond, &self.no_route) {
            (Some(to), None, None) => Outcome::To(to.clone(), self.rule.clone()),
            (None, Some(status), None) => Outcome::Respond(status, self.rule.clone()),
            (None, None, Some(_)) => Outcome::NoRoute,
            _ => panic!("{:?} expects not exactly one thing", self.it),
        }
    }

    fn decided(&self, table: &RouteTable) -> Outcome {
        let request = self.request();
        let source = self.source.as_deref().unwrap_or("unknown");
        let decision = match table.route(&RequestHead::of(&request), source, self.random) {
            Ok(decision) => decision,
            Err(nothing) => {
                let error = Error::from(nothing);
                for mentioned in self.no_route.iter().flatten() {
                    assert!(error.message().contains(mentioned), "{:?}: {error}", self.it);
                }
                return Outcome::NoRoute;
            }
        };
        let rule = decision.rule().map(str::to_owned);
        match decision.action() {
            Action::Forward(target) => {
                assert_eq!(target.route.as_deref(), decision.rule(), "{:?}", self.it);
                let version = target.version.as_ref().map(|version| format!("@{version}"));
                Outcome::To(format!("{}{}", target.service, version.unwrap_or_default()), rule)
            }
            Action::Respond(respond) => Outcome::Respond(respond.status().as_u16(), rule),
            other => panic!("{other:?} is new to these cases"),
        }
    }
}

#[test]
fn every_case_is_decided_as_it_says() {
    let groups: BTreeMap<String, Group> =
        serde_json::from_str(include_str!("cases/routing.json")).expect("the cases can be read");
    let mut count = 0;
    let mut wrong = Vec::new();
    for (name, group) in &groups {
        let table = group.table();
        for case in &group.cases {
            count += 1;
            let (decided, expected) = (case.decided(&table), case.expected());
            if decided != expected {
                let why = &group.why;
                wrong.push(format!(
                    "{name} ({why}): {}: {decided:?}, expected {expected:?}",
                    case.it
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count >= 60, "only {count} cases");
}
