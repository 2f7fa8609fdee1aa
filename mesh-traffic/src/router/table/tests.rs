use http::Method;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use mesh_core::{RequestHead, ServiceName};

use super::*;
use crate::router::{
    Action, Condition, Destination, HostPattern, Operator, Respond, RuleAction, Split, Subject,
};

fn service(name: &str) -> Service {
    Service::new(ServiceName::new(name).expect("a name"))
}

fn to(services: &[(&str, u32)]) -> RuleAction {
    let destinations = services
        .iter()
        .map(|(name, weight)| Destination::new(ServiceName::new(name).expect("a name"), *weight));
    RuleAction::Split(Split::new(destinations).expect("weights add up"))
}

fn rule(id: &str, action: RuleAction) -> Rule {
    Rule::new(id, action).expect("an id")
}

fn problems(table: Result<RouteTable, TableError>) -> Vec<String> {
    table
        .expect_err("something is wrong")
        .problems()
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn all_problems_are_reported_at_once_with_their_places() {
    let services = [
        service("a"),
        service("b").with_hosts(["a.ns".parse().expect("a host")]),
        service("a"),
        service("c").with_hosts(["*".parse().expect("any")]),
        service("d").with_hosts(["*".parse().expect("any")]),
    ];
    let rules = [
        rule("x", to(&[("a", 50), ("missing", 50)])),
        rule("x", to(&[("b", 100)])),
    ];
    let error = RouteTable::new("ns", services, rules).expect_err("much is wrong");
    let name = |name| ServiceName::new(name).expect("a name");
    assert_eq!(
        error.problems(),
        [
            TableProblem::SameHost {
                service: 1,
                earlier: name("a"),
                host: "a.ns".parse().expect("a host")
            },
            TableProblem::SameService {
                service: 2,
                earlier: 0,
                name: name("a")
            },
            TableProblem::SameHost {
                service: 4,
                earlier: name("c"),
                host: HostPattern::Any
            },
            TableProblem::UnknownService {
                rule: 0,
                id: "x".into(),
                destination: 1,
                service: name("missing")
            },
            TableProblem::SameRule {
                rule: 1,
                earlier: 0,
                id: "x".into()
            },
        ]
    );
    assert!(
        error
            .to_string()
            .contains("rule \"x\" sends requests to service \"missing\""),
        "{error}"
    );
}

#[test]
fn a_namespace_that_is_no_host_is_reported_once() {
    let found = problems(RouteTable::new("no good", [service("a"), service("b")], []));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("namespace"), "{found:?}");
}

#[test]
fn a_disabled_rule_that_names_a_missing_service_is_refused_too() {
    let off = rule("off", to(&[("missing", 100)])).with_enabled(false);
    assert_eq!(problems(RouteTable::new("ns", [], [off])).len(), 1);
}

#[test]
fn a_service_named_with_a_version_is_that_version_if_no_such_service_exists() {
    let resolved = |services: &[&str], wanted: &str| {
        let services = services.iter().copied().map(service);
        let table = RouteTable::new("ns", services, [rule("r", to(&[(wanted, 100)]))]).ok()?;
        let target = table.decisions().last()?.target()?;
        Some(format!(
            "{}@{}",
            target.service,
            target.version.as_ref().map_or("stable", |v| v.as_str())
        ))
    };
    assert_eq!(
        resolved(&["sample-service"], "sample-service-v2").as_deref(),
        Some("sample-service@v2")
    );
    let both = &["sample-service", "sample-service-v2"];
    assert_eq!(
        resolved(both, "sample-service-v2").as_deref(),
        Some("sample-service-v2@stable")
    );
    assert_eq!(resolved(&["a", "a-b"], "a-b-v2").as_deref(), Some("a-b@v2"));
    assert_eq!(resolved(&["sample-service"], "sample-servic-v2"), None);
    assert_eq!(resolved(&["sample-service"], "sample-servicev2"), None);
}

