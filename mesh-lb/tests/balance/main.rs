//! Balanced requests over pooled connections: what endpoints see on the wire and callers get back.

mod controlled;
mod counters;
mod deadlines;
mod dropped;
mod fleet;
mod http1;
mod http2;
mod limits;
mod loopback;
mod peers;
mod picks;
mod requests;
mod rest;
mod support;
