//! The proxy as a process, between real clients and real servers: what the tests of this package share.
//!
//! Nothing here waits a while and hopes: [`until`] looks again until it is so, or until its limit has passed.

mod binary;
mod client;
mod metrics;
mod proxy;
mod wait;

pub use binary::binary;
pub use client::Connection;
pub use metrics::Series;
pub use proxy::{Proxy, listen, serve};
pub use wait::{LIMIT, until};
