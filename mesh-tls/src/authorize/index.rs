//! Finds the rules that can hold without trying all of them.
//!
//! A rule stands under the identities or under the paths it asks for, whichever fewer rules share, in a tree of segments;
//! a rule that asks for neither stands in `rest` and is always tried. What is skipped could not have held, so the outcome
//! is that of trying all in order.

use std::collections::HashMap;

use mesh_core::SpiffeId;

use super::pattern::{Part, Pattern};
use super::reading::Segments;
use super::source::Source;

/// Places of rules, ascending.
type Bucket = Vec<usize>;

#[derive(Debug, Default)]
pub(super) struct Index {
    identities: Tree,
    unauthenticated: Bucket,
    paths: Tree,
    rest: Bucket,
}

/// What a rule asks for, as far as it can be looked up.
type Asked<'c> = (Option<&'c [Source]>, Option<&'c [Pattern]>);

impl Index {
    /// Indexes rules by their order.
    pub(super) fn build<'c>(rules: impl Iterator<Item = Asked<'c>> + Clone) -> Self {
        let mut sharing = Sharing::default();
        for (sources, paths) in rules.clone() {
            for source in sources.into_iter().flatten() {
                *sharing.sources.entry(source).or_default() += 1;
            }
            for path in paths.into_iter().flatten() {
                *sharing.paths.entry(path).or_default() += 1;
            }
        }
        let mut index = Self::default();
        for (place, (sources, paths)) in rules.enumerate() {
            match (sharing.of_sources(sources), sharing.of_paths(paths)) {
                (Some(by_source), by_path) if by_path.is_none_or(|by_path| by_source < by_path) => {
                    sources
                        .into_iter()
                        .flatten()
                        .for_each(|source| index.put_source(source, place));
                }
                (_, Some(_)) => paths
                    .into_iter()
                    .flatten()
                    .for_each(|path| index.paths.put(path, place)),
                _ => index.rest.push(place),
            }
        }
        index
    }

    fn put_source(&mut self, source: &Source, place: usize) {
        match source {
            Source::Identity(identity) => self.identities.put(identity.pattern(), place),
            Source::Unauthenticated => put(&mut self.unauthenticated, place),
            Source::Authenticated => put(&mut self.rest, place),
        }
    }

    /// The lowest place whose rule `holds`, of a peer with this identity that asks for this path.
    pub(super) fn first(
        &self,
        identity: Option<&SpiffeId>,
        path: Option<Segments<'_>>,
        holds: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let mut best = None;
        let mut search = |bucket: &Bucket| {
            let better = bucket
                .iter()
                .take_while(|place| best.is_none_or(|best| **place < best));
            if let Some(found) = better.into_iter().find(|place| holds(**place)) {
                best = Some(*found);
            }
        };
        search(&self.rest);
        match identity {
            Some(identity) => self
                .identities
                .visit(Segments::of_identity(identity), &mut search),
            None => search(&self.unauthenticated),
        }
        if let Some(path) = path {
            self.paths.visit(path, &mut search);
        }
        best
    }
}

/// How many rules ask for the same.
#[derive(Default)]
struct Sharing<'c> {
    sources: HashMap<&'c Source, usize>,
    paths: HashMap<&'c Pattern, usize>,
}

impl Sharing<'_> {
    /// The most that share one of them; nothing if they cannot be looked up.
    fn of_sources(&self, sources: Option<&[Source]>) -> Option<usize> {
        let sources = sources?;
        let known = |source: &Source| *source != Source::Authenticated;
        let most = sources.iter().filter_map(|source| self.sources.get(source)).max();
        most.copied().filter(|_| sources.iter().all(known))
    }

    fn of_paths(&self, paths: Option<&[Pattern]>) -> Option<usize> {
        let paths = paths?;
        let most = paths.iter().filter_map(|path| self.paths.get(path)).max();
        most.copied().filter(|_| paths.iter().all(Pattern::has_literal))
    }
}

/// Patterns by their segments.
#[derive(Debug, Default)]
struct Tree {
    literals: HashMap<Box<[u8]>, Self>,
    any: Option<Box<Self>>,
    /// Of patterns that end here.
    here: Bucket,
    /// Of patterns after which anything may follow.
    open: Bucket,
}

impl Tree {
    fn put(&mut self, pattern: &Pattern, place: usize) {
        let mut node = self;
        for part in &pattern.parts {
            node = match part {
                Part::Any => node.any.get_or_insert_default(),
                Part::Literal(literal) => node.literals.entry(literal.clone()).or_default(),
            };
        }
        put(
            if pattern.open {
                &mut node.open
            } else {
                &mut node.here
            },
            place,
        );
    }

    /// Every bucket of patterns that match. As deep as the longest pattern, however long the text is.
    fn visit(&self, segments: Segments<'_>, see: &mut impl FnMut(&Bucket)) {
        see(&self.open);
        let Some((segment, rest)) = segments.split() else {
            see(&self.here);
            return;
        };
        if let Some(node) = self.literals.get(segment) {
            node.visit(rest, see);
        }
        if let Some(node) = self.any.as_deref().filter(|_| !segment.is_empty()) {
            node.visit(rest, see);
        }
    }
}

/// A rule may name one thing twice.
fn put(bucket: &mut Bucket, place: usize) {
    if bucket.last() != Some(&place) {
        bucket.push(place);
    }
}
