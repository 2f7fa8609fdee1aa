//! The functions of the language.

use super::value::Value;

/// A function that can be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    All,
    Any,
    None,
    One,
    Filter,
    Map,
    Count,
    Find,
    FindIndex,
    Reduce,
    Len,
    Sum,
    Mean,
    Median,
    Min,
    Max,
    Sort,
    First,
    Last,
    Abs,
    Round,
    Floor,
    Ceil,
    Int,
    Float,
    String,
    AsInt,
    AsFloat,
    IsNaN,
    IsInf,
    IsNil,
    Default,
}

/// How many arguments a function takes, at least and at most.
pub(super) enum Arguments {
    Values(usize, usize),
    /// The second is a predicate.
    Predicate(usize, usize),
}

impl Function {
    pub(super) fn of(name: &str) -> Option<Self> {
        Some(match name {
            "all" => Self::All,
            "any" => Self::Any,
            "none" => Self::None,
            "one" => Self::One,
            "filter" => Self::Filter,
            "map" => Self::Map,
            "count" => Self::Count,
            "find" => Self::Find,
            "findIndex" => Self::FindIndex,
            "reduce" => Self::Reduce,
            "len" => Self::Len,
            "sum" => Self::Sum,
            "mean" => Self::Mean,
            "median" => Self::Median,
            "min" => Self::Min,
            "max" => Self::Max,
            "sort" => Self::Sort,
            "first" => Self::First,
            "last" => Self::Last,
            "abs" => Self::Abs,
            "round" => Self::Round,
            "floor" => Self::Floor,
            "ceil" => Self::Ceil,
            "int" => Self::Int,
            "float" => Self::Float,
            "string" => Self::String,
            "asInt" => Self::AsInt,
            "asFloat" => Self::AsFloat,
            "isNaN" => Self::IsNaN,
            "isInf" => Self::IsInf,
            "isNil" => Self::IsNil,
            "default" => Self::Default,
            _ => return None,
        })
    }

    /// Whether it asks about the result, whatever it is given.
    pub(super) fn is_about_the_result(self) -> bool {
        matches!(self, Self::IsNil | Self::Default)
    }

    pub(super) fn arguments(self) -> Arguments {
        match self {
            Self::All
            | Self::Any
            | Self::None
            | Self::One
            | Self::Filter
            | Self::Map
            | Self::Find
            | Self::FindIndex => Arguments::Predicate(2, 2),
            Self::Count => Arguments::Predicate(1, 2),
            Self::Reduce => Arguments::Predicate(2, 3),
            Self::Sum | Self::Mean | Self::Median | Self::Min | Self::Max => Arguments::Values(1, usize::MAX),
            Self::Default => Arguments::Values(2, 2),
            _ => Arguments::Values(1, 1),
        }
    }
}

/// Calls a function that takes no predicate. `result` is what the query answered.
pub(super) fn call(function: Function, arguments: &[Value], result: &Value) -> Result<Value, String> {
    let first = arguments.first().unwrap_or(&Value::Nil);
    match function {
        Function::Sum | Function::Mean | Function::Median | Function::Min | Function::Max => {
            aggregate(function, arguments)
        }
        Function::Len => length(first),
        Function::Sort => sort(first),
        Function::First => Ok(list(first)?.first().cloned().unwrap_or(Value::Nil)),
        Function::Last => Ok(list(first)?.last().cloned().unwrap_or(Value::Nil)),
        Function::Abs => match first {
            Value::Int(int) => int.checked_abs().map(Value::Int).ok_or_else(too_large),
            _ => Ok(Value::Float(number(first)?.abs())),
        },
        Function::Round => rounded(first, f64::round),
        Function::Floor => rounded(first, f64::floor),
        Function::Ceil => rounded(first, f64::ceil),
        Function::Int | Function::AsInt => int(first),
        Function::Float | Function::AsFloat => float(first),
        Function::String => Ok(Value::from(&*first.to_string())),
        Function::IsNaN => Ok(Value::Bool(number(first)?.is_nan())),
        Function::IsInf => Ok(Value::Bool(number(first)?.is_infinite())),
        // As in Argo Rollouts, these two are about the result and not about what they are given.
        Function::IsNil => Ok(Value::Bool(*result == Value::Nil)),
        Function::Default => Ok(match result {
            Value::Nil => arguments.get(1).cloned().unwrap_or(Value::Nil),
            _ => result.clone(),
        }),
        _ => Err("it takes a predicate".to_owned()),
    }
}

