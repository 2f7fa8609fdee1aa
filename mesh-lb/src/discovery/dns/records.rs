//! What of an answer's records belongs to the question.

use std::net::IpAddr;

use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

/// The addresses of a name, aliases followed, each once and sorted; and for how many seconds they are good.
/// Records of other names are not believed.
pub(super) fn addresses(records: &[Record], name: &Name, family: RecordType) -> Option<(Vec<IpAddr>, u32)> {
    let mut ttl = u32::MAX;
    let names = aliases(records, name, &mut ttl);
    let mut addresses = Vec::new();
    for record in records {
        let address = match (&record.data, family) {
            (RData::A(address), RecordType::A) => IpAddr::V4(address.0),
            (RData::AAAA(address), RecordType::AAAA) => IpAddr::V6(address.0),
            _ => continue,
        };
        if names.contains(&record.name.to_lowercase()) {
            ttl = ttl.min(record.ttl);
            addresses.push(address);
        }
    }
    addresses.sort_unstable();
    addresses.dedup();
    (!addresses.is_empty()).then_some((addresses, ttl))
}

/// The services of a name, aliases followed; and for how many seconds they are good.
pub(super) fn services(records: &[Record], name: &Name) -> (Vec<SRV>, u32) {
    let mut ttl = u32::MAX;
    let names = aliases(records, name, &mut ttl);
    let mut services = Vec::new();
    for record in records {
        if let RData::SRV(service) = &record.data
            && names.contains(&record.name.to_lowercase())
        {
            ttl = ttl.min(record.ttl);
            services.push(service.clone());
        }
    }
    (services, ttl)
}

/// The name, and every name it is an alias of.
fn aliases(records: &[Record], name: &Name, ttl: &mut u32) -> Vec<Name> {
    let mut names = vec![name.to_lowercase()];
    loop {
        let before = names.len();
        for record in records {
            if let RData::CNAME(target) = &record.data
                && names.contains(&record.name.to_lowercase())
            {
                let target = target.0.to_lowercase();
                if !names.contains(&target) {
                    *ttl = (*ttl).min(record.ttl);
                    names.push(target);
                }
            }
        }
        // Every round adds at least one of finitely many.
        if names.len() == before {
            return names;
        }
    }
}

#[cfg(test)]
mod tests {
    use hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME};

    use super::*;

    fn name(text: &str) -> Name {
        Name::from_ascii(text).expect(text)
    }

    fn a(of: &str, ttl: u32, last: u8) -> Record {
        Record::from_rdata(name(of), ttl, RData::A(A::new(10, 0, 0, last)))
    }

    fn alias(of: &str, ttl: u32, target: &str) -> Record {
        Record::from_rdata(name(of), ttl, RData::CNAME(CNAME(name(target))))
    }

    #[test]
    fn addresses_are_each_there_once_and_good_for_the_shortest_ttl() {
        let records = [a("orders.", 30, 2), a("Orders.", 20, 1), a("orders.", 40, 2)];
        let found = addresses(&records, &name("orders."), RecordType::A);
        assert_eq!(
            found,
            Some((vec![[10, 0, 0, 1].into(), [10, 0, 0, 2].into()], 20))
        );
    }

    #[test]
    fn records_of_other_names_and_other_families_are_not_believed() {
        let v6 = Record::from_rdata(name("orders."), 5, RData::AAAA(AAAA::new(1, 2, 3, 4, 5, 6, 7, 8)));
        let records = [a("billing.", 5, 9), v6];
        assert_eq!(addresses(&records, &name("orders."), RecordType::A), None);
        let found = addresses(&records, &name("orders."), RecordType::AAAA).expect("an address");
        assert_eq!(found.0.len(), 1);
    }

    #[test]
    fn aliases_are_followed_in_any_order_and_a_circle_of_them_ends() {
        let records = [
            a("c.", 60, 1),
            alias("b.", 10, "C."),
            alias("a.", 40, "b."),
            alias("c.", 50, "a."),
        ];
        assert_eq!(
            addresses(&records, &name("a."), RecordType::A),
            Some((vec![[10, 0, 0, 1].into()], 10))
        );
    }
}
