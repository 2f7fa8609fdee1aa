//! What is decided, compared with a plain model of it. Numbers are those of the list of attacks the project keeps.

use http::Method;
use mesh_core::SpiffeId;
use mesh_core::edge::{EdgePolicy, admit};
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::authorize::Source;

fn id(text: &str) -> SpiffeId {
    text.parse().expect(text)
}

fn frontend() -> SpiffeId {
    id("spiffe://mesh/ns/shop/sa/frontend")
}

fn policy(rules: impl IntoIterator<Item = Rule>) -> AuthorizationPolicy {
    AuthorizationPolicy::new(rules).expect("a policy")
}

/// Whether a request of the frontend is allowed.
fn allows(policy: &AuthorizationPolicy, method: &Method, path: &str) -> bool {
    let frontend = frontend();
    policy
        .decide(&Question::of_request(Some(&frontend), method, path))
        .is_allowed()
}

/// Everyone may do everything but this.
fn all_but(paths: &[&str]) -> AuthorizationPolicy {
    policy([Rule::allow("all"), Rule::deny("no").paths(paths.iter().copied())])
}

#[test]
fn without_a_rule_that_allows_everything_is_denied() {
    let nothing = policy([]);
    assert!(!allows(&nothing, &Method::GET, "/"));
    assert!(!nothing.decide(&Question::of_connection(None)).is_allowed());
    assert!(!allows(
        &policy([Rule::deny("posts").methods(["POST"])]),
        &Method::GET,
        "/"
    ));
}

#[test]
fn what_denies_comes_before_what_allows_in_either_order() {
    let (allow, deny) = (Rule::allow("a"), Rule::deny("d").methods(["DELETE"]));
    for rules in [[allow.clone(), deny.clone()], [deny, allow]] {
        let policy = policy(rules);
        assert!(allows(&policy, &Method::GET, "/"));
        let frontend = frontend();
        let decision = policy.decide(&Question::of_request(Some(&frontend), &Method::DELETE, "/"));
        assert_eq!(decision.rule().map(Rule::id), Some("d"));
    }
}

#[test]
fn a_condition_that_is_not_given_holds_and_an_empty_list_never() {
    assert!(allows(&policy([Rule::allow("a")]), &Method::GET, "/"));
    for rule in [
        Rule::allow("a").from::<[Source; 0]>([]),
        Rule::allow("a").methods::<[Method; 0]>([]),
        Rule::allow("a").paths::<[&str; 0]>([]),
    ] {
        assert!(!allows(&policy([rule]), &Method::GET, "/"));
    }
    // Nor does an empty list deny, whether there is something to read or not.
    for rule in [
        Rule::deny("d").from::<[Source; 0]>([]),
        Rule::deny("d").methods::<[Method; 0]>([]),
        Rule::deny("d").paths::<[&str; 0]>([]),
    ] {
        let policy = policy([Rule::allow("a"), rule]);
        assert!(allows(&policy, &Method::GET, "/") && allows(&policy, &Method::OPTIONS, "*"));
        assert!(policy.decide(&Question::of_connection(None)).is_allowed());
    }
}

#[test]
fn who_proved_nothing_is_meant_only_where_a_rule_says_so() {
    let nobody = |rule: Rule| {
        let policy = policy([rule]);
        policy
            .decide(&Question::of_request(None, &Method::GET, "/"))
            .is_allowed()
    };
    assert!(nobody(Rule::allow("a")) && nobody(Rule::allow("a").from(["unauthenticated"])));
    assert!(!nobody(Rule::allow("a").from(["*"])) && !nobody(Rule::allow("a").from(["spiffe://mesh/**"])));
    assert!(!allows(
        &policy([Rule::allow("a").from(["unauthenticated"])]),
        &Method::GET,
        "/"
    ));
}

#[test]
fn methods_are_compared_by_the_letter() {
    let policy = policy([Rule::allow("a").methods(["GET"])]);
    assert!(allows(&policy, &Method::GET, "/"));
    let lower = Method::from_bytes(b"get").expect("a method");
    assert!(!allows(&policy, &Method::HEAD, "/") && !allows(&policy, &lower, "/"));
}

