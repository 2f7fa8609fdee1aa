//! Serving HTTP: what a client sees on the wire, in virtual time.
#![cfg(all(feature = "http", feature = "testkit"))]

mod drain;
mod handshakes;
mod http2;
mod service;
mod support;
mod timers;
mod tunnel;
mod unreadable;