#[test]
fn a_version_is_not_read_twice() {
    let wanted = Destination::new(ServiceName::new("a-v2").expect("a name"), 100)
        .with_version(Some("v3".parse().expect("a version")));
    let action = RuleAction::Split(Split::new([wanted]).expect("weights add up"));
    assert_eq!(
        problems(RouteTable::new("ns", [service("a")], [rule("r", action)])).len(),
        1
    );
}

#[test]
fn decisions_are_dense_and_know_their_place() {
    let respond = RuleAction::Respond(Respond::new(403).expect("a status"));
    let table = RouteTable::new(
        "ns",
        [service("a"), service("b")],
        [
            rule("low", to(&[("a", 30), ("b", 70)])),
            rule("off", to(&[("a", 100)]))
                .with_enabled(false)
                .with_priority(9),
            rule("high", respond).with_priority(5),
        ],
    )
    .expect("a table");
    let shown: Vec<_> = table
        .decisions()
        .iter()
        .map(|decision| {
            let to = decision.target().map_or("-", |target| target.service.as_str());
            format!("{} {} {to}", decision.index(), decision.rule().unwrap_or("host"))
        })
        .collect();
    assert_eq!(shown, ["0 host a", "1 host b", "2 high -", "3 low a", "4 low b"]);
    assert_eq!(
        table.rules().map(Rule::id).collect::<Vec<_>>(),
        ["off", "high", "low"]
    );
}

#[test]
fn a_rules_time_limit_comes_before_its_services() {
    use std::time::Duration;
    let (short, long) = (Some(Duration::from_secs(1)), Some(Duration::from_secs(15)));
    let table = RouteTable::new(
        "ns",
        [service("a").with_timeout(long), service("b")],
        [
            rule("own", to(&[("a", 100)])).with_timeout(short),
            rule("none", to(&[("a", 50), ("b", 50)])),
        ],
    )
    .expect("a table");
    let limits: Vec<_> = table.decisions().iter().map(Decision::timeout).collect();
    assert_eq!(limits, [long, None, short, long, None]);
}

const WORDS: [&str; 5] = ["a", "b", "c", "A", "a,b"];
const PATHS: [&str; 7] = ["/", "/a", "/a/", "/a/b", "/ab", "/a/b/c", "/b"];
const HOSTS: [&str; 3] = ["a", "b.a", "a.b"];
const PATTERNS: [&str; 5] = ["a", "a|b", ".*", "[^a].*", "/a.*"];

fn subject() -> impl Strategy<Value = Subject> {
    let name = || select(vec!["x", "y"]);
    prop_oneof![
        2 => name().prop_map(|name| Subject::Header(name.parse().expect("a name"))),
        2 => Just(Subject::Path),
        1 => Just(Subject::Method),
        1 => name().prop_map(|name| Subject::Cookie(name.into())),
        1 => name().prop_map(|name| Subject::Query(name.into())),
        1 => Just(Subject::Host),
        1 => Just(Subject::SourceService),
    ]
}

/// Conditions of every kind, of which many hold: the words are few.
fn condition() -> impl Strategy<Value = Condition> {
    let pair =
        (subject(), select(Operator::ALL.to_vec())).prop_filter("decides nothing", |(subject, operator)| {
            !matches!(
                (subject, operator),
                (
                    Subject::Path | Subject::Method,
                    Operator::Exists | Operator::NotExists
                )
            )
        });
    pair.prop_flat_map(|(subject, operator)| {
        let words = match (&subject, operator) {
            (_, Operator::Regex) => PATTERNS.to_vec(),
            (Subject::Path, _) => PATHS.to_vec(),
            (Subject::Host, _) => HOSTS.to_vec(),
            (Subject::Method, _) => vec!["GET", "PUT"],
            (Subject::Cookie(_) | Subject::SourceService, _) => vec!["a", "b", "unknown"],
            (Subject::Query(_), Operator::Equals | Operator::NotEquals | Operator::In) => {
                vec!["a", "a b", ""]
            }
            _ => WORDS.to_vec(),
        };
        let count = match operator {
            Operator::Exists | Operator::NotExists => 0..=0,
            Operator::In => 1..=2,
            _ => 1..=1,
        };
        subsequence(words, count)
            .prop_map(move |values| Condition::new(subject.clone(), operator, values).expect("a condition"))
    })
}

