//! What many requests have in common.

use std::sync::{Arc, OnceLock};

use mesh_core::context::Target;

use super::chain::Chain;
use super::facts::Facts;
use super::ids::Ids;
use super::{Begun, Story, Teller};
use crate::access_log::AccessLog;
use crate::trace::Tracer;

/// Where requests go, and who is told of them: what their stories have in common. Clones are one.
#[derive(Clone, Debug)]
pub struct Place(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    teller: Teller,
    service: Arc<str>,
    target: Option<Target>,
}

impl Place {
    /// This teller is told of the requests for this target, if that is known. Their spans belong to this service.
    pub fn new(teller: Teller, service: Arc<str>, target: Option<Target>) -> Self {
        Self(Arc::new(Inner {
            teller,
            service,
            target,
        }))
    }

    /// Who is told.
    pub fn teller(&self) -> &Teller {
        &self.0.teller
    }

    /// The service that spans belong to.
    pub fn service(&self) -> &Arc<str> {
        &self.0.service
    }

    /// Where requests go, if that is known.
    pub fn target(&self) -> Option<&Target> {
        self.0.target.as_ref()
    }

    /// The story of a request, if anybody may be told of it.
    pub fn begin(&self, begun: &Begun<'_>, random: &mut fastrand::Rng) -> Option<Arc<Story>> {
        let Teller { tracer, log } = self.teller();
        let log = log.as_ref().filter(|log| log.chooses(random.u64(..)));
        if tracer.is_none() && log.is_none() {
            return None;
        }
        let sampling = tracer.as_ref().map(Tracer::sampling);
        Some(Arc::new(Story {
            ids: Ids::new(sampling, begun.parent, random),
            facts: Facts::of(begun, log.map(AccessLog::wants_query)),
            place: self.clone(),
            request_id: OnceLock::new(),
            tries: Chain::default(),
        }))
    }
}
