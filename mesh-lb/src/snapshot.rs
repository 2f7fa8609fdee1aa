//! Endpoints and pickers in one immutable value: a request sees both or neither.

use std::collections::HashMap;
use std::sync::Arc;

use mesh_core::endpoint::Readiness;
use mesh_core::{Endpoint, EndpointId, EndpointSet, Version};

use crate::balancer::{LoadBalancer, PickContext, Picker, SlotView};
use crate::endpoint::EndpointPool;
use crate::load::EndpointLoad;

/// An endpoint, what it carries, and the connections to it.
pub(crate) struct Slot {
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) load: Arc<EndpointLoad>,
    pub(crate) pool: Arc<EndpointPool>,
}

/// The endpoints of one version, and their picker.
pub(crate) struct Subset {
    version: Option<Version>,
    slots: Vec<Slot>,
    picker: Arc<dyn Picker>,
}

impl Subset {
    pub(crate) fn pick(&self, cx: &PickContext<'_>) -> Option<(usize, &Slot)> {
        let at = self.picker.pick(cx)?;
        Some((at, self.slots.get(at)?))
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }
}

/// One state of discovery, ready to pick from.
#[derive(Default)]
pub(crate) struct Snapshot {
    /// The first is the stable one.
    subsets: Vec<Subset>,
    stable: Option<Version>,
}

impl Snapshot {
    /// Builds the subsets of a set: the stable version first, then each version by itself.
    ///
    /// Stable are the endpoints of `stable`, those without a version, and, if no stable version is named, all.
    pub(crate) fn build(
        set: &EndpointSet,
        stable: Option<&Version>,
        balancer: &dyn LoadBalancer,
        mut slot: impl FnMut(&Arc<Endpoint>) -> Slot,
    ) -> Self {
        let mut versions: Vec<Option<&Version>> = vec![None];
        for version in set.endpoints.iter().filter_map(|e| e.version.as_ref()) {
            if !versions.contains(&Some(version)) && stable != Some(version) {
                versions.push(Some(version));
            }
        }
        let is_stable =
            |e: &Endpoint| e.version.is_none() || stable.is_none() || e.version.as_ref() == stable;
        let subset = |version: Option<&Version>| {
            let members = set.endpoints.iter().filter(|e| match version {
                None => is_stable(e),
                Some(_) => e.version.as_ref() == version,
            });
            let members: Vec<&Arc<Endpoint>> = members.collect();
            let of = |readiness| {
                members
                    .iter()
                    .copied()
                    .filter(|e| e.readiness == readiness)
                    .collect::<Vec<_>>()
            };
            let ready = of(Readiness::Ready);
            let usable = if ready.is_empty() {
                of(Readiness::Terminating)
            } else {
                ready
            };
            let slots: Vec<Slot> = usable.into_iter().map(&mut slot).collect();
            let views: Vec<_> = slots
                .iter()
                .map(|s| SlotView::new(Arc::clone(&s.endpoint), Arc::clone(&s.load)))
                .collect();
            Subset {
                version: version.cloned(),
                picker: balancer.picker(&views),
                slots,
            }
        };
        Self {
            subsets: versions.into_iter().map(subset).collect(),
            stable: stable.cloned(),
        }
    }

    /// The endpoints of this version; without one, the stable ones.
    pub(crate) fn subset(&self, version: Option<&Version>) -> Option<&Subset> {
        match version {
            None => self.subsets.first(),
            Some(_) if version == self.stable.as_ref() => self.subsets.first(),
            Some(_) => self.subsets.iter().find(|s| s.version.as_ref() == version),
        }
    }

    /// Every pool, each once.
    pub(crate) fn pools(&self) -> HashMap<EndpointId, Arc<EndpointPool>> {
        let slots = self.subsets.iter().flat_map(|s| &s.slots);
        slots
            .map(|s| (s.endpoint.id().clone(), Arc::clone(&s.pool)))
            .collect()
    }
}