/// Case 86, behind the edge: what it lets in is the path that is forwarded, and that one is denied.
#[test]
fn case_86_no_spelling_that_the_edge_lets_in_walks_around_a_rule_that_denies() {
    let policy = all_but(&["/admin/**"]);
    for target in [
        "/admin",
        "/admin/",
        "/admin/users",
        "//admin/users",
        "/admin//users",
        "/./admin/users",
        "/x/../admin/users",
        "/x/%2e%2e/admin/users",
        "/x/%2E./admin/users",
        "/%61dmin/users",
        "/%41dmin/users",
        "/ADMIN/users",
        "/Admin",
        "/admin/%3Fx",
        "/admin?x=/../public",
        "/admin;x=1/users",
        "/admin/..;/admin/users",
        "/x/..%2fadmin/users",
        "/admin%2fusers",
        "/admin%5cusers",
        "/admin%00",
        "http://orders/admin/users",
        "/%2561dmin",
    ] {
        let request = http::Request::get(target).header("host", "orders").body(());
        let Ok(request) = request else {
            continue;
        };
        let mut parts = request.into_parts().0;
        if admit(&mut parts, &EdgePolicy::default()).is_err() {
            continue;
        }
        let allowed = allows(&policy, &parts.method, parts.uri.path());
        // Decoded twice it would be another path; whoever does that is beyond help.
        assert_eq!(allowed, target == "/%2561dmin", "{target} became {}", parts.uri);
    }
}

/// Case 86, where the edge was forgotten or told to keep what is ambiguous.
#[test]
fn case_86_a_path_that_is_not_canonical_is_one_that_cannot_be_read() {
    let open = all_but(&["/admin/**"]);
    let narrow = policy([Rule::allow("a").paths(["/**"])]);
    for path in [
        "//admin",
        "/x/../public",
        "/x/%2e%2e/public",
        "/%70ublic",
        "/public;x=1",
        "/public%2fx",
        "/public%5cx",
        "/a\\b",
        "/a%00",
        "/%zz",
        "*",
        "",
        "public",
    ] {
        assert!(!allows(&open, &Method::GET, path), "{path:?} may be about /admin");
        assert!(
            !allows(&narrow, &Method::GET, path),
            "{path:?} may be about anything"
        );
    }
    assert!(
        allows(&policy([Rule::allow("a")]), &Method::OPTIONS, "*"),
        "no rule asks for its path"
    );
}

#[test]
fn what_denies_reads_escapes_and_what_allows_does_not() {
    let delete = all_but(&["/v1/things:delete"]);
    for path in [
        "/v1/things:delete",
        "/v1/things%3Adelete",
        "/v1/things:Delete",
        "/v1/things:delete/",
    ] {
        assert!(!allows(&delete, &Method::POST, path), "{path}");
    }
    assert!(allows(&delete, &Method::POST, "/v1/things:list"));

    let only = policy([Rule::allow("a").paths(["/v1/things:list"])]);
    assert!(allows(&only, &Method::POST, "/v1/things:list"));
    for path in ["/v1/things%3Alist", "/v1/things:LIST", "/v1/things:list/"] {
        assert!(!allows(&only, &Method::POST, path), "{path}");
    }
}

#[test]
fn a_rule_that_denies_all_but_one_folder_can_be_written_with_stars() {
    let policy = all_but(&["/*/private/**"]);
    assert!(!allows(&policy, &Method::GET, "/x/private") && !allows(&policy, &Method::GET, "/X/Private/y"));
    assert!(allows(&policy, &Method::GET, "/private") && allows(&policy, &Method::GET, "/x/y/private"));
}

/// Case 89.
#[test]
fn case_89_a_rule_that_denies_a_path_denies_a_connection_that_shows_none() {
    let connection = Question::of_connection(None);
    for deny in [
        Rule::deny("path").paths(["/admin/**"]),
        Rule::deny("method").methods(["DELETE"]),
        Rule::deny("both").methods(["DELETE"]).paths(["/admin/**"]),
    ] {
        let policy = policy([Rule::allow("all"), deny]);
        assert!(!policy.decide(&connection).is_allowed());
    }
    assert!(
        !policy([Rule::allow("path").paths(["/**"])])
            .decide(&connection)
            .is_allowed()
    );
    assert!(
        !policy([Rule::allow("method").methods(["GET"])])
            .decide(&connection)
            .is_allowed()
    );
    let of_others = Rule::deny("others").from(["*"]).paths(["/admin/**"]);
    assert!(
        policy([Rule::allow("all"), of_others])
            .decide(&connection)
            .is_allowed()
    );
}

