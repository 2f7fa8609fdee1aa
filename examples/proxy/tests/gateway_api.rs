//! Routes of the Gateway API, read from files: what they make of requests, and what is refused.

use std::fs;
use std::path::Path;
use std::time::Duration;

use http::uri::Scheme;
use mesh_core::RequestHead;
use mesh_proxy::config::{self, Config};
use mesh_proxy::mirrors::Mirrors;
use mesh_proxy::routing;
use mesh_telemetry::Telemetry;
use mesh_traffic::router::{Action, Asking};
use mesh_traffic::{LiveSplits, RouteTable};

/// A configuration with three services that names this file.
fn with_file(file: &Path) -> String {
    let services: String = ["infra-backend-v1", "infra-backend-v2", "infra-backend-v3"]
        .iter()
        .map(|name| format!("    - {{ name: {name}, port: 8080, endpoints: ['127.0.0.1:1'] }}\n"))
        .collect();
    format!(
        "serviceMesh:\n  namespace: infra\n  services:\n{services}  trafficManagement:\n    gatewayApi: [ '{}' ]\n",
        file.display()
    )
}

fn load(routes: &str) -> Result<config::Loaded, config::Report> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("routes.yaml");
    fs::write(&file, routes).expect("written");
    let mesh = folder.path().join("mesh.yaml");
    fs::write(&mesh, with_file(&file)).expect("written");
    config::load(&mesh)
}

fn conformance() -> (Config, Vec<String>, RouteTable) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gateway/conformance.yaml");
    let folder = tempfile::tempdir().expect("a folder");
    let mesh = folder.path().join("mesh.yaml");
    fs::write(&mesh, with_file(&file)).expect("written");
    let loaded = config::load(&mesh).unwrap_or_else(|report| panic!("{report}"));
    let warnings = loaded.warnings.iter().map(ToString::to_string).collect();
    let (table, _) = routing::table(&loaded.config, &LiveSplits::default()).expect("a table");
    (loaded.config, warnings, table)
}

/// What becomes of a request: `METHOD host/path name: value …`.
fn decided(table: &RouteTable, request: &str) -> String {
    let mut words = request.split(' ');
    let (method, target) = (words.next().expect("a method"), words.next().expect("a target"));
    let mut builder = http::Request::builder()
        .method(method)
        .uri(format!("http://{target}"));
    while let (Some(name), Some(value)) = (words.next(), words.next()) {
        builder = builder.header(name.trim_end_matches(':'), value);
    }
    let request = builder.body(()).expect("a request");
    let head = RequestHead::of(&request);
    let routed = match table.route(&Asking::new(&head, "unknown")) {
        Ok(routed) => routed,
        Err(_) => return "404".to_owned(),
    };
    match routed.action() {
        Action::Forward(target) => target
            .service
            .as_str()
            .rsplit_once('-')
            .expect("a version")
            .1
            .to_owned(),
        Action::Respond(respond) => respond.status().as_u16().to_string(),
        Action::Redirect(redirect) => {
            let to = redirect.location(&head, &Scheme::HTTP);
            format!("{} {to}", redirect.status().as_u16())
        }
        other => panic!("{other:?} is new to this test"),
    }
}

#[test]
fn routes_match_in_the_precedence_of_the_gateway_api() {
    let (_, _, table) = conformance();
    for (request, expected) in [
        ("GET example.org/", "v1"),
        ("GET example.org/example", "v1"),
        ("GET example.org/v2", "v2"),
        ("GET example.org/v2/", "v2"),
        ("GET example.org/v2/example", "v2"),
        ("GET example.org/v2example", "v1"),
        ("GET example.org/match/exact", "v3"),
        ("GET example.org/match/exact/", "v1"),
        ("GET example.org/shard-12", "v3"),
        ("GET example.org/shard-x", "v1"),
        ("GET example.org/ version: two", "v2"),
        ("GET example.org/ version: two color: orange", "v3"),
        ("GET example.org/ version: two color: blue", "v2"),
        ("GET example.org/ version: three", "v1"),
        // A longer path before headers, a method before headers.
        ("GET example.org/v2 version: two color: red", "v2"),
        ("PATCH example.org/ version: two", "v3"),
        ("GET example.org/?animal=whale", "v3"),
        ("GET example.org/?animal=dolphin", "v1"),
        // An exact host before all below a domain; any depth below it.
        ("GET a.example.org/v2", "v2"),
        ("GET a.b.deep.example.org/", "v2"),
        ("GET nobody.org/", "404"),
        // The older of two that match the same.
        ("GET twice.org/", "v1"),
        // Whose parent is a service: that service's hosts only.
        ("GET infra-backend-v3/canary", "v2"),
        ("GET infra-backend-v3.infra.svc.cluster.local/canary/x", "v2"),
        ("GET infra-backend-v3/", "v3"),
        ("GET other.org/canary", "404"),
    ] {
        assert_eq!(decided(&table, request), expected, "{request}");
    }
}

