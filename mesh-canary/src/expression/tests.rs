use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::Value as Json;

use super::*;

fn value(json: &Json) -> Value {
    match json {
        Json::Null => Value::Nil,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => number
            .as_i64()
            .map_or_else(|| Value::Float(number.as_f64().expect("a number")), Value::Int),
        Json::String(text) => match text.as_str() {
            "@NaN" => Value::Float(f64::NAN),
            "@+Inf" => Value::Float(f64::INFINITY),
            "@-Inf" => Value::Float(f64::NEG_INFINITY),
            text => Value::from(text),
        },
        Json::Array(values) => values.iter().map(value).collect(),
        Json::Object(fields) => {
            let fields = fields.iter().map(|(name, field)| (name.clone(), value(field)));
            Value::Map(Arc::new(fields.collect::<BTreeMap<_, _>>()))
        }
    }
}

/// JSON, and what it has no words for.
fn result(text: &str) -> Value {
    let text = text.replace("NaN", "\"@NaN\"").replace("nil", "null");
    let text = text.replace("+Inf", "\"@+Inf\"").replace("-Inf", "\"@-Inf\"");
    value(&serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}")))
}

fn outcome(result: &Value, success: &str, failure: &str) -> Result<Outcome, ExpressionError> {
    let parsed = |text: &str| (!text.is_empty()).then(|| text.parse()).transpose();
    let conditions = Conditions {
        success: parsed(success)?,
        failure: parsed(failure)?,
    };
    conditions.outcome(result)
}

