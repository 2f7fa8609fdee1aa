//! Trouble on purpose: requests that wait, fail, break off or crawl, to see what the rest makes of it.
//!
//! [`Faults`] decide, as a function of chance and time, what is to happen to a request; a [`FaultLayer`] makes it
//! happen around any service. Every fault ends by itself: there are no [`Faults`] without the moment of their end.
//! A [`FaultSwitch`] bounds how many are under way in the process, and ends all at once.
//!
//! On the side that calls, the layer belongs inside of whatever tries again, and outside of what picks an endpoint:
//! then each try meets trouble of its own, and what is tested is the real thing. An aborted request never left, so
//! that no endpoint and no breaker is blamed for it.

mod abort;
mod asked;
mod body;
mod chance;
mod delay;
mod faults;
mod future;
mod injection;
mod layer;
mod pace;
mod service;
mod switch;

pub use abort::Abort;
pub use asked::Asked;
pub use body::FaultBody;
pub use chance::Chance;
pub use delay::{Delay, DelayError};
pub use faults::{Fault, FaultKind, Faults};
pub use future::FaultFuture;
pub use injection::Injection;
pub use layer::FaultLayer;
pub use service::FaultService;
pub use switch::FaultSwitch;
