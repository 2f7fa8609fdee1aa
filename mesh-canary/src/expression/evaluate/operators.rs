//! What operators make of values.

use regex::{Regex, RegexBuilder};

use crate::expression::error::{Fault, Span};
use crate::expression::syntax::Binary;
use crate::expression::value::Value;

/// The longest list and text that an expression may make.
const LONGEST: usize = 10_000;

/// The most memory that a pattern may take.
const PATTERN: usize = 1 << 20;

pub(in crate::expression) fn pattern(text: &str, span: Span) -> Result<Regex, Fault> {
    let pattern = RegexBuilder::new(text).size_limit(PATTERN).build();
    pattern.map_err(|error| Fault::new(span, format!("this is no pattern: {error}")))
}

pub(super) fn too_large(span: Span) -> Fault {
    Fault::new(span, "the number is too large")
}

pub(super) fn bounded(value: Value, span: Span) -> Result<Value, Fault> {
    let length = match &value {
        Value::Text(text) => text.len(),
        Value::List(values) => values.len(),
        _ => 0,
    };
    if length > LONGEST {
        return Err(Fault::new(
            span,
            format!("it would be {length} long: at most {LONGEST} are allowed"),
        ));
    }
    Ok(value)
}

/// Where an index leads, from the end if it is negative; `None` before the beginning.
pub(super) fn place(index: i64, length: usize) -> Option<usize> {
    if index >= 0 {
        return Some(usize::try_from(index).unwrap_or(usize::MAX));
    }
    length.checked_sub(usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX))
}

pub(super) fn member(of: &Value, name: &str, optional: bool, span: Span) -> Result<Value, Fault> {
    match of {
        Value::Map(values) => Ok(values.get(name).cloned().unwrap_or(Value::Nil)),
        Value::Nil if optional => Ok(Value::Nil),
        _ => Err(Fault::new(span, format!("{} has no field {name}", of.kind()))),
    }
}

pub(super) fn at(of: &Value, key: &Value, span: Span) -> Result<Value, Fault> {
    match (of, key) {
        (Value::Map(_), Value::Text(name)) => member(of, name, false, span),
        (Value::List(values), Value::Int(index)) => {
            let value = place(*index, values.len()).and_then(|place| values.get(place));
            value.cloned().ok_or_else(|| {
                let count = values.len();
                Fault::new(span, format!("there is no element {index}: the list has {count}"))
            })
        }
        (Value::List(_), _) => Err(Fault::new(
            span,
            format!("expected a whole number as index, found {}", key.kind()),
        )),
        _ => Err(Fault::new(span, format!("{} has no elements", of.kind()))),
    }
}

pub(super) fn apply(operator: Binary, a: &Value, b: &Value, span: Span) -> Result<Value, Fault> {
    let bool = |value| Ok(Value::Bool(value));
    let numbers = a.number().zip(b.number());
    let whole = match (a, b) {
        (Value::Int(a), Value::Int(b)) => Some((*a, *b)),
        _ => None,
    };
    let texts = match (a, b) {
        (Value::Text(a), Value::Text(b)) => Some((&**a, &**b)),
        _ => None,
    };
    match (operator, numbers, texts) {
        (Binary::Equal, ..) => bool(a.equals(b)),
        (Binary::NotEqual, ..) => bool(!a.equals(b)),
        (Binary::Less, Some((a, b)), _) => bool(a < b),
        (Binary::AtMost, Some((a, b)), _) => bool(a <= b),
        (Binary::Greater, Some((a, b)), _) => bool(a > b),
        (Binary::AtLeast, Some((a, b)), _) => bool(a >= b),
        (Binary::Less, _, Some((a, b))) => bool(a < b),
        (Binary::AtMost, _, Some((a, b))) => bool(a <= b),
        (Binary::Greater, _, Some((a, b))) => bool(a > b),
        (Binary::AtLeast, _, Some((a, b))) => bool(a >= b),
        (Binary::Contains, _, Some((a, b))) => bool(a.contains(b)),
        (Binary::StartsWith, _, Some((a, b))) => bool(a.starts_with(b)),
        (Binary::EndsWith, _, Some((a, b))) => bool(a.ends_with(b)),
        (Binary::Matches, _, Some((a, b))) => bool(pattern(b, span)?.is_match(a)),
        (Binary::Plus, _, Some((a, b))) => bounded(Value::from(&*format!("{a}{b}")), span),
        (Binary::Plus, Some((x, y)), _) => arithmetic(whole, i64::checked_add, x + y, span),
        (Binary::Minus, Some((x, y)), _) => arithmetic(whole, i64::checked_sub, x - y, span),
        (Binary::Times, Some((x, y)), _) => arithmetic(whole, i64::checked_mul, x * y, span),
        (Binary::Over, Some((x, y)), _) => Ok(Value::Float(x / y)),
        (Binary::Power, Some((x, y)), _) => Ok(Value::Float(x.powf(y))),
        (Binary::Remainder, ..) if whole.is_some() => {
            let rest = whole.and_then(|(a, b)| a.checked_rem(b));
            rest.map(Value::Int)
                .ok_or_else(|| Fault::new(span, "a division by zero has no rest"))
        }
        (Binary::Range, ..) if whole.is_some() => range(whole.unwrap_or_default(), span),
        (Binary::In, ..) => match b {
            Value::List(values) => bool(values.iter().any(|value| value.equals(a))),
            Value::Map(values) => bool(matches!(a, Value::Text(name) if values.contains_key(&**name))),
            _ => Err(Fault::new(
                span,
                format!("expected a list or a map behind in, found {}", b.kind()),
            )),
        },
        _ => {
            let hint = match (a, b) {
                (Value::List(_), _) | (_, Value::List(_)) => ": write [0] for the first element of a list",
                _ => "",
            };
            let message = format!("{} and {} do not go together here{hint}", a.kind(), b.kind());
            Err(Fault::new(span, message))
        }
    }
}

fn arithmetic(
    whole: Option<(i64, i64)>,
    exact: fn(i64, i64) -> Option<i64>,
    float: f64,
    span: Span,
) -> Result<Value, Fault> {
    match whole {
        Some((a, b)) => exact(a, b).map(Value::Int).ok_or_else(|| too_large(span)),
        None => Ok(Value::Float(float)),
    }
}

fn range((from, until): (i64, i64), span: Span) -> Result<Value, Fault> {
    let length = usize::try_from(until.saturating_sub(from)).map_or(0, |length| length.saturating_add(1));
    if length > LONGEST {
        return Err(Fault::new(
            span,
            format!("the range has more than {LONGEST} numbers"),
        ));
    }
    Ok((from..=until).map(Value::Int).collect())
}
