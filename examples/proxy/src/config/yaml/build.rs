//! Builds the tree from the parser's events, within bounds.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span, Tag};

use super::{Entry, Node, Place, Scalar, Value, quoted};
use crate::config::report::Problem;

/// How deep lists and mappings may stand in each other. The schema needs ten.
const DEEPEST: usize = 64;

/// How many nodes there may be when every alias is replaced by what it stands for.
const MOST_NODES: usize = 200_000;

pub(super) fn build(text: &str) -> (Option<Arc<Node>>, Vec<Problem>) {
    match read(text) {
        Ok(builder) => builder.finish(),
        Err(problems) => (None, problems),
    }
}

/// The documents by themselves, without the empty ones.
pub(super) fn build_all(text: &str) -> (Vec<Arc<Node>>, Vec<Problem>) {
    match read(text) {
        Ok(mut builder) => {
            builder.documents.retain(|document| !document.is_nothing());
            (builder.documents, builder.problems)
        }
        Err(problems) => (Vec::new(), problems),
    }
}

fn read(text: &str) -> Result<Builder, Vec<Problem>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if let Some(problem) = unprintable(text) {
        return Err(vec![problem]);
    }
    let mut builder = Builder::default();
    match builder.read(text) {
        Ok(()) => Ok(builder),
        Err(problem) => {
            builder.problems.push(problem);
            Err(builder.problems)
        }
    }
}

/// Characters that YAML does not allow. The parser would take a NUL for the end of the text.
fn unprintable(text: &str) -> Option<Problem> {
    for (line, content) in (1..).zip(text.split('\n')) {
        let bad = |c: char| c.is_control() && !matches!(c, '\t' | '\r' | '\u{85}');
        if let Some((column, found)) = (1..).zip(content.chars()).find(|(_, c)| bad(*c)) {
            let place = Place {
                line,
                column,
                width: 1,
            };
            let found = format!("the control character U+{:04X}", u32::from(found));
            let expected = "text; in a quoted value, control characters are written as \"\\u0007\"";
            return Some(Problem::new(place, "", found, expected));
        }
    }
    None
}

/// A list or mapping whose end has not come yet.
struct Open {
    anchor: usize,
    place: Place,
    size: usize,
    items: Items,
}

enum Items {
    List(Vec<Arc<Node>>),
    Map {
        entries: Vec<Entry>,
        /// Where each key stands.
        keys: HashMap<Box<str>, Place>,
        key: Option<(Box<str>, Place)>,
    },
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    anchors: HashMap<usize, Arc<Node>>,
    documents: Vec<Arc<Node>>,
    nodes: usize,
    problems: Vec<Problem>,
}

impl Builder {
    fn read(&mut self, text: &str) -> Result<(), Problem> {
        let mut parser = Parser::new_from_str(text);
        while let Some(event) = parser.next_event() {
            let (event, span) = event.map_err(|error| {
                let place = at(*error.marker());
                Problem::new(place, self.path(), syntax(error.info()), "well-formed YAML 1.2")
            })?;
            self.take(event, place_of(span))?;
        }
        Ok(())
    }

