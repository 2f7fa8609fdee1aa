//! Waiting for one's turn.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout};

use super::line::{Arrival, Line};

/// Lets through as many as a rate allows; some wait, the others are told when to come back.
#[derive(Clone)]
pub(super) struct Admission {
    state: Arc<Mutex<State>>,
    /// How long one waits at most.
    patience: Duration,
}

struct State {
    line: Line<oneshot::Sender<()>>,
    /// Whether a task lets the line go on.
    is_served: bool,
}

impl Admission {
    /// This many a second, this many of them at once; this many wait, for so long at most.
    pub(super) fn new(a_second: u32, burst: u32, most: usize, patience: Duration) -> Self {
        let state = State {
            line: Line::new(a_second, burst, most, Instant::now()),
            is_served: false,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            patience,
        }
    }

    /// Returns when it is the turn of who has this much time left.
    ///
    /// # Errors
    /// After how long to come back.
    pub(super) async fn admit(&self, left: Duration) -> Result<(), Duration> {
        let (turn, came) = oneshot::channel();
        let place = {
            let now = Instant::now();
            let mut state = self.state.lock();
            match state.line.arrive(left, turn, now) {
                Arrival::Admitted => return Ok(()),
                Arrival::SentAway => return Err(come_back(state.line.promise(now), left)),
                Arrival::Waits(place) => place,
                // Who is displaced finds the other end gone.
                Arrival::WaitsInsteadOf(place, _) => place,
            }
        };
        self.serve();
        match timeout(self.patience, came).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => {
                let mut state = self.state.lock();
                state.line.leave(place);
                Err(come_back(state.line.promise(Instant::now()), left))
            }
        }
    }

    /// Lets the line go on until it is empty.
    fn serve(&self) {
        if std::mem::replace(&mut self.state.lock().is_served, true) {
            return;
        }
        let state = Arc::clone(&self.state);
        tokio::spawn(async move {
            loop {
                let turn = {
                    let mut state = state.lock();
                    let now = Instant::now();
                    while let Some(who) = state.line.next(now) {
                        // Who gave up has left the line, or is about to.
                        let _ = who.send(());
                    }
                    let Some(turn) = state.line.next_turn() else {
                        state.is_served = false;
                        return;
                    };
                    turn
                };
                sleep_until(turn).await;
            }
        });
    }
}

/// Up to a tenth later, and a second: whole seconds are told, and who was told the same comes apart. Never later than in a
/// third of the time that is left, so that there are several tries, each with a better place.
fn come_back(wait: Duration, left: Duration) -> Duration {
    let spread = wait + wait.mul_f64(fastrand::f64() / 10.0) + Duration::from_millis(fastrand::u64(0..1000));
    spread.min(left / 3)
}
