//! The mesh as a proxy: what `mesh-proxy` is made of.

pub mod config;
