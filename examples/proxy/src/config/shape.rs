//! Shapes: what a value may look like. A shape reads a value and describes itself, so that what is accepted and
//! what the JSON Schema and the documentation say come from one place.

mod fields;
mod list;
mod number;
mod object;
mod parsed;
mod span;
mod text;
mod then;
mod word;

use super::context::Context;
use super::schema::Schema;
use super::yaml::Node;

pub(super) use fields::Fields;
pub(super) use list::{list, map_of};
pub(super) use number::{boolean, integer, percent, ratio, requests_per_second};
pub(super) use object::{Object, either, either_list, object};
pub(super) use parsed::parsed;
pub(super) use span::{Span, duration, size};
pub(super) use text::{path, text, written};
pub(super) use then::then;
pub(super) use word::word;

/// What a value may look like.
pub(super) trait Shape {
    /// What is read.
    type Value;

    /// Reads a value. `None`: it does not fit, and the context has been told why.
    fn read(&self, node: &Node, context: &mut Context) -> Option<Self::Value>;

    /// What it looks like.
    fn schema(&self) -> Schema;
}

/// A shape whose values can be written in configuration again: needed to tell a default.
pub(super) trait Shown: Shape {
    /// The value as JSON, as configuration writes it.
    fn shown(&self, value: &Self::Value) -> serde_json::Value;
}
