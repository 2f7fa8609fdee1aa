//! The endpoints of other zones: for when those near are loaded so much more, or one of them did not do.

use std::sync::Arc;

use super::view;
use crate::balancer::{LoadBalancer, PickContext, Picker};
use crate::fleet::roster::{Group, Seat};

/// Picks among the endpoints of other zones than this one.
pub(super) struct Elsewhere {
    zone: Arc<str>,
    picker: Arc<dyn Picker>,
}

impl Elsewhere {
    /// By the weights they have for everybody. Nothing if there are none, or if zones make no difference.
    pub(super) fn of(zone: &Arc<str>, group: &Group, balancer: &dyn LoadBalancer) -> Option<Self> {
        let using = || group.seats.iter().filter(|seat| seat.whole > 0);
        if !using().any(|seat| is_in(zone, seat)) || using().all(|seat| is_in(zone, seat)) {
            return None;
        }
        let views = group.seats.iter().map(|seat| {
            let weight = if is_in(zone, seat) { 0 } else { seat.whole };
            view(seat).with_weight(weight)
        });
        Some(Self {
            zone: Arc::clone(zone),
            picker: balancer.picker(&views.collect::<Vec<_>>()),
        })
    }

    /// Whether an endpoint is in this zone.
    pub(super) fn is_near(&self, seat: &Seat) -> bool {
        is_in(&self.zone, seat)
    }

    /// A far endpoint that was not tried yet.
    pub(super) fn pick(&self, cx: &PickContext<'_>) -> Option<usize> {
        self.picker.pick(cx).filter(|far| !cx.was_tried(*far))
    }
}

fn is_in(zone: &str, seat: &Seat) -> bool {
    seat.endpoint.zone.as_deref() == Some(zone)
}
