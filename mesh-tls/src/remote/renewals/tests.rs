use proptest::prelude::*;

use super::*;

fn serial(number: u64) -> SerialNumber {
    SerialNumber::from_u64(number).expect("positive")
}

fn cert(replaces: Option<u64>) -> Cert {
    let id = "spiffe://cluster.local/ns/dept-barc/sa/orders"
        .parse()
        .expect("an ID");
    let mut cert = Cert::new(id, Vec::new(), SystemTime::UNIX_EPOCH);
    cert.replaces = replaces.map(serial);
    cert
}

proptest! {
    /// Whatever is renewed and shown in which order: of the certificates of one line, at least one is not superseded, and
    /// whoever showed the newest has nothing to fear from those before.
    #[test]
    fn a_line_never_ends_and_who_was_replaced_stays_so(steps in proptest::collection::vec((any::<bool>(), any::<u64>()), 1..60)) {
        let mut state = State::default();
        state.add(serial(1), cert(None));
        let mut last = 1;
        for (renews, choice) in steps {
            let good: Vec<u64> = (1..=last).filter(|n| !state.certs[&serial(*n)].is_superseded).collect();
            prop_assert!(!good.is_empty());
            let chosen = good[choice as usize % good.len()];
            let before: Vec<bool> = (1..=last).map(|n| state.certs[&serial(n)].is_superseded).collect();
            state.show(serial(chosen));
            if renews {
                last += 1;
                state.add(serial(last), cert(Some(chosen)));
            }
            prop_assert!(!state.certs[&serial(chosen)].is_superseded);
            for (place, was) in before.into_iter().enumerate() {
                prop_assert!(!was || state.certs[&serial(place as u64 + 1)].is_superseded);
            }
            if let Some(replaced) = state.certs[&serial(chosen)].replaces {
                prop_assert!(state.certs[&replaced].is_superseded);
            }
        }
    }
}
