use proptest::prelude::*;

use super::*;

fn read(text: &str) -> Result<Services, String> {
    parse(text.as_bytes()).map_err(|problems| problems.told_of(Path::new("endpoints.json")))
}

fn problems(text: &str) -> Vec<String> {
    let told = read(text).expect_err(text);
    told.lines().map(str::to_owned).collect()
}

fn problem(text: &str) -> String {
    let problems = problems(text);
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems[0].clone()
}

#[test]
fn an_endpoint_is_an_address_or_an_object() {
    let text = r#"{ "services": {
        "orders": [ "10.0.0.7:3001", { "address": "orders-2:3001", "version": "v2", "weight": 3, "zone": "a" } ],
        "billing": []
    } }"#;
    let services = read(text).expect("good");
    let orders = &services[&"orders".parse::<ServiceName>().expect("a name")].endpoints;
    assert_eq!(
        *orders[0],
        Endpoint::new("10.0.0.7:3001".parse().expect("an address"))
    );
    let second = Endpoint::new("orders-2:3001".parse().expect("an address"))
        .with_version(Some("v2".parse().expect("a version")))
        .with_weight(3)
        .with_zone(Some("a".into()));
    assert_eq!(*orders[1], second);
    assert!(
        services[&"billing".parse::<ServiceName>().expect("a name")]
            .endpoints
            .is_empty()
    );
}

#[test]
fn text_with_escapes_is_read_too() {
    let text =
        r#"{ "services": { "or\u0064ers": [ { "address": "10.0.0.7:\u0033001", "zone": "\u00fc" } ] } }"#;
    let services = read(text).expect("good");
    let orders = &services[&"orders".parse::<ServiceName>().expect("a name")].endpoints;
    assert_eq!(orders[0].address.to_string(), "10.0.0.7:3001");
    assert_eq!(orders[0].zone.as_deref(), Some("ü"));
}

#[test]
fn what_is_no_json_is_told_with_its_place() {
    assert_eq!(
        problem("{\n  \"services\": {\n    \"orders\": [\"10.0.0.7:3001\",]\n  }\n}"),
        "endpoints.json:3:32: expected value"
    );
    assert_eq!(problem(""), "endpoints.json:1:1: EOF while parsing a value");
    let unfinished = problem("{ \"services\": { \"orders\": [ \"10.0");
    assert!(unfinished.starts_with("endpoints.json:1:"), "{unfinished}");
    let problems = parse(b"{ \n \xff }")
        .expect_err("no text")
        .told_of(Path::new("endpoints.json"));
    assert_eq!(problems, "endpoints.json:2:2: it is not UTF-8");
}

