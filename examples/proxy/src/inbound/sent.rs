//! What came of a request that was sent on: an answer, and who learns from how its body ends.

use http::Response;
use http::header::SET_COOKIE;
use mesh_core::body::Body;
use mesh_core::body_end::{Both, EndBody};
use mesh_core::reject::RejectBody;
use mesh_telemetry::evidence::EvidenceRecord;
use mesh_telemetry::metrics::RequestRecord;
use mesh_traffic::Decision;
use mesh_traffic::breaker::Verdict;

use super::Order;
use crate::authorization::Standing;

/// Who judges versions, and the breaker.
pub(super) type Learning = Both<EvidenceRecord, Verdict>;

/// What a client gets. One body around its own tells all who learn from it, and the request's record.
pub(super) type Answer = Response<EndBody<RejectBody<Body>, Both<Learning, RequestRecord>>>;

/// An answer that is on its way back. Whoever puts another body around its own has it [`whole`](Self::whole) first, so
/// that what is learnt is how the service's own body ended.
pub(super) struct Sent {
    pub(super) response: Response<Body>,
    pub(super) learning: Learning,
}

impl Sent {
    /// One whose end says nothing, or is told by its body.
    pub(super) fn unwatched(response: Response<Body>) -> Self {
        Self {
            response,
            learning: Learning::default(),
        }
    }

    /// The answer, whose body tells those who learn from it.
    pub(super) fn whole(self) -> Response<Body> {
        let Self { response, learning } = self;
        response.map(|body| Body::new(EndBody::new(body, learning)))
    }

    /// What a rule, a policy and the client's cookie make of it.
    pub(super) fn dressed(self, order: &mut Order, decision: &Decision) -> Self {
        let mut sent = self.lasting(&mut order.standing);
        let fields = sent.response.headers_mut();
        if let Some(changes) = decision.changes() {
            changes.apply_to_response(fields);
        }
        if let Some(cors) = &order.cors {
            cors.apply(fields);
        }
        if let Some(cookie) = &order.cookie {
            fields.append(SET_COOKIE, cookie.clone());
        }
        match &order.compression {
            Some(compression) => compression.apply(sent),
            None => sent,
        }
    }

    /// As long as it is allowed, if it lasts.
    fn lasting(self, standing: &mut Option<Box<Standing>>) -> Self {
        match standing.take_if(|_| Standing::concerns(self.response.body())) {
            Some(standing) => Self::unwatched(self.whole().map(|body| Body::new(standing.over(body)))),
            None => self,
        }
    }

    /// The answer as its client gets it.
    pub(super) fn answer(self, record: RequestRecord) -> Answer {
        let Self { response, learning } = self;
        answer(response.map(RejectBody::inner), learning, record)
    }
}

/// An answer that no service gave.
pub(super) fn own_answer(response: Response<RejectBody<Body>>, record: RequestRecord) -> Answer {
    answer(response, Learning::default(), record)
}

fn answer(response: Response<RejectBody<Body>>, learning: Learning, mut record: RequestRecord) -> Answer {
    record.on_head(&response);
    response.map(|body| EndBody::new(body, Both(learning, record)))
}
