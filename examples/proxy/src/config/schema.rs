//! What configuration looks like, described: the source of the JSON Schema, of the tables in the documentation and
//! of what problems say was expected.

mod docs;
mod json;
mod notes;

use std::fmt;
use std::time::Duration;

use mesh_core::{duration, size};

pub use docs::{paths, reference, undescribed};
pub use json::json_schema;

/// The path of a key of the mapping at `path`.
fn below(path: &str, key: &str) -> String {
    match path {
        "" => key.to_owned(),
        path => format!("{path}.{key}"),
    }
}

/// What a value looks like.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Schema {
    Boolean,
    Word(Vec<&'static str>),
    Integer {
        least: i128,
        most: i128,
    },
    /// From 0.
    Number {
        most: f64,
    },
    Duration {
        bare: Option<Unit>,
        least: Duration,
        most: Duration,
    },
    Size {
        least: u64,
        most: u64,
    },
    Text {
        what: &'static str,
        /// Also what looks like a number or a truth.
        any: bool,
    },
    List {
        item: Box<Self>,
        fewest: usize,
    },
    Object(Vec<Field>),
    /// A mapping whose keys are the user's.
    Map(Box<Self>),
    OneOf(Vec<Self>),
}

/// A key of a mapping.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Field {
    pub(super) key: &'static str,
    pub(super) required: bool,
    pub(super) default: Option<serde_json::Value>,
    pub(super) schema: Schema,
}

/// The unit of a number that has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Milliseconds,
    Seconds,
}

impl Unit {
    pub(super) const fn suffix(self) -> &'static str {
        match self {
            Self::Milliseconds => "ms",
            Self::Seconds => "s",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Milliseconds => "milliseconds",
            Self::Seconds => "seconds",
        }
    }
}

/// What was expected, in one line.
impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean => f.write_str("true or false"),
            Self::Word(words) => one_of(f, words.iter().copied()),
            Self::Integer { least, most } => match *most >= i128::from(i32::MAX) {
                true => write!(f, "a whole number, at least {least}"),
                false => write!(f, "a whole number, {least} to {most}"),
            },
            Self::Number { most } if *most > 100.0 => write!(f, "a number, 0 to {most}"),
            Self::Number { most } if *most > 1.0 => f.write_str("a number of percent, 0 to 100"),
            Self::Number { .. } => f.write_str("a ratio, 0 to 1, as 0.05 for 5 %"),
            Self::Duration { bare, least, most } => {
                f.write_str("a duration")?;
                span_range(f, *least, *most)?;
                f.write_str(", as \"250ms\", \"30s\" or \"5m\"")?;
                match bare {
                    Some(unit) => write!(f, ", or a number of {}", unit.name()),
                    None => Ok(()),
                }
            }
            Self::Size { least, most } => {
                write!(f, "a size, at least {}", size::display(*least))?;
                if *most < u64::from(u32::MAX) {
                    write!(f, " and at most {}", size::display(*most))?;
                }
                f.write_str(", as \"64KiB\", or a number of bytes")
            }
            Self::Text { what, .. } => f.write_str(what),
            Self::List { item, fewest: 0 } => write!(f, "a list; each item {}", Plain(item)),
            Self::List { item, .. } => write!(f, "a list, not empty; each item {}", Plain(item)),
            Self::Object(fields) => {
                f.write_str("a mapping with the keys ")?;
                comma(f, fields.iter().map(|field| field.key))
            }
            Self::Map(value) => write!(f, "a mapping whose values are each {}", Plain(value)),
            Self::OneOf(shapes) => {
                for (place, shape) in shapes.iter().enumerate() {
                    write!(f, "{}{shape}", if place == 0 { "" } else { ", or " })?;
                }
                Ok(())
            }
        }
    }
}

/// A shape inside of a list: mappings are not taken apart.
struct Plain<'s>(&'s Schema);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Schema::Object(_) => f.write_str("a mapping"),
            Schema::OneOf(shapes) => {
                for (place, shape) in shapes.iter().enumerate() {
                    write!(f, "{}{}", if place == 0 { "" } else { " or " }, Plain(shape))?;
                }
                Ok(())
            }
            other => other.fmt(f),
        }
    }
}

fn span_range(f: &mut fmt::Formatter<'_>, least: Duration, most: Duration) -> fmt::Result {
    let (shortest, longest) = (duration::display(least), duration::display(most));
    match (least.as_nanos(), most) {
        (0, duration::MAX) => Ok(()),
        (1, duration::MAX) => f.write_str(" above 0"),
        (_, duration::MAX) => write!(f, " of at least {shortest}"),
        (0 | 1, _) => write!(f, " of at most {longest}"),
        _ => write!(f, " of {shortest} to {longest}"),
    }
}

fn one_of<'w>(f: &mut fmt::Formatter<'_>, words: impl Iterator<Item = &'w str>) -> fmt::Result {
    f.write_str("one of ")?;
    comma(f, words)
}

fn comma<'w>(f: &mut fmt::Formatter<'_>, words: impl Iterator<Item = &'w str>) -> fmt::Result {
    for (place, word) in words.enumerate() {
        write!(f, "{}{word}", if place == 0 { "" } else { ", " })?;
    }
    Ok(())
}
