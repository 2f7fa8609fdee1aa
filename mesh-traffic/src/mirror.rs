//! Sends copies of requests to another service, to see how it does with real ones: nobody gets its answers.
//!
//! What a copy may never do is slow the request down. So nothing of the request waits for it: it is sent by a task of its
//! own, and what the request's body brings is put into a bounded buffer, from which the copy takes it as fast as its
//! service reads. If it does not keep up, if the request itself breaks off, or if the time is over, the copy is broken
//! off as well: its service sees an error, never the beginning of a body as if it were the whole. And what ended so is
//! counted, by its reason ([`Ending`]).
//!
//! A [`Mirror`] is the share, the bounds and the counts; a [`MirrorLayer`] puts it in front of a service. Whoever sends
//! by hand calls [`begin`](Mirror::begin), [`tee`](Begun::tee) and [`send`](MirroredRequest::send).
//!
//! A copy is the request as it was, its `Host` included, and `x-mesh-mirror: true`, so that a service can tell.

mod begun;
mod builder;
mod client;
mod counts;
mod handle;
mod layer;
mod mirrored;
mod pipe;
mod service;
mod tee;

pub use begun::Begun;
pub use builder::MirrorBuilder;
pub use counts::{Ending, MirrorCounts};
pub use handle::Mirror;
pub use layer::MirrorLayer;
pub use mirrored::{MirroredRequest, X_MESH_MIRROR};
pub use service::MirrorService;
pub use tee::TeeBody;
