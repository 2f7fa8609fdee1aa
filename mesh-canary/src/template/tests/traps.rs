use proptest::prelude::*;

use crate::template::Template;

const SHARE: &str =
    r#"sum(rate(requests_total{job="{{.Service}}",code!~"5.."}[5m])) / sum(rate(requests_total[5m]))"#;
const PERCENT: &str = "sum(rate(requests_total{code!~\"5..\"}[5m])) / sum(rate(requests_total[5m])) * 100";
const COUNT: &str = "sum(rate(errors_total[5m]))";
const ONE: &str = "scalar(sum(rate(errors_total[5m])))";
const P95: &str = "histogram_quantile(0.95, sum(rate(seconds_bucket[5m])) by (le)) * 1000";

/// What is told of a template: the condition, the column in it, and the words.
fn told(query: &str, success: &str, failure: &str) -> Vec<String> {
    let given = |text: &'static str| (!text.is_empty()).then_some(text);
    let (success, failure) = (success.to_owned().leak(), failure.to_owned().leak());
    let template = Template::inline("t", query, given(success), given(failure))
        .unwrap_or_else(|error| panic!("{query}: {error}"));
    let warnings = template.warnings().into_iter();
    let told = warnings.map(|(path, column, warning)| {
        let condition = path.trim_start_matches("t.").trim_end_matches("Condition");
        format!("{condition} {column}: {warning}")
    });
    told.collect()
}

#[test]
fn each_trap_is_told_at_its_column_with_what_to_write_instead() {
    // The query, successCondition, failureCondition, what is told.
    let rows: &[(&str, &str, &str, &[&str])] = &[
        (
            COUNT,
            "default(result, 0) < 5",
            "",
            &[
                "success 1: this is about the result as a whole",
                "success 1: an answer as [6] is an error here, and no measurement: a list and a number",
            ],
        ),
        (
            COUNT,
            "",
            "all(result, # > 5)",
            &["failure 1: this holds if the list is empty"],
        ),
        (
            COUNT,
            "max(result) < 5",
            "",
            &["success 1: a NaN among the values"],
        ),
        (
            PERCENT,
            "result >= 99",
            "",
            &["success 1: the query answers with a list, one number for each series: write result[0]"],
        ),
        (
            PERCENT,
            "result[0] >= 99",
            "result < 95",
            &["failure 1: the query answers with a list"],
        ),
        (
            COUNT,
            "result == 0",
            "",
            &["success 1: the query answers with a list"],
        ),
        (
            COUNT,
            "len(result) == 0 || 5 > result",
            "",
            &["success 25: the query answers with a list"],
        ),
        (
            COUNT,
            "isNaN(result) || result[0] < 5",
            "",
            &[
                "success 1: an answer as [6] is an error here, and no measurement: expected a number, found a list",
            ],
        ),
        (
            ONE,
            "result[0] < 5",
            "",
            &["success 1: the query answers with one number, which has no elements: write result"],
        ),
        (
            ONE,
            "len(result) > 0",
            "",
            &["success 1: an answer as 1 is an error here"],
        ),
        (
            COUNT,
            "result[0] < '5'",
            "",
            &["success 13: this is a text, which no number is compared with: write 5 without quotes"],
        ),
        (COUNT, "result[0] == \"0\"", "", &["success 14: this is a text"]),
        (
            COUNT,
            "result[0] + 1",
            "",
            &[
                "success 1: an answer as [2] is an error here, and no measurement: a condition is true or false",
            ],
        ),
        (
            COUNT,
            "true",
            "",
            &["success 1: this holds whatever number the query answers with"],
        ),
        (
            COUNT,
            "result[0] > 5 && result[0] < 3",
            "",
            &["success 1: this never holds"],
        ),
        (
            COUNT,
            "result[0] > 1 || result[0] <= 1",
            "",
            &["success 1: this holds whatever"],
        ),
        (
            COUNT,
            "",
            "result[0] < 0.95 || result[0] >= 0.95",
            &["failure 1: this holds whatever"],
        ),
        (COUNT, "!isNaN(result[0])", "", &[]),
        (
            COUNT,
            "any(result, # > 5 && # < 3)",
            "",
            &["success 1: this never holds"],
        ),
        (
            COUNT,
            "result[0] <= 1 or result[0] > 0 or isNaN(result[0])",
            "",
            &["success 1: this holds whatever"],
        ),
        (
            PERCENT,
            "result[0] >= 95",
            "result[0] < 99",
            &["failure 1: an answer as [95] is a success and a failure"],
        ),
        (
            COUNT,
            "result[0] <= 5",
            "result[0] >= 5",
            &["failure 1: an answer as [5] is a success and a failure"],
        ),
        (
            SHARE,
            "",
            "result[0] < 0.95",
            &["failure 1: without requests the query divides by zero and answers NaN, which is a success"],
        ),
        (
            SHARE,
            "not (result[0] < 0.95)",
            "",
            &["success 1: without requests the query divides by zero"],
        ),
        (
            COUNT,
            "",
            "any(result, # > 5)",
            &["failure 1: a query that finds no series is a success by this"],
        ),
        (
            COUNT,
            "len(filter(result, # > 5)) == 0",
            "",
            &["success 1: a query that finds no series is a success by this"],
        ),
        (
            COUNT,
            "sum(result) < 5",
            "",
            &["success 1: a query that finds no series is a success by this"],
        ),
        (
            SHARE,
            "result[0] >= 99",
            "",
            &["success 14: the query answers with a share, from 0 to 1, and 99 is a percentage"],
        ),
        (
            PERCENT,
            "result[0] >= 0.99",
            "",
            &["success 14: the query answers with a percentage, from 0 to 100, and 0.99 is a share"],
        ),
        (
            PERCENT,
            "result[0] >= 99",
            "0.95 > result[0]",
            &["failure 1: the query answers with a percentage"],
        ),
    ];
    for (query, success, failure, expected) in rows {
        let told = told(query, success, failure);
        let as_expected = told.len() == expected.len()
            && told
                .iter()
                .zip(*expected)
                .all(|(told, expected)| told.starts_with(expected));
        assert!(as_expected, "{query}: {success} / {failure}: {told:#?}");
    }
}

