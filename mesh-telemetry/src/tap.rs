//! Live requests, for whoever looks at this moment: filtered, so many a second, without bodies, queries or header fields.
//!
//! While nobody looks a request costs one load. Requests are shown when they are over.
//!
//! ```
//! use http::{Request, Response, StatusCode};
//! use mesh_core::context::{Direction, Target};
//! use mesh_telemetry::Telemetry;
//! use mesh_telemetry::tap::{Filter, Tapped};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), mesh_core::BoxError> {
//! let telemetry = Telemetry::new();
//! let orders = telemetry.route(&Target::service("orders".parse()?), Direction::Inbound);
//! let mut tap = telemetry.tap(Filter::default().status("5xx")?.path("/pay*"), 100).expect("there is room");
//! for (path, status) in [("/pay/7?card=4242", 503), ("/pay/8", 200), ("/cart", 503)] {
//!     let mut record = orders.begin(&Request::get(path).body(())?);
//!     record.answered(StatusCode::from_u16(status)?, None);
//! }
//! let Some(Tapped::Request(seen)) = tap.next().await else { panic!("one is shown") };
//! assert_eq!((&*seen.path, &*seen.status, &*seen.target), ("/pay/7", "503", "orders"));
//! # Ok(()) }
//! ```

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use mesh_core::context::Direction;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::Instant;

mod filter;

pub use filter::{Filter, FilterError};

/// How many may look at the same time.
pub const MAX_TAPS: usize = 8;

/// The most requests a second that one may ask for.
pub const MAX_RATE: u32 = 1000;

/// How many requests wait for who reads slowly.
const WAITING: usize = 256;

/// The longest path that is shown, in bytes.
const LONGEST_PATH: usize = 512;

/// A request that is over.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Seen {
    /// When it was over.
    pub at: SystemTime,
    /// Who sent it; `unknown` without an identity.
    pub source: Arc<str>,
    /// The service it went to; `unknown` if it was refused before that was decided.
    pub target: Arc<str>,
    /// The version it was to go to.
    pub version: Arc<str>,
    /// The id of the rule that decided; empty if none did.
    pub route: Arc<str>,
    /// Which way it came.
    pub direction: Direction,
    /// Its method, if it is a known one; else `other`.
    pub method: &'static str,
    /// Its path, without the query, cut to 512 bytes.
    pub path: Box<str>,
    /// `http1`, `http2`, `grpc` or `other`.
    pub protocol: &'static str,
    /// The status of its response; `499` if its client went away before there was one.
    pub status: Box<str>,
    /// Why the mesh itself refused or failed it; else empty.
    pub reason: &'static str,
    /// How long it took, to the end of the response.
    pub took: Duration,
}

/// What who looks is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Tapped {
    /// A request.
    Request(Box<Seen>),
    /// So many more passed the filter, and were over the rate or came faster than they were read.
    Skipped(u64),
}

/// Everyone who looks.
#[derive(Default)]
pub(crate) struct Taps {
    looking: AtomicUsize,
    all: Mutex<Vec<Arc<Open>>>,
}

struct Open {
    filter: Filter,
    rate: u32,
    /// The second that is being counted, and how many were shown in it.
    shown: Mutex<(Option<Instant>, u32)>,
    skipped: AtomicU64,
    sender: mpsc::Sender<Box<Seen>>,
}

impl Taps {
    /// The path to be shown of a request that begins now, if anybody looks.
    pub(crate) fn path(&self, path: &str) -> Option<Box<str>> {
        if self.looking.load(Ordering::Relaxed) == 0 {
            return None;
        }
        Some(path[..path.floor_char_boundary(LONGEST_PATH)].into())
    }

    pub(crate) fn tell(&self, seen: &Seen) {
        let now = Instant::now();
        let all = self.all.lock();
        for tap in all.iter().filter(|tap| tap.filter.passes(seen)) {
            if !tap.is_due(now) || tap.sender.try_send(Box::new(seen.clone())).is_err() {
                tap.skipped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    pub(crate) fn open(taps: &Arc<Self>, filter: Filter, rate: u32) -> Option<Tap> {
        let mut all = taps.all.lock();
        if all.len() >= MAX_TAPS {
            return None;
        }
        let (sender, receiver) = mpsc::channel(WAITING);
        let open = Arc::new(Open {
            filter,
            rate: rate.clamp(1, MAX_RATE),
            shown: Mutex::default(),
            skipped: AtomicU64::new(0),
            sender,
        });
        all.push(Arc::clone(&open));
        taps.looking.store(all.len(), Ordering::Relaxed);
        Some(Tap {
            taps: Arc::clone(taps),
            open,
            receiver,
        })
    }
}

impl Open {
    fn is_due(&self, now: Instant) -> bool {
        let mut shown = self.shown.lock();
        let (began, count) = &mut *shown;
        if began.is_none_or(|began| now.saturating_duration_since(began) >= Duration::from_secs(1)) {
            (*began, *count) = (Some(now), 0);
        }
        let is_due = *count < self.rate;
        *count += u32::from(is_due);
        is_due
    }
}

/// Looks at requests until it is dropped: [`Telemetry::tap`](crate::Telemetry::tap).
pub struct Tap {
    taps: Arc<Taps>,
    open: Arc<Open>,
    receiver: mpsc::Receiver<Box<Seen>>,
}

impl Tap {
    /// The next request, or how many were not shown. Cancel-safe. It does not end by itself.
    pub async fn next(&mut self) -> Option<Tapped> {
        match self.open.skipped.swap(0, Ordering::Relaxed) {
            0 => self.receiver.recv().await.map(Tapped::Request),
            skipped => Some(Tapped::Skipped(skipped)),
        }
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        let mut all = self.taps.all.lock();
        all.retain(|open| !Arc::ptr_eq(open, &self.open));
        self.taps.looking.store(all.len(), Ordering::Relaxed);
    }
}

impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tap")
            .field("filter", &self.open.filter)
            .field("rate", &self.open.rate)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
