//! What happens to a request: admitted, decided, forwarded, counted.

mod again;
mod attempt;
mod compressed;
mod mirrored;
mod sent;
mod timers;
mod tries;
mod wait;

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::header::SET_COOKIE;
use http::request::Parts;
use http::uri::Scheme;
use http::{Extensions, HeaderMap, HeaderValue, Request, Version};
use hyper::upgrade::OnUpgrade;
use mesh_core::body::Body;
use mesh_core::body_end::Both;
use mesh_core::context::Direction;
use mesh_core::drain::DrainWatcher;
use mesh_core::edge::admit;
use mesh_core::forward::{self, Outgoing};
use mesh_core::forwarded::{Believed, PeerMarks, RequestMarks, mark_response};
use mesh_core::reject::is_grpc_call;
use mesh_core::upgrade::tunnel;
use mesh_core::{Assignment, BoxError, Error, ErrorKind, MeshContext, PeerInfo, RequestHead};
use mesh_lb::Balance;
use mesh_telemetry::evidence::EvidenceRecord;
use mesh_telemetry::labels::{MethodLabel, Protocol, SourceId};
use mesh_telemetry::metrics::{RequestRecord, RouteMetrics};
use mesh_telemetry::story::Begun;
use mesh_traffic::Decision;
use mesh_traffic::fault::{Asked, Injection};
use mesh_traffic::limit::Limited;
use mesh_traffic::router::{Action, Asking, CrossOrigin};
use tokio::time::Instant;

use again::Trouble;
use attempt::{Attempt, malformed};
use compressed::Compression;
pub use mirrored::MirrorTo;
use sent::{Answer, Sent, own_answer};
use timers::Timers;
use wait::{ask, before, hold, in_trouble};

use crate::authorization::Standing;
use crate::plan::{ListenerPlan, Plan, Prepared};
use crate::rate_limits::{Counted, Question};
use crate::tellers::Told;

/// What a worker serves by: a plan, and this worker's balancers for its services.
pub struct Serving {
    /// The plan.
    pub plan: Arc<Plan>,
    /// A balancer for each of the plan's services, in its order.
    pub balancers: Vec<Balance>,
}

/// A listener on one worker.
pub struct Inbound {
    /// How it was configured.
    pub listener: ListenerPlan,
    /// What is served by now.
    pub serving: Arc<ArcSwap<Serving>>,
    /// Held by tunnels, so that a drain waits for them.
    pub drain: DrainWatcher,
}

/// One connection to a listener.
pub struct Connection {
    inbound: Arc<Inbound>,
    peer: PeerMarks,
    source: SourceId,
    timers: Timers,
}

/// A request that is to be forwarded.
struct Decided {
    order: Order,
    place: Place,
    /// The client's side of the WebSocket it asks for.
    upgrade: Option<OnUpgrade>,
    /// The trouble it asks for. Boxed, since hardly one does.
    asked: Option<Box<Asked>>,
    /// What the store of shared limits is to be asked.
    questions: Vec<Question>,
}

/// Where it goes.
struct Place {
    serving: Arc<Serving>,
    /// Among the plan's services.
    service: usize,
    /// Among the table's decisions.
    decision: usize,
    /// How the request came to the version it goes to.
    assignment: Assignment,
}

/// What its answer depends on.
struct Order {
    marks: RequestMarks,
    record: RequestRecord,
    received: Instant,
    deadline: Option<Instant>,
    grpc: bool,
    version: Version,
    /// What keeps the client to the version it got.
    cookie: Option<HeaderValue>,
    /// Who may read its answer. Boxed, since hardly one says.
    cors: Option<Box<CrossOrigin>>,
    compression: Option<Box<Compression>>,
    /// For what lasts longer than the policy. Boxed, since most services let everyone in.
    standing: Option<Box<Standing>>,
}

/// Where a request is counted, and what is told of it.
#[derive(Clone, Copy)]
struct Counting<'p> {
    metrics: &'p Arc<RouteMetrics>,
    told: Option<&'p Told>,
    /// Where it came from; looked into only if somebody is told.
    came: Option<&'p Believed>,
}

impl<'p> Counting<'p> {
    fn of(prepared: &'p Prepared, direction: Direction, came: Option<&'p Believed>) -> Self {
        Self {
            metrics: prepared.metrics.of(direction),
            told: prepared.told.as_ref(),
            came,
        }
    }
}

