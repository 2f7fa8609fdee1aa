//! Numbers and truth.

use std::marker::PhantomData;
use std::ops::RangeInclusive;

use super::{Shape, Shown};
use crate::config::context::{Context, Wrong};
use crate::config::schema::Schema;
use crate::config::share::{Percent, Ratio};
use crate::config::yaml::{Node, Value};

/// `true` or `false`; `on`, `off`, `yes` and `no` are words.
pub(in super::super) fn boolean() -> Boolean {
    Boolean
}

/// See [`boolean`].
pub(in super::super) struct Boolean;

impl Shape for Boolean {
    type Value = bool;

    fn read(&self, node: &Node, context: &mut Context) -> Option<bool> {
        if let Some(value) = node.scalar().and_then(|scalar| scalar.boolean()) {
            return Some(value);
        }
        let meant = node
            .scalar()
            .and_then(|scalar| match scalar.text.to_ascii_lowercase().as_str() {
                "on" | "yes" | "true" | "1" | "y" => Some("true"),
                "off" | "no" | "false" | "0" | "n" => Some("false"),
                _ => None,
            });
        let wrong = Wrong::expected(self.schema().to_string()).meant(meant);
        context.refuse(node.place, node.described(), wrong);
        None
    }

    fn schema(&self) -> Schema {
        Schema::Boolean
    }
}

impl Shown for Boolean {
    fn shown(&self, value: &bool) -> serde_json::Value {
        (*value).into()
    }
}

/// A whole number within a range.
pub(in super::super) fn integer<T: Into<i128>>(range: RangeInclusive<T>) -> Integer<T> {
    let (least, most) = range.into_inner();
    Integer {
        least: least.into(),
        most: most.into(),
        of: PhantomData,
    }
}

/// See [`integer`].
pub(in super::super) struct Integer<T> {
    least: i128,
    most: i128,
    of: PhantomData<T>,
}

impl<T: TryFrom<i128>> Shape for Integer<T> {
    type Value = T;

    fn read(&self, node: &Node, context: &mut Context) -> Option<T> {
        let wrong = || Wrong::expected(self.schema().to_string());
        let Some(number) = node.scalar().and_then(|scalar| scalar.integer()) else {
            context.refuse(node.place, node.described(), unquoted(node, wrong()));
            return None;
        };
        let fits = (self.least..=self.most).contains(&number);
        let value = fits.then(|| T::try_from(number).ok()).flatten();
        if value.is_none() {
            context.refuse(node.place, node.described(), wrong());
        }
        value
    }

    fn schema(&self) -> Schema {
        Schema::Integer {
            least: self.least,
            most: self.most,
        }
    }
}

impl<T: TryFrom<i128> + Copy + Into<i128>> Shown for Integer<T> {
    fn shown(&self, value: &T) -> serde_json::Value {
        let value: i128 = (*value).into();
        i64::try_from(value).map_or_else(|_| value.to_string().into(), Into::into)
    }
}

/// A share in percent.
pub(in super::super) fn percent() -> Share<Percent> {
    Share {
        most: 100.0,
        new: Percent::new,
        get: Percent::get,
    }
}

/// A ratio; 0.05 is 5 %.
pub(in super::super) fn ratio() -> Share<Ratio> {
    Share {
        most: 1.0,
        new: Ratio::new,
        get: Ratio::get,
    }
}

/// Requests a second, 0 to a million; fractions are allowed.
pub(in super::super) fn requests_per_second() -> Share<f64> {
    const MOST: f64 = 1e6;
    Share {
        most: MOST,
        new: |number| (0.0..=MOST).contains(&number).then_some(number),
        get: |number| number,
    }
}

/// See [`percent`], [`ratio`] and [`requests_per_second`].
pub(in super::super) struct Share<T> {
    most: f64,
    new: fn(f64) -> Option<T>,
    get: fn(T) -> f64,
}

impl<T> Shape for Share<T> {
    type Value = T;

    fn read(&self, node: &Node, context: &mut Context) -> Option<T> {
        let number = node.scalar().and_then(|scalar| scalar.number());
        let value = number.and_then(self.new);
        if value.is_none() {
            let wrong = unquoted(node, Wrong::expected(self.schema().to_string()));
            let wrong = match number {
                Some(number) if self.most < 100.0 && number > 1.0 && number <= 100.0 => {
                    wrong.hint(format!("{number} % is written as {}", number / 100.0))
                }
                _ => wrong,
            };
            context.refuse(node.place, node.described(), wrong);
        }
        value
    }

    fn schema(&self) -> Schema {
        Schema::Number { most: self.most }
    }
}

impl<T: Copy> Shown for Share<T> {
    fn shown(&self, value: &T) -> serde_json::Value {
        let number = (self.get)(*value);
        if number.fract() == 0.0 {
            (number as i64).into()
        } else {
            number.into()
        }
    }
}

/// Adds what to do about a number in quotes, or with a percent sign.
fn unquoted(node: &Node, wrong: Wrong) -> Wrong {
    let Value::Scalar(scalar) = &node.value else {
        return wrong;
    };
    let number = |text: &str| text.parse::<f64>().is_ok_and(f64::is_finite);
    if !scalar.plain && number(&scalar.text) {
        return wrong.hint("leave out the quotes: in quotes it is a text");
    }
    match scalar.text.strip_suffix('%') {
        Some(share) if number(share.trim()) => wrong.hint("leave out the percent sign"),
        _ => wrong,
    }
}
