//! Where endpoints come from.
//!
//! Every source implements [`Discover`](mesh_core::discovery::Discover) and can be given to a balancer as it is.
//! A process with several balancers of one service gives it to a [`Follower`], and each balancer one of the
//! follower's watches: the source is then asked once, and what is known of it can be read.

#[cfg(feature = "dns")]
mod dns;
#[cfg(feature = "file")]
mod file;
mod fixed;
mod follow;
mod live;
mod merge;
mod refresh;
mod task;

#[cfg(feature = "dns")]
pub use dns::{Dns, DnsName, DnsNameError, DnsSettings, DnsWatch};
#[cfg(feature = "file")]
pub use file::{EndpointFile, EndpointFileWatch};
pub use fixed::Fixed;
pub use follow::{DiscoveryStatus, Follower, FollowerWatch};
pub use live::LiveWatch;
pub use merge::Merge;
pub use refresh::Refresh;
