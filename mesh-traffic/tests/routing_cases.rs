//! Routing cases as data: `routing_cases/*.yaml`, each file a table and what it makes of requests.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use http::uri::Scheme;
use mesh_core::{Error, RequestHead, ServiceName, TrafficSplit, Version};
use mesh_traffic::router::{
    Action, Asking, HeaderEdits, LiveSplit, PathChange, Pins, Redirect, Respond, Rewrite, Split, Subject,
    Verdict, Why,
};
use mesh_traffic::{Condition, Destination, RouteTable, Rule, RuleAction, Service};
use saphyr_parser::{Event, Parser, ScalarStyle};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    why: String,
    services: Vec<ServiceData>,
    #[serde(default)]
    rules: Vec<RuleData>,
    #[serde(default)]
    cases: Vec<Case>,
    /// Rules that are refused, and what the message says.
    #[serde(default)]
    refused: Vec<Refused>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refused {
    it: String,
    rule: Value,
    because: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ServiceData {
    name: String,
    hosts: Option<Vec<String>>,
    stable: Option<String>,
    /// Besides the stable one.
    #[serde(default)]
    versions: Vec<String>,
    /// What a rollout has set: the stable version first.
    weights: Option<Vec<(String, u8)>>,
    #[serde(default)]
    sticky: bool,
    timeout_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RuleData {
    id: String,
    name: Option<String>,
    #[serde(default)]
    priority: i32,
    enabled: Option<bool>,
    #[serde(default)]
    conditions: Vec<ConditionData>,
    destinations: Option<Vec<DestinationData>>,
    /// Weights count relative to their sum.
    #[serde(default)]
    relative: bool,
    respond: Option<RespondData>,
    redirect: Option<RedirectData>,
    rewrite: Option<RewriteData>,
    #[serde(default)]
    request_headers: EditsData,
    #[serde(default)]
    response_headers: EditsData,
    timeout_ms: Option<u64>,
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
struct RedirectData {
    status: u16,
    scheme: Option<String>,
    host: Option<String>,
    port: Option<u16>,
    path: Option<String>,
    prefix: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RewriteData {
    path: Option<String>,
    prefix: Option<String>,
    host: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct EditsData {
    #[serde(default)]
    remove: Vec<String>,
    #[serde(default)]
    set: Vec<(String, String)>,
    #[serde(default)]
    add: Vec<(String, String)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DestinationData {
    service: Option<String>,
    version: Option<String>,
    /// In place of a service: the share is answered.
    answer: Option<u16>,
    weight: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Case {
    it: String,
    method: Option<String>,
    get: String,
    #[serde(default)]
    headers: Vec<String>,
    source: Option<String>,
    client: Option<IpAddr>,
    #[serde(default)]
    random: u32,
    rule: Option<String>,
    /// `service`, or `service@version`.
    to: Option<String>,
    respond: Option<u16>,
    /// The status, and where to.
    redirect: Option<String>,
    /// What the message has to mention.
    #[serde(alias = "no_route")]
    no_route: Option<Vec<String>>,
    /// The target the service sees.
    forwarded: Option<String>,
    /// Fields the service sees: `name: value`, or `name` of one it does not see.
    #[serde(default)]
    sees: Vec<String>,
    /// Fields the client sees of a response that has `server: origin`.
    #[serde(default)]
    back: Vec<String>,
    timeout_ms: Option<u64>,
    /// Why the share was taken.
    share: Option<String>,
}

/// What was decided, in the words of a case.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    To(String, Option<String>),
    Respond(u16, Option<String>),
    Redirect(String, Option<String>),
    NoRoute,
}

impl Group {
    fn table(&self) -> RouteTable {
        let rules = self.rules.iter().map(|data| data.rule().expect("a rule"));
        RouteTable::new("dept-barc", self.services.iter().map(ServiceData::service), rules).expect("a table")
    }
}

impl ServiceData {
    fn service(&self) -> Service {
        let name = ServiceName::new(&self.name).expect("a name");
        let version = |text: &String| Version::new(text).expect("a version");
        let mut service = Service::new(name.clone())
            .with_pins(Pins::default().sticky(self.sticky))
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

type Wrong = Box<dyn std::error::Error>;

impl RuleData {
    fn rule(&self) -> Result<Rule, Wrong> {
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
    fn redirect(&self) -> Result<Redirect, Wrong> {
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
    fn edits(&self) -> Result<HeaderEdits, Wrong> {
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
    fn destination(&self) -> Destination {
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
    fn condition(&self) -> Result<Condition, Wrong> {
        let values = match &self.value {
            None => Vec::new(),
            Some(OneOrMore::One(value)) => vec![value.clone()],
            Some(OneOrMore::More(values)) => values.clone(),
        };
        let subject = Subject::parse(&self.r#type, self.field.as_deref())?;
        Ok(Condition::new(subject, self.operator.parse()?, values)?)
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
        let rule = self.rule.clone();
        match (&self.to, self.respond, &self.no_route, &self.redirect) {
            (Some(to), None, None, None) => Outcome::To(to.clone(), rule),
            (None, Some(status), None, None) => Outcome::Respond(status, rule),
            (None, None, Some(_), None) => Outcome::NoRoute,
            (None, None, None, Some(to)) => Outcome::Redirect(to.clone(), rule),
            _ => panic!("{:?} expects not exactly one thing", self.it),
        }
    }

    /// What is decided, and what else is not as the case says.
    fn decided(&self, table: &RouteTable) -> (Outcome, Vec<String>) {
        let request = self.request();
        let head = RequestHead::of(&request);
        let asking = Asking::new(&head, self.source.as_deref().unwrap_or("unknown"))
            .with_client(self.client)
            .with_random(u128::from(self.random) << 96);
        let mut wrong = Vec::new();
        let explanation = table.explain(&asking);
        if let Some(share) = &self.share {
            let why = explanation.splits.last().map(|split| word(split.why));
            if why != Some(share) {
                wrong.push(format!("the share was taken {why:?}, expected {share}"));
            }
        }
        let routed = match table.route(&asking) {
            Ok(routed) => routed,
            Err(nothing) => {
                let error = Error::from(nothing);
                for mentioned in self.no_route.iter().flatten() {
                    if !error.message().contains(mentioned) {
                        wrong.push(format!("{error} does not mention {mentioned:?}"));
                    }
                }
                assert!(explanation.decision.is_none(), "{:?}", self.it);
                return (Outcome::NoRoute, wrong);
            }
        };
        let decision = routed.decision();
        let index = explanation.decision.map(|decision| decision.index());
        if index != Some(decision.index()) {
            wrong.push(format!(
                "explained as decision {index:?}, not {}",
                decision.index()
            ));
        }
        let holding = explanation
            .tried
            .iter()
            .find(|tried| tried.verdict == Verdict::Holds);
        assert_eq!(
            holding.map(|tried| tried.rule.id()),
            decision.rule(),
            "{:?}",
            self.it
        );
        self.check_changes(decision.changes().map(|changes| &**changes), &request, &mut wrong);
        if self.timeout_ms.is_some() && self.timeout_ms.map(Duration::from_millis) != decision.timeout() {
            wrong.push(format!("a time limit of {:?}", decision.timeout()));
        }
        let rule = decision.rule().map(str::to_owned);
        let outcome = match decision.action() {
            Action::Forward(target) => {
                assert_eq!(target.route.as_deref(), decision.rule(), "{:?}", self.it);
                let version = target.version.as_ref().map(|version| format!("@{version}"));
                Outcome::To(format!("{}{}", target.service, version.unwrap_or_default()), rule)
            }
            Action::Respond(respond) => Outcome::Respond(respond.status().as_u16(), rule),
            Action::Redirect(redirect) => {
                let location = redirect.location(&head, &Scheme::HTTP);
                Outcome::Redirect(format!("{} {location}", redirect.status().as_u16()), rule)
            }
            other => panic!("{other:?} is new to these cases"),
        };
        (outcome, wrong)
    }

    fn check_changes(
        &self,
        changes: Option<&mesh_traffic::router::Changes>,
        request: &http::Request<()>,
        wrong: &mut Vec<String>,
    ) {
        let mut parts = request.clone().into_parts().0;
        let mut back = http::HeaderMap::new();
        back.insert("server", http::HeaderValue::from_static("origin"));
        if let Some(changes) = changes {
            changes.apply_to_request(&mut parts);
            changes.apply_to_response(&mut back);
        }
        let forwarded = parts.uri.path_and_query().map_or("", |path| path.as_str());
        if self
            .forwarded
            .as_deref()
            .is_some_and(|expected| expected != forwarded)
        {
            wrong.push(format!("forwarded as {forwarded}"));
        }
        for (fields, expected) in [(&parts.headers, &self.sees), (&back, &self.back)] {
            for field in expected {
                let (name, value) = field
                    .split_once(": ")
                    .map_or((&**field, None), |(n, v)| (n, Some(v)));
                let found: Vec<_> = fields
                    .get_all(name)
                    .iter()
                    .filter_map(|v| v.to_str().ok())
                    .collect();
                let found = (!found.is_empty()).then(|| found.join(", "));
                if found.as_deref() != value {
                    wrong.push(format!("{name}: {found:?}, expected {value:?}"));
                }
            }
        }
    }
}

fn word(why: Why) -> &'static str {
    match why {
        Why::Only => "only",
        Why::Header => "header",
        Why::Cookie => "cookie",
        Why::Sticky => "sticky",
        Why::Client => "client",
        Why::New => "new",
        Why::Drawn => "drawn",
        _ => "new to these cases",
    }
}

#[test]
fn every_case_is_decided_as_it_says() {
    let mut count = 0;
    let mut wrong = Vec::new();
    for (name, group) in groups() {
        let why = &group.why;
        let table = group.table();
        for case in &group.cases {
            count += 1;
            let ((decided, mut problems), expected) = (case.decided(&table), case.expected());
            if decided != expected {
                problems.insert(0, format!("{decided:?}, expected {expected:?}"));
            }
            let told = problems
                .iter()
                .map(|problem| format!("{name} ({why}): {}: {problem}", case.it));
            wrong.extend(told);
        }
        for refused in &group.refused {
            count += 1;
            let data = RuleData::deserialize(&refused.rule).expect("the rule can be read");
            let services = group.services.iter().map(ServiceData::service);
            let table = data
                .rule()
                .and_then(|rule| Ok(RouteTable::new("dept-barc", services, [rule])?));
            match table {
                Ok(_) => wrong.push(format!("{name}: {}: it is taken", refused.it)),
                Err(error) if error.to_string().contains(&refused.because) => {}
                Err(error) => wrong.push(format!("{name}: {}: {error}", refused.it)),
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count >= 200, "only {count} cases");
}

fn groups() -> BTreeMap<String, Group> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/routing_cases");
    let entries = fs::read_dir(folder).expect("the folder of cases");
    entries
        .map(|entry| {
            let path = entry.expect("a file").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            let text = fs::read_to_string(&path).expect("text");
            let group = Group::deserialize(yaml(&text)).unwrap_or_else(|error| panic!("{name}: {error}"));
            (name, group)
        })
        .collect()
}

/// The one document of a text.
fn yaml(text: &str) -> Value {
    let mut open: Vec<(Vec<Value>, bool)> = vec![(Vec::new(), false)];
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let (event, _) = event.unwrap_or_else(|error| panic!("{error}"));
        let value = match event {
            Event::Scalar(text, style, ..) => scalar(&text, style == ScalarStyle::Plain),
            Event::SequenceStart(..) => {
                open.push((Vec::new(), false));
                continue;
            }
            Event::MappingStart(..) => {
                open.push((Vec::new(), true));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop().expect("it was begun") {
                (items, false) => Value::Array(items),
                (items, true) => items
                    .chunks(2)
                    .map(|pair| (text_of(&pair[0]), pair[1].clone()))
                    .collect::<serde_json::Map<_, _>>()
                    .into(),
            },
            _ => continue,
        };
        open.last_mut().expect("the document").0.push(value);
    }
    let mut documents = open.pop().expect("the document").0;
    assert_eq!((open.len(), documents.len()), (0, 1), "one document");
    documents.remove(0)
}

fn scalar(text: &str, plain: bool) -> Value {
    match text {
        "true" if plain => true.into(),
        "false" if plain => false.into(),
        "null" | "~" | "" if plain => Value::Null,
        text => match text.parse::<i64>() {
            Ok(number) if plain => number.into(),
            _ => text.into(),
        },
    }
}

fn text_of(key: &Value) -> String {
    key.as_str().map_or_else(|| key.to_string(), str::to_owned)
}
