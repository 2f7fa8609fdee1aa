//! What a Prometheus server answers.

use mesh_core::metric::Samples;
use serde_json::Value as Json;

/// The most numbers that are taken from an answer.
const MOST: usize = 10_000;

/// How much of what a server says about an error is passed on, in characters.
const LONGEST: usize = 300;

/// Why a query was refused, in the server's words.
pub(super) fn refusal(body: &[u8]) -> Option<String> {
    let answer: Json = serde_json::from_slice(body).ok()?;
    Some(printable(answer.get("error")?.as_str()?))
}

fn printable(words: &str) -> String {
    let printable = words.chars().map(|c| if c.is_control() { ' ' } else { c });
    printable.take(LONGEST).collect()
}

/// What an answer holds.
pub(super) enum Answer {
    /// The numbers, in their order, without labels.
    Whole(Samples),
    /// Numbers that the server warns of: a store behind it did not answer, or a part of the query has no sense. What
    /// is missing may be what is bad.
    WarnedOf(String),
}

/// The numbers of an answer, or what it was instead of one.
pub(super) fn read(body: &[u8]) -> Result<Answer, String> {
    let answer: Json = serde_json::from_slice(body).map_err(|error| format!("no JSON: {error}"))?;
    if answer.get("status").and_then(Json::as_str) != Some("success") {
        let why = refusal(body).unwrap_or_else(|| "no reason".to_owned());
        return Err(format!("no success: {why}"));
    }
    if let Some(warning) = warning(&answer)? {
        return Ok(Answer::WarnedOf(warning));
    }
    let data = answer.get("data").ok_or("no data")?;
    numbers(data).map(Answer::Whole)
}

/// The first of the warnings. What the server only remarks (`infos`) is none.
fn warning(answer: &Json) -> Result<Option<String>, String> {
    let warnings = match answer.get("warnings") {
        None | Some(Json::Null) => return Ok(None),
        Some(warnings) => warnings.as_array().ok_or("warnings that are no list")?,
    };
    let words = |first: &Json| {
        first
            .as_str()
            .map_or_else(|| printable(&first.to_string()), printable)
    };
    Ok(warnings.first().map(words))
}

fn numbers(data: &Json) -> Result<Samples, String> {
    let result = data.get("result").ok_or("no result")?;
    match data.get("resultType").and_then(Json::as_str) {
        Some("scalar") => Ok(Samples::Scalar(number(result)?)),
        Some("vector") => {
            let value = |series: &Json| number(series.get("value").ok_or("a series without a number")?);
            let numbers = series(result)?.iter().map(value);
            bounded(numbers.collect::<Result<_, _>>()?)
        }
        // As in Argo Rollouts, all numbers of a range are one list.
        Some("matrix") => {
            let mut numbers = Vec::new();
            for one in series(result)? {
                let values = one
                    .get("values")
                    .and_then(Json::as_array)
                    .ok_or("a series without numbers")?;
                for value in values {
                    numbers.push(number(value)?);
                }
            }
            bounded(numbers)
        }
        Some(other) => Err(format!("a {other:.20}, which has no numbers")),
        None => Err("a result without a type".to_owned()),
    }
}

fn series(result: &Json) -> Result<&[Json], String> {
    let series = result.as_array().ok_or("no list of series")?;
    Ok(series)
}

fn bounded(numbers: Vec<f64>) -> Result<Samples, String> {
    if numbers.len() > MOST {
        return Err(format!(
            "{} numbers: at most {MOST} are taken, ask for fewer",
            numbers.len()
        ));
    }
    Ok(Samples::Vector(numbers))
}

/// `[time, "number"]`; the number may be `NaN`, `+Inf` or `-Inf`.
fn number(sample: &Json) -> Result<f64, String> {
    let text = sample
        .get(1)
        .and_then(Json::as_str)
        .ok_or("a sample without a number")?;
    text.parse()
        .map_err(|_| format!("{text:.20?} instead of a number"))
}
