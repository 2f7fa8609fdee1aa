//! What one request carries.

use std::sync::Arc;

use http::header::HeaderValue;
use http::{HeaderMap, Request};
use tokio::time::Instant;

use super::canary::{CanaryNames, Choice};
use crate::context::MeshContext;
use crate::forwarded::{self, TraceFields};

/// What a request carries on to the calls that are made for it: its id, its trace, its deadline, its attempt, and its
/// choice of a canary. A clone shares it.
///
/// Deadline and attempt are those of the [`MeshContext`], which the [edge](crate::edge) took from peers that may say
/// them. Ids and trace are taken from the fields if they are well-formed: a request id of 128 characters at most, a
/// `traceparent`, a `tracestate` of 8 KiB at most, and `x-trace-id` and `x-span-id` that agree with them. A choice has 64
/// characters at most. Nothing else is taken, least of all who asks and what gives him a right. What was taken shares the
/// memory of the head it came in, whose size the server bounds.
///
/// ```
/// use mesh_core::carry::Carried;
///
/// let request = http::Request::get("/")
///     .header("x-request-id", "r-7")
///     .header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
///     .header("authorization", "Bearer secret");
/// let carried = Carried::of(&request.body(())?);
/// assert_eq!(carried.request_id(), Some("r-7"));
/// assert_eq!(carried.trace_id(), Some("0af7651916cd43dd8448eb211c80319c"));
/// assert_eq!((carried.deadline(), carried.attempt()), (None, 0));
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Carried {
    pub(super) fields: Arc<CarriedFields>,
    // Beside what is shared, so that a clone may be without.
    pub(super) deadline: Option<Instant>,
    pub(super) attempt: u32,
}

#[derive(Debug)]
pub(super) struct CarriedFields {
    pub(super) request_id: Option<HeaderValue>,
    pub(super) trace: Option<TraceFields>,
    pub(super) choice: Option<Choice>,
}

impl Carried {
    /// What this request carries. Its choice of a canary is in the header `x-canary-user` and the cookie `canary`.
    pub fn of<B>(request: &Request<B>) -> Self {
        Self::by_names(request, &CanaryNames::default())
    }

    pub(super) fn by_names<B>(request: &Request<B>, names: &CanaryNames) -> Self {
        let headers: &HeaderMap = request.headers();
        let context = request.extensions().get::<MeshContext>();
        let (deadline, attempt) = context.map_or((None, 0), |context| (context.deadline, context.attempt));
        Self {
            fields: Arc::new(CarriedFields {
                request_id: forwarded::request_id(headers),
                trace: TraceFields::of(headers),
                choice: Choice::of(headers, names),
            }),
            deadline,
            attempt,
        }
    }

    /// The request's id.
    pub fn request_id(&self) -> Option<&str> {
        self.fields.request_id.as_ref()?.to_str().ok()
    }

    /// The id of the trace the request belongs to: 32 hexadecimal digits.
    pub fn trace_id(&self) -> Option<&str> {
        self.fields.trace.as_ref()?.trace_id()
    }

    /// When the request must be answered, and so each call that is made for it.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// How often the request had been tried before, anywhere in the call tree.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The same, for what may go on when the request's deadline is over.
    #[must_use]
    pub fn without_deadline(mut self) -> Self {
        self.deadline = None;
        self
    }
}
