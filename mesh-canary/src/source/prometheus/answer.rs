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
    let words = answer.get("error")?.as_str()?;
    let printable = words.chars().map(|c| if c.is_control() { ' ' } else { c });
    Some(printable.take(LONGEST).collect())
}

/// The numbers of an answer, in their order, without labels; or what it was instead of one.
pub(super) fn read(body: &[u8]) -> Result<Samples, String> {
    let answer: Json = serde_json::from_slice(body).map_err(|error| format!("no JSON: {error}"))?;
    if answer.get("status").and_then(Json::as_str) != Some("success") {
        let why = refusal(body).unwrap_or_else(|| "no reason".to_owned());
        return Err(format!("no success: {why}"));
    }
    let data = answer.get("data").ok_or("no data")?;
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