#[test]
fn of_conditions_that_do_what_they_seem_to_nothing_is_told() {
    // Those of the documents, and what is often written in templates of Argo Rollouts.
    let rows = [
        (PERCENT, "result[0] >= 99", "result[0] < 95"),
        (P95, "result[0] <= 500", "result[0] > 1000"),
        (SHARE, "result[0] >= 0.99", "result[0] < 0.95"),
        (SHARE, "result[0] >= 0.95", ""),
        (
            SHARE,
            "len(result) == 0 || isNaN(result[0]) || result[0] >= 0.95",
            "",
        ),
        (SHARE, "", "isNaN(result[0]) || result[0] < 0.95"),
        (COUNT, "", "result[0] >= 10"),
        (COUNT, "result[0] == 0", "result[0] != 0"),
        (COUNT, "result[0] >= 0.9", "result[0] < 0.9"),
        (
            COUNT,
            "len(result) > 0 && all(result, # < 10)",
            "any(result, # >= 10)",
        ),
        (COUNT, "any(result, # < 10)", ""),
        (COUNT, "len(result) > 0", ""),
        (COUNT, "len(result) == 3", ""),
        (COUNT, "result[1] > 5", ""),
        (COUNT, "result[-1] > 5", ""),
        (COUNT, "result[40] > 5", ""),
        (COUNT, "result[len(result) - 1] > 5", ""),
        (COUNT, "len(result) > 0 && count(result, # > 99) == 2", ""),
        (COUNT, "asInt(result[0]) == 1", ""),
        (COUNT, "result[0] * 60 < 7", "result[0] * 60 > 9"),
        (COUNT, "1 < result[0] < 5", ""),
        (COUNT, "result[0] in [1, 2]", ""),
        (COUNT, "result == [1]", ""),
        (COUNT, "result[0] >= 0", ""),
        (COUNT, "result[0] < 5", "result[0] > 9 || result[0] < 0"),
        (COUNT, "let x = result[0]; x < 5", ""),
        (ONE, "result < 5", "result > 9"),
        (ONE, "isNaN(result) || result < 5", ""),
        ("scalar(a) + b", "result < 5", ""),
        ("vector(1)", "result[0] >= 1", ""),
        (PERCENT, "result[0] < 0.5", "result[0] > 5"),
        ("seconds_sum / seconds_count", "result[0] < 20", ""),
        ("rate(requests[5m]) / rate(requests[1h])", "result[0] < 1.5", ""),
    ];
    for (query, success, failure) in rows {
        assert_eq!(
            told(query, success, failure),
            Vec::<String>::new(),
            "{query}: {success} / {failure}"
        );
    }
}

#[test]
fn what_stands_for_a_placeholder_makes_no_difference() {
    assert_eq!(
        told(
            "sum(rate({{.Service}}_errors{v='{{.Version}}'}[5m]))",
            "result < 5",
            ""
        )
        .len(),
        1
    );
}

proptest! {
    #[test]
    fn whatever_is_a_condition_is_looked_at(
        words in proptest::collection::vec(
            prop::sample::select(vec![
                "result", "result[0]", "#", "(", ")", "[", "]", "0", "5", "1e9", "-", "'a'", "&&", "||", "not", "+", "*", "/",
                "all(result, # > 1)", "len(result)", "max(", "isNaN(", "filter(result,", "<", "==", ">=", "in", "let x = 1;", "x",
            ]),
            1..12,
        ),
        one: bool,
    ) {
        let condition = words.join(" ");
        let query = if one { ONE } else { SHARE };
        if let Ok(template) = Template::inline("t", query, Some(&condition), None) {
            for (_, column, _) in template.warnings() {
                prop_assert!(column <= condition.chars().count(), "{condition}");
            }
        }
    }
}
