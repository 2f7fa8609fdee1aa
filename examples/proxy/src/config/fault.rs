//! `faultInjection`: trouble on purpose; and `faults`, what holds for all of it.

use std::num::NonZeroU64;
use std::time::{Duration, SystemTime};

use mesh_core::GrpcCode;
use mesh_traffic::fault::{self, Chance};

use super::context::Wrong;
use super::defaults;
use super::rfc3339;
use super::schema::Unit;
use super::shape::{Fields, Object, Span, boolean, duration, integer, object, parsed, percent, size};
use super::share::Percent;

/// Trouble on purpose.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct FaultInjection {
    /// Requests that wait.
    pub delay: Option<Delay>,
    /// Requests that fail.
    pub abort: Option<Abort>,
    /// Responses that break off.
    pub reset: Option<Reset>,
    /// Responses that come slowly.
    pub throttle: Option<Throttle>,
    /// Whether a request of an authenticated peer may ask for trouble. Default false.
    pub on_request: bool,
    /// When it ends; `None`: an hour after it came into use.
    pub until: Option<SystemTime>,
}

/// Requests that wait.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Delay {
    /// How many.
    pub percentage: Percent,
    /// How long.
    pub delay: fault::Delay,
}

/// Requests that fail.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Abort {
    /// How many.
    pub percentage: Percent,
    /// With which status.
    pub abort: fault::Abort,
}

/// Responses that break off.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Reset {
    /// How many.
    pub percentage: Percent,
    /// After so many bytes of the body. Default 0.
    pub after_bytes: u64,
}

/// Responses that come slowly.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Throttle {
    /// How many.
    pub percentage: Percent,
    /// So many bytes of the body a second.
    pub bytes_per_second: NonZeroU64,
}

/// What holds for all trouble of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FaultBounds {
    /// Whether there is any. Default true.
    pub enabled: bool,
    /// How many requests may be in trouble at once. Default 1024.
    pub max_active: u32,
}

impl FaultInjection {
    /// How many of each kind there are to be, until when.
    ///
    /// `None`: a share is none, which the configuration does not let happen.
    pub fn compile(&self, ends: tokio::time::Instant) -> Option<fault::Faults> {
        let chance = |percentage: Percent| Chance::percent(percentage.get());
        let mut faults = fault::Faults::until(ends).on_request(self.on_request);
        if let Some(Delay { percentage, delay }) = self.delay {
            faults = faults.delay(chance(percentage)?, delay);
        }
        if let Some(Abort { percentage, abort }) = self.abort {
            faults = faults.abort(chance(percentage)?, abort);
        }
        if let Some(reset) = self.reset {
            faults = faults.reset(chance(reset.percentage)?, reset.after_bytes);
        }
        if let Some(throttle) = self.throttle {
            faults = faults.throttle(chance(throttle.percentage)?, throttle.bytes_per_second);
        }
        Some(faults)
    }
}

pub(super) fn read_bounds(fields: &mut Fields<'_>) -> Option<FaultBounds> {
    Some(FaultBounds {
        enabled: fields.or("enabled", boolean(), true),
        max_active: fields.or("maxActive", integer(1..=1_000_000), defaults::FAULTS_MAX_ACTIVE),
    })
}

pub(super) fn read(fields: &mut Fields<'_>) -> Option<Option<FaultInjection>> {
    let enabled = fields.or("enabled", boolean(), true);
    let delay = fields.optional("delay", object(read_delay));
    let abort = fields.optional("abort", object(read_abort));
    let reset = fields.optional("reset", object(read_reset));
    let throttle = fields.optional("throttle", object(read_throttle));
    let on_request = fields.or("onRequest", boolean(), false);
    let until = fields.optional("until", parsed(rfc3339::EXPECTED, rfc3339::parse));
    const KINDS: [&str; 4] = ["delay", "abort", "reset", "throttle"];
    if enabled && !on_request && !KINDS.iter().any(|kind| fields.has(kind)) {
        fields.refuse_whole(
            "neither delay nor abort nor reset nor throttle",
            Wrong::expected("delay, abort, reset, throttle, some of them, or onRequest: true"),
        );
    }
    if enabled && until.is_some_and(|until| until <= SystemTime::now()) {
        fields.advise("until", "it is over: there is no trouble any more");
    }
    Some(enabled.then_some(FaultInjection {
        delay,
        abort,
        reset,
        throttle,
        on_request,
        until,
    }))
}