#[test]
fn a_preflight_request_is_answered_by_the_rule_of_the_request_it_asks_for() {
    let (_, _, table) = conformance();
    let ask = |path: &str, origin: &str, method: &str| {
        let request = http::Request::options(format!("http://cors.org{path}"))
            .header("origin", origin)
            .header("access-control-request-method", method)
            .body(())
            .expect("a request");
        let head = RequestHead::of(&request);
        let (_, cors) = table.preflight(&Asking::new(&head, "unknown"))?;
        Some(cors.preflight::<mesh_core::body::Body>(&head).headers().clone())
    };
    let allowed = ask("/cors-1", "https://a.bar.com", "PUT").expect("answered");
    for (name, value) in [
        ("access-control-allow-origin", "https://a.bar.com"),
        ("access-control-allow-methods", "GET, PUT"),
        ("access-control-allow-headers", "x-header-1, x-header-2"),
        ("access-control-allow-credentials", "true"),
        ("access-control-max-age", "3600"),
    ] {
        assert_eq!(allowed[name], value, "{name}");
    }
    let foreign = ask("/cors-1", "https://foo.com", "PUT").expect("answered");
    assert!(!foreign.contains_key("access-control-allow-origin"));
    let simple = ask("/cors-2/x", "null", "GET").expect("answered");
    assert_eq!(simple["access-control-allow-origin"], "*");
    assert_eq!(simple["access-control-max-age"], "5", "the default of the API");
    assert!(
        ask("/cors-1", "https://a.bar.com", "DELETE").is_none(),
        "no rule would take it"
    );
    assert!(ask("/", "https://a.bar.com", "GET").is_none());
}

#[test]
fn a_rule_says_how_long_a_try_may_take_and_what_is_tried_again() {
    let rules = "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: { name: r }\nspec:\n  rules:\n    \
                 - timeouts: { request: 10s, backendRequest: 2s }\n      retry: { codes: [503], attempts: 3, backoff: \
                 100ms }\n      backendRefs: [{ name: infra-backend-v1, port: 8080 }]\n";
    let loaded = load(rules).unwrap_or_else(|report| panic!("{report}"));
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let rule = &loaded.config.mesh.rules[0];
    assert_eq!(rule.timeout, Some(Duration::from_secs(10)));
    assert_eq!(rule.attempt_timeout, Some(Duration::from_secs(2)));
    let retry = rule.retry.clone().flatten().expect("written");
    assert_eq!(
        (retry.attempts, retry.backoff),
        (3, Some(Duration::from_millis(100)))
    );
    assert_eq!(
        retry.on,
        ["connect-failure", "refused-stream", "reset", "503"].map(|on| on.parse().expect("known"))
    );
}

#[test]
fn calls_are_matched_by_service_and_method_and_nothing_else_is_a_call() {
    let (_, _, table) = conformance();
    let call = |path: &str| {
        decided(
            &table,
            &format!("POST grpc.org{path} content-type: application/grpc+proto"),
        )
    };
    assert_eq!(call("/echo.Echo/Say"), "v1");
    assert_eq!(call("/echo.Echo/Other"), "v2");
    assert_eq!(call("/echo.Echoes/Say"), "404");
    assert_eq!(call("/shop.v1.Cart/GetItem"), "v3");
    assert_eq!(call("/shop.v1.Cart/PutItem"), "404");
    assert_eq!(call("/shop.v1.Cart/GetItem/more"), "404");
    let red = "POST grpc.org/any.Service/Any content-type: application/grpc color: red";
    assert_eq!(decided(&table, red), "v3");
    assert_eq!(
        decided(&table, "POST grpc.org/echo.Echo/Say content-type: text/plain"),
        "404"
    );
    assert_eq!(
        decided(
            &table,
            "GET grpc.org/echo.Echo/Say content-type: application/grpc"
        ),
        "404"
    );
}

