//! Retries of a rule.

use mesh_traffic::retry::RetryOn;

use super::gep_duration;
use crate::config::context::Wrong;
use crate::config::retry::Retry;
use crate::config::shape::{Fields, integer, list, parsed};

/// `retry`: what never reached an application or broke is tried again, and what is answered with one of the codes.
pub(super) fn read(fields: &mut Fields<'_>) -> Option<Retry> {
    const WHAT: &str = "a duration as 100ms";
    let codes = fields.optional("codes", list(integer(400..=599_u16)));
    let attempts = fields.or("attempts", integer(0..=10), 1_u32);
    let backoff = fields.optional("backoff", parsed(WHAT, gep_duration));
    let broken = [RetryOn::ConnectFailure, RetryOn::RefusedStream, RetryOn::Reset];
    let mut on = broken.to_vec();
    for code in codes.into_iter().flatten() {
        match code.to_string().parse() {
            Ok(answered) => on.push(answered),
            Err(_) => {
                fields.refuse(
                    "codes",
                    code.to_string(),
                    Wrong::expected("statuses from 400 to 599"),
                );
                return None;
            }
        }
    }
    Some(Retry {
        attempts,
        on,
        backoff: backoff.map(Option::unwrap_or_default),
        ..Retry::default()
    })
}
