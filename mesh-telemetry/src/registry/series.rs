//! Makes series, within the budget of what requests may bring about.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use ::metrics::{Counter, Gauge, Key, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::PrometheusRecorder;

use crate::labels::Sources;
use crate::tap::Taps;

/// What the tables of series share.
pub(crate) struct Series {
    recorder: PrometheusRecorder,
    pub(crate) sources: Sources,
    pub(crate) budget: Budget,
    pub(crate) taps: Arc<Taps>,
}

const METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, Some(module_path!()));

impl Series {
    pub(crate) fn new(recorder: PrometheusRecorder, max_sources: u16, max_series: usize) -> Self {
        Self {
            recorder,
            sources: Sources::new(max_sources),
            budget: Budget::new(max_series),
            taps: Arc::default(),
        }
    }

    /// The counter of these labels; at 0 if it is new.
    pub(crate) fn counter(&self, name: &'static str, labels: &[(&'static str, &str)]) -> Counter {
        self.recorder.register_counter(&key(name, labels), &METADATA)
    }

    /// The gauge of these labels; at 0 if it is new.
    pub(crate) fn gauge(&self, name: &'static str, labels: &[(&'static str, &str)]) -> Gauge {
        self.recorder.register_gauge(&key(name, labels), &METADATA)
    }
}

fn key(name: &'static str, labels: &[(&'static str, &str)]) -> Key {
    let labels: Vec<Label> = labels
        .iter()
        .map(|(name, value)| Label::new(*name, (*value).to_owned()))
        .collect();
    Key::from_parts(name, labels)
}

/// How many combinations of labels requests may still bring about.
pub(crate) struct Budget {
    limit: usize,
    used: AtomicUsize,
    told: AtomicBool,
}

impl Budget {
    fn new(limit: usize) -> Self {
        Self {
            limit,
            used: AtomicUsize::new(0),
            told: AtomicBool::new(false),
        }
    }

    pub(crate) fn is_spent(&self) -> bool {
        self.used.load(Ordering::Relaxed) >= self.limit
    }

    /// Takes one, if there is one left. The first refusal is logged.
    pub(crate) fn take(&self) -> bool {
        let more = |used: usize| (used < self.limit).then_some(used + 1);
        let taken = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .is_ok();
        if !taken && !self.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                max_series = self.limit,
                "requests have more combinations of labels than are kept apart; further ones are counted \
                 with source_service, method and protocol \"other\": raise max_series if they are wanted"
            );
        }
        taken
    }

    pub(crate) fn give_back(&self, count: usize) {
        self.used.fetch_sub(count, Ordering::Relaxed);
    }
}
