//! Words out of a fixed choice.

use super::{Shape, Shown};
use crate::config::context::{Context, Wrong};
use crate::config::near::nearest;
use crate::config::schema::Schema;
use crate::config::yaml::Node;

/// One word of a choice.
pub(in super::super) fn word<T: Copy + PartialEq + 'static>(choice: &'static [(&'static str, T)]) -> Word<T> {
    Word { choice }
}

/// See [`word`].
pub(in super::super) struct Word<T: 'static> {
    choice: &'static [(&'static str, T)],
}

impl<T: Copy> Word<T> {
    fn words(&self) -> impl Iterator<Item = &'static str> + use<T> {
        self.choice.iter().map(|(word, _)| *word)
    }
}

impl<T: Copy + PartialEq> Shape for Word<T> {
    type Value = T;

    fn read(&self, node: &Node, context: &mut Context) -> Option<T> {
        let found = node.scalar().map(|scalar| &*scalar.text);
        let known = self.choice.iter().find(|(word, _)| found == Some(*word));
        if let Some((_, value)) = known {
            return Some(*value);
        }
        let near = found.and_then(|found| nearest(found, self.words()));
        let wrong = Wrong::expected(self.schema().to_string()).meant(near);
        context.refuse(node.place, node.described(), wrong);
        None
    }

    fn schema(&self) -> Schema {
        Schema::Word(self.words().collect())
    }
}

impl<T: Copy + PartialEq> Shown for Word<T> {
    fn shown(&self, value: &T) -> serde_json::Value {
        let word = self.choice.iter().find(|(_, known)| known == value);
        word.map_or(serde_json::Value::Null, |(word, _)| (*word).into())
    }
}
