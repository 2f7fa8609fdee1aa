//! Texts with a grammar: names, addresses, identities.

use std::fmt;

use super::text::text_of;
use super::{Shape, Shown};
use crate::config::context::{Context, Wrong};
use crate::config::schema::Schema;
use crate::config::yaml::Node;

/// A text that `parse` takes.
pub(in super::super) fn parsed<T, F: Fn(&str) -> Result<T, Wrong>>(
    what: &'static str,
    parse: F,
) -> Parsed<F> {
    Parsed {
        what,
        any: false,
        parse,
    }
}

/// See [`parsed`].
pub(in super::super) struct Parsed<F> {
    what: &'static str,
    any: bool,
    parse: F,
}

impl<F> Parsed<F> {
    /// Also what looks like a number or a truth is taken as the text that was written.
    #[must_use]
    pub(in super::super) fn verbatim(mut self) -> Self {
        self.any = true;
        self
    }
}

impl<T, F: Fn(&str) -> Result<T, Wrong>> Shape for Parsed<F> {
    type Value = T;

    fn read(&self, node: &Node, context: &mut Context) -> Option<T> {
        let Some(scalar) = node.scalar() else {
            context.refuse(node.place, node.described(), Wrong::expected(self.what));
            return None;
        };
        match (self.parse)(&scalar.text) {
            // A number or a truth that would do in quotes.
            Ok(_) if !self.any && !scalar.is_text() => {
                text_of(node, self.what, context);
                None
            }
            Ok(value) => Some(value),
            Err(wrong) => {
                context.refuse(node.place, node.described(), wrong);
                None
            }
        }
    }

    fn schema(&self) -> Schema {
        Schema::Text {
            what: self.what,
            any: self.any,
        }
    }
}

impl<T: fmt::Display, F: Fn(&str) -> Result<T, Wrong>> Shown for Parsed<F> {
    fn shown(&self, value: &T) -> serde_json::Value {
        value.to_string().into()
    }
}
