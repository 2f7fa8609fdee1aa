use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn wall(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn who(peer: u8) -> Who {
    Who {
        id: None,
        serial: format!("{peer:02x}").into(),
    }
}

fn untrusted() -> Why {
    Why::Unbelieved {
        revoked: true,
        cause: "it was revoked".into(),
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// A connection of this peer begins, verified by a trust this much older than the one in force.
    Begin(u8, u64),
    /// A connection ends, whichever.
    End(prop::sample::Index),
    /// Another trust, which does not believe the peers of this mask.
    Trust(u8),
    /// Everybody is judged who has not been.
    Judge,
    /// Seconds go by, and so many peers go at a time.
    Wait(u64, usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0_u8..6, 0_u64..2).prop_map(|(peer, late)| Step::Begin(peer, late)),
        2 => any::<prop::sample::Index>().prop_map(Step::End),
        1 => any::<u8>().prop_map(Step::Trust),
        2 => Just(Step::Judge),
        3 => (0_u64..4, 1_usize..4).prop_map(|(by, most)| Step::Wait(by, most)),
    ];
    prop::collection::vec(step, 0..120)
}

/// The plain second one: every connection by itself, in the order of its beginning.
#[derive(Debug)]
struct Connection {
    peer: u8,
    place: Place,
    believed_by: u64,
    end: u64,
    told_at: Option<Instant>,
    closed: bool,
    ended: bool,
}

proptest! {
    /// Nobody who is believed is told anything; who is not is told to leave, once, at the verdict or at the end of
    /// the certificate, and to close five seconds later.
    #[test]
    fn exactly_those_go_who_are_not_believed_and_exactly_once(steps in steps()) {
        let began = Instant::now();
        let (mut roll, mut seconds) = (Roll::new(1), 0_u64);
        let (mut trust, mut refused) = (1_u64, vec![0_u8, 0]);
        let mut all: BTreeMap<u64, Connection> = BTreeMap::new();
        for step in steps {
            let now = Now { wall: wall(seconds), steady: began + Duration::from_secs(seconds) };
            let mut told = Vec::new();
            let mut close = Vec::new();
            match step {
                Step::Begin(peer, late) => {
                    let by = trust.saturating_sub(late).max(1);
                    // Every peer has a certificate that ends at a time of its own.
                    let end = 10 + u64::from(peer) * 5;
                    if end <= seconds || refused[usize::try_from(by).expect("few")] & (1 << peer) != 0 {
                        continue; // the handshake refuses it
                    }
                    let number = u64::try_from(all.len()).expect("few");
                    let before = roll.rest(now);
                    let (place, look) = roll.begin([peer; 32], (by, wall(end)), number, || (peer, who(peer)));
                    let is_behind = roll.unjudged().iter().any(|(digest, _)| *digest == [peer; 32]);
                    prop_assert!(look || (!is_behind && before.is_some() && roll.rest(now) == before));
                    all.insert(number, Connection {
                        peer, place, believed_by: by, end, told_at: None, closed: false, ended: false,
                    });
                    // Who showed the same is believed together.
                    let best = all.values().filter(|c| c.peer == peer && c.told_at.is_none() && !c.ended)
                        .map(|c| c.believed_by).max().unwrap_or(by);
                    for c in all.values_mut().filter(|c| c.peer == peer && c.told_at.is_none() && !c.ended) {
                        c.believed_by = best;
                    }
                }
                Step::End(index) => {
                    if all.is_empty() { continue; }
                    let number = u64::try_from(index.index(all.len())).expect("few");
                    let connection = all.get_mut(&number).expect("it is there");
                    connection.ended = true;
                    roll.end(connection.place);
                }
                Step::Trust(mask) => {
                    trust += 1;
                    refused.push(mask);
                    roll.trust(trust);
                }
                Step::Judge => {
                    let mask = refused[usize::try_from(trust).expect("few")];
                    for (digest, peer) in roll.unjudged() {
                        let verdict = if mask & (1 << *peer) == 0 { Ok(()) } else { Err(untrusted()) };
                        told.extend(roll.judged(digest, trust, verdict, now));
                    }
                }
                Step::Wait(by, most) => {
                    if let Some(rest) = roll.rest(now) {
                        prop_assert!(rest <= Duration::from_secs(60));
                    }
                    seconds += by;
                    let now = Now { wall: wall(seconds), steady: began + Duration::from_secs(seconds) };
                    loop {
                        let (expired, closed) = roll.on_time(now, most);
                        if expired.is_empty() && closed.is_empty() {
                            break;
                        }
                        prop_assert!(expired.len() <= most);
                        told.extend(expired);
                        close.extend(closed);
                    }
                }
            }
            let now = Now { wall: wall(seconds), steady: began + Duration::from_secs(seconds) };
            let is_judged = matches!(step, Step::Judge);
            let is_time = matches!(step, Step::Wait(..));
            let mask = refused[usize::try_from(trust).expect("few")];
            // What should have been told, and what was.
            let mut expected: Vec<u64> = all.iter().filter(|(_, c)| {
                let gone = c.told_at.is_some() || c.ended;
                let unbelieved = is_judged && c.believed_by < trust && mask & (1 << c.peer) != 0;
                !gone && (unbelieved || (is_time && c.end <= seconds))
            }).map(|(number, _)| *number).collect();
            let mut got: Vec<u64> = told.iter().flat_map(|l| l.connections.iter().copied()).collect();
            expected.sort_unstable();
            got.sort_unstable();
            prop_assert_eq!(&expected, &got);
            for leaving in &told {
                let peer = all[&leaving.connections[0]].peer;
                prop_assert_eq!(&leaving.who, &who(peer));
                prop_assert_eq!(leaving.why == Why::Expired, is_time);
            }
            for number in got {
                all.get_mut(&number).expect("known").told_at = Some(now.steady);
            }
            if is_judged {
                for c in all.values_mut().filter(|c| c.told_at.is_none() && !c.ended) {
                    c.believed_by = trust;
                }
            }
            if is_time {
                for (number, c) in &mut all {
                    let is_due = c.told_at.is_some_and(|at| at + GRACE <= now.steady) && !c.closed;
                    prop_assert_eq!(is_due, close.contains(number), "{:?}", c);
                    c.closed |= is_due;
                }
            }
            let open = all.values().filter(|c| !c.ended && c.told_at.is_none()).count();
            prop_assert_eq!(roll.len().0, open);
            prop_assert_eq!(roll.entries.len(), roll.ends.len());
        }
    }
}