fn read_delay(fields: &mut Fields<'_>) -> Option<Delay> {
    const KINDS: [&str; 4] = ["fixedDelay", "uniform", "normal", "pareto"];
    let percentage = fields.required("percentage", percent());
    let fixed = fields.optional("fixedDelay", wait());
    let uniform = fields.optional("uniform", uniform());
    let normal = fields.optional("normal", object(read_normal));
    let pareto = fields.optional("pareto", object(read_pareto));
    let longest = fields.or("maxDelay", wait(), fault::Delay::MAX);
    let written: Vec<&'static str> = KINDS.into_iter().filter(|kind| fields.has(kind)).collect();
    match *written.as_slice() {
        [] => fields.missing(
            "fixedDelay",
            Wrong::expected("one of fixedDelay, uniform, normal, pareto"),
        ),
        [_] => {}
        [_, second, ..] => {
            let found = format!("{} of one delay", written.join(" and "));
            fields.refuse(
                second,
                found,
                Wrong::expected("one of fixedDelay, uniform, normal, pareto"),
            );
        }
    }
    let delay = fixed.map(fault::Delay::fixed).or(uniform).or(normal).or(pareto);
    Some(Delay {
        percentage: percentage?,
        delay: delay?.at_most(longest),
    })
}

/// Nothing waits longer than that.
fn wait() -> Span {
    duration().bare(Unit::Milliseconds).at_most(fault::Delay::MAX)
}

fn uniform() -> Object<impl Fn(&mut Fields<'_>) -> Option<fault::Delay>> {
    object(|fields: &mut Fields<'_>| {
        let least = fields.or("min", wait(), Duration::from_millis(1));
        let most = fields.required("max", wait());
        match fault::Delay::uniform(least, most?) {
            Ok(delay) => Some(delay),
            Err(error) => {
                fields.refuse("min", error.to_string(), Wrong::expected("less than max"));
                None
            }
        }
    })
}

fn read_normal(fields: &mut Fields<'_>) -> Option<fault::Delay> {
    let mean = fields.required("mean", wait());
    let deviation = fields.required("deviation", wait());
    Some(fault::Delay::normal(mean?, deviation?))
}

/// Told by two waits instead of the shape: one of a hundred is longer than the second.
fn read_pareto(fields: &mut Fields<'_>) -> Option<fault::Delay> {
    let least = fields.required("min", wait());
    let p99 = fields.required("p99", wait());
    let (least, p99) = (least?, p99?);
    if p99 <= least {
        let found = mesh_core::duration::display(p99).to_string();
        fields.refuse("p99", found, Wrong::expected("more than min"));
        return None;
    }
    let shape = 100_f64.ln() / p99.div_duration_f64(least).ln();
    fault::Delay::pareto(least, shape).ok()
}

fn read_abort(fields: &mut Fields<'_>) -> Option<Abort> {
    let percentage = fields.required("percentage", percent());
    let status = fields.required("httpStatus", integer(200..=599_u16));
    let code = fields.optional("grpcStatus", integer(0..=16_u8));
    let status = status?;
    let Some(abort) = fault::Abort::new(status) else {
        let wrong = Wrong::expected("a status whose response has a body, to say that it was made on purpose");
        fields.refuse("httpStatus", status.to_string(), wrong);
        return None;
    };
    Some(Abort {
        percentage: percentage?,
        abort: match code.and_then(GrpcCode::new) {
            Some(code) => abort.with_grpc_code(code),
            None => abort,
        },
    })
}

fn read_reset(fields: &mut Fields<'_>) -> Option<Reset> {
    let percentage = fields.required("percentage", percent());
    let after_bytes = fields.or("afterBytes", size(0, u64::MAX), 0);
    Some(Reset {
        percentage: percentage?,
        after_bytes,
    })
}

fn read_throttle(fields: &mut Fields<'_>) -> Option<Throttle> {
    let percentage = fields.required("percentage", percent());
    let rate = fields.required("bytesPerSecond", size(1, u64::MAX));
    Some(Throttle {
        percentage: percentage?,
        bytes_per_second: NonZeroU64::new(rate?)?,
    })
}
