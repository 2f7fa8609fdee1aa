//! What becomes of a value once it was read.

use super::Shape;
use crate::config::context::Context;
use crate::config::origin::Origin;
use crate::config::schema::Schema;
use crate::config::yaml::Node;

/// A shape whose value becomes another, together with where it was written.
pub(in super::super) fn then<S: Shape, F>(shape: S, become_other: F) -> Then<S, F> {
    Then { shape, become_other }
}

/// See [`then`].
pub(in super::super) struct Then<S, F> {
    shape: S,
    become_other: F,
}

impl<S: Shape, T, F: Fn(S::Value, Origin) -> T> Shape for Then<S, F> {
    type Value = T;

    fn read(&self, node: &Node, context: &mut Context) -> Option<T> {
        let value = self.shape.read(node, context)?;
        Some((self.become_other)(value, context.origin(node.place)))
    }

    fn schema(&self) -> Schema {
        self.shape.schema()
    }
}
