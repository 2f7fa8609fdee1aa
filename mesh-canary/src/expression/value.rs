//! What expressions calculate with.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use mesh_core::metric::Samples;

/// A value. Copies are cheap: what is large is shared.
///
/// ```
/// use mesh_canary::expression::Value;
///
/// assert_eq!(Value::from([10.0, f64::NAN]).to_string(), "[10,NaN]");
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing.
    Nil,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// A text.
    Text(Arc<str>),
    /// Several values in order.
    List(Arc<[Self]>),
    /// Values by name.
    Map(Arc<BTreeMap<String, Self>>),
}

impl Value {
    /// What it is, for a human.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Nil => "nil",
            Self::Bool(_) => "a boolean",
            Self::Int(_) | Self::Float(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }

    /// It as a number, whole or not.
    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Self::Int(int) => Some(*int as f64),
            Self::Float(float) => Some(*float),
            _ => None,
        }
    }

    /// Whether two values are the same; numbers are compared by what they are worth.
    pub(super) fn equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::List(a), Self::List(b)) => {
                a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| a.equals(b))
            }
            _ => match (self.number(), other.number()) {
                (Some(a), Some(b)) => a == b,
                _ => self == other,
            },
        }
    }
}

/// The answer of a query.
impl From<&Samples> for Value {
    fn from(samples: &Samples) -> Self {
        match samples {
            Samples::Scalar(number) => Self::Float(*number),
            Samples::Vector(numbers) => numbers.iter().copied().map(Self::Float).collect(),
            // Counts of requests are judged by judges; a condition sees the share of errors.
            Samples::Traffic(traffic) => traffic.error_rate().map_or(Self::Nil, Self::Float),
            _ => Self::Nil,
        }
    }
}

impl<const N: usize> From<[f64; N]> for Value {
    fn from(numbers: [f64; N]) -> Self {
        numbers.into_iter().map(Self::Float).collect()
    }
}

impl FromIterator<Self> for Value {
    fn from_iter<I: IntoIterator<Item = Self>>(values: I) -> Self {
        Self::List(values.into_iter().collect())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

/// As a measurement is stored: `10`, `NaN`, `+Inf`, `[10,11]`. This is no JSON, which has no such numbers.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nil => f.write_str("nil"),
            Self::Bool(value) => value.fmt(f),
            Self::Int(int) => int.fmt(f),
            Self::Float(float) if float.is_infinite() => {
                f.write_str(if *float > 0.0 { "+Inf" } else { "-Inf" })
            }
            Self::Float(float) => float.fmt(f),
            Self::Text(text) => f.write_str(text),
            Self::List(values) => {
                f.write_str("[")?;
                for (n, value) in values.iter().enumerate() {
                    write!(f, "{}{value}", if n == 0 { "" } else { "," })?;
                }
                f.write_str("]")
            }
            Self::Map(values) => {
                f.write_str("{")?;
                for (n, (name, value)) in values.iter().enumerate() {
                    write!(f, "{}{name}:{value}", if n == 0 { "" } else { "," })?;
                }
                f.write_str("}")
            }
        }
    }
}
