//! Routing cases as data: `routing_cases/*.yaml`, each file a table and what it makes of requests.

mod data;
mod yaml;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use http::uri::Scheme;
use mesh_core::{Error, RequestHead};
use mesh_traffic::RouteTable;
use mesh_traffic::router::{Action, Asking, Changes, Verdict, Why};
use serde::Deserialize;

use data::{Case, Group, RuleData, ServiceData};
use yaml::yaml;

/// What was decided, in the words of a case.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    To(String, Option<String>),
    Respond(u16, Option<String>),
    Redirect(String, Option<String>),
    NoRoute,
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

    fn check_changes(&self, changes: Option<&Changes>, request: &http::Request<()>, wrong: &mut Vec<String>) {
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
        .map(|entry| entry.expect("a file").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .map(|path| {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            let text = fs::read_to_string(&path).expect("text");
            let group = Group::deserialize(yaml(&text)).unwrap_or_else(|error| panic!("{name}: {error}"));
            (name, group)
        })
        .collect()
}