#[test]
fn a_probe_passes_before_any_rule_and_nothing_else_does() {
    let probes = Probes::of(["/healthz", "/ready"]).expect("paths");
    let policy = policy([Rule::deny("all")]).with_probes(probes);
    let ask = |method: &Method, path: &str| {
        policy
            .decide(&Question::of_request(None, method, path))
            .is_allowed()
    };
    assert!(ask(&Method::GET, "/healthz") && ask(&Method::HEAD, "/ready"));
    for path in [
        "/healthz/",
        "/Healthz",
        "/healthz/x",
        "//healthz",
        "/%68ealthz",
        "/healthz;x",
    ] {
        assert!(!ask(&Method::GET, path), "{path}");
    }
    assert!(!ask(&Method::POST, "/healthz"));
    assert!(Probes::of(["/a/../b"]).is_err() && Probes::of(["healthz"]).is_err());
}

#[test]
fn probes_of_certain_networks_come_from_there_in_either_notation() {
    let network = "10.0.0.0/8".parse().expect("a network");
    let probes = Probes::of(["/healthz"]).expect("a path").from_networks([network]);
    let probe = Question::of_request(None, &Method::GET, "/healthz");
    for (address, near) in [
        ("10.9.9.9", true),
        ("::ffff:10.9.9.9", true),
        ("11.0.0.1", false),
        ("::1", false),
    ] {
        assert_eq!(
            probes.mean(&probe.with_address(address.parse().expect("an address"))),
            near,
            "{address}"
        );
    }
    assert!(!probes.mean(&probe), "from nobody knows where");
}

#[test]
fn all_problems_are_told_at_once_with_their_places() {
    let error = AuthorizationPolicy::new([
        Rule::allow("a").from(["frontend", "*"]).paths(["/a/../b", "/ok"]),
        Rule::deny("b").methods(["", "GET"]),
        Rule::deny("a"),
    ])
    .expect_err("several things are wrong");
    let told: Vec<String> = error.problems().iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 4, "{told:#?}");
    assert!(
        told[0].starts_with("rule \"a\", from: \"frontend\" is not a pattern"),
        "{told:#?}"
    );
    assert!(
        told[1].contains("paths: \"/a/../b\"") && told[1].contains("write \"/b\""),
        "{told:#?}"
    );
    assert!(told[2].starts_with("rule \"b\", methods: "), "{told:#?}");
    assert!(told[3].contains("two rules of the id \"a\""), "{told:#?}");
    assert_eq!(error.to_string(), told.join("; "));
}

#[test]
fn a_refusal_names_who_was_presented_and_nothing_of_the_rules() {
    let policy = policy([Rule::deny("secret-plan").paths(["/secret"])]);
    let frontend = frontend();
    let error = |identity| {
        let question = Question::of_request(identity, &Method::GET, "/secret");
        policy.decide(&question).error().expect("refused")
    };
    let known = error(Some(&frontend));
    assert!(
        known.message().contains("spiffe://mesh/ns/shop/sa/frontend"),
        "{known}"
    );
    let unknown = error(None);
    assert!(unknown.message().contains("mutual TLS"), "{unknown}");
    for error in [known, unknown] {
        assert!(!error.message().contains("secret"), "{error}");
        assert_eq!(error.kind(), mesh_core::ErrorKind::Unauthorized);
    }
}

