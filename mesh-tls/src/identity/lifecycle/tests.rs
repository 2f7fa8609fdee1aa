use proptest::prelude::*;

use super::*;
use crate::rotation::{RENEW_BEFORE, renew_before};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

fn begin() -> SystemTime {
    SystemTime::UNIX_EPOCH + 20_000 * DAY
}

/// A certificate that is renewed as it should be, and two clocks that go together.
struct Life {
    machine: Lifecycle,
    now: Now,
    random: fastrand::Rng,
}

fn lease(from: SystemTime, lifetime: Duration, share: f64) -> Lease {
    let before = renew_before(lifetime);
    Lease {
        not_before: from,
        not_after: from + lifetime,
        due: from + lifetime - before - before.mul_f64(0.05 + share / 20.0),
        share,
    }
}

impl Life {
    fn new(lifetime: Duration, share: f64) -> Self {
        let now = Now {
            wall: begin(),
            steady: Instant::now(),
        };
        Self {
            machine: Lifecycle::new(lease(now.wall, lifetime, share), Standing::Good, now),
            now,
            random: fastrand::Rng::with_seed(7),
        }
    }

    fn on(&mut self, input: Input) -> Option<Action> {
        self.machine.on(input, self.now, &mut self.random)
    }

    fn wait(&mut self, by: Duration) -> Option<Action> {
        self.now.wall += by;
        self.now.steady += by;
        self.on(Input::Time)
    }

    /// Looks as often as the machine asks to, until it asks for something. Gives how long that took.
    fn until_asked(&mut self, longest: Duration) -> Option<Duration> {
        let began = self.now.steady;
        loop {
            let rest = self.machine.rest(self.now).max(Duration::from_millis(1));
            if self.wait(rest) == Some(Action::MakeKey) {
                return Some(self.now.steady - began);
            }
            if self.now.steady - began > longest {
                return None;
            }
        }
    }

    fn left(&self) -> Duration {
        self.machine
            .lease
            .not_after
            .duration_since(self.now.wall)
            .unwrap_or_default()
    }

    /// The rest of a renewal that works.
    fn renew(&mut self, lifetime: Duration, standing: Standing) -> Option<Action> {
        assert_eq!(self.on(Input::KeyReady), Some(Action::Request));
        assert_eq!(self.on(Input::Issued), Some(Action::Install));
        self.on(Input::Installed(lease(self.now.wall, lifetime, 0.5), standing))
    }
}

/// F14: at less than 7 days there is an alarm, and the renewal begins earlier.
#[test]
fn a_renewal_begins_before_there_is_an_alarm_and_goes_step_by_step() {
    let mut life = Life::new(90 * DAY, 0.0);
    assert!(life.until_asked(90 * DAY).is_some());
    assert!(life.left() > RENEW_BEFORE + DAY / 4 && !life.machine.is_ending(life.now.wall));
    assert_eq!(life.machine.step(), Step::Requested);
    assert_eq!(life.on(Input::Time), None, "one renewal at a time");
    assert_eq!(life.on(Input::KeyReady), Some(Action::Request));
    assert_eq!(life.machine.step(), Step::KeyReady);
    assert_eq!(life.on(Input::Issued), Some(Action::Install));
    assert_eq!(life.machine.step(), Step::Issued);
    let next = lease(life.now.wall, 90 * DAY, 0.5);
    assert_eq!(life.on(Input::Installed(next, Standing::Good)), None);
    assert_eq!(
        (life.machine.step(), life.machine.overdue_since()),
        (Step::Serving, None)
    );
}

