//! What names answered last, for when a part of a lookup fails.

use std::collections::HashMap;
use std::net::IpAddr;

use hickory_resolver::proto::rr::{Name, RecordType};

/// What was found of names. A lookup writes a new one and reads the one before, so that what is no longer asked
/// for is forgotten.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Which of the names to try had an answer.
    pub(super) answered: Option<Name>,
    addresses: HashMap<(Name, RecordType), Vec<IpAddr>>,
}

impl Memory {
    pub(super) fn keep(&mut self, name: &Name, family: RecordType, addresses: Vec<IpAddr>) {
        self.addresses.insert((name.clone(), family), addresses);
    }

    pub(super) fn recall(&self, name: &Name, family: RecordType) -> Option<&Vec<IpAddr>> {
        self.addresses.get(&(name.clone(), family))
    }

    /// Takes over what another found.
    pub(super) fn extend(&mut self, other: Self) {
        self.addresses.extend(other.addresses);
    }
}
