//! What was allowed and goes on: a stream, a tunnel. It is asked about again when there is another policy.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::{Method, Uri};
use http_body::Body;
use mesh_core::context::Direction;
use mesh_core::lasting::{Allowed, LastingBody};
use mesh_core::{Error, MeshContext, PeerInfo, RequestHead};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{Authorization, without_query};
use crate::inbound::Serving;

/// How often a tunnel is asked about.
const EVERY: Duration = Duration::from_secs(1);
/// Bodies of this length are over soon, and are not asked about.
const SHORT: u64 = 1 << 20;

/// What was asked for, as rules see it.
#[derive(Clone)]
pub(super) struct AskedFor {
    pub(super) direction: Direction,
    pub(super) peer: Option<Arc<PeerInfo>>,
    pub(super) method: Method,
    pub(super) uri: Uri,
    /// The path it goes on with, if a rule of traffic rewrites it.
    pub(super) rewritten: Option<Box<str>>,
}

/// A request that was allowed. Its answer lasts as long as it is.
#[derive(Clone)]
pub struct Standing {
    asked_for: AskedFor,
    /// By which it was allowed.
    allowed: Arc<Authorization>,
    serving: Arc<ArcSwap<Serving>>,
}

impl AskedFor {
    pub(super) fn of(
        head: &RequestHead<'_>,
        context: &MeshContext,
        decision: &mesh_traffic::Decision,
    ) -> Self {
        let becomes = decision
            .changes()
            .and_then(|changes| changes.path(head.path(), head.query()));
        Self {
            direction: context.direction,
            peer: context.peer.clone(),
            method: head.method.clone(),
            uri: head.uri.clone(),
            rewritten: becomes.map(|target| without_query(&target).into()),
        }
    }

    /// As a request is sent on.
    fn as_sent(head: &RequestHead<'_>, context: &MeshContext) -> Self {
        Self {
            direction: context.direction,
            peer: context.peer.clone(),
            method: head.method.clone(),
            uri: head.uri.clone(),
            rewritten: None,
        }
    }
}

impl Authorization {
    /// Whether a copy of a request may go to this service, which is asked about it as it is sent.
    pub fn allows_copy(&self, head: &RequestHead<'_>) -> bool {
        let context = head.extensions.get::<MeshContext>();
        let asked = context.map(|context| self.check(&AskedFor::as_sent(head, context), context.received));
        // Without a context nobody can say whose request it is.
        asked.is_some_and(|asked| asked.is_ok())
    }
}

impl Standing {
    /// Asks about a request.
    ///
    /// # Errors
    /// It is refused.
    pub fn of(
        authorization: &Arc<Authorization>,
        serving: &Arc<ArcSwap<Serving>>,
        head: &RequestHead<'_>,
        context: &MeshContext,
        decision: &mesh_traffic::Decision,
    ) -> Result<Box<Self>, Error> {
        let asked_for = AskedFor::of(head, context, decision);
        authorization.check(&asked_for, context.received)?;
        Ok(Box::new(Self {
            asked_for,
            allowed: Arc::clone(authorization),
            serving: Arc::clone(serving),
        }))
    }

    /// Waits until it is not allowed any more.
    pub async fn denied(mut self) -> Error {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.ask_again() {
                return error;
            }
        }
    }

    /// Whether an answer may last: its length is not known, or it is long.
    pub fn concerns(body: &impl Body) -> bool {
        !body.is_end_stream() && body.size_hint().exact().is_none_or(|length| length > SHORT)
    }

    /// A body that breaks off when it is not allowed any more, at its next frame.
    pub fn over<B>(self: Box<Self>, body: B) -> LastingBody<B, Self> {
        LastingBody::new(body, Some(self))
    }
}

impl Allowed for Standing {
    /// Asks only if the service has another policy by now.
    fn ask_again(&mut self) -> Result<(), Error> {
        let serving = self.serving.load();
        match serving.plan.authorization.of(&self.allowed.service) {
            Some(now) if !Arc::ptr_eq(now, &self.allowed) => {
                self.allowed = Arc::clone(now);
                self.allowed.check(&self.asked_for, Instant::now())
            }
            _ => Ok(()),
        }
    }
}