    fn take(&mut self, event: Event<'_>, place: Place) -> Result<(), Problem> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let plain = match tag_of(tag) {
                    Some(tag) if tag == "str" => false,
                    None => style == ScalarStyle::Plain,
                    Some(tag) => return Err(self.unknown_tag(&tag, place)),
                };
                let text = text.into();
                let value = Value::Scalar(Scalar { text, plain });
                self.complete(anchor, place, value, 1)
            }
            Event::SequenceStart(anchor, tag) => self.begin(anchor, place, tag, Items::List(Vec::new())),
            Event::MappingStart(anchor, tag) => {
                let items = Items::Map {
                    entries: Vec::new(),
                    keys: HashMap::new(),
                    key: None,
                };
                self.begin(anchor, place, tag, items)
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(open) => {
                    let value = match open.items {
                        Items::List(items) => Value::List(items),
                        Items::Map { entries, .. } => Value::Map(entries),
                    };
                    self.complete(open.anchor, open.place, value, open.size)
                }
                None => Ok(()),
            },
            Event::Alias(anchor) => match self.anchors.get(&anchor) {
                Some(node) => {
                    let node = Arc::clone(node);
                    self.place_node(node, place)
                }
                None => Err(Problem::new(
                    place,
                    self.path(),
                    "an alias inside of what it stands for",
                    "an alias of something complete",
                )),
            },
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
        }
    }

    fn begin(
        &mut self,
        anchor: usize,
        place: Place,
        tag: Option<Cow<'_, Tag>>,
        items: Items,
    ) -> Result<(), Problem> {
        let fits = match items {
            Items::List(_) => "seq",
            Items::Map { .. } => "map",
        };
        if let Some(tag) = tag_of(tag)
            && tag != fits
        {
            return Err(self.unknown_tag(&tag, place));
        }
        if self.open.len() >= DEEPEST {
            let found = format!("more than {DEEPEST} lists and mappings inside of each other");
            return Err(Problem::new(place, "", found, "fewer of them"));
        }
        self.open.push(Open {
            anchor,
            place,
            size: 1,
            items,
        });
        Ok(())
    }

    fn complete(&mut self, anchor: usize, place: Place, value: Value, size: usize) -> Result<(), Problem> {
        let node = Arc::new(Node { place, value, size });
        if anchor != 0 {
            self.anchors.insert(anchor, Arc::clone(&node));
        }
        self.place_node(node, place)
    }

    /// Puts a complete node where it belongs. `place` is where it is used, which an alias is not where it stands.
    fn place_node(&mut self, node: Arc<Node>, place: Place) -> Result<(), Problem> {
        self.nodes = self.nodes.saturating_add(1);
        let size = node.size;
        let too_many = || {
            let found = format!("more than {MOST_NODES} values, counting what aliases stand for");
            Problem::new(place, "", found, "fewer of them")
        };
        if self.nodes > MOST_NODES {
            return Err(too_many());
        }
        let Some(open) = self.open.last_mut() else {
            self.documents.push(node);
            return Ok(());
        };
        open.size = open.size.saturating_add(size);
        if open.size > MOST_NODES {
            return Err(too_many());
        }
        let (entries, keys, key) = match &mut open.items {
            Items::List(items) => {
                items.push(node);
                return Ok(());
            }
            Items::Map { entries, keys, key } => (entries, keys, key),
        };
        match key.take() {
            None => match &node.value {
                Value::Scalar(scalar) => *key = Some((scalar.text.clone(), place)),
                Value::List(_) | Value::Map(_) => {
                    let found = format!("{} as a key", node.described());
                    return Err(Problem::new(place, self.path(), found, "a word as a key")
                        .with_hint("a text that begins with { or [ is put in quotes"));
                }
            },
            Some((key, key_place)) => match keys.get(&key) {
                Some(&earlier) => self.twice(&key, key_place, earlier),
                None => {
                    keys.insert(key.clone(), key_place);
                    entries.push(Entry {
                        key,
                        key_place,
                        value: node,
                    });
                }
            },
        }
        Ok(())
    }

    fn twice(&mut self, key: &str, place: Place, earlier: Place) {
        let mut path = self.path();
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(&quoted(key));
        let found = format!("the key {:?} a second time", quoted(key));
        let expected = format!(
            "each key once; line {} has it already, at column {}",
            earlier.line, earlier.column
        );
        self.problems.push(Problem::new(place, path, found, expected));
    }

    fn unknown_tag(&self, tag: &str, place: Place) -> Problem {
        let found = format!("the tag {:?}", quoted(tag));
        Problem::new(place, self.path(), found, "a value without a tag")
    }

    /// The path of what is being read.
    fn path(&self) -> String {
        let mut path = String::new();
        for open in &self.open {
            match &open.items {
                Items::List(items) => path.push_str(&format!("[{}]", items.len())),
                Items::Map {
                    key: Some((key, _)), ..
                } => {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(&quoted(key));
                }
                Items::Map { key: None, .. } => {}
            }
        }
        path
    }

    /// Takes the documents as one.
    fn finish(mut self) -> (Option<Arc<Node>>, Vec<Problem>) {
        let mut documents = std::mem::take(&mut self.documents)
            .into_iter()
            .filter(|document| !document.is_nothing());
        let Some(first) = documents.next() else {
            return (None, self.problems);
        };
        let rest: Vec<_> = documents.collect();
        if rest.is_empty() {
            return (Some(first), self.problems);
        }
        let mut all: Vec<Entry> = Vec::new();
        let mut keys: HashMap<Box<str>, Place> = HashMap::new();
        for document in std::iter::once(first.clone()).chain(rest) {
            let Some(entries) = document.entries() else {
                let found = document.described();
                let problem = Problem::new(document.place, "", found, "a mapping in each document");
                self.problems.push(problem);
                continue;
            };
            for entry in entries {
                match keys.get(&entry.key) {
                    Some(&earlier) => self.twice(&entry.key, entry.key_place, earlier),
                    None => {
                        keys.insert(entry.key.clone(), entry.key_place);
                        all.push(Entry {
                            key: entry.key.clone(),
                            key_place: entry.key_place,
                            value: Arc::clone(&entry.value),
                        });
                    }
                }
            }
        }
        let node = Node {
            place: first.place,
            value: Value::Map(all),
            size: 1,
        };
        (Some(Arc::new(node)), self.problems)
    }
}

/// The name of a tag of YAML's own, or the whole of another.
fn tag_of(tag: Option<Cow<'_, Tag>>) -> Option<String> {
    tag.map(|tag| {
        if tag.is_yaml_core_schema() {
            tag.suffix.clone()
        } else {
            tag.to_string()
        }
    })
}

fn at(marker: Marker) -> Place {
    let from_one = |zero_based: usize| u32::try_from(zero_based).unwrap_or(u32::MAX - 1) + 1;
    Place {
        line: u32::try_from(marker.line()).unwrap_or(u32::MAX).max(1),
        column: from_one(marker.col()),
        width: 1,
    }
}

fn place_of(span: Span) -> Place {
    let mut place = at(span.start);
    if span.start.line() == span.end.line() {
        let width = span.end.col().saturating_sub(span.start.col());
        place.width = u32::try_from(width).unwrap_or(u32::MAX).max(1);
    }
    place
}

/// The parser's message, as the end of "found …".
fn syntax(info: &str) -> String {
    format!("a syntax error: {}", quoted(info))
}
