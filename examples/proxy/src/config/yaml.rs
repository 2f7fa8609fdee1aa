//! YAML as a tree in which every node knows where it stands.
//!
//! A library that fills structs stops at the first thing that does not fit. The report is to name all of them, so
//! the text becomes a tree first, and the sections read the tree.

mod build;
mod scalar;

pub(super) use scalar::quoted;

use std::sync::Arc;

use super::context::Step;
use super::report::Problem;

/// Where a node begins, and how wide it is on its first line. Lines and columns count from 1, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) line: u32,
    pub(super) column: u32,
    pub(super) width: u32,
}

impl Place {
    /// The beginning of the text.
    pub(super) const START: Self = Self {
        line: 1,
        column: 1,
        width: 0,
    };
}

/// A value and where it stands.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
    /// How many nodes it is when every alias is replaced by what it stands for.
    size: usize,
}

/// A value. Aliases are resolved, and share what they stand for.
#[derive(Debug)]
pub(super) enum Value {
    /// A word, a number, a text. Which of them, the reader decides by YAML 1.2's core schema.
    Scalar(Scalar),
    /// A list.
    List(Vec<Arc<Node>>),
    /// A mapping; keys once each, in the order of the text.
    Map(Vec<Entry>),
}

/// A scalar as it was written.
#[derive(Debug)]
pub(super) struct Scalar {
    pub(super) text: Box<str>,
    /// Neither quoted nor a block: may be a number, `true`, `false` or nothing.
    pub(super) plain: bool,
}

/// A key and its value.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: Box<str>,
    pub(super) key_place: Place,
    pub(super) value: Arc<Node>,
}

impl Node {
    /// The entries of a mapping.
    pub(super) fn entries(&self) -> Option<&[Entry]> {
        match &self.value {
            Value::Map(entries) => Some(entries),
            Value::Scalar(_) | Value::List(_) => None,
        }
    }

    /// The items of a list.
    pub(super) fn items(&self) -> Option<&[Arc<Self>]> {
        match &self.value {
            Value::List(items) => Some(items),
            Value::Scalar(_) | Value::Map(_) => None,
        }
    }

    /// The value of a key of a mapping.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|entry| &*entry.value)
    }

    /// What stands there, or where that was not written, the nearest above it.
    pub(super) fn nearest(&self, steps: &[Step]) -> &Self {
        let mut node = self;
        for step in steps {
            let below = match step {
                Step::Key(key) => node.get(key),
                Step::Index(index) => node
                    .items()
                    .and_then(|items| items.get(*index))
                    .map(|item| &**item),
            };
            match below {
                Some(below) => node = below,
                None => break,
            }
        }
        node
    }

    /// Where a character of a text stands, counted from 1; where that cannot be told, where the text does.
    pub(super) fn place_within(&self, column: Option<usize>) -> Place {
        let (Some(column), Value::Scalar(scalar)) = (column, &self.value) else {
            return self.place;
        };
        let width = self.place.width as usize;
        let length = scalar.text.chars().count();
        let quote = match (scalar.plain, width.checked_sub(length)) {
            (true, Some(0)) => 0,
            (false, Some(2)) => 1,
            // Of several lines, or with escapes.
            _ => return self.place,
        };
        let offset = u32::try_from(column.saturating_sub(1) + quote).unwrap_or(0);
        Place {
            line: self.place.line,
            column: self.place.column.saturating_add(offset),
            width: 1,
        }
    }

    /// A key of a mapping.
    pub(super) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries()?.iter().find(|entry| &*entry.key == key)
    }
}

/// Reads a text. The documents of a stream are taken as one mapping; a key of two documents is there twice.
///
/// Gives the tree, as far as there is one, and what is wrong with the text.
pub(super) fn read(text: &str) -> (Option<Arc<Node>>, Vec<Problem>) {
    build::build(text)
}

/// Reads a text as a stream of documents. Empty ones are left out.
pub(super) fn read_all(text: &str) -> (Vec<Arc<Node>>, Vec<Problem>) {
    build::build_all(text)
}

#[cfg(test)]
mod tests;
