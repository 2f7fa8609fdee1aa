//! The traits of load balancing: a [`LoadBalancer`] builds a [`Picker`] for a set of endpoints, the picker
//! picks.

use std::sync::Arc;

use mesh_core::{Endpoint, RequestHead};
use tokio::time::Instant;

use crate::load::EndpointLoad;

/// Builds a picker for each new set of endpoints: the place for work that depends on the set.
///
/// A user's own algorithm:
///
/// ```
/// use std::sync::Arc;
/// use mesh_lb::{LoadBalancer, PickContext, Picker, SlotView};
///
/// /// Always the first endpoint that was not tried yet.
/// struct First;
/// struct FirstOf(usize);
///
/// impl LoadBalancer for First {
///     fn picker(&self, slots: &[SlotView]) -> Arc<dyn Picker> {
///         Arc::new(FirstOf(slots.len()))
///     }
/// }
///
/// impl Picker for FirstOf {
///     fn pick(&self, cx: &PickContext<'_>) -> Option<usize> {
///         (0..self.0).find(|slot| !cx.was_tried(*slot))
///     }
/// }
/// ```
pub trait LoadBalancer: Send + Sync + 'static {
    /// A picker for these endpoints. Its picks are indexes into `slots`.
    fn picker(&self, slots: &[SlotView]) -> Arc<dyn Picker>;
}

/// Picks an endpoint. Called for every attempt: synchronous, without a lock, without an allocation.
pub trait Picker: Send + Sync + 'static {
    /// An index into the slots the picker was built for, or nothing if none will do. A picker may return a
    /// slot that was tried only if there is no other.
    fn pick(&self, cx: &PickContext<'_>) -> Option<usize>;
}

const _: fn(&dyn LoadBalancer) = |_| {};
const _: fn(&dyn Picker) = |_| {};

/// An endpoint as an algorithm sees it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SlotView {
    /// The endpoint.
    pub endpoint: Arc<Endpoint>,
    /// What it is carrying right now; read at every pick.
    pub load: Arc<EndpointLoad>,
    /// Its share relative to the other slots': the endpoint's weight, less while it starts slowly. What an
    /// algorithm goes by.
    pub weight: u32,
}

impl SlotView {
    /// An endpoint with the weight it has, and its load.
    pub fn new(endpoint: Arc<Endpoint>, load: Arc<EndpointLoad>) -> Self {
        let weight = endpoint.weight;
        Self {
            endpoint,
            load,
            weight,
        }
    }

    /// With another weight.
    #[must_use]
    pub fn with_weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }
}

/// What a pick may depend on.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct PickContext<'a> {
    /// The request's head; none for a pick that serves no request, as a warm-up.
    pub head: Option<RequestHead<'a>>,
    /// The random source of this pick: 64 random bits.
    pub random: u64,
    /// The time of the pick, for what depends on it.
    pub now: Instant,
    /// The slots earlier attempts of this request used.
    pub tried: &'a [usize],
}

impl<'a> PickContext<'a> {
    /// A first attempt.
    pub fn new(random: u64, now: Instant) -> Self {
        Self {
            head: None,
            random,
            now,
            tried: &[],
        }
    }

    /// For this request.
    #[must_use]
    pub fn for_request(mut self, head: RequestHead<'a>) -> Self {
        self.head = Some(head);
        self
    }

    /// After attempts at these slots.
    #[must_use]
    pub fn avoiding(mut self, tried: &'a [usize]) -> Self {
        self.tried = tried;
        self
    }

    /// Whether an earlier attempt used this slot.
    pub fn was_tried(&self, slot: usize) -> bool {
        self.tried.contains(&slot)
    }
}
