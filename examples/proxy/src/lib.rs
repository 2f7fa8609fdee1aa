//! The mesh as a proxy: what `mesh-proxy` is made of.
//!
//! [`config`] reads the file, [`routing`] makes its table, which [`explain`] tells of, [`plan`] compiles it into what
//! all workers share, a [`worker`] is one core's runtime, [`inbound`] is what happens to a request ([`authorization`],
//! [`rate_limits`], [`faults`], [`retries`], [`breakers`] and [`mirrors`] are what it meets), and [`run`] is the process:
//! signals, reloads, draining.
//! [`canary`] rolls new versions out, [`simulate`] tries that before it happens, [`admin`] is its API, [`cert`] the life of certificates from the shell, [`identity`] what the process is to its peers, [`accept`] how they come in, [`upstream`] how it goes on to them.

pub mod accept;
pub mod admin;
pub mod authorization;
pub mod breakers;
pub mod canary;
pub mod cert;
pub mod certificate_api;
pub mod cli;
pub mod config;
pub mod cookie_keys;
mod core_dumps;
pub mod explain;
pub mod faults;
pub mod fleets;
pub mod identity;
pub mod inbound;

pub mod log;
pub mod mirrors;
pub mod plan;
pub mod rate_limits;
pub mod reload;
pub mod retries;
pub mod routing;
pub mod run;
mod seldom;
pub mod side_port;
pub mod simulate;
pub mod tellers;
pub mod upstream;
pub mod worker;