impl Connection {
    /// A connection of this peer.
    pub fn new(inbound: &Arc<Inbound>, peer: &Arc<PeerInfo>) -> Arc<Self> {
        let ListenerPlan {
            trust,
            direction,
            own,
            ..
        } = &inbound.listener;
        let outbound = (*direction == Direction::Outbound).then(|| own.as_str());
        let name = outbound.or_else(|| peer.service()).unwrap_or("unknown");
        let serving = inbound.serving.load();
        let source = serving.plan.unrouted.of(*direction).source(name);
        if let Some(identity) = &peer.identity {
            serving.plan.telemetry.met(source, identity);
        }
        Arc::new(Self {
            peer: PeerMarks::new(peer, trust, *direction, Some(own)),
            source,
            timers: Timers::default(),
            inbound: Arc::clone(inbound),
        })
    }

    /// Answers a request.
    ///
    /// # Errors
    /// None: what fails is refused.
    pub async fn answer(self: Arc<Self>, mut request: Request<Body>) -> Result<Answer, Infallible> {
        // The request stays where it is, and this is used where it lies: both are long.
        let request = &mut request;
        let mut decided = match self.decide(request) {
            Ok(decided) => decided,
            Err(answer) => return Ok(answer),
        };
        let Decided {
            order,
            place,
            upgrade,
            asked,
            questions,
        } = &mut decided;
        if !questions.is_empty() {
            let telemetry = &place.serving.plan.telemetry;
            // Boxed, since most requests wait for nobody here.
            if let Some(limited) = Box::pin(ask(questions, order.received, telemetry)).await {
                let Order {
                    grpc,
                    marks,
                    record,
                    cors,
                    ..
                } = decided.order;
                return Ok(readable(
                    self.limit(&limited, grpc, marks, record),
                    cors.as_deref(),
                ));
            }
        }
        if order.deadline.is_some_and(|deadline| deadline <= order.received) {
            let late = Error::new(
                ErrorKind::Timeout,
                "the caller did not wait for an answer, so it was not sent on",
            );
            return Ok(self.finish(decided.order, Err(late)));
        }
        let decision = &place.serving.plan.table.decisions()[place.decision];
        let prepared = &place.serving.plan.prepared[place.decision];
        let story = order.record.story().cloned();
        let version = decision.target().and_then(|target| target.version.as_ref());
        let attempt = Attempt {
            story: story.as_deref(),
            breaker: place.serving.plan.services[place.service]
                .breaker
                .as_ref()
                .map(|watched| watched.of(version)),
            balance: &place.serving.balancers[place.service],
            version,
            evidence: &place.serving.plan.services[place.service].evidence,
            assignment: place.assignment,
            received: order.received,
            due: prepared.timeout.map(|limit| order.received + limit),
        };
        for mirror in prepared.mirrors.iter().filter(|_| upgrade.is_none()) {
            mirror.copy(&place.serving, request, order.received);
        }
        if let (Some(retries), None) = (&prepared.retries, &upgrade) {
            let trouble = Trouble {
                faults: prepared.faults.as_ref(),
                asked: asked.as_deref(),
            };
            // Boxed, since most services have none and would have a larger future.
            let sent = Box::pin(again::send(
                retries,
                attempt,
                std::mem::take(request),
                trouble,
                order.standing.clone(),
            ));
            let sent = before(order.deadline, &self.timers, pin!(sent)).await;
            let finished = sent.map(|sent| self.back(sent, order, decision));
            return Ok(self.finish(decided.order, finished));
        }
        let trouble = prepared
            .faults
            .as_ref()
            .and_then(|faults| faults.begin(asked.as_deref(), fastrand::u64(..), order.received));
        if let Some(client) = upgrade.take() {
            // Boxed, since it is rare and would make every request's future larger.
            let upgraded = self.upgrade(attempt, request, client, order, decision, trouble);
            let upgraded = Box::pin(upgraded).await;
            return Ok(self.finish(decided.order, upgraded));
        }
        let sent = match trouble {
            None => before(order.deadline, &self.timers, pin!(attempt.send(request))).await,
            Some(trouble) => {
                let troubled = Box::pin(in_trouble(trouble, &attempt, request));
                before(order.deadline, &self.timers, pin!(troubled)).await
            }
        };
        let finished = sent.map(|sent| self.back(sent, order, decision));
        Ok(self.finish(decided.order, finished))
    }

