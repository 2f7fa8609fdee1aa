//! Tower's balancer, as it is: it reads tokio's clock, which a runtime of its own keeps at the time of the world.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::{FutureExt as _, Stream};
use mesh_core::Outcome;
use tokio::runtime::Runtime;
use tokio::time::Instant;
use tower::Service;
use tower::balance::p2c::Balance;
use tower::discover::Change;
use tower::load::completion::TrackCompletion;
use tower::load::peak_ewma::{Handle, PeakEwma};

use super::{Choice, Client, Held, Place};

/// As ours: what an endpoint is taken for at first, and how long a peak is remembered.
const INITIAL: Duration = Duration::from_millis(30);
const DECAY: Duration = Duration::from_secs(10);

pub(super) struct Tower {
    balance: Balance<Changes, ()>,
    changes: Rc<RefCell<VecDeque<Change<usize, Measured>>>>,
    servers: Vec<usize>,
    runtime: Runtime,
    /// Its clock, and the world's, at the beginning.
    origin: Option<(Instant, Instant)>,
}

type Measured = PeakEwma<Endpoint, KeepHandle>;

/// Answers at once, with who it is: the request itself takes place in the world.
struct Endpoint(usize);

impl Service<()> for Endpoint {
    type Response = usize;
    type Error = Infallible;
    type Future = Ready<Result<usize, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        ready(Ok(self.0))
    }
}

/// Gives the handle away whose drop is the end of a request.
#[derive(Clone)]
struct KeepHandle;

impl TrackCompletion<Handle, usize> for KeepHandle {
    type Output = (usize, Handle);

    fn track_completion(&self, handle: Handle, server: usize) -> Self::Output {
        (server, handle)
    }
}

struct Changes(Rc<RefCell<VecDeque<Change<usize, Measured>>>>);

impl Stream for Changes {
    type Item = Result<Change<usize, Measured>, Infallible>;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.0.borrow_mut().pop_front() {
            Some(change) => Poll::Ready(Some(Ok(change))),
            None => Poll::Pending,
        }
    }
}

struct Seeded(fastrand::Rng);

impl tower::util::rng::Rng for Seeded {
    fn next_u64(&mut self) -> u64 {
        self.0.u64(..)
    }
}

impl Tower {
    pub(super) fn new(seed: u64) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let changes = Rc::default();
        let random = Seeded(fastrand::Rng::with_seed(seed));
        Self {
            balance: Balance::from_rng(Changes(Rc::clone(&changes)), random),
            changes,
            servers: Vec::new(),
            runtime,
            origin: None,
        }
    }

    /// Does something at a time of the world.
    fn at<T>(&mut self, now: Instant, run: impl FnOnce(&mut Self) -> T) -> T {
        let handle = self.runtime.handle().clone();
        let here = {
            let _entered = handle.enter();
            Instant::now()
        };
        let (origin, world) = *self.origin.get_or_insert((here, now));
        let behind = (origin + now.duration_since(world)).duration_since(here);
        if !behind.is_zero() {
            self.runtime.block_on(tokio::time::advance(behind));
        }
        let _entered = handle.enter();
        run(self)
    }
}

impl Client for Tower {
    fn update(&mut self, places: &[Place], now: Instant) {
        self.at(now, |tower| {
            let servers: Vec<usize> = places.iter().map(|place| place.server).collect();
            let mut changes = tower.changes.borrow_mut();
            for server in servers.iter().filter(|server| !tower.servers.contains(server)) {
                let decay = DECAY.as_nanos() as f64;
                let measured = PeakEwma::new(Endpoint(*server), INITIAL, decay, KeepHandle);
                changes.push_back(Change::Insert(*server, measured));
            }
            let gone = tower.servers.iter().filter(|server| !servers.contains(server));
            changes.extend(gone.map(|server| Change::Remove(*server)));
            drop(changes);
            tower.servers = servers;
        });
    }

    fn choose(&mut self, _: u64, _: &[usize], now: Instant) -> Option<Choice> {
        self.at(now, |tower| {
            let mut cx = Context::from_waker(Waker::noop());
            if tower.balance.poll_ready(&mut cx).is_pending() {
                return None;
            }
            let answered = tower.balance.call(()).now_or_never().expect("it answers at once");
            let (server, handle) = answered.expect("it never fails");
            Some(Choice {
                server,
                trial: false,
                rests: false,
                held: Held::Tower(handle),
            })
        })
    }

    fn ended(&mut self, attempt: Held, _: Outcome, now: Instant) {
        self.at(now, |_| drop(attempt));
    }
}