#[test]
fn a_decision_is_one_line_that_tells_who_what_and_which_rule() {
    let policy = policy([
        Rule::allow("readers").methods(["GET"]),
        Rule::deny("no-admin").paths(["/admin"]),
    ]);
    let frontend = frontend();
    let line = |identity, method, path| {
        policy
            .decide(&Question::of_request(identity, method, path))
            .to_string()
    };
    assert_eq!(
        line(Some(&frontend), &Method::GET, "/admin"),
        "spiffe://mesh/ns/shop/sa/frontend, GET /admin: rule \"no-admin\" denies it"
    );
    assert_eq!(
        line(None, &Method::POST, "/"),
        "somebody unauthenticated, POST /: no rule allows it"
    );
    assert!(line(None, &Method::GET, "/").ends_with("rule \"readers\" allows it"));
    assert!(line(None, &Method::GET, &format!("/{}", "x".repeat(9999))).len() < 400);
    let connection = policy.decide(&Question::of_connection(None)).to_string();
    assert_eq!(
        connection,
        "somebody unauthenticated, a connection: rule \"no-admin\" denies it"
    );
}

/// The model: strings, and every rule tried.
mod model {
    pub(super) fn means(source: &str, identity: Option<&str>) -> bool {
        match (source, identity) {
            ("unauthenticated", None) => true,
            ("*", Some(_)) => true,
            (pattern, Some(identity)) if pattern.len() > 1 => fits(pattern, identity),
            _ => false,
        }
    }

    pub(super) fn fits(pattern: &str, text: &str) -> bool {
        let (fixed, open) = match pattern.strip_suffix("/**") {
            Some(fixed) => (fixed, true),
            None => (pattern, false),
        };
        let fixed: Vec<&str> = fixed.split('/').collect();
        let text: Vec<&str> = text.split('/').collect();
        let same = |(pattern, segment): (&&str, &&str)| match *pattern {
            "*" => !segment.is_empty(),
            literal => literal == *segment,
        };
        let long_enough = if open {
            text.len() >= fixed.len()
        } else {
            text.len() == fixed.len()
        };
        long_enough && fixed.iter().zip(&text).all(same)
    }

    pub(super) fn careless(text: &str) -> String {
        let mut text = text.to_owned();
        for (escape, byte) in [("%3A", ":"), ("%40", "@")] {
            text = text.replace(escape, byte);
        }
        text.trim_end_matches('/').to_lowercase()
    }
}

/// A rule as text.
#[derive(Clone, Debug)]
struct Written {
    deny: bool,
    from: Option<Vec<&'static str>>,
    methods: Option<Vec<&'static str>>,
    paths: Option<Vec<&'static str>>,
}

impl Written {
    fn rule(&self, place: usize) -> Rule {
        let action = if self.deny { Action::Deny } else { Action::Allow };
        let mut rule = Rule::new(format!("{place}"), action);
        if let Some(from) = &self.from {
            rule = rule.from(from.iter().copied());
        }
        if let Some(methods) = &self.methods {
            rule = rule.methods(methods.iter().copied());
        }
        if let Some(paths) = &self.paths {
            rule = rule.paths(paths.iter().copied());
        }
        rule
    }

    fn holds(&self, identity: Option<&str>, method: &str, path: Option<&str>) -> bool {
        let from = |from: &Vec<&str>| from.iter().any(|source| model::means(source, identity));
        let path_fits = |pattern: &&str| match (path, self.deny) {
            (None, deny) => deny,
            (Some(path), true) => {
                let bare = pattern.strip_suffix("/**");
                let open = if bare.is_some() { "/**" } else { "" };
                let careful = model::careless(bare.unwrap_or(pattern));
                model::fits(&format!("{careful}{open}"), &model::careless(path))
            }
            (Some(path), false) => model::fits(pattern, path),
        };
        self.from.as_ref().is_none_or(from)
            && self
                .methods
                .as_ref()
                .is_none_or(|methods| methods.contains(&method))
            && self
                .paths
                .as_ref()
                .is_none_or(|paths| paths.iter().any(path_fits))
    }
}