#[test]
fn filters_change_what_is_forwarded_or_send_the_client_elsewhere() {
    let (_, _, table) = conformance();
    let request = http::Request::get("http://filters.org/prefix/one/two?q")
        .header("x-remove", "1")
        .header("x-add", "0")
        .body(())
        .expect("a request");
    let head = RequestHead::of(&request);
    let routed = table.route(&Asking::new(&head, "unknown")).expect("a route");
    assert_eq!(routed.timeout(), Some(std::time::Duration::from_millis(500)));
    let changes = routed.changes().expect("filters");
    let mut parts = request.clone().into_parts().0;
    changes.apply_to_request(&mut parts);
    assert_eq!(parts.uri, "http://one.example.org/one/two?q");
    assert!(!parts.headers.contains_key("x-remove"));
    assert_eq!(parts.headers.get_all("x-add").iter().count(), 2);
    assert_eq!(parts.headers["x-set"], "set");
    assert_eq!(changes.response_headers().to_string(), "remove server");

    let whole = http::Request::get("http://filters.org/full/one/two")
        .body(())
        .expect("a request");
    let routed = table.route(&Asking::new(&RequestHead::of(&whole), "unknown"));
    let decision = routed.expect("a route").decision();
    assert_eq!(
        decision
            .changes()
            .and_then(|c| c.path("/full/one/two", None))
            .as_deref(),
        Some("/one")
    );
    assert!(
        decision.timeout().is_some_and(|limit| limit.as_secs() > 86_400),
        "0s is no limit"
    );

    for (request, expected) in [
        (
            "GET filters.org/original-prefix/lemon",
            "302 https://filters.org/replacement/lemon",
        ),
        ("GET filters.org/status?q", "307 http://new.org/status?q"),
    ] {
        assert_eq!(decided(&table, request), expected, "{request}");
    }
}

#[test]
fn the_share_of_a_backend_that_is_not_there_is_answered_with_500_and_told_of() {
    let (_, warnings, table) = conformance();
    for path in ["/nothing", "/missing", "/kind", "/elsewhere", "/port", "/zero"] {
        assert_eq!(
            decided(&table, &format!("GET backends.org{path}")),
            "500",
            "{path}"
        );
    }
    assert_eq!(decided(&table, "GET backends.org/weighted"), "v1");
    for told in [
        "there is no service no-such-service",
        "only a Service can be a backend",
        "no grant lets the route use a service of another namespace",
        "infra-backend-v1 has the port 8080",
        "the kind Gateway are not read",
        "the route is for every listener",
    ] {
        assert_eq!(
            warnings.iter().filter(|warning| warning.contains(told)).count(),
            1,
            "{told}: {warnings:#?}"
        );
    }
}

#[test]
fn rules_of_the_configuration_are_tried_first_and_each_rule_knows_where_it_stands() {
    let (config, _, _) = conformance();
    let rules = &config.mesh.rules;
    assert!(
        rules.windows(2).all(|pair| pair[0].priority == pair[1].priority),
        "behind all others"
    );
    assert!(rules[0].priority < -1_000_000);
    let grpc = rules
        .iter()
        .find(|rule| &*rule.id == "grpcroute/infra/calls/0/0")
        .expect("the rule");
    let line = grpc.origin.to_string();
    assert!(line.contains("conformance.yaml:"), "{line}");
    assert_eq!(grpc.condition_origins.len(), grpc.conditions.len());
}

