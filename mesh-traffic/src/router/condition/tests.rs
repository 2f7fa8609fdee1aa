use super::*;

fn parse(
    kind: &str,
    field: Option<&str>,
    operator: &str,
    values: &[&str],
) -> Result<Condition, ConditionError> {
    Condition::new(
        Subject::parse(kind, field)?,
        operator.parse()?,
        values.iter().copied(),
    )
}

#[track_caller]
fn refused(
    (kind, field, operator, values): (&str, Option<&str>, &str, &[&str]),
    part: ConditionPart,
    why: &str,
) {
    let error = parse(kind, field, operator, values).expect_err(why);
    assert_eq!(error.part(), part, "{error}");
    assert!(error.to_string().contains(why), "{error}");
}

#[test]
fn a_wrong_type_field_or_operator_is_refused_with_the_right_ones() {
    refused(
        ("headr", Some("a"), "equals", &["b"]),
        ConditionPart::Type,
        "expected one of header, path",
    );
    refused(
        ("header", None, "equals", &["b"]),
        ConditionPart::Field,
        "names it in \"field\"",
    );
    refused(
        ("cookie", Some(""), "equals", &["b"]),
        ConditionPart::Field,
        "names it in \"field\"",
    );
    refused(
        ("header", Some("a b"), "exists", &[]),
        ConditionPart::Field,
        "not a header name",
    );
    refused(
        ("cookie", Some("a;b"), "exists", &[]),
        ConditionPart::Field,
        "not a cookie name",
    );
    refused(
        ("path", Some("x"), "equals", &["/"]),
        ConditionPart::Field,
        "has no \"field\"",
    );
    refused(
        ("path", None, "equal", &["/"]),
        ConditionPart::Operator,
        "expected one of equals, not_equals",
    );
}

#[test]
fn an_operator_with_the_wrong_number_of_values_is_refused() {
    refused(
        ("host", None, "equals", &[]),
        ConditionPart::Value,
        "exactly one value; found 0",
    );
    refused(
        ("host", None, "prefix", &["a", "b"]),
        ConditionPart::Value,
        "exactly one value; found 2",
    );
    refused(
        ("host", None, "exists", &["a"]),
        ConditionPart::Value,
        "no value; found 1",
    );
    refused(
        ("host", None, "in", &[]),
        ConditionPart::Value,
        "at least one value",
    );
}

#[test]
fn a_condition_that_decides_nothing_is_refused() {
    refused(
        ("path", None, "exists", &[]),
        ConditionPart::Operator,
        "every request has a path",
    );
    refused(
        ("method", None, "not_exists", &[]),
        ConditionPart::Operator,
        "every request has a method",
    );
    refused(
        ("header", Some("a"), "prefix", &[""]),
        ConditionPart::Value,
        "use exists",
    );
    refused(
        ("path", None, "contains", &[""]),
        ConditionPart::Value,
        "use exists",
    );
}

#[test]
fn a_value_that_no_request_can_have_is_refused() {
    refused(
        ("path", None, "equals", &["api"]),
        ConditionPart::Value,
        "begins with '/'",
    );
    refused(
        ("path", None, "prefix", &["/a?b=c"]),
        ConditionPart::Value,
        "type query",
    );
    refused(("path", None, "in", &["/a", "/b c"]), ConditionPart::Value, "%XX");
    refused(
        ("path", None, "equals", &["/a/../b"]),
        ConditionPart::Value,
        "are resolved",
    );
    refused(
        ("method", None, "equals", &["GET POST"]),
        ConditionPart::Value,
        "not a method",
    );
    refused(("host", None, "equals", &["a:80"]), ConditionPart::Value, "port");
    refused(
        ("host", None, "suffix", &[".example.org:80"]),
        ConditionPart::Value,
        "without scheme, port",
    );
    refused(
        ("header", Some("a"), "equals", &["v2 "]),
        ConditionPart::Value,
        "blank",
    );
    refused(
        ("source_service", None, "equals", &[""]),
        ConditionPart::Value,
        "never empty",
    );
    let long = "x".repeat(Condition::LONGEST_VALUE + 1);
    refused(
        ("query", Some("a"), "equals", &[&long]),
        ConditionPart::Value,
        "at most 4096 bytes; found 4097",
    );
}

#[test]
fn a_regular_expression_that_cannot_be_used_is_refused() {
    refused(
        ("path", None, "regex", &["("]),
        ConditionPart::Value,
        "not a regular expression",
    );
    refused(
        ("path", None, "regex", &["a)|(b"]),
        ConditionPart::Value,
        "not a regular expression",
    );
    refused(
        ("path", None, "regex", &[r"(a)\1"]),
        ConditionPart::Value,
        "not a regular expression",
    );
    refused(
        ("path", None, "regex", &["(?:a{1000}){1000}"]),
        ConditionPart::Value,
        "use smaller counts",
    );
    let nested = format!("{}a{}", "(".repeat(100), ")".repeat(100));
    refused(
        ("path", None, "regex", &[&nested]),
        ConditionPart::Value,
        "not a regular expression",
    );
}

#[test]
fn a_condition_is_shown_as_it_is_written() {
    for (condition, shown) in [
        (
            parse("header", Some("API-Version"), "equals", &["v2"]),
            "header api-version equals \"v2\"",
        ),
        (
            parse("cookie", Some("canary"), "exists", &[]),
            "cookie canary exists",
        ),
        (
            parse("host", None, "in", &["A.example", "b.example."]),
            "host in [\"a.example\", \"b.example\"]",
        ),
        (parse("method", None, "in", &["GET"]), "method in [\"GET\"]"),
    ] {
        assert_eq!(condition.expect(shown).to_string(), shown);
    }
}

#[test]
fn every_word_is_read_back_as_it_is_written() {
    for operator in Operator::ALL {
        assert_eq!(operator.as_str().parse(), Ok(operator));
    }
    for kind in Subject::KINDS {
        let field = matches!(kind, "header" | "cookie" | "query").then_some("x");
        let subject = Subject::parse(kind, field).expect(kind);
        assert_eq!(subject.to_string().split(' ').next(), Some(kind));
    }
}