#[test]
fn every_condition_has_the_outcome_that_argo_rollouts_gives_it() {
    let (mut tried, mut wrong) = (0, Vec::new());
    for line in include_str!("conditions.tsv")
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let cells: Vec<&str> = line.split('\t').collect();
        let [number, seen, success, failure, expected] = cells[..] else {
            panic!("five cells: {line}")
        };
        let found = outcome(&result(seen), success, failure);
        let word = found
            .as_ref()
            .map_or_else(|_| "Error".to_owned(), |outcome| format!("{outcome:?}"));
        tried += 1;
        if word != expected {
            wrong.push(format!(
                "{number}: {seen} {success} / {failure}: {found:?}, expected {expected}"
            ));
        }
    }
    assert!(tried > 90, "only {tried} rows");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn values_are_stored_as_they_are_shown() {
    let cases = [
        ("10", "10"),
        ("10.0", "10"),
        ("NaN", "NaN"),
        ("+Inf", "+Inf"),
        ("-Inf", "-Inf"),
        ("[10,11]", "[10,11]"),
        ("[]", "[]"),
        ("[NaN]", "[NaN]"),
        ("nil", "nil"),
        (r#"{"a":[1.5,true]}"#, "{a:[1.5,true]}"),
    ];
    for (value, shown) in cases {
        assert_eq!(result(value).to_string(), shown);
    }
}

#[test]
fn an_error_points_at_its_column() {
    // The expression, the column, a part of the message.
    let read = [
        ("result >", 9, "found the end, expected a value"),
        ("result[0 >= 1", 14, "expected \":\""),
        ("ünknown > 1", 1, "means nothing here"),
        ("result > 1 && 'ü' = 2", 19, "expected an operator or the end"),
        (
            "len(result) > 0 && count(result) >= unheard",
            37,
            "there is no unheard here",
        ),
        ("sort > 1", 1, "sort is a function: expected sort(…)"),
        ("sort(result, 1)", 1, "has 2 arguments: expected 1"),
        ("reduce(result)", 1, "expected 2 to 3"),
        ("# > 1", 1, "only within a predicate"),
        ("result ?? 1 == 2", 13, "parentheses"),
        ("result == 'open", 11, "the text has no end"),
        ("12abc == result", 1, "this is no number"),
        ("99999999999999999999 == result", 1, "too large"),
        ("result matches '('", 16, "this is no pattern"),
        ("let len = 1; len", 5, "means something already"),
        ("result > 1 result", 12, "expected an operator or the end"),
        ("", 1, "found the end"),
    ];
    for (text, column, message) in read {
        let error = text.parse::<Expression>().expect_err(text);
        assert!(error.message().contains(message), "{error}");
        assert_eq!(error.column(), column, "{error}");
    }
    let evaluated = [
        ("result > 1", "[5]", 1, "write [0] for the first element"),
        (
            "1 < 2 && isNaN(result)",
            "[5]",
            10,
            "write [0] for its first element",
        ),
        (
            "true && result[5] > 1",
            "[5]",
            9,
            "there is no element 5: the list has 1",
        ),
        ("result && true", "5", 1, "expected true or false, found a number"),
        (
            "result",
            "5",
            1,
            "a condition is true or false, and this is a number",
        ),
        ("1 == 1 && 9223372036854775807 + 1 > result", "5", 11, "too large"),
        ("result.a.b", "{\"a\":1}", 1, "a number has no field b"),
    ];
    for (text, seen, column, message) in evaluated {
        let expression: Expression = text.parse().expect(text);
        let error = expression.holds(&result(seen)).expect_err(text);
        assert!(error.message().contains(message), "{error}");
        assert_eq!(error.column(), column, "{error}");
    }
    let error = "result >".parse::<Expression>().expect_err("half");
    assert_eq!(
        error.to_string(),
        "\"result >\", column 9: found the end, expected a value"
    );
}

#[test]
fn what_is_long_or_deep_is_refused_before_it_costs_anything() {
    for text in [
        "(".repeat(4000),
        "!".repeat(4000),
        "-".repeat(4000) + "1",
        "[".repeat(4000),
        "result".to_owned() + &".a".repeat(2000),
        "result".to_owned() + &"[0]".repeat(1000),
        "1 ** ".repeat(800) + "1",
        "true ? ".repeat(500) + "1",
        "let a = 1; ".repeat(300) + "a",
        "all(result, ".repeat(300),
        " ".repeat(5000),
    ] {
        let error = text.parse::<Expression>().expect_err("refused");
        let refused = ["levels deep", "longer than"]
            .iter()
            .any(|why| error.message().contains(why));
        assert!(refused, "{error}");
    }
}

#[test]
fn what_takes_long_ends() {
    let thousand = (0..1000).map(Value::Int).collect::<Value>();
    for text in [
        "all(result, all(result, all(result, # >= 0)))",
        "len(map(1..9000, map(1..9000, #))) > 0",
        "all(result, # in result || result == result || true) && all(result, sum(result) > 0 && len(sort(result)) > 0)",
    ] {
        let expression: Expression = text.parse().expect("an expression");
        let error = expression.evaluate(&thousand).expect_err("too much");
        assert!(error.message().contains("steps"), "{error}");
    }
}

#[test]
fn texts_do_not_grow_without_end() {
    let expression: Expression = "let a = result + result; let b = a + a; let c = b + b; len(c + c) > 0"
        .parse()
        .expect("read");
    let error = expression
        .evaluate(&Value::from("x".repeat(1000).as_str()))
        .expect_err("too long");
    assert!(error.message().contains("at most 10000"), "{error}");
}

#[test]
fn the_three_traps_are_told_and_what_avoids_them_is_not() {
    let warned = |text: &str| {
        let expression: Expression = text.parse().expect(text);
        let warnings = expression.warnings().into_iter();
        warnings
            .map(|w| text[w.span().start..w.span().end].to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(warned("default(result, 0) < 0.05"), ["default(result, 0)"]);
    assert_eq!(warned("1 == 1 && isNil(result)"), ["isNil(result)"]);
    assert_eq!(
        warned("len(result) == 0 || isNil(result[0])"),
        ["isNil(result[0])"]
    );
    assert_eq!(warned("all(result, # > 1)"), ["all(result, # > 1)"]);
    assert_eq!(warned("result | none(# > 1)"), ["result | none(# > 1)"]);
    assert_eq!(
        warned("max(result) < 5 && median(result) < 3"),
        ["max(result)", "median(result)"]
    );
    for text in [
        "len(result) == 0 || isNil(result) || result[0] > 1",
        "len(result) > 0 && all(result, # > 1)",
        "any(result, # > 1)",
        "max(filter(result, not isNaN(#))) < 5",
        "result[0] >= 99",
    ] {
        assert_eq!(warned(text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn a_both_sided_condition_is_a_failure_and_an_error_in_either_is_an_error() {
    let one = Value::Int(1);
    assert_eq!(outcome(&one, "true", "true"), Ok(Outcome::Failed));
    assert_eq!(outcome(&one, "", ""), Ok(Outcome::Successful));
    assert!(outcome(&one, "true", "result[0] > 1").is_err());
    assert!(outcome(&one, "result[0] > 1", "true").is_err());
}

proptest! {
    #[test]
    fn no_text_is_more_than_an_expression_or_an_error(text in "[a-z#0-9 .,;:?!<>=&|()\\[\\]{}+*/%^'\"-]{0,60}") {
        if let Ok(expression) = text.parse::<Expression>() {
            let _ = expression.evaluate(&Value::from([1.0, 2.0]));
            let _ = expression.warnings();
        }
    }

    #[test]
    fn words_in_any_order_are_an_expression_or_an_error(
        words in proptest::collection::vec(
            prop::sample::select(vec![
                "result", "#", "(", ")", "[", "]", "{", "}", "0", "1.5", "'a'", "&&", "||", "not", "in", "..", "+", "-",
                "**", "??", "?", ":", "?.", ".", "a", "let", "=", ";", "|", "all", "len", "reduce", "#acc", ",", "<", "==",
            ]),
            0..20,
        ),
    ) {
        let text = words.join(" ");
        match text.parse::<Expression>() {
            Ok(expression) => {
                if let Err(error) = expression.evaluate(&Value::from([1.0, f64::NAN])) {
                    prop_assert!(error.span().end <= text.len() && error.span().start <= error.span().end);
                }
                for warning in expression.warnings() {
                    prop_assert!(text.get(warning.span().start..warning.span().end).is_some());
                }
            }
            Err(error) => prop_assert!(error.span().start <= text.len(), "{}", error),
        }
    }
}