#[test]
fn what_would_not_be_done_is_refused_with_file_and_line() {
    let route = |spec: &str| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{ name: r }}\nspec: {{ {spec} }}\n"
        )
    };
    for (spec, path, told) in [
        (
            "rules: [{ filters: [{ type: ExternalAuth, externalAuth: {} }] }]",
            "spec.rules[0].filters[0].type",
            "would not be applied",
        ),
        (
            "rules: [{ filters: [{ type: CORS, cors: { allowOrigins: ['https://a.org/x'] } }] }]",
            "spec.rules[0].filters[0].cors.allowOrigins",
            "is not an origin",
        ),
        (
            "rules: [{ filters: [{ type: CORS, cors: { allowOrigins: ['*'], allowCredentials: true, exposeHeaders: ['*'] } }] }]",
            "spec.rules[0].filters[0].cors.exposeHeaders",
            "name the fields",
        ),
        (
            "rules: [{ filters: [{ type: RequestMirror, requestMirror: {} }] }]",
            "spec.rules[0].filters[0].requestMirror.backendRef",
            "",
        ),
        (
            "rules: [{ filters: [{ type: RequestMirror, requestMirror: { backendRef: { name: orders }, percent: 101 } }] }]",
            "spec.rules[0].filters[0].requestMirror.percent",
            "101",
        ),
        (
            "rules: [{ filters: [{ type: RequestMirror, requestMirror: { backendRef: { name: orders }, \
             fraction: { numerator: 3, denominator: 2 } } }] }]",
            "spec.rules[0].filters[0].requestMirror.fraction.numerator",
            "at most the denominator, 2",
        ),
        (
            "rules: [{ matches: [{ path: { type: Exact, value: '/%41' } }] }]",
            "spec.rules[0].matches[0].path.value",
            "\"/A\"",
        ),
        (
            "rules: [{ matches: [{ path: { type: RegularExpression, value: '(' } }] }]",
            "spec.rules[0].matches[0].path.value",
            "not a regular expression",
        ),
        (
            "rules: [{ matchs: [] }]",
            "spec.rules[0].matchs",
            "did you mean matches?",
        ),
        (
            "rules: [{ sessionPersistence: {} }]",
            "spec.rules[0].sessionPersistence",
            "does not do that yet",
        ),
        (
            "rules: [{ retry: { codes: [302] } }]",
            "spec.rules[0].retry.codes[0]",
            "400",
        ),
        (
            "rules: [{ timeouts: { request: 1s, backendRequest: 2s } }]",
            "spec.rules[0].timeouts.backendRequest",
            "at most what timeouts.request allows",
        ),
        (
            "rules: [{ timeouts: { request: 1d } }]",
            "spec.rules[0].timeouts.request",
            "1h30m",
        ),
        (
            "rules: [{ backendRefs: [{ name: infra-backend-v1, filters: [] }] }]",
            "spec.rules[0].backendRefs[0].filters",
            "filters of the rule",
        ),
        (
            "rules: [{ matches: [{ path: { type: Exact, value: /a } }], filters: [{ type: URLRewrite, urlRewrite: { path: { type: ReplacePrefixMatch, replacePrefixMatch: /b } } }] }]",
            "spec.rules[0].filters",
            "PathPrefix only",
        ),
        (
            "rules: [{ filters: [{ type: RequestHeaderModifier, requestHeaderModifier: { set: [{ name: host, value: x }] } }] }]",
            "spec.rules[0].filters[0].requestHeaderModifier.set[0].name",
            "to change the host",
        ),
        (
            "rules: [{ filters: [{ type: RequestRedirect, requestRedirect: { statusCode: 304 } }] }]",
            "spec.rules[0].filters[0].requestRedirect.statusCode",
            "308",
        ),
        ("hostnames: ['a:80']", "spec.hostnames[0]", "it has a port"),
        (
            "parentRefs: [{ kind: Service, name: a }]",
            "spec.parentRefs[0].kind",
            "kind: Gateway",
        ),
    ] {
        let report = load(&route(spec)).expect_err(spec);
        let text = report.to_string();
        assert_eq!(report.problems()[0].path(), path, "{text}");
        assert!(text.contains(told) && text.contains("routes.yaml:4:"), "{text}");
    }
}

