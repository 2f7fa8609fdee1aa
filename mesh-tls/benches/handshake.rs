//! What a handshake of both sides costs, beside tokio-rustls alone. Made for counting instructions; the bench
//! `connections` takes the time of both in turn.
//! `examples/bench/instructions --iterations 10 mesh-tls handshake`

#[path = "connections/sides.rs"]
#[allow(dead_code, reason = "other benchmarks use other parts")]
mod sides;

use divan::{AllocProfiler, Bencher};
use sides::{Pair, Sides, World};

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

fn handshake(bencher: Bencher, pair: Pair) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let (_world, sides) = runtime.block_on(async {
        let world = World::new().await;
        let sides = Sides::new(&world).await;
        (world, sides)
    });
    bencher.bench_local(|| runtime.block_on(sides.shake_hands(pair)));
}

#[divan::bench]
fn hybrid_raw(bencher: Bencher) {
    handshake(bencher, Pair::Raw);
}

#[divan::bench]
fn hybrid_mesh(bencher: Bencher) {
    handshake(bencher, Pair::Mesh);
}

#[divan::bench]
fn x25519_raw(bencher: Bencher) {
    handshake(bencher, Pair::RawX25519);
}

#[divan::bench]
fn x25519_mesh_server(bencher: Bencher) {
    handshake(bencher, Pair::MeshX25519);
}