fn table() -> impl Strategy<Value = RouteTable> {
    // None without conditions, which would end every search.
    let conditions = proptest::collection::vec(condition(), 1..4);
    let one = (conditions, 0..3_i32, proptest::bool::weighted(0.9));
    proptest::collection::vec(one, 0..24).prop_map(|rules| {
        let rules = rules
            .into_iter()
            .enumerate()
            .map(|(place, (conditions, priority, enabled))| {
                let respond = RuleAction::Respond(Respond::new(200).expect("a status"));
                let empty = rule(&format!("rule-{place}"), respond)
                    .with_priority(priority)
                    .with_enabled(enabled);
                conditions.into_iter().fold(empty, Rule::with_condition)
            });
        RouteTable::new("ns", [service("other").with_hosts([HostPattern::Any])], rules).expect("a table")
    })
}

fn request() -> impl Strategy<Value = http::Request<()>> {
    let words = || {
        proptest::collection::vec(
            select(vec!["a", "b", "c", "a, b", "a,b", "", "b ,,c", " A"]),
            0..3,
        )
    };
    let query = select(vec!["", "?x=a", "?x=a+b&y", "?y=a&x=%61", "?x=b&x=a%20b", "?x="]);
    let cookie = select(vec!["", "x=a", "x=b; y=a", "y=b;x=b; x=a"]);
    let method = select(vec![Method::GET, Method::PUT]);
    let host = select(vec!["", "a", "B.A:80", "a.b.", "c"]);
    (
        method,
        host,
        select(PATHS.to_vec()),
        query,
        words(),
        words(),
        cookie,
    )
        .prop_map(|(method, host, path, query, x, y, cookie)| {
            let mut builder = http::Request::builder()
                .method(method)
                .uri(format!("{path}{query}"));
            let fields = x
                .iter()
                .map(|value| ("x", *value))
                .chain(y.iter().map(|value| ("y", *value)));
            let known = [("host", host), ("cookie", cookie)]
                .into_iter()
                .filter(|(_, value)| !value.is_empty());
            for (name, value) in fields.chain(known) {
                builder = builder.header(name, value);
            }
            builder.body(()).expect("a request")
        })
}

/// What is explained is what is done, and every reason in it is one.
fn check_explanation(table: &RouteTable, view: &View<'_>, asking: &Asking<'_>) -> Result<(), TestCaseError> {
    let explanation = table.explain(asking);
    let routed = table.route(asking);
    let done = routed.as_ref().ok().map(|routed| routed.decision().index());
    prop_assert_eq!(explanation.decision.map(Decision::index), done);
    let cookie = routed.ok().and_then(|routed| routed.cookie());
    prop_assert_eq!(explanation.cookie, cookie);
    for (place, tried) in explanation.tried.iter().enumerate() {
        prop_assert_eq!(
            tried.rule.id(),
            table.rules[place].rule.id(),
            "in order, none left out"
        );
        let holds = |condition: &Condition| condition.matcher().holds(view);
        match &tried.verdict {
            Verdict::Off => prop_assert!(!tried.rule.is_enabled()),
            Verdict::Holds => {
                prop_assert_eq!(place + 1, explanation.tried.len(), "it is the last");
                prop_assert!(tried.rule.conditions().iter().all(holds));
            }
            Verdict::Failed { condition, .. } => {
                prop_assert_eq!(
                    tried.rule.conditions().iter().position(|c| !holds(c)),
                    Some(*condition)
                );
            }
        }
    }
    for split in &explanation.splits {
        prop_assert_eq!(
            split.shares.iter().map(|(_, weight)| *weight).sum::<u32>(),
            split.total
        );
    }
    if let Some(split) = explanation.splits.last() {
        prop_assert_eq!(Some(split.shares[split.taken].0.index()), done);
    }
    Ok(())
}

