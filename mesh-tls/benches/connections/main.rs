//! Handshakes a second, and bytes of a connection at rest, beside tokio-rustls and hyper alone: in turn, in one run.
//! `cargo bench -p mesh-tls --bench connections`
//!
//! The clients of connections at rest are a process of their own, so that every byte counted is the server's.

#![expect(clippy::print_stdout, reason = "the numbers are what one comes for")]

mod clients;
mod rest;
#[allow(dead_code, reason = "other benchmarks use other parts")]
mod sides;

use std::alloc::System;
use std::time::Duration;

use cap::Cap;
use rustix::time::{ClockId, clock_gettime};
use sides::{Pair, Sides, World};
use tokio::time::Instant;

#[global_allocator]
static HEAP: Cap<System> = Cap::new(System, usize::MAX);

/// How often either kind has its turn, and how many handshakes that is.
const ROUNDS: usize = 15;
const HANDSHAKES: u32 = 100;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    if arguments.get(1).is_some_and(|first| first == clients::NAME) {
        return runtime.block_on(clients::run(&arguments[2..]));
    }
    let world = runtime.block_on(async {
        let world = World::new().await;
        let sides = Sides::new(&world).await;
        println!("handshake, both sides                         per second   CPU µs   × tokio-rustls");
        for (name, raw, mesh) in [
            ("X25519MLKEM768, both of the mesh", Pair::Raw, Pair::Mesh),
            ("X25519, server of the mesh", Pair::RawX25519, Pair::MeshX25519),
        ] {
            compare(&sides, name, raw, mesh).await;
        }
        world
    });
    rest::compare(&runtime, &world);
}

async fn compare(sides: &Sides, name: &str, raw: Pair, mesh: Pair) {
    let mut rounds = Vec::new();
    take(sides, raw).await;
    take(sides, mesh).await;
    for _ in 0..ROUNDS {
        rounds.push((take(sides, raw).await, take(sides, mesh).await));
    }
    let ratio = median(rounds.iter().map(|(raw, mesh)| mesh.cpu / raw.cpu));
    for (name, ratio, of) in [
        (
            "tokio-rustls",
            1.0,
            rounds.iter().map(|round| round.0).collect::<Vec<_>>(),
        ),
        (name, ratio, rounds.iter().map(|round| round.1).collect()),
    ] {
        let per_second = 1.0 / median(of.iter().map(|taken| taken.wall));
        let cpu = 1e6 * median(of.iter().map(|taken| taken.cpu));
        println!("{name:44} {per_second:12.0} {cpu:8.0} {ratio:12.3}");
    }
}

/// Seconds of one handshake.
#[derive(Clone, Copy)]
struct Taken {
    wall: f64,
    cpu: f64,
}

async fn take(sides: &Sides, pair: Pair) -> Taken {
    let (began, cpu) = (Instant::now(), process_time());
    for _ in 0..HANDSHAKES {
        sides.shake_hands(pair).await;
    }
    let each = |taken: Duration| taken.as_secs_f64() / f64::from(HANDSHAKES);
    Taken {
        wall: each(began.elapsed()),
        cpu: each(process_time() - cpu),
    }
}

/// What the process has used of the processor.
fn process_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(
        time.tv_sec.try_into().expect("not negative"),
        time.tv_nsec.try_into().expect("less than a second"),
    )
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
