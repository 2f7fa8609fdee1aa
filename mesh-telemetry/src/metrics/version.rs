//! `http_requests_total`: what analysis queries ask for, by service, version and code.

use std::sync::Arc;

use ::metrics::Counter;

use crate::labels::StatusLabel;
use crate::registry::{GrowOnly, Series, names};

/// Service and version, as label values.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct VersionKey {
    pub(crate) service: Arc<str>,
    pub(crate) version: Arc<str>,
}

pub(crate) struct VersionMetrics {
    key: VersionKey,
    job: String,
    codes: GrowOnly<Code>,
}

struct Code {
    status: StatusLabel,
    requests: Counter,
}

/// Known before they happen, so that a rate sees the first of them.
const KNOWN: [u16; 5] = [200, 500, 502, 503, 504];

impl VersionMetrics {
    pub(crate) fn new(series: &Series, key: &VersionKey) -> Self {
        let job = format!("{}-{}", key.service, key.version);
        let metrics = Self {
            key: key.clone(),
            job,
            codes: GrowOnly::new(),
        };
        for code in KNOWN
            .iter()
            .filter_map(|code| http::StatusCode::from_u16(*code).ok())
        {
            metrics.code(series, StatusLabel::of(code)).increment(0);
        }
        metrics
    }

    /// The counter of a code, made now if there is none.
    pub(crate) fn code(&self, series: &Series, status: StatusLabel) -> Counter {
        // Neighbours in number become neighbours in the table.
        let hash = status.number() << 32;
        let make = || {
            let labels = [
                ("service", &*self.key.service),
                ("version", &*self.key.version),
                ("code", &*status.text()),
                ("job", &*self.job),
            ];
            Some(Code {
                status,
                requests: series.counter(names::HTTP_REQUESTS, &labels),
            })
        };
        let code = self
            .codes
            .get_or_insert_with(hash, |code| code.status == status, make);
        code.map_or_else(Counter::noop, |code| code.requests.clone())
    }

    /// Keeps the series on the page.
    pub(crate) fn touch(&self) {
        self.codes.settled(|code| code.requests.increment(0));
    }
}