#[test]
fn a_renewal_that_fails_is_tried_again_until_it_works_and_its_certificate_stays() {
    let mut life = Life::new(90 * DAY, 0.3);
    life.until_asked(90 * DAY).expect("asked");
    let since = life.now.wall;
    let mut pauses = Vec::new();
    while life.left() > Duration::ZERO {
        assert_eq!(life.on(Input::Failed(None)), None);
        assert_eq!(life.machine.overdue_since(), Some(since));
        let is_late = life.machine.lease.is_at_its_end(life.now.wall);
        pauses.push((is_late, life.until_asked(DAY).expect("asked again")));
    }
    let longest = |late| pauses.iter().filter(|(is, _)| *is == late).map(|(_, p)| *p).max();
    assert!(longest(false).expect("early") > 200 * SECOND && longest(false) <= Some(301 * SECOND));
    assert!(longest(true).expect("late") > 20 * SECOND && longest(true) <= Some(31 * SECOND));
    // It has expired, and recovers by itself.
    assert!(life.wait(SECOND).is_none());
    assert_eq!(life.machine.standing(life.now.wall), Standing::Expired);
    assert!(life.machine.is_ending(life.now.wall));
    assert_eq!(life.renew(90 * DAY, Standing::Good), None);
    assert_eq!(life.machine.standing(life.now.wall), Standing::Good);
}

/// Case 72: an authority that says when to come back is listened to, as long as there is time.
#[test]
fn an_authority_that_is_asked_too_often_says_when_to_come_back() {
    let mut life = Life::new(90 * DAY, 0.3);
    life.until_asked(90 * DAY).expect("asked");
    life.on(Input::Failed(Some(60 * SECOND)));
    let pause = life.until_asked(DAY).expect("asked again");
    assert!(pause >= 60 * SECOND && pause < 76 * SECOND, "{pause:?}");
    life.on(Input::Failed(Some(10 * DAY)));
    assert!(life.until_asked(DAY).expect("asked again") <= 400 * SECOND);
}

#[test]
fn a_certificate_that_is_revoked_tainted_or_of_no_root_is_replaced_at_once_and_not_by_all_in_one_moment() {
    for (standing, spread) in [
        (Standing::Tainted, SPREAD_TAINTED),
        (Standing::Revoked, SPREAD_UNTRUSTED),
        (Standing::Untrusted, SPREAD_UNTRUSTED),
    ] {
        let mut asked = Vec::new();
        for share in [0.1, 0.5, 1.0] {
            let mut life = Life::new(90 * DAY, share);
            assert_eq!(life.wait(DAY), None);
            assert_eq!(life.on(Input::Trust(standing)), None, "not in the same moment");
            assert_eq!(life.machine.step(), Step::RenewDue);
            let pause = life.until_asked(DAY).expect("asked");
            assert!(
                pause <= spread.mul_f64(share) + Duration::from_millis(2),
                "{pause:?}"
            );
            asked.push(pause);
        }
        assert!(asked.is_sorted() && asked[0] < asked[2]);
    }
}

#[test]
fn a_bundle_that_believes_the_certificate_again_ends_the_search_for_another() {
    let mut life = Life::new(90 * DAY, 1.0);
    life.on(Input::Trust(Standing::Tainted));
    life.on(Input::Trust(Standing::Good));
    assert_eq!(life.machine.step(), Step::Serving);
    assert_eq!(life.until_asked(DAY), None);
}

#[test]
fn a_ca_that_still_signs_with_a_tainted_key_is_not_asked_in_a_circle() {
    let mut life = Life::new(90 * DAY, 0.0);
    assert_eq!(life.on(Input::Trust(Standing::Tainted)), Some(Action::MakeKey));
    let mut asked = 0;
    let began = life.now.steady;
    let mut action = life.renew(90 * DAY, Standing::Tainted);
    while life.now.steady - began < DAY / 24 {
        if action.is_none() {
            life.until_asked(DAY).expect("asked");
        }
        asked += 1;
        action = life.renew(90 * DAY, Standing::Tainted);
    }
    // 5 minutes at most between two, 2.5 on average, and a few more while the pauses grow.
    assert!((10..80).contains(&asked), "{asked}");
}