#[test]
fn a_route_there_is_twice_a_document_without_a_kind_and_a_missing_file_are_refused() {
    let one = "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: { name: r }\nspec: {}\n";
    let twice = load(&format!("{one}---\n{one}")).expect_err("twice").to_string();
    assert!(twice.contains("httproute/infra/r a second time"), "{twice}");
    assert!(
        load("metadata: {}\n")
            .expect_err("no kind")
            .to_string()
            .contains("without a kind")
    );
    let folder = tempfile::tempdir().expect("a folder");
    let mesh = folder.path().join("mesh.yaml");
    fs::write(&mesh, with_file(&folder.path().join("none.yaml"))).expect("written");
    let missing = config::load(&mesh).expect_err("no such file").to_string();
    assert!(
        missing.contains("none.yaml") && missing.contains("cannot be read"),
        "{missing}"
    );
}

#[test]
fn a_mirror_copies_to_a_service_that_is_there() {
    let mirrored = |mirror: &str| {
        let routes = format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{ name: r }}\nspec: {{ rules: [{{ \
             backendRefs: [{{ name: infra-backend-v1, port: 8080 }}], filters: [{{ type: RequestMirror, requestMirror: {{ \
             {mirror} }} }}] }}] }}\n"
        );
        let loaded = load(&routes).unwrap_or_else(|report| panic!("{report}"));
        let rule = loaded.config.mesh.rules.into_iter().next().expect("one");
        let warnings: Vec<_> = loaded.warnings.iter().map(ToString::to_string).collect();
        (rule.mirrors, warnings)
    };
    for (mirror, service, version, percent) in [
        (
            "backendRef: { name: infra-backend-v2, port: 8080 }",
            "infra-backend-v2",
            None,
            100.0,
        ),
        (
            "backendRef: { name: infra-backend-v3 }, percent: 5",
            "infra-backend-v3",
            None,
            5.0,
        ),
        (
            "backendRef: { name: infra-backend-v3-next }, fraction: { numerator: 1, denominator: 1000 }",
            "infra-backend-v3",
            Some("next"),
            0.1,
        ),
        (
            "backendRef: { name: infra-backend-v2 }, fraction: { numerator: 7 }",
            "infra-backend-v2",
            None,
            7.0,
        ),
    ] {
        let (found, warnings) = mirrored(mirror);
        let [found] = &*found else {
            panic!("{mirror}: {found:?}")
        };
        assert_eq!(found.service.as_str(), service, "{mirror}");
        assert_eq!(
            found.version.as_ref().map(|version| version.as_str()),
            version,
            "{mirror}"
        );
        assert_eq!(found.percentage.get(), percent, "{mirror}");
        assert!(warnings.is_empty(), "{warnings:?}");
    }
    for mirror in [
        "backendRef: { name: nowhere }",
        "backendRef: { name: infra-backend-v2, port: 1 }",
        "backendRef: { name: infra-backend-v2, namespace: other }",
    ] {
        let (found, warnings) = mirrored(mirror);
        assert!(found.is_empty(), "{mirror}");
        assert!(warnings[0].contains("no copies are sent"), "{warnings:?}");
    }
}

#[test]
fn a_rule_may_copy_to_several_services() {
    let routes = "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: { name: r }\nspec:\n  rules:\n    \
                  - backendRefs: [{ name: infra-backend-v1, port: 8080 }]\n      filters:\n        - { type: RequestMirror, \
                  requestMirror: { backendRef: { name: infra-backend-v2 } } }\n        - { type: RequestMirror, \
                  requestMirror: { backendRef: { name: infra-backend-v3 }, percent: 5 } }\n";
    let loaded = load(routes).unwrap_or_else(|report| panic!("{report}"));
    let config = loaded.config;
    let (table, _) = routing::table(&config, &LiveSplits::default()).expect("a table");
    let compiled = Mirrors::default()
        .compile(&config.mesh, &Telemetry::new())
        .expect("checked");
    let rule = table
        .decisions()
        .iter()
        .find(|decision| decision.rule().is_some())
        .expect("one");
    let to: Vec<_> = compiled
        .met_by(rule)
        .map(|(_, to)| (to.service.to_string(), to.percentage.get()))
        .collect();
    assert_eq!(
        to,
        [
            ("infra-backend-v2".to_owned(), 100.0),
            ("infra-backend-v3".to_owned(), 5.0)
        ]
    );
}
