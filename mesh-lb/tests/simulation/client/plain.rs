//! In turn, from the first on, whatever happens: what many begin with.

use mesh_core::Outcome;
use tokio::time::Instant;

use super::{Choice, Client, Held, Place};

#[derive(Default)]
pub(super) struct Plain {
    servers: Vec<usize>,
    next: usize,
}

impl Client for Plain {
    fn update(&mut self, places: &[Place], _: Instant) {
        self.servers = places.iter().map(|place| place.server).collect();
        self.next = 0;
    }

    fn choose(&mut self, _: u64, _: &[usize], _: Instant) -> Option<Choice> {
        let server = *self.servers.get(self.next)?;
        self.next = (self.next + 1) % self.servers.len();
        Some(Choice {
            server,
            trial: false,
            rests: false,
            held: Held::Nothing,
        })
    }

    fn ended(&mut self, _: Held, _: Outcome, _: Instant) {}
}
