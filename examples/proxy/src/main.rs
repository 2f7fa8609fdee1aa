//! The mesh as a proxy.
fn main() {}
