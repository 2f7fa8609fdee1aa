use super::*;

const MESH: &str = r#"
serviceMesh:
  namespace: dept-barc
  listeners: [ { name: inbound, bind: "127.0.0.1:8080", tls: "off" } ]
  services:
    - name: orders
      port: 3001
      hosts: [orders, "127.0.0.1"]
      stableVersion: v1
      timeout: 5s
      endpoints: [ { address: "127.0.0.1:1", version: v1 }, { address: "127.0.0.1:2", version: v2 } ]
  trafficManagement:
    rules:
      - id: off
        priority: 9
        enabled: false
        respond: { status: 500 }
      - id: api
        priority: 5
        timeout: 1s
        conditions:
          - { type: path, operator: prefix, value: /api }
          - { type: header, field: x-tenant, operator: in, value: [a, b] }
        destinations: [ { service: orders, version: v1, weight: 75 }, { service: orders, version: v2, weight: 25 } ]
        rewrite: { prefix: /v1 }
        requestHeaders: { set: { x-token: swordfish } }
"#;

fn report(target: &str, fields: &[(&'static str, &'static str)]) -> Report {
    let loaded = config::parse("mesh.yaml", MESH).unwrap_or_else(|report| panic!("{report}"));
    let headers = fields.iter().map(|(name, value)| {
        let name = HeaderName::from_static(name);
        (name, HeaderValue::from_static(value))
    });
    let asked = Asked {
        method: Method::GET,
        target: target.to_owned(),
        headers: headers.collect(),
        identity: None,
        client: None,
    };
    Report::of(&loaded.config, &LiveSplits::default(), &asked).expect("the edge lets it in")
}

#[test]
fn each_rule_is_told_of_with_file_and_line_and_the_first_condition_that_failed() {
    let report = report("/%61pi/./x?q=1", &[("x-tenant", "c")]);
    let json = report.json();
    assert_eq!(json["request"]["target"], "/api/x?q=1", "as rules see it");
    let rules = json["rules"].as_array().expect("a list");
    assert_eq!(rules.len(), 2);
    assert_eq!(
        (&rules[0]["id"], &rules[0]["verdict"]),
        (&json!("off"), &json!("off"))
    );
    let failed = &rules[1];
    assert_eq!(failed["at"], "mesh.yaml:18:9");
    assert_eq!(
        failed["condition"],
        json!({
            "place": 2, "expected": "header x-tenant in [\"a\", \"b\"]", "found": ["c"], "at": "mesh.yaml:23:13",
        })
    );
    assert_eq!(json["decidedBy"], "host");
    assert_eq!(json["decision"]["version"], "v1");
    let text = report.to_string();
    assert!(text.contains("- off  (mesh.yaml:14:9): switched off"), "{text}");
    assert!(
        text.contains("✗ api  (mesh.yaml:18:9)\n    condition 2  (mesh.yaml:23:13): header x-tenant"),
        "{text}"
    );
}

#[test]
fn shares_changes_and_policies_are_told_and_no_secret_of_the_file() {
    let report = report("/api/x", &[("x-tenant", "b")]);
    let json = report.json();
    assert_eq!(json["rule"], "api");
    assert!(report.is_drawn() && json["drawn"] == true);
    let split = &json["splits"][0];
    assert_eq!(
        (&split["taken"], &split["why"]),
        (&Value::Null, &json!("drawn for each request"))
    );
    assert_eq!(split["shares"][1]["percent"], 25.0);
    assert_eq!(json["changes"]["path"], "/v1/x");
    let policy = |name: &str| {
        let policies = json["policies"].as_array().expect("a list");
        policies
            .iter()
            .find(|policy| policy["name"] == name)
            .cloned()
            .expect("it applies")
    };
    assert_eq!(
        policy("timeout"),
        json!({ "name": "timeout", "says": "1s", "at": "mesh.yaml:18:9" })
    );
    assert_eq!(policy("loadBalancing")["at"], "mesh.yaml:6:7");
    assert!(!format!("{json} {report}").contains("swordfish"));
}

#[test]
fn a_pin_is_the_reason_for_a_share() {
    let report = report("/api/x", &[("x-tenant", "b"), ("x-canary-user", "true")]);
    assert!(!report.is_drawn());
    let json = report.json();
    assert_eq!(
        json["decision"],
        json!({ "kind": "forward", "service": "orders", "version": "v2" })
    );
    assert_eq!(json["splits"][0]["why"], "pinned by header");
}

