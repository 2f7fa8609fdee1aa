//! The mesh as a proxy, for services that cannot be changed.

use std::process::ExitCode;

/// Short-lived allocations of one size after another: what a proxy does, and what mimalloc is fast at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    mesh_proxy::cli::main()
}
