//! The keys of a mapping.

use super::{Shape, Shown};
use crate::config::context::{Context, Step, Wrong, steps_of};
use crate::config::near::nearest;
use crate::config::origin::Origin;
use crate::config::schema::Field;
use crate::config::yaml::{Entry, Node, Place, quoted};

/// The keys of a mapping, asked for one by one. A key that nobody asks for is refused.
///
/// A reader asks for all its keys before it gives up on any, so that all problems are told and the description is
/// whole.
pub(in super::super) struct Fields<'a> {
    context: &'a mut Context,
    place: Place,
    source: Source<'a>,
    known: Vec<&'static str>,
}

enum Source<'a> {
    /// A mapping of the file.
    Written(&'a [Entry]),
    /// Nothing is read; what is asked for is noted down.
    Describing(Vec<Field>),
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "a shape is made where it is asked for"
)]
impl<'a> Fields<'a> {
    /// Reads a mapping, and refuses the keys that were not asked for.
    pub(super) fn read<T>(
        context: &'a mut Context,
        place: Place,
        entries: &'a [Entry],
        reader: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<T> {
        let mut fields = Self {
            context,
            place,
            source: Source::Written(entries),
            known: Vec::new(),
        };
        let value = reader(&mut fields);
        fields.refuse_unknown(entries);
        value
    }

    /// Notes down what a reader asks for.
    pub(super) fn describe<T>(reader: impl FnOnce(&mut Fields<'_>) -> Option<T>) -> Vec<Field> {
        let mut context = Context::new("");
        let mut fields = Fields {
            context: &mut context,
            place: Place::START,
            source: Source::Describing(Vec::new()),
            known: Vec::new(),
        };
        // What is read from nothing means nothing.
        let _ = reader(&mut fields);
        match fields.source {
            Source::Describing(described) => described,
            Source::Written(_) => Vec::new(),
        }
    }

    /// A key that has to be there.
    pub(in super::super) fn required<S: Shape>(&mut self, key: &'static str, shape: S) -> Option<S::Value> {
        self.ask(key, true, None, &shape);
        match self.node(key) {
            Some(node) => self.context.within(key, |context| shape.read(node, context)),
            None => {
                if self.is_written() {
                    self.missing(key, Wrong::expected(shape.schema().to_string()));
                }
                None
            }
        }
    }

    /// A key that may be left out. `None` also if it does not fit.
    pub(in super::super) fn optional<S: Shape>(&mut self, key: &'static str, shape: S) -> Option<S::Value> {
        self.ask(key, false, None, &shape);
        let node = self.node(key)?;
        self.context.within(key, |context| shape.read(node, context))
    }

    /// A key that has a default. The default also if it does not fit: then nothing comes of the file anyway.
    pub(in super::super) fn or<S: Shown>(
        &mut self,
        key: &'static str,
        shape: S,
        default: S::Value,
    ) -> S::Value {
        self.ask(key, false, Some(shape.shown(&default)), &shape);
        match self.node(key) {
            Some(node) => self
                .context
                .within(key, |context| shape.read(node, context))
                .unwrap_or(default),
            None => default,
        }
    }

    /// A mapping that is read as an empty one if it is not there, so that its defaults stand in one place.
    pub(in super::super) fn part<T>(
        &mut self,
        key: &'static str,
        shape: super::Object<impl Fn(&mut Fields<'_>) -> Option<T>>,
    ) -> Option<T> {
        self.ask(key, false, None, &shape);
        let place = self.place;
        match self.node(key) {
            Some(node) => self.context.within(key, |context| shape.read(node, context)),
            None => self
                .context
                .within(key, |context| shape.read_entries(place, &[], context)),
        }
    }

    /// What a reader makes of a mapping without keys.
    pub(in super::super) fn unwritten<T>(
        &mut self,
        reader: impl FnOnce(&mut Fields<'_>) -> Option<T>,
    ) -> Option<T> {
        Fields::read(self.context, self.place, &[], reader)
    }

    /// Whether a key was written.
    pub(in super::super) fn has(&self, key: &str) -> bool {
        self.node(key).is_some()
    }

    /// Whether a mapping is being read at all, rather than described.
    pub(in super::super) fn is_written(&self) -> bool {
        matches!(self.source, Source::Written(_))
    }

    /// Whether the mapping has no key.
    pub(in super::super) fn is_empty(&self) -> bool {
        matches!(self.source, Source::Written([]))
    }

    /// The value of a key.
    pub(in super::super) fn node(&self, key: &str) -> Option<&'a Node> {
        self.entry(key).map(|entry| &*entry.value)
    }

    /// Where a key's value stands; without one, where the mapping does.
    pub(in super::super) fn place(&self, key: &str) -> Place {
        self.node(key).map_or(self.place, |node| node.place)
    }

    /// Where the mapping stands.
    pub(in super::super) fn origin(&self) -> Origin {
        self.context.origin(self.place)
    }

    /// Says that a key's value does not go with others.
    pub(in super::super) fn refuse(&mut self, key: &'static str, found: impl Into<String>, wrong: Wrong) {
        if self.is_written() {
            let place = self.place(key);
            self.context
                .within(key, |context| context.refuse(place, found, wrong));
        }
    }

    /// Says what is wrong with a key further down, as `stages[1].weight`.
    pub(in super::super) fn refuse_below(&mut self, path: &str, found: impl Into<String>, wrong: Wrong) {
        if !self.is_written() {
            return;
        }
        let steps = steps_of(path);
        let mut place = self.place;
        if let Some((Step::Key(first), rest)) = steps.split_first()
            && let Some(node) = self.node(first)
        {
            place = node.nearest(rest).place;
        }
        let found = found.into();
        let refuse = |context: &mut Context| context.refuse(place, found, wrong);
        self.context.below(steps, refuse);
    }

    /// Says what is wrong with a character of a key's text, counted from 1.
    pub(in super::super) fn refuse_within(
        &mut self,
        key: &'static str,
        column: Option<usize>,
        found: impl Into<String>,
        wrong: Wrong,
    ) {
        if self.is_written() {
            let place = self
                .node(key)
                .map_or(self.place, |node| node.place_within(column));
            self.context
                .within(key, |context| context.refuse(place, found, wrong));
        }
    }

    /// Tells of a character of a key's text what is hardly meant.
    pub(in super::super) fn advise_within(
        &mut self,
        key: &'static str,
        column: Option<usize>,
        message: impl Into<String>,
    ) {
        if self.is_written() {
            let place = self
                .node(key)
                .map_or(self.place, |node| node.place_within(column));
            self.context.within(key, |context| context.advise(place, message));
        }
    }

    /// Says that the mapping as a whole does not fit.
    pub(in super::super) fn refuse_whole(&mut self, found: impl Into<String>, wrong: Wrong) {
        if self.is_written() {
            self.context.refuse(self.place, found, wrong);
        }
    }

    /// Says that a key is missing that others make necessary.
    pub(in super::super) fn missing(&mut self, key: &'static str, wrong: Wrong) {
        self.refuse(key, format!("no {key:?}"), wrong);
    }

    /// Tells what may be used but is hardly what was meant.
    pub(in super::super) fn advise(&mut self, key: &'static str, message: impl Into<String>) {
        if self.is_written() {
            let place = self.place(key);
            self.context.within(key, |context| context.advise(place, message));
        }
    }

    fn entry(&self, key: &str) -> Option<&'a Entry> {
        match &self.source {
            Source::Written(entries) => entries.iter().find(|entry| &*entry.key == key),
            Source::Describing(_) => None,
        }
    }

    fn ask<S: Shape>(
        &mut self,
        key: &'static str,
        required: bool,
        default: Option<serde_json::Value>,
        shape: &S,
    ) {
        match &mut self.source {
            Source::Written(_) => self.known.push(key),
            Source::Describing(described) => described.push(Field {
                key,
                required,
                default,
                schema: shape.schema(),
            }),
        }
    }

    fn refuse_unknown(&mut self, entries: &[Entry]) {
        for entry in entries {
            let key = &*entry.key;
            if self.known.contains(&key) || self.context.is_full() {
                continue;
            }
            let free = |known: &&str| !entries.iter().any(|entry| &*entry.key == *known);
            let mut wrong = Wrong::expected(format!("one of the keys {}", self.known.join(", ")));
            wrong = match nearest(key, self.known.iter().copied().filter(free)) {
                Some(near) => wrong.meant(Some(near)),
                None if key == "<<" => wrong.hint("merge keys are no part of YAML 1.2; write the keys out"),
                None => wrong,
            };
            let found = format!("the unknown key {:?}", quoted(key));
            self.context
                .within(key, |context| context.refuse(entry.key_place, found, wrong));
        }
    }
}