#[test]
fn no_route_names_what_came_nearest() {
    let report = report("/api", &[("host", "nobody.example")]);
    assert!(report.is_no_route());
    let json = report.json();
    assert_eq!(json["error"]["code"], "no_route");
    let detail = json["error"]["detail"].as_str().expect("a text");
    assert!(
        detail.contains("nearest is rule \"api\", whose condition 2 (on the header)"),
        "{detail}"
    );
}

#[test]
fn what_the_edge_refuses_is_not_explained() {
    let loaded = config::parse("mesh.yaml", MESH).unwrap_or_else(|report| panic!("{report}"));
    let asked = Asked {
        method: Method::GET,
        target: "/a%2fb".to_owned(),
        headers: Vec::new(),
        identity: None,
        client: None,
    };
    let refused = Report::of(&loaded.config, &LiveSplits::default(), &asked).expect_err("an encoded slash");
    assert!(refused.contains("the edge refuses the request"), "{refused}");
}

/// What is said to this identity, of a service that lets frontend read.
fn authorization(mode: &str, identity: Option<&str>, target: &str) -> (Value, String) {
    let rules = r#"[ { action: allow, from: ["spiffe://cluster.local/ns/dept-barc/sa/frontend"], methods: [GET], paths: ["/api/**"] },
        { action: deny, paths: ["/v1/admin"] } ]"#;
    let keys = format!(
        "timeout: 5s\n      authorization:\n        mode: {mode}\n        probes: {{ paths: [/ok] }}\n        rules: {rules}"
    );
    let text = MESH.replace("timeout: 5s", &keys);
    let loaded = config::parse("mesh.yaml", &text).unwrap_or_else(|report| panic!("{report}"));
    let asked = Asked {
        method: Method::GET,
        target: target.to_owned(),
        headers: vec![(HeaderName::from_static("x-tenant"), HeaderValue::from_static("a"))],
        identity: identity.map(|identity| identity.parse().expect("an identity")),
        client: None,
    };
    let report = Report::of(&loaded.config, &LiveSplits::default(), &asked).expect("the edge lets it in");
    (report.json()["authorization"].clone(), report.to_string())
}

const FRONTEND: Option<&str> = Some("spiffe://cluster.local/ns/dept-barc/sa/frontend");

#[test]
fn who_may_do_what_is_told_rule_by_rule() {
    let (json, text) = authorization("enforce", FRONTEND, "/api/x");
    assert_eq!(
        (&json["allowed"], &json["rule"]),
        (&json!(true), &json!("rules[0]"))
    );
    assert_eq!(
        (&json["rules"][0]["id"], &json["rules"][0]["condition"]),
        (&json!("rules[1]"), &json!("paths"))
    );
    assert!(text.contains("  → allowed by rules[0]\n"), "{text}");

    let printer = Some("spiffe://cluster.local/ns/dept-barc/sa/printer");
    let (json, text) = authorization("enforce", printer, "/api/x");
    assert_eq!(
        (&json["allowed"], &json["refused"]),
        (&json!(false), &json!(true))
    );
    assert_eq!(json["rules"][1]["condition"], "from");
    assert!(
        text.contains("of spiffe://cluster.local/ns/dept-barc/sa/printer"),
        "{text}"
    );
    assert!(text.contains("  ✗ rules[0]  (mesh.yaml:"), "{text}");
    assert!(
        text.contains("denied, since no rule allows it: 403 unauthorized"),
        "{text}"
    );
}

#[test]
fn an_audit_a_probe_and_a_path_that_is_rewritten_are_told_as_such() {
    let (json, text) = authorization("audit", None, "/api/x");
    assert_eq!(
        (&json["allowed"], &json["refused"]),
        (&json!(false), &json!(false))
    );
    assert!(text.contains("and passes: mode is audit"), "{text}");

    let (json, _) = authorization("enforce", None, "/ok");
    assert_eq!(
        (&json["decidedBy"], &json["allowed"]),
        (&json!("probe"), &json!(true))
    );

    let (json, text) = authorization("enforce", FRONTEND, "/api/Admin");
    assert_eq!(
        (&json["rule"], &json["rewrittenPath"]),
        (&json!("rules[1]"), &json!("/v1/Admin"))
    );
    assert!(
        text.contains("of the path it is sent on with, /v1/Admin"),
        "{text}"
    );
}
