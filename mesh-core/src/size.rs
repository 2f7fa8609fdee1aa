//! Sizes in bytes, as people write them in configuration: `64KiB`, `10MB`, `1024`.

use std::fmt;

use crate::decimal::{Decimal, Inexact};

/// What [`parse`] takes, for messages.
pub const EXPECTED: &str =
    "bytes, or a number with a unit (KiB, MiB, GiB, TiB; kB, MB, GB, TB), as \"64KiB\" or \"1.5MB\"";

const UNITS: [(&str, u64); 10] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("KB", 1_000),
    ("B", 1),
];

/// Takes a size in bytes. `KiB`, `MiB`, `GiB`, `TiB` are powers of 1024; `kB` (or `KB`), `MB`, `GB`, `TB` powers
/// of 1000; a plain number is bytes. A fraction is fine if whole bytes come out.
///
/// ```
/// use mesh_core::size::parse;
///
/// assert_eq!(parse("64KiB"), Ok(65_536));
/// assert_eq!(parse("10MB"), Ok(10_000_000));
/// assert_eq!(parse("1.5KiB"), Ok(1_536));
/// assert_eq!(parse("512"), Ok(512));
///
/// let error = parse("64Ki").expect_err("no such unit");
/// assert_eq!(error.reason(), "\"Ki\" is not a unit; did you mean \"KiB\"?");
/// ```
///
/// # Errors
/// Says what is wrong with the text: no number, an unknown unit, a fraction of a byte, more than `u64` holds.
pub fn parse(text: &str) -> Result<u64, SizeError> {
    let refuse = |reason: Reason| {
        Err(SizeError {
            found: text.to_owned(),
            reason,
        })
    };
    let Some((number, unit)) = Decimal::split(text) else {
        return refuse(if text.starts_with('-') {
            Reason::Negative
        } else {
            Reason::NoNumber
        });
    };
    let bytes = match UNITS.iter().find(|(name, _)| *name == unit) {
        Some((_, bytes)) => *bytes,
        None if unit.is_empty() => 1,
        None => return refuse(Reason::Unit(unit.to_owned())),
    };
    match number.and_then(|number| number.times(bytes)) {
        Ok(size) => Ok(size),
        Err(Inexact::TooFine) => refuse(Reason::TooFine),
        Err(Inexact::TooLarge) => refuse(Reason::TooLarge),
    }
}

/// Writes a size so that [`parse`] gives it back: in the largest power of 1024 that leaves no fraction.
///
/// ```
/// use mesh_core::size::display;
///
/// assert_eq!(display(65_536).to_string(), "64KiB");
/// assert_eq!(display(1000).to_string(), "1000");
/// ```
pub fn display(bytes: u64) -> DisplaySize {
    DisplaySize(bytes)
}

/// A size to be written; see [`display`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DisplaySize(u64);

impl fmt::Display for DisplaySize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let binary = UNITS
            .iter()
            .take(4)
            .find(|(_, unit)| self.0 > 0 && self.0.is_multiple_of(*unit));
        match binary {
            Some((name, unit)) => write!(f, "{}{name}", self.0 / unit),
            None => self.0.fmt(f),
        }
    }
}

/// Why a text is not a size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SizeError {
    found: String,
    reason: Reason,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Reason {
    NoNumber,
    Negative,
    Unit(String),
    TooFine,
    TooLarge,
}

impl SizeError {
    /// The text.
    pub fn found(&self) -> &str {
        &self.found
    }

    /// What is wrong with it, without the text itself and without [`EXPECTED`].
    pub fn reason(&self) -> String {
        match &self.reason {
            Reason::NoNumber => "it does not begin with a number, or the number is not whole".to_owned(),
            Reason::Negative => "a size cannot be negative".to_owned(),
            Reason::Unit(unit) => match nearest(unit) {
                Some(near) => format!("{unit:?} is not a unit; did you mean {near:?}?"),
                None => format!("{unit:?} is not a unit"),
            },
            Reason::TooFine => "it is not a whole number of bytes".to_owned(),
            Reason::TooLarge => "it is more than 18446744073709551615 bytes".to_owned(),
        }
    }
}

impl fmt::Display for SizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is not a size: {}; expected {EXPECTED}",
            self.found,
            self.reason()
        )
    }
}

impl std::error::Error for SizeError {}

/// The unit that was probably meant.
fn nearest(unit: &str) -> Option<&'static str> {
    Some(match unit.trim().to_ascii_lowercase().as_str() {
        "b" | "byte" | "bytes" => "B",
        "k" | "ki" | "kib" => "KiB",
        "m" | "mi" | "mib" => "MiB",
        "g" | "gi" | "gib" => "GiB",
        "t" | "ti" | "tib" => "TiB",
        "kb" => "kB",
        "mb" => "MB",
        "gb" => "GB",
        "tb" => "TB",
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
