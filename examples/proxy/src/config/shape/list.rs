//! Lists, and mappings whose keys are the user's.

use super::{Shape, Shown};
use crate::config::context::{Context, Wrong};
use crate::config::schema::Schema;
use crate::config::yaml::{Node, quoted};

/// A list. One item that does not fit does not hide what is wrong with the others.
pub(in super::super) fn list<S: Shape>(item: S) -> List<S> {
    List { item, fewest: 0 }
}

/// See [`list`].
pub(in super::super) struct List<S> {
    item: S,
    fewest: usize,
}

impl<S> List<S> {
    /// With at least one item.
    #[must_use]
    pub(in super::super) fn not_empty(mut self) -> Self {
        self.fewest = 1;
        self
    }
}

impl<S: Shape> Shape for List<S> {
    type Value = Vec<S::Value>;

    fn read(&self, node: &Node, context: &mut Context) -> Option<Vec<S::Value>> {
        let Some(items) = node.items() else {
            let wrong = Wrong::expected(self.schema().to_string());
            let wrong = if node.is_nothing() {
                wrong.hint("leave the key out, or write [] for an empty list")
            } else if node.scalar().is_some() {
                wrong.hint("put it in brackets: [ … ]")
            } else {
                wrong
            };
            context.refuse(node.place, node.described(), wrong);
            return None;
        };
        if items.len() < self.fewest {
            let wrong = Wrong::expected("at least one item");
            context.refuse(node.place, node.described(), wrong);
            return None;
        }
        let read: Vec<_> = items
            .iter()
            .enumerate()
            .map(|(index, item)| match context.is_full() {
                true => None,
                false => context.within(index, |context| self.item.read(item, context)),
            })
            .collect();
        read.into_iter().collect()
    }

    fn schema(&self) -> Schema {
        Schema::List {
            item: Box::new(self.item.schema()),
            fewest: self.fewest,
        }
    }
}

impl<S: Shown> Shown for List<S> {
    fn shown(&self, value: &Self::Value) -> serde_json::Value {
        value.iter().map(|item| self.item.shown(item)).collect()
    }
}

/// A mapping whose keys are the user's.
pub(in super::super) fn map_of<K, V: Shape>(key: fn(&str) -> Result<K, Wrong>, value: V) -> MapOf<K, V> {
    MapOf { key, value }
}

/// See [`map_of`].
pub(in super::super) struct MapOf<K, V> {
    key: fn(&str) -> Result<K, Wrong>,
    value: V,
}

impl<K, V: Shape> Shape for MapOf<K, V> {
    type Value = Vec<(K, V::Value)>;

    fn read(&self, node: &Node, context: &mut Context) -> Option<Self::Value> {
        let Some(entries) = node.entries() else {
            let wrong = Wrong::expected(self.schema().to_string());
            context.refuse(node.place, node.described(), wrong);
            return None;
        };
        let read: Vec<_> = entries
            .iter()
            .map(|entry| {
                if context.is_full() {
                    return None;
                }
                context.within(&*entry.key, |context| {
                    let value = self.value.read(&entry.value, context);
                    match (self.key)(&entry.key) {
                        Ok(key) => Some((key, value?)),
                        Err(wrong) => {
                            let found = format!("the key {:?}", quoted(&entry.key));
                            context.refuse(entry.key_place, found, wrong);
                            None
                        }
                    }
                })
            })
            .collect();
        read.into_iter().collect()
    }

    fn schema(&self) -> Schema {
        Schema::Map(Box::new(self.value.schema()))
    }
}