fn number(value: &Value) -> Result<f64, String> {
    value.number().ok_or_else(|| match value {
        Value::List(_) => "expected a number, found a list: write [0] for its first element".to_owned(),
        _ => format!("expected a number, found {}", value.kind()),
    })
}

fn list(value: &Value) -> Result<&[Value], String> {
    match value {
        Value::List(values) => Ok(values),
        _ => Err(format!("expected a list, found {}", value.kind())),
    }
}

fn too_large() -> String {
    "the number is too large".to_owned()
}

fn rounded(value: &Value, how: fn(f64) -> f64) -> Result<Value, String> {
    match value {
        Value::Int(_) => Ok(value.clone()),
        _ => Ok(Value::Float(how(number(value)?))),
    }
}

/// Cuts off what is behind the point.
fn int(value: &Value) -> Result<Value, String> {
    let parsed = match value {
        Value::Int(int) => Some(*int),
        // The conversion saturates: what does not fit is refused before.
        Value::Float(float) => (float.abs() < i64::MAX as f64).then_some(*float as i64),
        Value::Text(text) => text.parse().ok(),
        _ => None,
    };
    parsed
        .map(Value::Int)
        .ok_or_else(|| format!("{value} is no whole number"))
}

fn float(value: &Value) -> Result<Value, String> {
    let parsed = match value {
        Value::Text(text) => text.parse().ok(),
        _ => value.number(),
    };
    parsed
        .map(Value::Float)
        .ok_or_else(|| format!("{value} is no number"))
}

fn length(value: &Value) -> Result<Value, String> {
    let length = match value {
        Value::List(values) => values.len(),
        Value::Map(values) => values.len(),
        Value::Text(text) => text.chars().count(),
        _ => return Err(format!("{} has no length", value.kind())),
    };
    Ok(Value::Int(i64::try_from(length).unwrap_or(i64::MAX)))
}

/// Numbers, of lists as well: `max(1, [2, 3])`.
fn aggregate(function: Function, arguments: &[Value]) -> Result<Value, String> {
    let mut values: Vec<&Value> = Vec::new();
    for argument in arguments {
        match argument {
            Value::List(list) => values.extend(list.iter()),
            _ => values.push(argument),
        }
    }
    let mut numbers = values
        .iter()
        .map(|value| number(value))
        .collect::<Result<Vec<f64>, _>>()?;
    let all: Option<i64> = values.iter().try_fold(0_i64, |sum, value| match value {
        Value::Int(int) => sum.checked_add(*int),
        _ => None,
    });
    let poisoned = numbers.iter().any(|number| number.is_nan());
    let count = numbers.len();
    Ok(match function {
        Function::Sum => all.map_or_else(|| Value::Float(numbers.iter().sum()), Value::Int),
        Function::Mean if count == 0 => Value::Float(0.0),
        Function::Mean => Value::Float(numbers.iter().sum::<f64>() / count as f64),
        Function::Median if count == 0 => Value::Float(0.0),
        _ if count == 0 => Value::Nil,
        // No number is larger or smaller than what is none, so that it would depend on the order.
        _ if poisoned => Value::Float(f64::NAN),
        Function::Median => {
            numbers.sort_by(f64::total_cmp);
            let (low, high) = (numbers.get((count - 1) / 2), numbers.get(count / 2));
            Value::Float(
                low.zip(high)
                    .map_or(f64::NAN, |(low, high)| f64::midpoint(*low, *high)),
            )
        }
        _ => {
            let smaller = function == Function::Min;
            let better = |a: f64, b: f64| if smaller { a < b } else { a > b };
            let mut best = (values[0], numbers[0]);
            for (value, number) in values.iter().zip(&numbers) {
                if better(*number, best.1) {
                    best = (value, *number);
                }
            }
            best.0.clone()
        }
    })
}

fn sort(value: &Value) -> Result<Value, String> {
    let mut sorted: Vec<Value> = list(value)?.to_vec();
    let texts = sorted.iter().all(|value| matches!(value, Value::Text(_)));
    let numbers = sorted.iter().all(|value| value.number().is_some());
    if !texts && !numbers {
        return Err("only numbers or only texts have an order".to_owned());
    }
    sorted.sort_by(|a, b| match (a, b) {
        (Value::Text(a), Value::Text(b)) => a.cmp(b),
        _ => a
            .number()
            .unwrap_or(f64::NAN)
            .total_cmp(&b.number().unwrap_or(f64::NAN)),
    });
    Ok(sorted.into_iter().collect())
}
