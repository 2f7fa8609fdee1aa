//! Shares: percents and ratios that cannot be out of range.

use std::fmt;

/// A share in percent, 0 to 100.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Percent(f64);

impl Percent {
    /// None of it.
    pub const ZERO: Self = Self(0.0);

    /// Takes 0 to 100.
    pub const fn new(percent: f64) -> Option<Self> {
        if percent >= 0.0 && percent <= 100.0 {
            Some(Self(percent))
        } else {
            None
        }
    }

    /// The number, 0 to 100.
    pub const fn get(self) -> f64 {
        self.0
    }

    /// The same as a ratio.
    pub fn ratio(self) -> Ratio {
        Ratio(self.0 / 100.0)
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", self.0)
    }
}

/// A ratio, 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Ratio(f64);

impl Ratio {
    /// None of it.
    pub const ZERO: Self = Self(0.0);

    /// Takes 0 to 1.
    pub const fn new(ratio: f64) -> Option<Self> {
        if ratio >= 0.0 && ratio <= 1.0 {
            Some(Self(ratio))
        } else {
            None
        }
    }

    /// The number, 0 to 1.
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
