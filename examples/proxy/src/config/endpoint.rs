//! `services[].endpoints`: an address, or an address with what is known about it.

use mesh_core::Endpoint;

use super::grammar::{self, ADDRESS, VERSION};
use super::shape::{Fields, Shape, either, integer, object, parsed, text, then};

pub(super) fn shape() -> impl Shape<Value = Endpoint> {
    let address = parsed(ADDRESS, grammar::address);
    either(then(address, |address, _| Endpoint::new(address)), object(read))
}

fn read(fields: &mut Fields<'_>) -> Option<Endpoint> {
    let address = fields.required("address", parsed(ADDRESS, grammar::address));
    let version = fields.optional("version", parsed(VERSION, grammar::version).verbatim());
    let weight = fields.or("weight", integer(0..=1_000_000), 1_u32);
    let zone = fields.optional("zone", text("the name of a zone"));
    let endpoint = Endpoint::new(address?)
        .with_version(version)
        .with_weight(weight)
        .with_zone(zone.map(Into::into));
    Some(endpoint)
}
