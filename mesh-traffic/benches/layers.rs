//! What a layer adds to a request, and what whole stacks of them do, around a service that answers at once; beside tower,
//! tower-resilience and tower_governor where they do the same.
//! `cargo bench -p mesh-traffic --bench layers --features compression`

use divan::AllocProfiler;

#[path = "layers/asked.rs"]
mod asked;
#[path = "layers/breaker.rs"]
mod breaker;
#[cfg(feature = "compression")]
#[path = "layers/compression.rs"]
mod compression;
#[path = "layers/concurrency.rs"]
mod concurrency;
#[path = "layers/deadline.rs"]
mod deadline;
#[path = "layers/fault.rs"]
mod fault;
#[path = "layers/hedge.rs"]
mod hedge;
#[path = "layers/limit.rs"]
mod limit;
#[path = "layers/mirror.rs"]
mod mirror;
#[path = "layers/retry.rs"]
mod retry;
#[path = "layers/route.rs"]
mod route;
#[path = "layers/stack.rs"]
mod stack;
#[path = "layers/stock.rs"]
mod stock;

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}
