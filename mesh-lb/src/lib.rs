//! Load balancing over the endpoints of a service, with pooled connections to each.
//!
//! [`Balance`] is the service: it picks an endpoint ([`balancer`], [`policy`]), takes a pooled connection to
//! it ([`endpoint`]), and tries another one when the request never reached the application.
//!
//! A picker is built once for each set of endpoints and only read after that: a pick takes no lock and
//! allocates nothing.

pub mod balance;
pub mod balancer;
pub mod discovery;
pub mod endpoint;
pub mod fleet;
pub mod health;
pub mod load;
pub mod locality;
pub mod outlier;
pub mod panic;
pub mod policy;
pub mod slow_start;
pub mod subset;
mod sync;
pub mod weight;

pub use balance::Balance;
pub use balancer::{LoadBalancer, PickContext, Picker, SlotView};
pub use endpoint::{PoolSettings, Protocol};
pub use fleet::{Fleet, FleetPolicy};
pub use policy::{LeastConnections, Maglev, PeakEwma, Random, RingHash, RoundRobin, Weighted};
