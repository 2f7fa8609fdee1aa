//! A world of clients and servers in virtual time: what happens next is taken from a queue, and nothing waits.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use mesh_core::{ErrorKind, Outcome};
use tokio::time::Instant;

use crate::client::{Choice, Client, Held, Place, Strategy};
use crate::log::{Log, Sent, Served};
use crate::server::{Mode, Server, Taken, exponential};

/// As `Balance`: a request that did not reach the application is sent four times at most.
const MAX_ATTEMPTS: usize = 4;

/// There and back again, and what a refusal takes.
const ROUND_TRIP: Duration = Duration::from_micros(500);

/// How long a connection is waited for.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// A request that was sent is answered within this time, or is an error.
pub(crate) const DEADLINE: Duration = Duration::from_secs(2);

/// How often a client lets the time do its part. `Fleet::keep` does so sooner when there is something to do.
const KEEP: Duration = Duration::from_millis(20);

/// How often it is looked how many are ejected.
const LOOK: Duration = Duration::from_millis(100);

/// What a world begins with.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// Each client's zone.
    pub(crate) clients: Vec<Option<&'static str>>,
    pub(crate) servers: Vec<Server>,
    /// Those that discovery tells of at first.
    pub(crate) places: Vec<Place>,
    /// Requests a second, of all clients together.
    pub(crate) rate: f64,
    pub(crate) lasts: Duration,
}

impl Plan {
    /// So many clients and endpoints without zones.
    pub(crate) fn new(clients: usize, servers: Vec<Server>, rate: f64, lasts: Duration) -> Self {
        Self {
            seed: seed(),
            clients: vec![None; clients],
            places: (0..servers.len())
                .map(|server| Place { server, zone: None })
                .collect(),
            servers,
            rate,
            lasts,
        }
    }
}

/// `SIMULATION_SEED`, or 1.
fn seed() -> u64 {
    let told = std::env::var("SIMULATION_SEED").ok();
    told.map_or(1, |seed| seed.parse().expect("SIMULATION_SEED is a number"))
}

pub(crate) struct World {
    pub(crate) servers: Vec<Server>,
    clients: Vec<Box<dyn Client>>,
    /// Of the world; the time in it is what has passed since.
    start: Instant,
    now: Duration,
    queue: BinaryHeap<Reverse<(Duration, u64, Event)>>,
    scripts: Vec<Option<Script>>,
    events: u64,
    requests: Vec<Request>,
    attempts: Vec<Attempt>,
    rate: f64,
    lasts: Duration,
    arrivals: fastrand::Rng,
    choices: fastrand::Rng,
    services: fastrand::Rng,
    log: Log,
}

type Script = Box<dyn FnOnce(&mut World)>;

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrives,
    Ends(usize, Ending),
    Served(usize),
    Keep,
    Look,
    Script(usize),
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Ending {
    Failed,
    Missed,
    NoConnection,
    Reset,
}

struct Request {
    client: usize,
    began: Duration,
    tried: Vec<usize>,
}

struct Attempt {
    request: usize,
    server: usize,
    /// None when it has ended.
    held: Option<Held>,
}

impl World {
    pub(crate) fn new(strategy: &Strategy, plan: &Plan) -> Self {
        // Where a round robin starts is drawn by the thread.
        fastrand::seed(plan.seed);
        let mut seeds = fastrand::Rng::with_seed(plan.seed);
        let start = Instant::now();
        let clients = plan.clients.iter();
        let clients = clients
            .map(|zone| strategy.client(*zone, &plan.places, seeds.u64(..), start))
            .collect();
        let mut world = Self {
            servers: plan.servers.clone(),
            clients,
            start,
            now: Duration::ZERO,
            queue: BinaryHeap::new(),
            scripts: Vec::new(),
            events: 0,
            requests: Vec::new(),
            attempts: Vec::new(),
            rate: plan.rate,
            lasts: plan.lasts,
            arrivals: seeds.fork(),
            choices: seeds.fork(),
            services: seeds.fork(),
            log: Log::default(),
        };
        world.arrives_next();
        world.push(Duration::ZERO, Event::Keep);
        world
    }

    /// Does something at a time, unless it is over by then.
    pub(crate) fn at(&mut self, when: Duration, script: impl FnOnce(&mut Self) + 'static) {
        if when >= self.lasts {
            return;
        }
        self.scripts.push(Some(Box::new(script)));
        self.push_at(when, Event::Script(self.scripts.len() - 1));
    }

    pub(crate) fn now(&self) -> Duration {
        self.now
    }

    pub(crate) fn clients(&self) -> usize {
        self.clients.len()
    }

    /// Looks how many endpoints are ejected, from now on.
    pub(crate) fn watch(&mut self) {
        self.push(Duration::ZERO, Event::Look);
    }

    /// Lets it run for its time, and until all requests have ended.
    pub(crate) fn run(mut self) -> Log {
        while let Some(Reverse((now, _, event))) = self.queue.pop() {
            self.now = now;
            match event {
                Event::Arrives => {
                    let client = self.arrivals.usize(..self.clients.len());
                    self.requests.push(Request {
                        client,
                        began: now,
                        tried: Vec::new(),
                    });
                    self.attempt(self.requests.len() - 1);
                    self.arrives_next();
                }
                Event::Ends(attempt, ending) => self.ended(attempt, ending.outcome()),
                Event::Served(attempt) => self.served(attempt),
                Event::Keep => self.keep(),
                Event::Look => self.look(),
                Event::Script(script) => {
                    if let Some(script) = self.scripts[script].take() {
                        script(&mut self);
                    }
                }
            }
        }
        self.log
    }

