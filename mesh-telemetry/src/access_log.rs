//! The access log: a line for each request, or for a share of them, when it is over.
//!
//! Lines are made by the task of the request and written by a thread of their own. A reader that stalls slows nobody:
//! what finds no room is dropped and counted in `service_mesh_access_log_lines_total`.
//!
//! What a client sends cannot forge a line: control characters are escaped, and texts are cut. Of header fields there are
//! the host, the user agent and the request's id, and no others: nothing secret. The query is left out unless it is asked
//! for, since some applications put secrets into it.
//!
//! The keys of a JSON line, in this order; what is not known is `null`:
//!
//! | key | what |
//! |---|---|
//! | `time` | when the request was over, in UTC, with milliseconds |
//! | `direction`, `listener` | where it came in |
//! | `source`, `peer`, `client` | the service that asked, its SPIFFE ID, the client's address; only what was proved, or told by who is trusted |
//! | `target`, `version`, `route` | the service, its version and the rule |
//! | `method`, `host`, `path`, `protocol` | what was asked for |
//! | `status` | the status; 499: the client went away before there was an answer |
//! | `grpc_status` | that of gRPC |
//! | `reason` | the code of [`ErrorKind`](mesh_core::ErrorKind), if the mesh itself answered; that of [`Unreadable`], if no request came |
//! | `body` | how the body of the answer ended: `complete`, `failed`, `dropped` |
//! | `duration_ms` | from the end of the request's head to the end of the answer's body |
//! | `attempts`, `endpoint` | how often it was sent to an endpoint, and the last one |
//! | `bytes_in`, `bytes_out` | the request's `content-length`; how much of the answer's body was passed on |
//! | `trace_id`, `span_id`, `request_id` | its ids; the span is that of the request, not of a try |
//! | `user_agent` | as the client says |

mod line;
mod text;
mod writer;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mesh_core::PeerInfo;
use mesh_core::context::Direction;
use mesh_core::serve::Unreadable;
use mesh_core::trace::SampleRatio;

use crate::story::{Ending, Story};

pub use writer::{LineQueue, LineWriter};

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum LineFormat {
    /// A JSON object.
    #[default]
    Json,
    /// For people.
    Text,
}

/// Which requests are logged, how, and where. Clones are one.
///
/// The share of requests is drawn for each, and has nothing to do with that of traces: who sends a request has no say in
/// it. Errors are no exception, so that numbers of lines can be scaled up; spans keep every error.
#[derive(Clone)]
pub struct AccessLog(Arc<Inner>);

struct Inner {
    queue: LineQueue,
    format: LineFormat,
    sample: SampleRatio,
    query: bool,
}

impl AccessLog {
    /// Lines of every request, without queries, on their way to this queue.
    pub fn new(queue: LineQueue, format: LineFormat) -> Self {
        Self(Arc::new(Inner {
            queue,
            format,
            sample: SampleRatio::ALWAYS,
            query: false,
        }))
    }

    /// The same, of this share of requests.
    #[must_use]
    pub fn sample(self, sample: SampleRatio) -> Self {
        self.with(|inner| inner.sample = sample)
    }

    /// The same, with the query as a part of the path.
    #[must_use]
    pub fn query(self, query: bool) -> Self {
        self.with(|inner| inner.query = query)
    }

    fn with(self, change: impl FnOnce(&mut Inner)) -> Self {
        let Inner {
            queue,
            format,
            sample,
            query,
        } = &*self.0;
        let mut inner = Inner {
            queue: queue.clone(),
            format: *format,
            sample: *sample,
            query: *query,
        };
        change(&mut inner);
        Self(Arc::new(inner))
    }

    pub(crate) fn chooses(&self, random: u64) -> bool {
        self.0.sample.draws(random)
    }

    pub(crate) fn wants_query(&self) -> bool {
        self.0.query
    }

    /// Writes a line of what came to this listener from this peer and became no request. What came is not in it.
    ///
    /// ```
    /// use std::sync::mpsc;
    ///
    /// use mesh_core::PeerInfo;
    /// use mesh_core::context::Direction;
    /// use mesh_core::serve::Unreadable;
    /// use mesh_telemetry::Telemetry;
    /// use mesh_telemetry::access_log::{AccessLog, LineFormat, LineWriter};
    ///
    /// # struct Written(mpsc::Sender<String>);
    /// # impl std::io::Write for Written {
    /// #     fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
    /// #         let _ = self.0.send(String::from_utf8_lossy(text).into_owned());
    /// #         Ok(text.len())
    /// #     }
    /// #     fn flush(&mut self) -> std::io::Result<()> { Ok(()) }
    /// # }
    /// let (written, lines) = mpsc::channel();
    /// let (queue, _writer) = LineWriter::start(Written(written), &Telemetry::new())?;
    /// let log = AccessLog::new(queue, LineFormat::Text);
    /// let peer = PeerInfo::plaintext(([10, 1, 2, 3], 4000).into());
    /// log.unreadable(&"inbound".into(), Direction::Inbound, &peer, Unreadable::Malformed);
    /// let line = lines.recv().expect("a line");
    /// assert!(line.contains("client=10.1.2.3") && line.contains("status=400 reason=malformed"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn unreadable(&self, listener: &Arc<str>, direction: Direction, peer: &PeerInfo, why: Unreadable) {
        if self.chooses(fastrand::u64(..)) {
            self.write(&line::of_unreadable(
                listener,
                direction,
                peer,
                why,
                SystemTime::now(),
            ));
        }
    }

    /// Writes a line of a request that is over.
    pub(crate) fn tell(&self, story: &Story, ending: &Ending, took: Duration, wall: SystemTime) {
        self.write(&line::of(story, ending, took, wall));
    }

    fn write(&self, line: &line::Line<'_>) {
        self.0.queue.give(match self.0.format {
            LineFormat::Json => text::json(line),
            LineFormat::Text => text::plain(line),
        });
    }
}

impl fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessLog")
            .field("format", &self.0.format)
            .field("sample", &self.0.sample)
            .field("query", &self.0.query)
            .finish_non_exhaustive()
    }
}
