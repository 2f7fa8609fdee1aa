//! The circuit breaker of a service: stops asking a service that keeps failing, and tries it again after a while.
//!
//! [`mesh_core::Breaker`] decides. Here it gets a name, and requests: a [`ServiceBreaker`] tells every change of its
//! state and refuses with the reason, [`Admitted`] is one request from leave to verdict, and a [`BreakerLayer`] puts
//! both in front of a client.
//!
//! The verdict is the head's where it is bad already. A good one is the body's, when that is over: it may break, and
//! the status of a gRPC call is in its trailers.

mod admitted;
mod builder;
mod future;
mod layer;
mod service;
mod service_breaker;

pub use admitted::{Admitted, BreakerBody, Verdict};
pub use builder::ServiceBreakerBuilder;
pub use future::BreakerFuture;
pub use layer::BreakerLayer;
pub use service::BreakerService;
pub use service_breaker::ServiceBreaker;
