use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::router::Condition;

fn holds(condition: &Condition, request: &http::Request<()>) -> bool {
    condition
        .matcher()
        .holds(&View::new(&RequestHead::of(request), "unknown"))
}

fn condition(kind: &str, field: Option<&str>, operator: Operator, values: &[String]) -> Condition {
    let subject = Subject::parse(kind, field).expect("a subject");
    Condition::new(subject, operator, values.iter().cloned()).expect("a condition")
}

fn member() -> impl Strategy<Value = String> {
    "[ab]{1,3}"
}

/// Blanks that may stand around a member.
fn blank() -> impl Strategy<Value = &'static str> {
    select(vec!["", " ", "\t", "  "])
}

/// Fields, each a list: its members, and how they are written.
fn fields() -> impl Strategy<Value = Vec<(Vec<String>, String)>> {
    let field = vec((member(), blank(), blank()), 1..4).prop_map(|parts| {
        let members = parts.iter().map(|(member, ..)| member.clone()).collect();
        let written: Vec<_> = parts
            .iter()
            .map(|(member, before, after)| format!("{before}{member}{after}"))
            .collect();
        (members, written.join(","))
    });
    vec(field, 0..4)
}

/// What an operator says of one member, in plain words.
fn plainly(operator: Operator, member: &str, values: &[String]) -> bool {
    let value = values.first().map_or("", String::as_str);
    match operator {
        Operator::Equals | Operator::NotEquals | Operator::Regex => member == value,
        Operator::Prefix => member.starts_with(value),
        Operator::Suffix => member.ends_with(value),
        Operator::Contains => member.contains(value),
        Operator::In => values.iter().any(|value| value == member),
        Operator::Exists | Operator::NotExists => true,
    }
}

proptest! {
    #[test]
    fn a_header_matches_if_any_member_of_any_field_does(
        fields in fields(),
        operator in select(Operator::ALL.to_vec()),
        mut values in vec(member(), 2),
    ) {
        values.truncate(match operator {
            Operator::In => 2,
            Operator::Exists | Operator::NotExists => 0,
            _ => 1,
        });
        let mut request = http::Request::new(());
        for (_, written) in &fields {
            request.headers_mut().append("x", written.parse().expect("a value"));
        }
        let any = fields.iter().flat_map(|(members, _)| members).any(|member| plainly(operator, member, &values));
        let expected = any != matches!(operator, Operator::NotEquals | Operator::NotExists);
        let condition = condition("header", Some("x"), operator, &values);
        prop_assert_eq!(holds(&condition, &request), expected, "{} for {:?}", condition, fields);
    }

    #[test]
    fn a_path_prefix_matches_whole_segments(
        path in vec("[ab]{1,2}", 0..5),
        prefix in vec("[ab]{1,2}", 0..4),
        slash in select(vec!["", "/"]),
    ) {
        let request = http::Request::get(format!("/{}", path.join("/"))).body(()).expect("a request");
        let written = format!("/{}{slash}", prefix.join("/"));
        // "//" is another path than "/".
        prop_assume!(written != "//");
        let condition = condition("path", None, Operator::Prefix, &[written]);
        prop_assert_eq!(holds(&condition, &request), path.starts_with(&prefix), "{} for {:?}", condition, path);
    }

    #[test]
    fn no_request_and_no_expression_makes_a_condition_panic(
        pattern in "[a-c.*+?()|\\[\\]{}0-9\\\\^$]{0,12}",
        value in vec(any::<u8>(), 0..24),
        path in "/[!-~]{0,12}",
    ) {
        let mut request = http::Request::new(());
        if let Ok(uri) = path.parse() {
            *request.uri_mut() = uri;
        }
        for name in ["x", "cookie", "host"] {
            if let Ok(value) = http::HeaderValue::from_bytes(&value) {
                request.headers_mut().append(name, value);
            }
        }
        for (kind, field) in
            [("header", Some("x")), ("path", None), ("cookie", Some("a")), ("query", Some("a")), ("host", None)]
        {
            let subject = Subject::parse(kind, field).expect("a subject");
            if let Ok(condition) = Condition::new(subject, Operator::Regex, [pattern.as_str()]) {
                holds(&condition, &request);
            }
        }
    }
}

#[test]
fn a_header_that_is_no_text_is_compared_by_its_bytes() {
    let mut request = http::Request::new(());
    request
        .headers_mut()
        .append("x", HeaderValue::from_bytes(b"\xff, ok").expect("obs-text"));
    assert!(holds(
        &condition("header", Some("x"), Operator::Equals, &["ok".to_owned()]),
        &request
    ));
    assert!(holds(
        &condition("header", Some("x"), Operator::Regex, &["o.".to_owned()]),
        &request
    ));
}
