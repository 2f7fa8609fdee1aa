//! Routing as a layer: in front of a service, it decides once where each request goes.

mod future;
mod layer;
mod service;

pub use future::RouteFuture;
pub use layer::{RouteLayer, Routes};
pub use service::RouteService;
