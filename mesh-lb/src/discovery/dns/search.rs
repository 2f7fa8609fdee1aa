//! The names that a name may mean.

use std::collections::HashSet;

use hickory_resolver::proto::rr::Name;

/// What to try, as a system's resolver does: a name with a dot at its end by itself; one with enough dots
/// first by itself and then in the search domains; any other the other way around.
pub(super) fn candidates(name: &Name, search: &[Name], ndots: usize) -> Vec<Name> {
    if name.is_fqdn() {
        return vec![name.clone()];
    }
    let itself = absolute(name.clone());
    // A name too long for a domain is not in it.
    let searched = search
        .iter()
        .filter_map(|domain| name.clone().append_domain(domain).ok())
        .map(absolute);
    let dots = usize::from(name.num_labels()).saturating_sub(1);
    let mut names: Vec<Name> = match dots >= ndots {
        true => std::iter::once(itself).chain(searched).collect(),
        false => searched.chain(std::iter::once(itself)).collect(),
    };
    let mut seen = HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

/// The name itself, in no search domain.
pub(super) fn absolute(mut name: Name) -> Name {
    name.set_fqdn(true);
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(name: &str, search: &[&str], ndots: usize) -> Vec<String> {
        let name_of = |text: &str| Name::from_ascii(text).expect(text);
        let search: Vec<Name> = search.iter().map(|domain| name_of(domain)).collect();
        let names = candidates(&name_of(name), &search, ndots);
        names.iter().map(Name::to_ascii).collect()
    }

    #[test]
    fn a_name_with_a_dot_at_its_end_is_the_only_one_tried() {
        assert_eq!(tried("orders.", &["svc.example."], 1), ["orders."]);
    }

    #[test]
    fn a_name_with_few_dots_is_tried_in_the_search_domains_first() {
        let search = ["dept-barc.svc.example", "svc.example.", "svc.example."];
        assert_eq!(
            tried("orders", &search, 1),
            ["orders.dept-barc.svc.example.", "orders.svc.example.", "orders."]
        );
        assert_eq!(
            tried("orders.example", &search[1..], 1),
            ["orders.example.", "orders.example.svc.example."]
        );
        assert_eq!(
            tried("orders.example", &search[1..], 5),
            ["orders.example.svc.example.", "orders.example."]
        );
        assert_eq!(tried("orders", &[], 1), ["orders."]);
    }

    #[test]
    fn a_search_domain_that_makes_a_name_too_long_is_not_tried() {
        let long = "x".repeat(63) + "." + &"y".repeat(63) + "." + &"z".repeat(63) + "." + &"w".repeat(40);
        assert_eq!(
            tried("some.orders", &[&(long + ".example-of-length.")], 2),
            ["some.orders."]
        );
    }
}