/// Case 82: the wall clock is set, or the machine has slept.
#[test]
fn a_wall_clock_that_jumps_is_noticed_and_obeyed() {
    let mut life = Life::new(90 * DAY, 0.5);
    life.wait(DAY);
    assert_eq!(life.machine.jumped(life.now), None);
    // Asleep for weeks: the steady clock stood still.
    life.now.wall += 85 * DAY;
    let jump = life.machine.jumped(life.now).expect("noticed");
    assert!(jump.is_forth && jump.by == 85 * DAY);
    assert!(life.machine.rest(life.now).is_zero());
    assert_eq!(life.on(Input::Time), Some(Action::MakeKey));
    life.renew(90 * DAY, Standing::Good);
    // Set back behind the beginning of what was issued meanwhile: nobody believes that.
    life.now.wall -= 60 * DAY;
    let jump = life.machine.jumped(life.now).expect("noticed");
    assert!(!jump.is_forth && jump.by == 60 * DAY);
    assert_eq!(life.on(Input::Time), Some(Action::MakeKey));
    life.now.wall += 29 * SECOND;
    assert_eq!(
        life.machine.jumped(life.now),
        None,
        "clocks are set a little all the time"
    );
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Wait(u64),
    Jump(i64),
    Trust(Standing),
    Succeed(Standing),
    Fail,
}

fn standing() -> impl Strategy<Value = Standing> {
    prop_oneof![
        3 => Just(Standing::Good),
        1 => Just(Standing::Tainted),
        1 => Just(Standing::Revoked),
        1 => Just(Standing::Untrusted),
    ]
}

proptest! {
    /// Whatever happens: one renewal at a time; who has a good certificate that is not due asks for nothing; who needs
    /// another one asks within 5 minutes, and 30 seconds at the end.
    #[test]
    fn who_needs_a_certificate_asks_and_who_does_not_does_not(
        hours in 1_u64..3000,
        steps in prop::collection::vec(prop_oneof![
            4 => (0_u64..200_000).prop_map(Event::Wait),
            1 => (-500_000_i64..500_000).prop_map(Event::Jump),
            2 => standing().prop_map(Event::Trust),
            3 => standing().prop_map(Event::Succeed),
            3 => Just(Event::Fail),
        ], 0..60),
    ) {
        let lifetime = Duration::from_secs(hours * 3600);
        let mut life = Life::new(lifetime, 0.4);
        let mut under_way = false;
        let needs = |life: &mut Life, action: Option<Action>, under_way: &mut bool| {
            if action == Some(Action::MakeKey) {
                prop_assert!(!*under_way, "two renewals at once");
                *under_way = true;
            }
            let wall = life.now.wall;
            let wanted = life.machine.standing(wall) != Standing::Good
                || life.machine.lease.due <= wall || life.machine.lease.not_before > wall;
            if !wanted && !*under_way {
                prop_assert_eq!(life.machine.step(), Step::Serving);
            }
            if wanted && !*under_way {
                let longest = if life.machine.lease.is_at_its_end(wall) { 32 } else { 302 };
                let asked = life.until_asked(Duration::from_secs(longest));
                prop_assert!(asked.is_some(), "it did not ask");
                *under_way = true;
            }
            Ok(())
        };
        for step in steps {
            let action = match step {
                Event::Wait(seconds) => life.wait(Duration::from_secs(seconds)),
                Event::Jump(seconds) => {
                    let by = Duration::from_secs(seconds.unsigned_abs());
                    if seconds < 0 { life.now.wall -= by } else { life.now.wall += by }
                    life.on(Input::Time)
                }
                Event::Trust(standing) => life.on(Input::Trust(standing)),
                Event::Succeed(standing) if under_way => {
                    under_way = false;
                    life.renew(lifetime, standing)
                }
                Event::Fail if under_way => {
                    under_way = false;
                    life.on(Input::Failed(None))
                }
                Event::Succeed(_) | Event::Fail => None,
            };
            needs(&mut life, action, &mut under_way)?;
        }
    }
}
