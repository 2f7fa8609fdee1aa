//! Durations with a unit, as people write them in configuration: `250ms`, `1.5s`, `1h30m`, `7d`.

use std::fmt;
use std::time::Duration;

use crate::decimal::{Decimal, Inexact};

/// The longest duration that is accepted: 36500 days, about a hundred years. Short enough to be added to any
/// clock reading.
pub const MAX: Duration = Duration::from_secs(36_500 * 86_400);

/// What [`parse`] takes, for messages.
pub const EXPECTED: &str =
    "a number with a unit (us, ms, s, m, h, d), as \"250ms\", \"1.5s\", \"1h30m\" or \"7d\"";

/// From the longest to the shortest, in nanoseconds.
const UNITS: [(&str, u64); 6] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
];

/// Takes a duration: numbers with the units `d`, `h`, `m`, `s`, `ms`, `us`, from the longest to the shortest;
/// the last may have a fraction. Zero needs no unit.
///
/// ```
/// use std::time::Duration;
/// use mesh_core::duration::parse;
///
/// assert_eq!(parse("250ms"), Ok(Duration::from_millis(250)));
/// assert_eq!(parse("1.5s"), Ok(Duration::from_millis(1500)));
/// assert_eq!(parse("1h30m"), Ok(Duration::from_secs(5400)));
/// assert_eq!(parse("0"), Ok(Duration::ZERO));
///
/// let error = parse("5min").expect_err("no such unit");
/// assert_eq!(error.reason(), "\"min\" is not a unit; did you mean \"m\"?");
/// ```
///
/// # Errors
/// Says what is wrong with the text: no number, no or an unknown unit, more than [`MAX`], finer than a
/// nanosecond.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let refuse = |reason: Reason| {
        Err(DurationError {
            found: text.to_owned(),
            reason,
        })
    };
    let mut total = 0_u64;
    let mut rest = text;
    let mut units = UNITS.iter();
    let mut fraction_seen = false;
    loop {
        let Some((number, after)) = Decimal::split(rest) else {
            return refuse(if text.starts_with('-') {
                Reason::Negative
            } else {
                Reason::NoNumber
            });
        };
        let number = match number {
            Ok(number) => number,
            Err(inexact) => return refuse(inexact.into()),
        };
        let unit_len = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_len);
        if unit.is_empty() && number.is_zero() && rest.len() == text.len() {
            return Ok(Duration::ZERO);
        }
        let Some((_, nanos)) = units.find(|(name, _)| *name == unit) else {
            return refuse(match UNITS.iter().any(|(name, _)| *name == unit) {
                true => Reason::Order,
                false if unit.is_empty() => Reason::NoUnit,
                false => Reason::Unit(unit.to_owned()),
            });
        };
        if fraction_seen {
            return refuse(Reason::Fraction);
        }
        fraction_seen = number.has_fraction();
        let part = match number.times(*nanos) {
            Ok(part) => part,
            Err(inexact) => return refuse(inexact.into()),
        };
        total = match total.checked_add(part) {
            Some(sum) if Duration::from_nanos(sum) <= MAX => sum,
            _ => return refuse(Reason::TooLong),
        };
        rest = after;
        if rest.is_empty() {
            return Ok(Duration::from_nanos(total));
        }
    }
}

/// Writes a duration so that [`parse`] gives it back: in the longest unit that leaves no fraction.
///
/// ```
/// use std::time::Duration;
/// use mesh_core::duration::display;
///
/// assert_eq!(display(Duration::from_millis(1500)).to_string(), "1500ms");
/// assert_eq!(display(Duration::from_secs(7 * 86_400)).to_string(), "7d");
/// assert_eq!(display(Duration::ZERO).to_string(), "0s");
/// ```
pub fn display(duration: Duration) -> DisplayDuration {
    DisplayDuration(duration)
}

/// A duration to be written; see [`display`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DisplayDuration(Duration);

impl fmt::Display for DisplayDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        if nanos == 0 {
            return f.write_str("0s");
        }
        match UNITS
            .iter()
            .find(|(_, unit)| nanos.is_multiple_of(u128::from(*unit)))
        {
            Some((name, unit)) => write!(f, "{}{name}", nanos / u128::from(*unit)),
            None => write!(f, "{}.{:03}us", nanos / 1000, nanos % 1000),
        }
    }
}

