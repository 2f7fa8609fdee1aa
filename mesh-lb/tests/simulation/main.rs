//! Balancing in bad weather: clients and servers in virtual time, with the code that balances in production.
//!
//! Each client has a [`Fleet`](mesh_lb::Fleet) and chooses by a [`Chooser`](mesh_lb::fleet::Chooser) of it, as
//! `Balance` does; what is simulated is the rest of the world: when requests come, how long servers take, who is
//! lost. Beside it run the plain round robin and tower's own choice of two by peak EWMA. Every world is the same
//! for the same seed.
//!
//! Each scenario asserts the bounds that stand on its top, and prints what it measured. Optimized builds run
//! larger worlds, as does `SIMULATION=large`; `SIMULATION_SEED` gives others. To see all of it:
//!
//! ```text
//! cargo test -p mesh-lb --release --test simulation -- --nocapture
//! ```

mod client;
mod log;
mod scenarios;
mod server;
mod table;
mod world;