#[test]
fn what_is_not_known_is_refused_with_what_is() {
    assert_eq!(
        problem(r#"{ "service": {} }"#),
        "endpoints.json:1:11: unknown field `service`, expected `services`"
    );
    assert_eq!(
        problem(r#"{ "services": { "orders": [ { "address": "a:1", "wieght": 2 } ] } }"#),
        "endpoints.json:1:56: services.orders[0]: unknown field `wieght`, expected one of `address`, `version`, \
         `weight`, `zone`"
    );
    assert_eq!(
        problem(r#"{ "services": { "orders": [ { "address": "a:1", "address": "b:1" } ] } }"#),
        "endpoints.json:1:57: services.orders[0]: duplicate field `address`"
    );
    assert_eq!(problem("{}"), "endpoints.json:1:2: missing field `services`");
    assert_eq!(
        problem(r#"{ "services": {} } x"#),
        "endpoints.json:1:20: trailing characters"
    );
}

#[test]
fn what_has_another_form_is_refused_with_the_expected_one() {
    for (text, expected) in [
        (
            r#" [{ "orders": [] }]"#,
            "endpoints.json:1:2: expected an object with `services`",
        ),
        (
            r#"{ "services": [] }"#,
            "endpoints.json:1:14: invalid type: sequence, expected an object of services: a name, and a list of endpoints",
        ),
        (
            r#"{ "services": { "orders": "10.0.0.7:3001" } }"#,
            "endpoints.json:1:27: services.orders: expected a list of endpoints, as [\"10.0.0.7:3001\"]",
        ),
        (
            r#"{ "services": { "orders": [ 7 ] } }"#,
            "endpoints.json:1:29: services.orders[0]: expected an address, as \"10.0.0.7:3001\", or an object with \
             `address`",
        ),
        (
            r#"{ "services": { "orders": [ {} ] } }"#,
            "endpoints.json:1:30: services.orders[0]: missing field `address`",
        ),
        (
            r#"{ "services": { "orders": [ { "address": "a:1", "weight": -1 } ] } }"#,
            "endpoints.json:1:60: services.orders[0]: invalid value: integer `-1`, expected u32",
        ),
    ] {
        assert_eq!(problem(text), expected, "{text}");
    }
}

#[test]
fn every_problem_is_told_at_once_with_its_place() {
    let text = r#"{ "services": {
  "orders": [
    "10.0.0.7",
    { "address": "10.0.0.8:1", "weight": 1000001 },
    { "address": "10.0.0.8:1", "version": "v 2", "zone": "" },
    { "adress": "10.0.0.9:1" }
  ],
  "Or ders": [ "10.0.0.7:1" ],
  "billing": [ { "address": "10.0.0.7:1", "weight": 0 } ],
  "billing": []
} }"#;
    let problems = problems(text);
    let expected = [
        "endpoints.json:3:5: services.orders[0]: \"10.0.0.7\" is not an address",
        "endpoints.json:4:5: services.orders[1]: weight 1000001; expected 0 to 1000000",
        "endpoints.json:5:5: services.orders[2]: \"v 2\"",
        "endpoints.json:5:5: services.orders[2]: expected a zone of 1 to 253 bytes",
        "endpoints.json:5:5: services.orders[2]: 10.0.0.8:1 is there twice; expected each address once",
        "endpoints.json:6:14: services.orders[3]: unknown field `adress`",
        "endpoints.json:8:14: services: \"Or ders\"",
        "endpoints.json:9:14: services.billing: every weight is 0; expected at least one above 0, or an empty list",
        "endpoints.json:10:14: services.billing: it is there twice; expected each service once",
    ];
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
    for (problem, expected) in problems.iter().zip(expected) {
        assert!(problem.starts_with(expected), "{problem}\n{expected}");
    }
}

#[test]
fn of_very_many_problems_the_first_are_told_and_the_others_counted() {
    let many = vec!["7"; 50].join(",");
    let problems = problems(&format!(r#"{{ "services": {{ "orders": [{many}] }} }}"#));
    assert_eq!(problems.len(), MAX_PROBLEMS + 1);
    assert_eq!(problems[MAX_PROBLEMS], "and 30 more");
}

#[test]
fn a_service_with_too_many_endpoints_is_refused() {
    let many = vec!["7"; MAX_ENDPOINTS + 1].join(",");
    assert_eq!(
        problem(&format!(r#"{{ "services": {{ "orders": [{many}] }} }}"#)),
        "endpoints.json:1:27: services.orders: 10001 endpoints; expected 10000 at most"
    );
}

#[test]
fn deep_nesting_is_refused_and_does_no_harm() {
    let deep = "[".repeat(1_000_000);
    problem(&format!(r#"{{ "services": {{ "orders": [{deep}"#));
    let closed = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let told = problem(&format!(r#"{{ "services": {{ "orders": [{closed}] }} }}"#));
    assert!(told.contains("services.orders[0]: expected an address"), "{told}");
}

proptest! {
    #[test]
    fn no_content_makes_it_panic(content in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&content);
    }

    #[test]
    fn no_text_in_place_of_an_endpoint_makes_it_panic(item in "\\PC{0,40}|[\\[\\]{}\",:a-z0-9\\\\ \n]{0,60}") {
        let _ = read(&format!(r#"{{ "services": {{ "orders": [ {item} ] }} }}"#));
    }
}