/// Writes a duration for people: as precise as one says it, not as it can be read again. From a minute on whole seconds,
/// below that tenths of them, below a second whole milliseconds.
///
/// ```
/// use std::time::Duration;
/// use mesh_core::duration::about;
///
/// assert_eq!(about(Duration::from_micros(6_506_204)).to_string(), "6.5s");
/// assert_eq!(about(Duration::from_secs(740)).to_string(), "12m20s");
/// assert_eq!(about(Duration::from_secs(3_600)).to_string(), "1h");
/// assert_eq!(about(Duration::from_micros(12_900)).to_string(), "13ms");
/// ```
pub fn about(duration: Duration) -> AboutDuration {
    AboutDuration(duration)
}

/// A duration to be written; see [`about`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AboutDuration(Duration);

impl fmt::Display for AboutDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_nanos().saturating_add(500_000) / 1_000_000;
        if millis < 1_000 {
            return match (millis, self.0.is_zero()) {
                (0, true) => f.write_str("0s"),
                (0, false) => f.write_str("<1ms"),
                _ => write!(f, "{millis}ms"),
            };
        }
        let tenths = (millis + 50) / 100;
        if tenths < 600 {
            return match tenths % 10 {
                0 => write!(f, "{}s", tenths / 10),
                tenth => write!(f, "{}.{tenth}s", tenths / 10),
            };
        }
        let seconds = (millis + 500) / 1_000;
        let parts = [
            (seconds / 3_600, 'h'),
            (seconds / 60 % 60, 'm'),
            (seconds % 60, 's'),
        ];
        parts
            .iter()
            .filter(|(count, _)| *count > 0)
            .try_for_each(|(count, unit)| write!(f, "{count}{unit}"))
    }
}

/// Why a text is not a duration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DurationError {
    found: String,
    reason: Reason,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Reason {
    NoNumber,
    Negative,
    NoUnit,
    Unit(String),
    Order,
    Fraction,
    TooFine,
    TooLong,
}

impl From<Inexact> for Reason {
    fn from(inexact: Inexact) -> Self {
        match inexact {
            Inexact::TooFine => Self::TooFine,
            Inexact::TooLarge => Self::TooLong,
        }
    }
}

impl DurationError {
    /// The text.
    pub fn found(&self) -> &str {
        &self.found
    }

    /// What is wrong with it, without the text itself and without [`EXPECTED`].
    pub fn reason(&self) -> String {
        match &self.reason {
            Reason::NoNumber => "it does not begin with a number, or a number is not whole".to_owned(),
            Reason::Negative => "a duration cannot be negative".to_owned(),
            Reason::NoUnit => "a unit is missing".to_owned(),
            Reason::Unit(unit) => match nearest(unit) {
                Some(near) => format!("{unit:?} is not a unit; did you mean {near:?}?"),
                None => format!("{unit:?} is not a unit"),
            },
            Reason::Order => "its units do not go from the longest to the shortest, each once".to_owned(),
            Reason::Fraction => "only its last number may have a fraction".to_owned(),
            Reason::TooFine => "it is finer than a nanosecond".to_owned(),
            Reason::TooLong => "it is longer than 36500d".to_owned(),
        }
    }
}

impl fmt::Display for DurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is not a duration: {}; expected {EXPECTED}",
            self.found,
            self.reason()
        )
    }
}

impl std::error::Error for DurationError {}

/// The unit that was probably meant.
fn nearest(unit: &str) -> Option<&'static str> {
    let plain = unit.trim().to_ascii_lowercase();
    let singular = plain
        .strip_suffix('s')
        .filter(|rest| rest.chars().count() > 1)
        .unwrap_or(&plain);
    Some(match singular {
        "d" | "day" => "d",
        "h" | "hr" | "hour" => "h",
        "m" | "min" | "minute" => "m",
        "s" | "sec" | "second" => "s",
        "ms" | "msec" | "milli" | "millisecond" => "ms",
        "us" | "µs" | "μs" | "usec" | "micro" | "microsecond" => "us",
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