    /// A server does otherwise from now on. One that is gone loses what it has.
    pub(crate) fn set_mode(&mut self, server: usize, mode: Mode) {
        self.servers[server].mode = mode;
        if matches!(mode, Mode::Refuses | Mode::Silent) {
            for attempt in self.servers[server].lose() {
                self.push(ROUND_TRIP, Event::Ends(attempt, Ending::Reset));
            }
        }
    }

    /// A client learns of these endpoints.
    pub(crate) fn tell(&mut self, client: usize, places: &[Place]) {
        let now = self.start + self.now;
        self.clients[client].update(places, now);
    }

    /// A client's health checks find this out.
    pub(crate) fn report(&mut self, client: usize, server: usize, healthy: bool) {
        let now = self.start + self.now;
        self.clients[client].report(server, healthy, now);
    }

    fn push(&mut self, after: Duration, event: Event) {
        self.push_at(self.now + after, event);
    }

    fn push_at(&mut self, when: Duration, event: Event) {
        self.events += 1;
        self.queue.push(Reverse((when, self.events, event)));
    }

    fn arrives_next(&mut self) {
        let after = exponential(Duration::from_secs_f64(1.0 / self.rate), &mut self.arrivals);
        if self.now + after < self.lasts {
            self.push(after, Event::Arrives);
        }
    }

    fn keep(&mut self) {
        let now = self.start + self.now;
        for client in &mut self.clients {
            client.keep(now);
        }
        if self.now + KEEP < self.lasts {
            self.push(KEEP, Event::Keep);
        }
    }

    fn look(&mut self) {
        let now = self.start + self.now;
        let ejected = self.clients.iter().map(|client| client.ejected(now)).sum();
        self.log.ejected.push((self.now, ejected));
        if self.now + LOOK < self.lasts {
            self.push(LOOK, Event::Look);
        }
    }

    /// Sends a request, for the first time or again.
    fn attempt(&mut self, at: usize) {
        let request = &self.requests[at];
        let now = self.start + self.now;
        let client = &mut self.clients[request.client];
        let Some(choice) = client.choose(self.choices.u64(..), &request.tried, now) else {
            self.log.nobody += 1;
            return self.finish(at, false);
        };
        let Choice {
            server,
            trial,
            rests,
            held,
        } = choice;
        self.log.sent.push(Sent {
            at: self.now,
            client: request.client,
            server,
            trial,
            well: self.servers[server].mode == Mode::Serves,
        });
        let attempt = self.attempts.len();
        self.attempts.push(Attempt {
            request: at,
            server,
            held: Some(held),
        });
        if rests {
            return self.ended(attempt, Ending::NoConnection.outcome());
        }
        match self.servers[server].mode {
            Mode::Serves => match self.servers[server].take(attempt, self.now, &mut self.services) {
                Taken::Serves(time) => self.push(time + ROUND_TRIP, Event::Served(attempt)),
                Taken::Waits => {}
                Taken::Rejected => self.push(ROUND_TRIP, Event::Ends(attempt, Ending::Failed)),
            },
            Mode::Fails => self.push(ROUND_TRIP, Event::Ends(attempt, Ending::Failed)),
            Mode::Hangs => self.push(DEADLINE, Event::Ends(attempt, Ending::Missed)),
            Mode::Refuses => self.push(ROUND_TRIP, Event::Ends(attempt, Ending::NoConnection)),
            Mode::Silent => self.push(CONNECT_TIMEOUT, Event::Ends(attempt, Ending::NoConnection)),
        }
    }

    fn served(&mut self, attempt: usize) {
        let Attempt { server, held, .. } = &self.attempts[attempt];
        // Its server may have been lost meanwhile.
        if held.is_none() {
            return;
        }
        let next = self.servers[*server].served(attempt, self.now, &mut self.services);
        if let Some((next, time)) = next {
            self.push(time + ROUND_TRIP, Event::Served(next));
        }
        self.ended(attempt, Outcome::Success);
    }

    fn ended(&mut self, attempt: usize, outcome: Outcome) {
        let Attempt {
            request,
            server,
            held,
        } = &mut self.attempts[attempt];
        let Some(held) = held.take() else {
            return;
        };
        let (at, server) = (*request, *server);
        let request = &mut self.requests[at];
        self.clients[request.client].ended(held, outcome, self.start + self.now);
        let is_again = matches!(
            outcome,
            Outcome::Refused(ErrorKind::UpstreamConnect | ErrorKind::UpstreamReset)
        );
        if is_again && request.tried.len() + 1 < MAX_ATTEMPTS {
            request.tried.push(server);
            return self.attempt(at);
        }
        self.finish(at, outcome == Outcome::Success);
    }

    fn finish(&mut self, at: usize, ok: bool) {
        let request = &self.requests[at];
        self.log.served.push(Served {
            began: request.began,
            took: self.now - request.began,
            ok,
        });
    }
}

impl Ending {
    fn outcome(self) -> Outcome {
        match self {
            Self::Failed => Outcome::Failure,
            Self::Missed => Outcome::Refused(ErrorKind::Timeout),
            Self::NoConnection => Outcome::Refused(ErrorKind::UpstreamConnect),
            Self::Reset => Outcome::Refused(ErrorKind::UpstreamReset),
        }
    }
}