    /// Fits a response to go back that was checked when it came.
    fn back(&self, mut sent: Sent, order: &mut Order, decision: &Decision) -> Sent {
        forward::finish_checked(&mut sent.response, order.marks.clone(), &self.peer);
        sent.dressed(order, decision)
    }

    /// Everything that needs no waiting: admits the request, finds where it goes and makes it the one to be sent there. What is
    /// answered here is the error.
    #[expect(clippy::result_large_err, reason = "it is the answer, moved once")]
    fn decide(&self, request: &mut Request<Body>) -> Result<Decided, Answer> {
        let (mut parts, body) = std::mem::take(request).into_parts();
        let Inbound {
            listener, serving, ..
        } = &*self.inbound;
        // The context stays where the server put it, and goes on from there.
        let mut extensions = std::mem::take(&mut parts.extensions);
        if extensions.len() > 1
            && let Some(upgrade) = extensions.remove::<OnUpgrade>()
        {
            parts.extensions.insert(upgrade);
        }
        let context = extensions.get_or_insert_with(|| MeshContext::new(Instant::now()));
        context.direction = listener.direction;
        if listener.direction == Direction::Outbound {
            context.own_service = Some(listener.own.clone());
        }
        let serving = serving.load_full();
        let unrouted = Counting {
            metrics: serving.plan.unrouted.of(listener.direction),
            told: serving.plan.told_unrouted.as_ref(),
            came: None,
        };
        let facts = match admit(&mut parts, &listener.edge) {
            Ok(facts) => facts,
            Err(error) => {
                return Err(self.refuse(&parts, self.record(unrouted, context, &parts), &error));
            }
        };
        // Read before the mesh's own fields are taken off; only those with an identity are heard.
        let may_ask = serving.plan.hears_requests && self.peer.is_authenticated();
        let asked = may_ask.then(|| Asked::of(&parts.headers)).flatten().map(Box::new);
        let received = forward::receive(&mut parts, facts, context, &self.peer, listener.websocket);
        let received = match received {
            Ok(received) => received,
            Err(error) => {
                return Err(self.refuse(&parts, self.record(unrouted, context, &parts), &error));
            }
        };
        let came = Some(&received.believed);
        let unrouted = Counting { came, ..unrouted };
        let direction = listener.direction;
        let head = RequestHead::of_parts(&parts);
        let asking = Asking::of(&head, context);
        if let Some((decision, cors)) = serving.plan.table.preflight(&asking) {
            let prepared = &serving.plan.prepared[decision.index()];
            let record = self.record(Counting::of(prepared, direction, came), context, &parts);
            let mut answer = cors.preflight(&head);
            let marks = self.marks(&parts, &record);
            mark_response(answer.headers_mut(), marks, &self.peer);
            return Err(own_answer(answer, record));
        }
        let routed = match serving.plan.table.route(&asking) {
            Ok(routed) => routed,
            Err(nothing) => {
                let error = Error::from(nothing);
                return Err(self.refuse(&parts, self.record(unrouted, context, &parts), &error));
            }
        };
        let (decision, assignment) = (routed.decision(), routed.assignment());
        let cookie = routed.cookie().and_then(|cookie| cookie.set_cookie());
        let cors = decision.cors().map(|cors| CrossOrigin::of(cors, &parts.headers));
        let cors = cors.map(Box::new);
        let prepared = &serving.plan.prepared[decision.index()];
        let record = self.record(Counting::of(prepared, direction, came), context, &parts);
        let head = RequestHead::of_parts(&parts);
        let ask = |asked| Standing::of(asked, &self.inbound.serving, &head, context, decision);
        let standing = match prepared.authorization.as_ref().map(ask).transpose() {
            Ok(standing) => standing,
            Err(error) => return Err(readable(self.refuse(&parts, record, &error), cors.as_deref())),
        };
        let mut questions = Vec::new();
        for limit in &prepared.limits {
            match limit.check(&head, context) {
                Counted::Passed => {}
                Counted::Noted => serving.plan.telemetry.process().rate_limited(),
                Counted::Refused(limited) => {
                    serving.plan.telemetry.process().rate_limited();
                    let marks = self.marks(&parts, &record);
                    let limited = self.limit(
                        &limited,
                        is_grpc_call(&parts.method, &parts.headers),
                        marks,
                        record,
                    );
                    return Err(readable(limited, cors.as_deref()));
                }
                Counted::Asked(question) => questions.push(question),
            }
        }
        let own = match decision.action() {
            Action::Respond(respond) => Some(respond.response()),
            Action::Redirect(redirect) => {
                let head = RequestHead::of_parts(&parts);
                Some(redirect.response(&head, &self.scheme(&parts.headers)))
            }
            _ => None,
        };
        if let Some(mut response) = own {
            if let Some(changes) = decision.changes() {
                changes.apply_to_response(response.headers_mut());
            }
            if let Some(cors) = &cors {
                cors.apply(response.headers_mut());
            }
            let marks = self.marks(&parts, &record);
            mark_response(response.headers_mut(), marks, &self.peer);
            return Err(own_answer(response, record));
        }
        let Some(service) = prepared.service else {
            let error = Error::new(
                ErrorKind::NoRoute,
                "the rule leads to a service that is not there any more",
            );
            return Err(self.refuse(&parts, record, &error));
        };
        if let Some(timeout) = prepared.timeout {
            let limit = context.received + timeout;
            context.deadline = Some(context.deadline.map_or(limit, |told| told.min(limit)));
        }
        let (grpc, version) = (is_grpc_call(&parts.method, &parts.headers), parts.version);
        let compression = serving.plan.services[service].compression;
        let compression = compression.and_then(|rule| Compression::of(rule, &parts));
        if let Some(changes) = decision.changes().filter(|changes| changes.touch_request()) {
            changes.apply_to_request(&mut parts);
        }
        context.span = record.story().and_then(|story| story.goes_on_from());
        let outgoing = forward::prepare(&mut parts, received, context, &self.peer, &prepared.marks);
        let decision = decision.index();
        let (began, deadline) = (context.received, context.deadline);
        // The extensions are this hop's affair; the context goes on where the balancer asks for it.
        let keyed = serving.plan.services[service].goes_by_key();
        if deadline.is_some() || keyed || !prepared.mirrors.is_empty() || prepared.retries.is_some() {
            parts.extensions = only_context(extensions);
        } else {
            parts.extensions.clear();
        }
        *request = Request::from_parts(parts, body);
        let Outgoing { marks, upgrade } = outgoing;
        if let Some(story) = record.story() {
            story.set_request_id(&marks.request_id);
        }
        Ok(Decided {
            order: Order {
                marks,
                record,
                received: began,
                deadline,
                grpc,
                version,
                cookie,
                cors,
                compression,
                standing,
            },
            place: Place {
                serving,
                service,
                decision,
                assignment,
            },
            upgrade,
            asked,
            questions,
        })
    }

