//! What asking a policy costs, and that it does not grow with the rules.
//! `cargo bench -p mesh-tls --features authorize --bench authorize`

use divan::{AllocProfiler, Bencher, black_box};
use http::Method;
use mesh_core::SpiffeId;
use mesh_tls::authorize::{
    Action, AuthorizationPolicy, IdentityPattern, PathPattern, Question, Rule, Source,
};

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

const RULES: [usize; 3] = [10, 100, 1_000];

fn identity(place: usize) -> String {
    format!("spiffe://cluster.local/ns/shop/sa/service-{place}")
}

/// Each rule allows another service another folder; a tenth of them denies something everywhere.
fn rules(rules: usize) -> impl Iterator<Item = Rule> {
    (0..rules).map(|place| match place % 10 {
        9 => Rule::deny(place.to_string()).paths([&*format!("/api/{place}/internal/**")]),
        _ => Rule::allow(place.to_string())
            .from([&*identity(place)])
            .methods(["GET", "POST"])
            .paths([&*format!("/api/{place}/**")]),
    })
}

/// The last of the services, asking for what the last rule allows.
fn ask(bencher: Bencher, rules: usize, allowed: impl Fn(&Question<'_>) -> bool) {
    let last = rules - 2;
    let identity: SpiffeId = identity(last).parse().expect("an identity");
    let path = format!("/api/{last}/orders/7");
    let question = || Question::of_request(Some(&identity), &Method::GET, &path);
    assert!(allowed(&question()));
    bencher.bench_local(|| allowed(black_box(&question())));
}

#[divan::bench(args = RULES)]
fn indexed(bencher: Bencher, count: usize) {
    let policy = AuthorizationPolicy::new(rules(count)).expect("a policy");
    ask(bencher, count, |question| policy.decide(question).is_allowed());
}

/// Every rule tried, with the same patterns.
#[divan::bench(args = RULES)]
fn one_by_one(bencher: Bencher, count: usize) {
    let rules: Vec<Rule> = rules(count).collect();
    let holds = |rule: &Rule, question: &Question<'_>| {
        let means = |sources: &[Source]| sources.iter().any(|source| source.means(question.identity()));
        let method = |methods: &[Method]| question.method().is_some_and(|method| methods.contains(method));
        let path = |paths: &[PathPattern]| {
            paths
                .iter()
                .any(|path| question.path().is_some_and(|asked| path.matches(asked)))
        };
        rule.sources().is_none_or(means)
            && rule.of_methods().is_none_or(method)
            && rule.of_paths().is_none_or(path)
    };
    let any = |action, question: &Question<'_>| {
        let mut own = rules.iter().filter(|rule| rule.action() == action);
        own.any(|rule| holds(rule, question))
    };
    ask(bencher, count, |question| {
        !any(Action::Deny, question) && any(Action::Allow, question)
    });
}

/// Somebody whom no rule knows.
#[divan::bench(args = RULES)]
fn denied(bencher: Bencher, count: usize) {
    let policy = AuthorizationPolicy::new(rules(count)).expect("a policy");
    let stranger: SpiffeId = "spiffe://cluster.local/ns/office/sa/printer"
        .parse()
        .expect("an identity");
    bencher.bench_local(|| {
        let question = Question::of_request(
            black_box(Some(&stranger)),
            &Method::GET,
            black_box("/api/1/orders"),
        );
        policy.decide(&question).is_allowed()
    });
}

/// As rules of one identity pattern, in which nothing can be looked up but the namespace.
#[divan::bench(args = RULES)]
fn stars(bencher: Bencher, count: usize) {
    let rules = (0..count).map(|place| {
        let pattern: IdentityPattern = format!("spiffe://cluster.local/ns/team-{place}/sa/*")
            .parse()
            .expect("a pattern");
        Rule::allow(place.to_string()).from([Source::from(pattern)])
    });
    let policy = AuthorizationPolicy::new(rules).expect("a policy");
    let last: SpiffeId = format!("spiffe://cluster.local/ns/team-{}/sa/x", count - 1)
        .parse()
        .expect("an identity");
    bencher.bench_local(|| {
        let question = Question::of_request(black_box(Some(&last)), &Method::GET, black_box("/api/1/orders"));
        policy.decide(&question).is_allowed()
    });
}
