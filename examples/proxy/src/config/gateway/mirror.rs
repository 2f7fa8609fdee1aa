//! `requestMirror` of a filter: where copies of requests go, and how many.

use super::backend;
use crate::config::Mesh;
use crate::config::context::Wrong;
use crate::config::rule::Mirror;
use crate::config::shape::{Fields, integer, object};
use crate::config::share::Percent;

/// Nothing if copies would go nowhere.
pub(super) fn read(fields: &mut Fields<'_>, namespace: &str, mesh: &Mesh) -> Option<Option<Mirror>> {
    let service =
        |fields: &mut Fields<'_>| backend::read_service(fields, namespace, mesh, "no copies are sent");
    let found = fields.required("backendRef", object(service));
    let percent = fields.optional("percent", integer(0..=100_u32));
    let fraction = fields.optional("fraction", object(read_fraction));
    if fields.has("percent") && fields.has("fraction") {
        let wrong = Wrong::expected("percent or fraction, not both");
        fields.refuse("fraction", "fraction beside percent", wrong);
        return None;
    }
    let share = match (percent, fraction) {
        (Some(percent), _) => f64::from(percent),
        (None, Some(share)) => share,
        (None, None) => 100.0,
    };
    let percentage = Percent::new(share)?;
    Some(found?.map(|found| Mirror {
        service: found.service,
        version: found.version,
        percentage,
    }))
}

/// In percent.
fn read_fraction(fields: &mut Fields<'_>) -> Option<f64> {
    let numerator = fields.required("numerator", integer(0..=i32::MAX as u32));
    let denominator = fields.or("denominator", integer(1..=i32::MAX as u32), 100_u32);
    let numerator = numerator?;
    if numerator > denominator {
        let wrong = Wrong::expected(format!("at most the denominator, {denominator}"));
        fields.refuse("numerator", numerator.to_string(), wrong);
        return None;
    }
    Some(f64::from(numerator) * 100.0 / f64::from(denominator))
}