    /// The scheme the client used: what a trusted proxy told, else the connection's.
    fn scheme(&self, headers: &HeaderMap) -> Scheme {
        let told = headers.get("x-forwarded-proto").map(HeaderValue::as_bytes);
        match told {
            Some(b"https") => Scheme::HTTPS,
            Some(b"http") => Scheme::HTTP,
            _ if self.peer.peer().tls => Scheme::HTTPS,
            _ => Scheme::HTTP,
        }
    }

    /// Asks an endpoint for an upgrade, and starts the tunnel if it agrees.
    async fn upgrade(
        &self,
        attempt: Attempt<'_>,
        request: &mut Request<Body>,
        client: OnUpgrade,
        order: &mut Order,
        decision: &Decision,
        trouble: Option<Injection>,
    ) -> Result<Sent, Error> {
        let sent = pin!(async {
            hold(trouble.as_ref()).await?;
            attempt.send_upgrade(request).await
        });
        let (mut response, verdict) = before(order.deadline, &self.timers, sent).await?;
        let upstream = match forward::finish_upgrade(&mut response, order.marks.clone(), &self.peer) {
            Ok(upstream) => upstream,
            Err(error) => {
                malformed(verdict);
                return Err(error);
            }
        };
        // Which version it was for is counted already.
        let learning = Both(EvidenceRecord::default(), verdict);
        let Some(upstream) = upstream else {
            // An answer like any other.
            let response = response.map(Body::new);
            return Ok(Sent { response, learning }.dressed(order, decision));
        };
        let (guard, idle) = (self.inbound.drain.guard(), self.inbound.listener.limits.idle);
        let standing = order.standing.clone();
        // It ends with the tunnel; a drain waits for its guard.
        tokio::spawn(async move {
            let tunnel = tunnel(client, upstream, idle);
            let ended = match standing {
                None => tunnel.await.map_err(BoxError::from),
                Some(standing) => tokio::select! {
                    ended = tunnel => ended.map_err(BoxError::from),
                    denied = standing.denied() => Err(denied.into()),
                },
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "a tunnel ended");
            }
            drop(guard);
        });
        if let Some(changes) = decision.changes() {
            changes.apply_to_response(response.headers_mut());
        }
        if let Some(cookie) = &order.cookie {
            response.headers_mut().append(SET_COOKIE, cookie.clone());
        }
        let response = response.map(|_| Body::empty());
        Ok(Sent { response, learning })
    }

    fn finish(&self, order: Order, answered: Result<Sent, Error>) -> Answer {
        match answered {
            Ok(sent) => sent.answer(order.record),
            Err(error) => {
                let Order {
                    marks,
                    version,
                    grpc,
                    record,
                    cors,
                    ..
                } = order;
                readable(
                    self.refuse_marked(marks, version, grpc, record, &error),
                    cors.as_deref(),
                )
            }
        }
    }

    fn record(&self, counting: Counting<'_>, context: &MeshContext, parts: &Parts) -> RequestRecord {
        let Counting { metrics, told, came } = counting;
        let protocol = Protocol::of(parts.version, &parts.headers);
        let record = metrics.begin_with(
            context.received,
            self.source,
            MethodLabel::of(&parts.method),
            protocol,
        );
        let Some(told) = told else {
            return record.tapped(parts.uri.path());
        };
        let begun = Begun {
            head: RequestHead::of_parts(parts),
            version: parts.version,
            context,
            parent: came.and_then(Believed::parent_span),
            listener: Some(&self.inbound.listener.name),
        };
        let story = told
            .place(context.direction)
            .begin(&begun, &mut fastrand::Rng::new());
        record.tapped(parts.uri.path()).tell(story)
    }

    /// What the answer to a request tells that is not forwarded.
    fn marks(&self, parts: &Parts, record: &RequestRecord) -> RequestMarks {
        let marks = RequestMarks::of_refused(&parts.headers, &self.peer);
        if let Some(story) = record.story() {
            story.set_request_id(&marks.request_id);
        }
        marks
    }

    fn limit(&self, limited: &Limited, grpc: bool, marks: RequestMarks, record: RequestRecord) -> Answer {
        let mut refusal = limited.refusal(grpc);
        mark_response(refusal.headers_mut(), marks, &self.peer);
        own_answer(refusal, record)
    }

    fn refuse(&self, parts: &Parts, record: RequestRecord, error: &Error) -> Answer {
        let marks = self.marks(parts, &record);
        self.refuse_marked(
            marks,
            parts.version,
            is_grpc_call(&parts.method, &parts.headers),
            record,
            error,
        )
    }

    fn refuse_marked(
        &self,
        marks: RequestMarks,
        version: Version,
        grpc: bool,
        record: RequestRecord,
        error: &Error,
    ) -> Answer {
        if error.kind() == ErrorKind::BadRequest {
            tracing::debug!(peer = %self.peer.peer().address, %error, ?version, "refused a request");
        }
        let refusal = forward::refuse(error, grpc, version, marks, &self.peer);
        own_answer(refusal, record)
    }
}

/// Nothing but the context, which is all that there is of most requests.
fn only_context(mut extensions: Extensions) -> Extensions {
    if extensions.len() > 1 {
        let context = extensions.remove::<MeshContext>();
        extensions.clear();
        if let Some(context) = context {
            extensions.insert(context);
        }
    }
    extensions
}

/// A refusal that pages of other origins may read if they may read answers: they are to know what happened.
fn readable(mut refusal: Answer, cors: Option<&CrossOrigin>) -> Answer {
    if let Some(cors) = cors {
        cors.apply(refusal.headers_mut());
    }
    refusal
}
