//! Mappings with known keys.

use super::{Fields, Shape};
use crate::config::context::{Context, Wrong};
use crate::config::schema::Schema;
use crate::config::yaml::{Entry, Node, Place};

/// A mapping with known keys, read by a function.
pub(in super::super) fn object<T, F: Fn(&mut Fields<'_>) -> Option<T>>(reader: F) -> Object<F> {
    Object { reader }
}

/// See [`object`].
pub(in super::super) struct Object<F> {
    reader: F,
}

impl<T, F: Fn(&mut Fields<'_>) -> Option<T>> Object<F> {
    pub(super) fn read_entries(&self, place: Place, entries: &[Entry], context: &mut Context) -> Option<T> {
        Fields::read(context, place, entries, &self.reader)
    }
}

impl<T, F: Fn(&mut Fields<'_>) -> Option<T>> Shape for Object<F> {
    type Value = T;

    fn read(&self, node: &Node, context: &mut Context) -> Option<T> {
        match node.entries() {
            Some(entries) => self.read_entries(node.place, entries, context),
            None => {
                let mut wrong = Wrong::expected(self.schema().to_string());
                if node.is_nothing() {
                    wrong = wrong.hint("leave the key out, or write {} for a mapping without keys");
                }
                context.refuse(node.place, node.described(), wrong);
                None
            }
        }
    }

    fn schema(&self) -> Schema {
        Schema::Object(Fields::describe(&self.reader))
    }
}

/// One shape for scalars, another for mappings: `127.0.0.1:4001` or `{ address: … }`.
pub(in super::super) fn either<T, A: Shape<Value = T>, B: Shape<Value = T>>(
    scalar: A,
    mapping: B,
) -> Either<A, B> {
    Either {
        scalar,
        other: mapping,
        is_other: |node| node.entries().is_some(),
    }
}

/// See [`either`] and [`either_list`].
pub(in super::super) struct Either<A, B> {
    scalar: A,
    other: B,
    is_other: fn(&Node) -> bool,
}

/// One shape for scalars, another for lists: `v2` or `[v2, v3]`.
pub(in super::super) fn either_list<T, A: Shape<Value = T>, B: Shape<Value = T>>(
    scalar: A,
    list: B,
) -> Either<A, B> {
    Either {
        scalar,
        other: list,
        is_other: |node| node.items().is_some(),
    }
}

impl<T, A: Shape<Value = T>, B: Shape<Value = T>> Shape for Either<A, B> {
    type Value = T;

    fn read(&self, node: &Node, context: &mut Context) -> Option<T> {
        if (self.is_other)(node) {
            return self.other.read(node, context);
        }
        if node.scalar().is_some() {
            return self.scalar.read(node, context);
        }
        let wrong = Wrong::expected(self.schema().to_string());
        context.refuse(node.place, node.described(), wrong);
        None
    }

    fn schema(&self) -> Schema {
        Schema::OneOf(vec![self.scalar.schema(), self.other.schema()])
    }
}
