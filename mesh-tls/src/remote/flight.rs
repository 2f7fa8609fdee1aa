//! One renewal of a certificate at a time.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

/// What is under way, by what it is about. Who asks for the very same while it is under way gets the same answer.
pub(super) struct Flights<K, A> {
    under_way: Arc<Mutex<HashMap<K, Flight<A>>>>,
}

struct Flight<A> {
    /// What tells a repeated request from another one.
    request: String,
    answer: watch::Receiver<Option<A>>,
}

/// What becomes of a request.
pub(super) enum Boarding<K: Eq + Hash, A> {
    /// It is the first: the answer is told to the others.
    First(Pilot<K, A>),
    /// The same is under way: its answer comes here.
    Same(watch::Receiver<Option<A>>),
    /// Another one about the same is under way.
    Other,
}

/// Answers a flight. Dropped without an answer, who waits finds nobody there.
pub(super) struct Pilot<K: Eq + Hash, A> {
    under_way: Arc<Mutex<HashMap<K, Flight<A>>>>,
    about: K,
    answer: watch::Sender<Option<A>>,
}

impl<K: Eq + Hash + Clone, A: Clone> Flights<K, A> {
    pub(super) fn new() -> Self {
        Self {
            under_way: Arc::default(),
        }
    }

    pub(super) fn board(&self, about: &K, request: &str) -> Boarding<K, A> {
        let mut under_way = self.under_way.lock();
        match under_way.get(about) {
            Some(flight) if flight.request == request => Boarding::Same(flight.answer.clone()),
            Some(_) => Boarding::Other,
            None => {
                let (answer, receiver) = watch::channel(None);
                let flight = Flight {
                    request: request.to_owned(),
                    answer: receiver,
                };
                under_way.insert(about.clone(), flight);
                Boarding::First(Pilot {
                    under_way: Arc::clone(&self.under_way),
                    about: about.clone(),
                    answer,
                })
            }
        }
    }
}

impl<K: Eq + Hash, A> Pilot<K, A> {
    pub(super) fn answer(self, answer: A) {
        // Nobody else may have asked.
        let _ = self.answer.send(Some(answer));
    }
}

impl<K: Eq + Hash, A> Drop for Pilot<K, A> {
    fn drop(&mut self) {
        self.under_way.lock().remove(&self.about);
    }
}

/// The answer of a flight; `None` if it ended without one.
pub(super) async fn landed<A: Clone>(mut answer: watch::Receiver<Option<A>>) -> Option<A> {
    match answer.wait_for(Option::is_some).await {
        Ok(answer) => answer.clone(),
        Err(_) => None,
    }
}
