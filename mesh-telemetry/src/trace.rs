//! Spans: what is kept of a request, so that its way through many services can be seen as one.
//!
//! A [`Tracer`] says which spans are kept ([`Sampling`]) and puts them into bounded queues. An exporter, with the features
//! `otlp` and `jaeger`, takes them from there and sends them to a collector. Nothing here waits, and nothing grows: what
//! finds no room is dropped and counted in `service_mesh_spans_total`.
//!
//! Of each request there is a span of kind server, and one of kind client for each time that it is sent. What a request
//! goes on from is the span of that try, so that a collector draws who called whom.
//!
//! | attribute | span | what |
//! |---|---|---|
//! | `http.request.method`, `url.scheme`, `url.path`, `network.protocol.version` | both | the request, without its query |
//! | `http.response.status_code`, `rpc.grpc.status_code`, `error.type` | both | how it ended; the error is a code of [`ErrorKind`](mesh_core::ErrorKind) or the status |
//! | `rpc.system`, `rpc.service`, `rpc.method` | both | of a gRPC call |
//! | `server.address`, `server.port` | both | the host that was asked for; of a try its endpoint |
//! | `network.peer.address`, `network.peer.port` | both | the other end of the connection; of a try where it has an IP address |
//! | `client.address`, `user_agent.original` | server | who asked |
//! | `peer.service` | both | who asked, if it proved it; of a try who was asked |
//! | `http.request.resend_count` | client | how often the request was sent before |
//! | `mesh.target_service`, `mesh.version`, `mesh.route` | both | what the request was for |
//! | `mesh.direction`, `mesh.listener`, `mesh.request_id`, `mesh.attempts` | server | where it came in, its id, how often it was sent |
//! | `mesh.peer_identity` | both | the SPIFFE ID of the other end |
//! | `mesh.endpoint`, `mesh.elsewhere` | client | where it was sent, and how often elsewhere before, since it had not reached the application |
//! | `mesh.kept` | both | `error` or `slow`, if the trace is not sampled |

mod attempt;
#[cfg(any(feature = "otlp", feature = "jaeger"))]
mod export;
mod future;
#[cfg(feature = "jaeger")]
mod jaeger;
mod layer;
#[cfg(feature = "otlp")]
mod otlp;
mod queue;
mod sampling;
mod span;
mod tracer;

pub use attempt::{AttemptBody, AttemptLayer, AttemptService, Call};
#[cfg(any(feature = "otlp", feature = "jaeger"))]
pub use export::{Destination, DestinationError, Exporter, ExporterBuilder};
pub use future::TraceFuture;
pub use layer::{TraceBody, TraceLayer, TraceService};
pub use queue::{SpanQueue, Spans, span_queue};
pub use sampling::{Sampling, Went};
pub use span::{Span, SpanKind, Value};
pub use tracer::Tracer;
