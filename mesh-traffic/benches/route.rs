//! What deciding a route costs, and that it does not grow with the rules. `cargo bench -p mesh-traffic`

use divan::{AllocProfiler, Bencher, black_box};
use http::Request;
use mesh_core::{RequestHead, ServiceName, TrafficSplit};
use mesh_traffic::router::{Asking, CookieKey, HostPattern, LiveSplit, Operator, Pins, Split, Subject};
use mesh_traffic::{Condition, Destination, RouteTable, Rule, RuleAction, Service};

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

const RULES: [usize; 4] = [10, 100, 1_000, 10_000];

fn condition(kind: &str, field: Option<&str>, operator: Operator, value: String) -> Condition {
    let subject = Subject::parse(kind, field).expect("a subject");
    Condition::new(subject, operator, [value]).expect("a condition")
}

/// One service, and rules that each ask for the conditions of their place.
fn table(rules: usize, conditions: impl Fn(usize) -> Vec<Condition>) -> RouteTable {
    let service = ServiceName::new("sample-service").expect("a name");
    let made = (0..rules).map(|place| {
        let to = Split::new([90, 10].map(|weight| Destination::new(service.clone(), weight)));
        let rule = Rule::new(
            &format!("rule-{place}"),
            RuleAction::Split(to.expect("weights add up")),
        );
        conditions(place)
            .into_iter()
            .fold(rule.expect("an id"), Rule::with_condition)
    });
    let any = Service::new(service.clone()).with_hosts([HostPattern::Any]);
    RouteTable::new("dept-barc", [any], made).expect("a table")
}

/// A request as browsers send them.
fn request(path: &str, tenant: &str) -> Request<()> {
    Request::get(format!("http://sample-service.dept-barc.svc:3001{path}"))
        .header(
            "accept",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        )
        .header("accept-encoding", "gzip, deflate, br")
        .header("accept-language", "en-GB,en;q=0.5")
        .header("cookie", "session=0123456789abcdef; theme=dark")
        .header("user-agent", "Mozilla/5.0 (X11; Linux x86_64)")
        .header("x-tenant", tenant)
        .body(())
        .expect("a request")
}

fn decide(bencher: Bencher, table: &RouteTable, request: &Request<()>) {
    bencher.bench_local(|| {
        table
            .route(&Asking::new(black_box(&RequestHead::of(request)), "frontend").with_random(black_box(7)))
            .map(|d| d.index())
            .ok()
    });
}

/// The last of the rules holds: its prefix is the request's.
#[divan::bench(args = RULES)]
fn by_path_prefix(bencher: Bencher, rules: usize) {
    let below = |place| condition("path", None, Operator::Prefix, format!("/team-{place}/api"));
    let table = table(rules, |place| vec![below(place)]);
    decide(
        bencher,
        &table,
        &request(&format!("/team-{}/api/orders/7", rules - 1), "none"),
    );
}

/// The last of the rules holds: all share the path, each has its tenant.
#[divan::bench(args = RULES)]
fn by_header_below_one_path(bencher: Bencher, rules: usize) {
    let below = || condition("path", None, Operator::Prefix, "/api".to_owned());
    let tenant = |place| {
        condition(
            "header",
            Some("x-tenant"),
            Operator::Equals,
            format!("tenant-{place}"),
        )
    };
    let table = table(rules, |place| vec![below(), tenant(place)]);
    decide(
        bencher,
        &table,
        &request("/api/orders/7", &format!("tenant-{}", rules - 1)),
    );
}

/// No rule holds; the host decides.
#[divan::bench(args = RULES)]
fn by_host_after_all_rules(bencher: Bencher, rules: usize) {
    let exact = |place| condition("path", None, Operator::Equals, format!("/exact/{place}"));
    let table = table(rules, |place| vec![exact(place)]);
    decide(bencher, &table, &request("/other", "none"));
}

/// What cannot be indexed: expressions, tried one by one.
#[divan::bench(args = RULES)]
fn by_expressions_one_by_one(bencher: Bencher, rules: usize) {
    let matching = |place| condition("path", None, Operator::Regex, format!("/x{place}/[0-9]+"));
    let table = table(rules, |place| vec![matching(place)]);
    decide(bencher, &table, &request("/other", "none"));
}

/// What a path router does of the same: the last of the prefixes, and no more than that. Beside
/// `by_path_prefix`, which also looks at host, method, source and the headers other rules ask for.
#[divan::bench(args = RULES)]
fn by_path_prefix_with_matchit(bencher: Bencher, rules: usize) {
    let mut router = matchit::Router::new();
    for place in 0..rules {
        for path in [
            format!("/team-{place}/api"),
            format!("/team-{place}/api/{{*rest}}"),
        ] {
            router.insert(path, place).expect("no two are the same");
        }
    }
    let request = request(&format!("/team-{}/api/orders/7", rules - 1), "none");
    bencher.bench_local(|| {
        router
            .at(black_box(request.uri().path()))
            .map(|found| *found.value)
            .ok()
    });
}

/// The same, of exact paths.
#[divan::bench(args = RULES)]
fn by_exact_path(bencher: Bencher, rules: usize) {
    let exact = |place| condition("path", None, Operator::Equals, format!("/exact/{place}"));
    let table = table(rules, |place| vec![exact(place)]);
    decide(
        bencher,
        &table,
        &request(&format!("/exact/{}", rules - 1), "none"),
    );
}

#[divan::bench(args = RULES)]
fn by_exact_path_with_matchit(bencher: Bencher, rules: usize) {
    let mut router = matchit::Router::new();
    for place in 0..rules {
        router
            .insert(format!("/exact/{place}"), place)
            .expect("no two are the same");
    }
    let request = request(&format!("/exact/{}", rules - 1), "none");
    bencher.bench_local(|| {
        router
            .at(black_box(request.uri().path()))
            .map(|found| *found.value)
            .ok()
    });
}

/// A rollout has changed the shares of the service's versions.
#[divan::bench]
fn by_live_split(bencher: Bencher) {
    decide_in_rollout(bencher, Pins::default(), "none");
}

/// By the value in the client's cookie.
#[divan::bench]
fn by_live_split_and_sticky_cookie(bencher: Bencher) {
    let cookie = "session=1; canary=0123456789abcdef0123456789abcdef7686bf47b48dfc376fbe0840b7b951f3";
    let key = CookieKey::new([7; CookieKey::LENGTH]);
    decide_in_rollout(bencher, Pins::default().sticky(key), cookie);
}

fn decide_in_rollout(bencher: Bencher, pins: Pins, cookie: &str) {
    let name = ServiceName::new("sample-service").expect("a name");
    let version = |text: &str| mesh_core::Version::new(text).expect("a version");
    let split = LiveSplit::new(name.clone(), Some(version("v1")), [version("v2")]);
    let weights = mesh_core::Weights::two(name.clone(), (version("v1"), version("v2")), 10);
    split
        .set_weights(&weights.expect("in range"))
        .expect("known versions");
    let service = Service::new(name)
        .with_hosts([HostPattern::Any])
        .with_split(split)
        .with_pins(pins);
    let table = RouteTable::new("dept-barc", [service], []).expect("a table");
    let mut request = request("/other", "none");
    let cookie = cookie.parse().expect("a value");
    request.headers_mut().insert("cookie", cookie);
    decide(bencher, &table, &request);
}

/// No rules at all: the floor.
#[divan::bench]
fn by_host_without_rules(bencher: Bencher) {
    decide(bencher, &table(0, |_| Vec::new()), &request("/other", "none"));
}
