//! Which pages of other origins may read what a rule answers: `cors`, as the Gateway API's filter is written.

use std::time::Duration;

use mesh_traffic::router::{Cors, CorsError};

use super::context::Wrong;
use super::shape::{Fields, boolean, duration, integer, list, written};

pub(super) fn read(fields: &mut Fields<'_>) -> Option<Cors> {
    let max_age = fields.or("maxAge", duration(), Cors::MAX_AGE);
    read_with(fields, max_age)
}

/// As the filter has it: an age is a number of seconds.
pub(super) fn read_filter(fields: &mut Fields<'_>) -> Option<Cors> {
    let max_age = fields.optional("maxAge", integer(1..=i32::MAX.unsigned_abs()));
    let max_age = max_age.map_or(Cors::MAX_AGE, |seconds| Duration::from_secs(seconds.into()));
    read_with(fields, max_age)
}

fn read_with(fields: &mut Fields<'_>, max_age: Duration) -> Option<Cors> {
    let origins = fields.required("allowOrigins", list(written("an origin")));
    let methods = fields.optional("allowMethods", list(written("a method")));
    let headers = fields.optional("allowHeaders", list(written("a header's name")));
    let exposed = fields.optional("exposeHeaders", list(written("a header's name")));
    let credentials = fields.or("allowCredentials", boolean(), false);
    let mut refuse = |key: &'static str, error: CorsError| {
        let message = error.to_string();
        let (found, expected) = message
            .split_once("; expected ")
            .or_else(|| message.split_once("; "))
            .unwrap_or((&message, "another"));
        fields.refuse(key, found, Wrong::expected(expected.to_owned()));
    };
    // Each by itself, so that every problem is told.
    let alone = || Cors::new(["*"]);
    let checked = [
        (
            "allowMethods",
            alone().and_then(|cors| cors.with_methods(methods.iter().flatten())),
        ),
        (
            "allowHeaders",
            alone().and_then(|cors| cors.with_headers(headers.iter().flatten())),
        ),
        (
            "exposeHeaders",
            alone().and_then(|cors| cors.with_exposed_headers(exposed.iter().flatten())),
        ),
    ];
    let mut is_right = true;
    for (key, checked) in checked {
        if let Err(error) = checked {
            refuse(key, error);
            is_right = false;
        }
    }
    let cors = match Cors::new(origins?) {
        Ok(cors) => cors,
        Err(error) => {
            refuse("allowOrigins", error);
            return None;
        }
    };
    if !is_right {
        return None;
    }
    let cors = cors
        .with_methods(methods.iter().flatten())
        .and_then(|cors| cors.with_headers(headers.iter().flatten()))
        .and_then(|cors| cors.with_exposed_headers(exposed.iter().flatten()))
        .and_then(|cors| cors.with_credentials(credentials));
    match cors {
        Ok(cors) => Some(cors.with_max_age(max_age)),
        Err(error) => {
            refuse("exposeHeaders", error);
            None
        }
    }
}
