//! Pooled connections to one endpoint.
//!
//! An HTTP/1.1 connection is polled by the task of the request that uses it and travels inside the
//! response's body; between requests it rests in a set that is read without a lock. That saves
//! the two task switches a request that a connection task would cost. An HTTP/2 connection has a task of its
//! own, since many requests share it.
//!
//! A socket belongs to the runtime that made it, so a pool is used from one runtime. Limits and load are
//! shared by the pools of all runtimes.

mod ahead;
mod failure;
mod fit;
mod http1;
mod http2;
mod idle;
mod io;
mod limits;
mod peer_idle;
mod pool;
mod recovery;
mod settings;
mod sweep;
mod wakes;

pub use settings::{Limits, PoolSettings, Protocol};

pub(crate) use failure::SendFailure;
pub(crate) use io::{BoxedIo, ErasedConnect};
pub(crate) use limits::{RequestPermit, ServiceLimits};
pub(crate) use pool::{Answered, EndpointPool, Guards, Rested, Terms};
pub(crate) use sweep::Sweeper;
