//! Durations and sizes.

use std::time::Duration;

use super::{Shape, Shown};
use crate::config::context::{Context, Wrong};
use crate::config::schema::{Schema, Unit};
use crate::config::yaml::Node;

/// A duration above zero, with a unit.
pub(in super::super) fn duration() -> Span {
    Span {
        bare: None,
        least: Duration::from_nanos(1),
        most: mesh_core::duration::MAX,
    }
}

/// See [`duration`].
#[derive(Clone, Copy)]
pub(in super::super) struct Span {
    bare: Option<Unit>,
    least: Duration,
    most: Duration,
}

impl Span {
    /// A number without a unit is in this one.
    #[must_use]
    pub(in super::super) const fn bare(mut self, unit: Unit) -> Self {
        self.bare = Some(unit);
        self
    }

    /// At least this.
    #[must_use]
    pub(in super::super) const fn at_least(mut self, least: Duration) -> Self {
        self.least = least;
        self
    }

    /// At most this.
    #[must_use]
    pub(in super::super) const fn at_most(mut self, most: Duration) -> Self {
        self.most = most;
        self
    }
}

impl Shape for Span {
    type Value = Duration;

    fn read(&self, node: &Node, context: &mut Context) -> Option<Duration> {
        let expected = || Wrong::expected(self.schema().to_string());
        let Some(scalar) = node.scalar().filter(|scalar| scalar.boolean().is_none()) else {
            context.refuse(node.place, node.described(), expected());
            return None;
        };
        let is_number = scalar.number().is_some();
        let text = match self.bare {
            Some(unit) if is_number => format!("{}{}", scalar.text, unit.suffix()),
            _ => scalar.text.to_string(),
        };
        let wrong = match mesh_core::duration::parse(&text) {
            Ok(duration) if (self.least..=self.most).contains(&duration) => return Some(duration),
            Ok(_) => expected(),
            Err(_) if is_number && self.bare.is_none() => {
                let number = &scalar.text;
                let hint = format!("a number needs its unit here: \"{number}s\" or \"{number}ms\"");
                expected().hint(hint)
            }
            Err(error) => expected().because(error.reason()),
        };
        context.refuse(node.place, node.described(), wrong);
        None
    }

    fn schema(&self) -> Schema {
        Schema::Duration {
            bare: self.bare,
            least: self.least,
            most: self.most,
        }
    }
}

impl Shown for Span {
    fn shown(&self, value: &Duration) -> serde_json::Value {
        mesh_core::duration::display(*value).to_string().into()
    }
}

/// A size in bytes, at least `least`.
pub(in super::super) fn size(least: u64, most: u64) -> Size {
    Size { least, most }
}

/// See [`size`].
#[derive(Clone, Copy)]
pub(in super::super) struct Size {
    least: u64,
    most: u64,
}

impl Shape for Size {
    type Value = u64;

    fn read(&self, node: &Node, context: &mut Context) -> Option<u64> {
        let expected = || Wrong::expected(self.schema().to_string());
        let Some(scalar) = node.scalar().filter(|scalar| scalar.boolean().is_none()) else {
            context.refuse(node.place, node.described(), expected());
            return None;
        };
        let wrong = match mesh_core::size::parse(&scalar.text) {
            Ok(size) if (self.least..=self.most).contains(&size) => return Some(size),
            Ok(_) => expected(),
            Err(error) => expected().because(error.reason()),
        };
        context.refuse(node.place, node.described(), wrong);
        None
    }

    fn schema(&self) -> Schema {
        Schema::Size {
            least: self.least,
            most: self.most,
        }
    }
}

impl Shown for Size {
    fn shown(&self, value: &u64) -> serde_json::Value {
        mesh_core::size::display(*value).to_string().into()
    }
}
