//! What many requests have in common.

use std::sync::{Arc, OnceLock};

use mesh_core::context::Target;

use super::chain::Chain;
use super::facts::Facts;
use super::fields::Fields;
use super::ids::Ids;
use super::{Begun, Story, Teller};
use crate::access_log::AccessLog;
use crate::trace::{Sampling, Tracer};

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

    /// Whether spans may be made of requests.
    pub(crate) fn makes_spans(&self) -> bool {
        self.0.teller.tracer.is_some()
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
        let told = self.told(random)?;
        let fields = Fields::of(begun.head.headers);
        let mut story = Story::of(self, told, begun, &fields, random);
        story.facts.keep(begun.head.uri, &fields, None);
        Some(Arc::new(story))
    }

    /// The same of a request with these fields, one of which is its id, for who does not share it.
    #[inline]
    pub(crate) fn begin_own(&self, begun: &Begun<'_>, fields: &Fields<'_>) -> Option<Box<Story>> {
        let mut random = fastrand::Rng::new();
        let told = self.told(&mut random)?;
        // It is large: made elsewhere, it would have to be moved here.
        let room = Box::new_uninit();
        let mut story = Box::write(room, Story::of(self, told, begun, fields, &mut random));
        story.facts.keep(begun.head.uri, fields, fields.request_id);
        Some(story)
    }

    /// Who may be told of a request, by this draw.
    #[inline]
    fn told(&self, random: &mut fastrand::Rng) -> Option<Told<'_>> {
        let Teller { tracer, log } = self.teller();
        let log = log.as_ref().filter(|log| log.chooses(random.u64(..)));
        if tracer.is_none() && log.is_none() {
            return None;
        }
        Some(Told {
            sampling: tracer.as_ref().map(Tracer::sampling),
            query: log.map(AccessLog::wants_query),
        })
    }
}

/// Who may be told of a request.
#[derive(Clone, Copy)]
struct Told<'p> {
    /// A tracer that samples so.
    sampling: Option<&'p Sampling>,
    /// A log, with the query or without.
    query: Option<bool>,
}

impl Story {
    #[inline]
    fn of(
        place: &Place,
        told: Told<'_>,
        begun: &Begun<'_>,
        fields: &Fields<'_>,
        random: &mut fastrand::Rng,
    ) -> Self {
        Self {
            ids: Ids::new(told.sampling, begun.parent, random),
            facts: Facts::of(begun, fields, told.query),
            place: place.clone(),
            request_id: OnceLock::new(),
            tries: Chain::default(),
        }
    }
}
