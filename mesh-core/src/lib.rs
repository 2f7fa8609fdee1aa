//! The words every room of the mesh shares.
//!
//! `mesh-core` holds what two leaf crates must agree on and nothing else: how an error is classified
//! ([`ErrorKind`]), who a peer is ([`PeerInfo`]), what an endpoint is ([`Endpoint`]), what travels with a
//! request ([`MeshContext`]), how a value is published whole ([`live()`]), and the small traits ("seams")
//! through which one crate gives what another needs ([`connect`], [`accept`], [`metric`], [`split`]).
//!
//! It depends on no web framework, TLS, Kubernetes or metrics crate. The HTTP edge (serving, refusing,
//! forwarding) stands behind the feature `http`.

pub mod accept;
pub mod backoff;
pub mod breaker;
pub mod clock;
pub mod connect;
pub mod context;
pub mod control;
pub mod cookie;
mod decimal;
pub mod discovery;
pub mod drain;
pub mod duration;
pub mod endpoint;
pub mod error;
pub mod event;
pub mod head;
pub mod identity;
pub mod live;
pub mod metric;
pub mod name;
pub mod outcome;
pub mod peer;
pub mod request_key;
pub mod size;
pub mod split;
pub mod stall;
pub mod trace;
pub mod tried;

#[cfg(feature = "http")]
pub mod body;
#[cfg(feature = "http")]
pub mod body_end;
#[cfg(feature = "http")]
pub mod carry;
#[cfg(feature = "http")]
pub mod cork;
#[cfg(feature = "http")]
pub mod due;
#[cfg(feature = "http")]
pub mod edge;
#[cfg(feature = "http")]
pub mod forward;
#[cfg(feature = "http")]
pub mod forwarded;
#[cfg(feature = "http")]
pub mod gather;
#[cfg(feature = "http")]
pub mod hop;
#[cfg(feature = "http")]
pub mod lasting;
#[cfg(feature = "http")]
pub mod reject;
#[cfg(feature = "http")]
pub mod serve;
#[cfg(feature = "http")]
pub mod upgrade;

#[cfg(feature = "testkit")]
pub mod testkit;

pub use backoff::Backoff;
pub use breaker::{Breaker, BreakerConfig, BreakerPolicy};
pub use clock::{SystemClock, WallClock};
pub use context::{AttemptInfo, MeshContext};
pub use drain::{DrainGuard, DrainTrigger, DrainWatcher, drain};
pub use endpoint::{Endpoint, EndpointId, EndpointSet};
pub use error::{BoxError, Error, ErrorKind};
pub use event::{EventBus, Events, MeshEvent};
pub use head::RequestHead;
pub use identity::SpiffeId;
pub use live::{Live, Publisher, live};
pub use metric::{MetricError, MetricQuery, MetricSource, Samples};
pub use name::{ServiceName, Version};
pub use outcome::{GrpcCode, Outcome};
pub use peer::PeerInfo;
pub use request_key::{KeyBy, KeyExtractor, RequestKey};
pub use split::{Assignment, SplitError, TrafficSplit, Weights};

/// The version of the mesh, as the header `x-service-mesh-version` and `service_mesh_build_info` tell it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
