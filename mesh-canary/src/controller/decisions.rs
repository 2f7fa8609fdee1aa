//! The newest decisions of a rollout, to be shown and told of.

use std::collections::VecDeque;

use crate::log::{Entry, Record};

/// So many are kept.
const MOST: usize = 100;

/// The newest decisions of the last rollout, with their positions in the log.
#[derive(Default)]
pub(super) struct Decisions {
    kept: VecDeque<(u64, Record)>,
    /// Up to which position somebody was told of them.
    told: Option<u64>,
}

impl Decisions {
    /// Takes the next record of the log.
    pub(super) fn read(&mut self, position: u64, record: &Record) {
        match record.entry {
            Entry::Started(_) => self.kept.clear(),
            Entry::Seen(_) => {}
            Entry::Decided(_) => {
                if self.kept.len() >= MOST {
                    self.kept.pop_front();
                }
                self.kept.push_back((position, record.clone()));
            }
        }
    }

    /// The log is read again from its beginning.
    pub(super) fn clear(&mut self) {
        self.kept.clear();
    }

    /// What lies before this position is of an earlier run, unless somebody has asked before.
    pub(super) fn begin_at(&mut self, position: u64) {
        self.told.get_or_insert(position);
    }

    /// All that are kept, the oldest first.
    pub(super) fn all(&self) -> impl DoubleEndedIterator<Item = &Record> {
        self.kept.iter().map(|(_, record)| record)
    }

    /// Those that were made since this was asked last, up to this position.
    pub(super) fn take_news(&mut self, until: u64) -> impl Iterator<Item = &Record> {
        let told = self.told.replace(until).unwrap_or(until);
        let news = self.kept.iter().filter(move |(position, _)| *position >= told);
        news.map(|(_, record)| record)
    }
}