const SOURCES: [&str; 8] = [
    "*",
    "unauthenticated",
    "spiffe://mesh/**",
    "spiffe://mesh/ns/a/**",
    "spiffe://mesh/ns/*/sa/x",
    "spiffe://mesh/ns/a/sa/x",
    "spiffe://mesh/ns/b/sa/*",
    "spiffe://else/ns/a/sa/x",
];
const IDENTITIES: [Option<&str>; 5] = [
    None,
    Some("spiffe://mesh/ns/a/sa/x"),
    Some("spiffe://mesh/ns/b/sa/y"),
    Some("spiffe://else/ns/a/sa/x"),
    Some("spiffe://mesh"),
];
const PATTERNS: [&str; 11] = [
    "/**", "/", "/a", "/a/", "/a/**", "/a/*", "/*/b", "/a/b:c", "/a/b%3Ac", "/*/*/**", "/A/b",
];
const PATHS: [&str; 15] = [
    "/",
    "/a",
    "/a/",
    "/a/b",
    "/A/b",
    "/a/b/",
    "/a/b:c",
    "/a/b%3Ac",
    "/a/B%3Ac/",
    "/c/b",
    "/c/b/d",
    "/a/b%40",
    "//a",
    "/a;b",
    "*",
];

fn some<T: Clone + std::fmt::Debug + 'static>(all: &'static [T]) -> impl Strategy<Value = Option<Vec<T>>> {
    proptest::option::of(proptest::collection::vec(select(all), 0..3))
}

fn written() -> impl Strategy<Value = Written> {
    let parts = (
        any::<bool>(),
        some(&SOURCES),
        some(&["GET", "POST"]),
        some(&PATTERNS),
    );
    parts.prop_map(|(deny, from, methods, paths)| Written {
        deny,
        from,
        methods,
        paths,
    })
}

fn rules(written: &[Written]) -> Vec<Rule> {
    written
        .iter()
        .enumerate()
        .map(|(place, rule)| rule.rule(place))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn it_decides_as_a_plain_model_does_and_explains_what_it_decides(
        written in proptest::collection::vec(written(), 0..12),
        identity in select(&IDENTITIES[..]),
        method in select(&["GET", "POST", "PUT"][..]),
        path in select(&PATHS[..]),
        audit: bool,
    ) {
        let policy = policy(rules(&written));
        let policy = if audit { policy.audit() } else { policy };
        let who = identity.map(id);
        let asked = Method::from_bytes(method.as_bytes()).expect("a method");
        let question = Question::of_request(who.as_ref(), &asked, path);
        let decision = policy.decide(&question);

        let readable = !["//a", "/a;b", "*"].contains(&path);
        prop_assert_eq!(question.path_is_readable(), readable);
        let first = |deny| written.iter().position(|rule| {
            rule.deny == deny && rule.holds(identity, method, readable.then_some(path))
        });
        let expected = first(true).or_else(|| first(false));
        let named = expected.map(|place| place.to_string());
        prop_assert_eq!(decision.rule().map(Rule::id), named.as_deref());
        prop_assert_eq!(decision.is_allowed(), expected.is_some_and(|place| !written[place].deny));
        prop_assert_eq!(decision.passes(), decision.is_allowed() || audit);
        prop_assert_eq!(decision.error().is_some(), !decision.passes());

        let explained = policy.explain(&question);
        prop_assert_eq!(explained.decision.reason, decision.reason);
        let held = explained.tried.iter().filter(|tried| tried.verdict == Verdict::Holds).map(|tried| tried.place);
        prop_assert_eq!(held.collect::<Vec<_>>(), expected.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn more_that_denies_never_allows_more_and_more_that_allows_never_less(
        written in proptest::collection::vec(written(), 0..8),
        added in written(),
        at in 0..9_usize,
        identity in select(&IDENTITIES[..]),
        path in select(&PATHS[..]),
    ) {
        let who = identity.map(id);
        let question = Question::of_request(who.as_ref(), &Method::GET, path);
        let before = policy(rules(&written)).decide(&question).is_allowed();
        let mut more = written.clone();
        more.insert(at.min(written.len()), added.clone());
        let after = policy(rules(&more)).decide(&question).is_allowed();
        let never_worse = if added.deny { before || !after } else { after || !before };
        prop_assert!(never_worse, "{:?}", added);

        let reversed: Vec<Written> = written.iter().rev().cloned().collect();
        prop_assert_eq!(policy(rules(&reversed)).decide(&question).is_allowed(), before, "the order changes nothing");
    }
}