/// What the index must agree with: every rule, in order.
fn linear(table: &RouteTable, view: &View<'_>) -> Option<usize> {
    table
        .rules
        .iter()
        .position(|compiled| compiled.rule.is_enabled() && compiled.holds(view))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, ..ProptestConfig::default() })]

    #[test]
    fn the_index_decides_as_trying_all_rules_in_order_does(
        table in table(),
        requests in proptest::collection::vec((request(), select(vec!["a", "b", "unknown"])), 1..16),
    ) {
        for (request, source) in &requests {
            let head = RequestHead::of(request);
            let view = View::new(&head, source);
            let expected = linear(&table, &view);
            let found = table.index.first(&view, |place| table.rules[place].holds(&view));
            prop_assert_eq!(found, expected, "{:?} from {}", request, source);
            // And so does the whole.
            let decided = table.route(&Asking::new(&head, source)).expect("any host has a service");
            let expected = expected.map(|place| table.rules[place].rule.id());
            prop_assert_eq!(decided.rule(), expected);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn what_is_explained_is_what_is_done(
        table in table(),
        requests in proptest::collection::vec((request(), select(vec!["a", "b", "unknown"])), 1..16),
    ) {
        for (request, source) in &requests {
            let head = RequestHead::of(request);
            check_explanation(&table, &View::new(&head, source), &Asking::new(&head, source))?;
        }
    }
}

#[test]
fn the_random_tables_are_worth_trying() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let (mut by_rule, mut by_host, mut places) = (0, 0, std::collections::HashSet::new());
    for _ in 0..300 {
        let table = table().new_tree(&mut runner).expect("a table").current();
        let request = request().new_tree(&mut runner).expect("a request").current();
        match linear(&table, &View::new(&RequestHead::of(&request), "a")) {
            Some(place) => {
                by_rule += 1;
                places.insert(place);
            }
            None => by_host += 1,
        }
    }
    assert!(
        by_rule > 100 && by_host > 20 && places.len() > 6,
        "{by_rule} {by_host} {places:?}"
    );
}

#[test]
fn ten_thousand_rules_are_tried_only_where_they_can_match() {
    let rules = (0..10_000).map(|place| {
        let condition = Condition::new(
            Subject::parse("header", Some("x-tenant")).expect("a subject"),
            Operator::Equals,
            [format!("tenant-{place}")],
        );
        let below = Condition::new(Subject::Path, Operator::Prefix, ["/api"]).expect("a condition");
        rule(&format!("rule-{place}"), to(&[("a", 100)]))
            .with_condition(below)
            .with_condition(condition.expect("a condition"))
    });
    let table = RouteTable::new("ns", [service("a")], rules).expect("a table");
    let request = http::Request::get("/api/x")
        .header("x-tenant", "tenant-9999")
        .body(())
        .expect("a request");
    let head = RequestHead::of(&request);
    let view = View::new(&head, "unknown");
    let tried = std::cell::Cell::new(0);
    let found = table.index.first(&view, |place| {
        tried.set(tried.get() + 1);
        table.rules[place].holds(&view)
    });
    assert_eq!((found, tried.get()), (Some(9_999), 1));
}

#[test]
fn a_decision_action_is_what_the_rule_does() {
    let respond = RuleAction::Respond(Respond::new(418).expect("a status"));
    let table = RouteTable::new("ns", [], [rule("teapot", respond)]).expect("a table");
    let request = http::Request::get("/").body(()).expect("a request");
    let decision = table
        .route(&Asking::new(&RequestHead::of(&request), "unknown"))
        .expect("a rule without conditions holds");
    assert!(matches!(decision.action(), Action::Respond(respond) if respond.status() == 418));
}

mod shares;
