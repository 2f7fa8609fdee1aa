//! What can be told of a query's answers by its text.
//!
//! This is no parser of PromQL. What it does not know it says nothing about.

use std::collections::BTreeSet;

use crate::expression::{Answers, Scale, Shape};

/// What a query answers with.
pub(super) fn answers(query: &str) -> Answers {
    let words = words(query);
    let metrics = metrics(&words);
    let count = |sign: char| words.iter().filter(|word| **word == Word::Sign(sign)).count();
    Answers {
        shape: shape(&words, &metrics),
        scale: match (is_of_alike(&words, &metrics), count('/'), count('*')) {
            (true, 1, 0) => Scale::Share,
            (true, 1, 1) if has_factor_of_100(&words) => Scale::Percentage,
            _ => Scale::Unknown,
        },
        divides: count('/') > 0,
    }
}

#[derive(Debug, PartialEq)]
enum Word<'q> {
    Name(&'q str),
    Number(&'q str),
    Sign(char),
}

/// A query without texts, matchers, windows and comments.
fn words(query: &str) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let mut rest = query;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' | '\'' | '`' => quoted(rest, first),
            '{' => matchers(rest),
            '[' => until(rest, ']'),
            '#' => until(rest, '\n'),
            _ if first.is_ascii_alphabetic() || matches!(first, '_' | ':') => {
                let length = span(rest, |c| c.is_ascii_alphanumeric() || matches!(c, '_' | ':'));
                words.push(Word::Name(&rest[..length]));
                length
            }
            _ if first.is_ascii_digit() || first == '.' => {
                let length = span(rest, |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_'));
                words.push(Word::Number(&rest[..length]));
                length
            }
            _ => {
                if !first.is_whitespace() {
                    words.push(Word::Sign(first));
                }
                first.len_utf8()
            }
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    words
}

fn span(text: &str, holds: impl Fn(char) -> bool) -> usize {
    text.find(|c| !holds(c)).unwrap_or(text.len())
}

/// Behind the next such character.
fn until(text: &str, end: char) -> usize {
    text.find(end)
        .map_or(text.len(), |at| at.saturating_add(end.len_utf8()))
}

fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' if quote != '`' => escaped = true,
            c if c == quote => return at.saturating_add(1),
            _ => {}
        }
    }
    text.len()
}

fn matchers(text: &str) -> usize {
    let mut at = 1;
    while let Some(c) = text.get(at..).and_then(|rest| rest.chars().next()) {
        at = at.saturating_add(match c {
            '}' => return at.saturating_add(1),
            '"' | '\'' | '`' => quoted(text.get(at..).unwrap_or_default(), c),
            c => c.len_utf8(),
        });
    }
    text.len()
}

/// The names of metrics, as often as they stand there.
fn metrics<'q>(words: &[Word<'q>]) -> Vec<&'q str> {
    const LABELS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
    const OTHERS: [&str; 8] = ["and", "or", "unless", "atan2", "offset", "bool", "inf", "nan"];
    let mut metrics = Vec::new();
    let mut words = words.iter().peekable();
    while let Some(word) = words.next() {
        let Word::Name(name) = word else { continue };
        let opens = words.peek().is_some_and(|next| **next == Word::Sign('('));
        let lower = name.to_ascii_lowercase();
        match lower.as_str() {
            labels if LABELS.contains(&labels) => {
                if opens {
                    // Labels are no metrics.
                    words
                        .by_ref()
                        .take_while(|word| **word != Word::Sign(')'))
                        .for_each(drop);
                }
            }
            other if OTHERS.contains(&other) => {}
            // `sum by (job) (…)`: the name of an aggregation.
            _ if opens
                || words
                    .peek()
                    .is_some_and(|next| matches!(next, Word::Name("by" | "without"))) => {}
            _ => metrics.push(*name),
        }
    }
    metrics
}

/// Whether one metric stands there several times, added up or counted alike: a sum by a count is a mean, and no share.
fn is_of_alike(words: &[Word<'_>], metrics: &[&str]) -> bool {
    let has = |name: &str| words.contains(&Word::Name(name));
    let is_mean = has("sum") && has("count");
    metrics.len() > 1 && !is_mean && metrics.iter().collect::<BTreeSet<_>>().len() == 1
}

fn has_factor_of_100(words: &[Word<'_>]) -> bool {
    let is_100 = |word: &Word<'_>| matches!(word, Word::Number(number) if number.parse() == Ok(100.0));
    words.windows(2).any(|pair| match pair {
        [Word::Sign('*'), number] | [number, Word::Sign('*')] => is_100(number),
        _ => false,
    })
}

fn shape(words: &[Word<'_>], metrics: &[&str]) -> Shape {
    let is_whole_call = || {
        let mut depth = 0_usize;
        let ends = words.iter().enumerate().skip(1).find_map(|(n, word)| {
            match word {
                Word::Sign('(') => depth = depth.saturating_add(1),
                Word::Sign(')') => depth = depth.saturating_sub(1),
                _ => {}
            }
            (depth == 0).then_some(n)
        });
        ends.and_then(|end| end.checked_add(1)) == Some(words.len())
    };
    let makes_one = |word: &Word<'_>| matches!(word, Word::Name("scalar" | "time" | "pi"));
    match words {
        [Word::Number(_)] => Shape::One,
        [Word::Name("scalar"), Word::Sign('('), ..] if is_whole_call() => Shape::One,
        _ if words.iter().any(makes_one) || metrics.is_empty() => Shape::Unknown,
        _ => Shape::List,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_query_answers_with_is_told_by_its_text() {
        // The query; its shape and scale, and whether it divides.
        let rows = [
            ("up", Shape::List, Scale::Unknown, false),
            ("1", Shape::One, Scale::Unknown, false),
            ("vector(1)", Shape::Unknown, Scale::Unknown, false),
            ("scalar(sum(up))", Shape::One, Scale::Unknown, false),
            ("scalar(up) + up", Shape::Unknown, Scale::Unknown, false),
            ("time() - started", Shape::Unknown, Scale::Unknown, false),
            (
                r#"sum(rate(a{x="scalar(/"}[5m])) # a / b"#,
                Shape::List,
                Scale::Unknown,
                false,
            ),
            (
                "sum(rate(a{c=\"}\"}[5m])) / sum(rate(a[5m]))",
                Shape::List,
                Scale::Share,
                true,
            ),
            (
                "1 - sum by (job, a) (a) / sum(a) by (b)",
                Shape::List,
                Scale::Share,
                true,
            ),
            (
                "100 * a{b='\\'/'} / ignoring(code) group_left a",
                Shape::List,
                Scale::Percentage,
                true,
            ),
            ("a / a * 1e2", Shape::List, Scale::Percentage, true),
            ("a / a * 60", Shape::List, Scale::Unknown, true),
            ("seconds_sum / seconds_count", Shape::List, Scale::Unknown, true),
            ("count(a{b=\"c\"}) / count(a)", Shape::List, Scale::Share, true),
            ("sum(depth) / count(depth)", Shape::List, Scale::Unknown, true),
            ("a / b / a", Shape::List, Scale::Unknown, true),
            (
                "histogram_quantile(0.95, sum(rate(b[1m])) by (le)) * 1000",
                Shape::List,
                Scale::Unknown,
                false,
            ),
        ];
        for (query, shape, scale, divides) in rows {
            let expected = Answers {
                shape,
                scale,
                divides,
            };
            assert_eq!(answers(query), expected, "{query}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_query_is_too_odd_to_be_read(query in "\\PC{0,80}") {
            let _ = answers(&query);
        }
    }
}
