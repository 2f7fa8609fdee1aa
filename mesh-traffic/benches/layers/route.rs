use divan::Bencher;
use mesh_core::{Live, ServiceName};
use mesh_traffic::router::{Operator, Split, Subject};
use mesh_traffic::{Condition, Destination, RouteLayer, RouteTable, Rule, RuleAction, Service};
use tower::{Layer, service_fn};

use super::asked::{ask, at_once};

/// A service, and a rule with a time limit and two versions.
pub(crate) fn layer() -> RouteLayer {
    let name = ServiceName::new("orders").expect("a name");
    let path = Subject::parse("path", None).expect("a subject");
    let versions = Split::new([90, 10].map(|weight| Destination::new(name.clone(), weight)));
    let rule = Rule::new("all", RuleAction::Split(versions.expect("weights add up")))
        .expect("an id")
        .with_condition(Condition::new(path, Operator::Prefix, ["/".to_owned()]).expect("a condition"));
    let table = RouteTable::new("dept-barc", [Service::new(name)], [rule]).expect("a table");
    RouteLayer::new(Live::fixed(table))
}

#[divan::bench]
fn route_by_a_rule(bencher: Bencher) {
    ask(bencher, layer().layer(service_fn(at_once)));
}
