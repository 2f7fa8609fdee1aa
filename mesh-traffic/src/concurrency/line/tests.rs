use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn at(start: Instant, millis: u64) -> Instant {
    start + Duration::from_millis(millis)
}

#[test]
fn the_important_go_first_and_among_equals_who_came_first() {
    let start = Instant::now();
    let mut line = Line::new(Waiting::default());
    for (token, priority) in [
        (1, Priority::Low),
        (2, Priority::Normal),
        (3, Priority::High),
        (4, Priority::Normal),
        (5, Priority::High),
    ] {
        line.join(priority, at(start, 10), token).expect("a place");
    }
    let order: Vec<_> = std::iter::from_fn(|| line.turn(start, &mut Vec::new())).collect();
    assert_eq!(order, [3, 5, 2, 4, 1]);
}

#[test]
fn the_last_of_the_least_important_leaves_for_somebody_more_important() {
    let start = Instant::now();
    let mut line = Line::new(Waiting::new(4).expect("valid"));
    for (token, priority) in [
        (1, Priority::Low),
        (2, Priority::Low),
        (3, Priority::Normal),
        (4, Priority::Normal),
    ] {
        assert_eq!(
            line.join(priority, start, token).expect("a place").displaced,
            None
        );
    }
    assert_eq!(
        line.join(Priority::Normal, start, 5).expect("a place").displaced,
        Some(2)
    );
    assert_eq!(
        line.join(Priority::High, start, 6).expect("a place").displaced,
        Some(1)
    );
    assert_eq!(
        line.join(Priority::High, start, 7).expect("a place").displaced,
        Some(5)
    );
    assert_eq!(
        line.join(Priority::Normal, start, 8)
            .expect_err("all are as important"),
        8
    );
    assert_eq!(line.len(), 4);
}

#[test]
fn low_priority_takes_only_its_share() {
    let start = Instant::now();
    let mut line = Line::new(Waiting::new(4).expect("valid"));
    for token in 0..2 {
        line.join(Priority::Low, start, token).expect("a place");
    }
    assert_eq!(
        line.join(Priority::Low, start, 2).expect_err("half of the line"),
        2
    );
    assert!(line.join(Priority::Normal, start, 3).is_ok());
}

#[test]
fn who_would_come_too_late_is_dropped_when_its_turn_comes() {
    let start = Instant::now();
    let mut line = Line::new(Waiting::default());
    for (token, until) in [(1, 5), (2, 10), (3, 20)] {
        line.join(Priority::Normal, at(start, until), token)
            .expect("a place");
    }
    let mut late = Vec::new();
    assert_eq!(line.turn(at(start, 10), &mut late), Some(3));
    assert_eq!(late, [1, 2]);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Join(Priority, u64),
    Turn(u64),
    Leave(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let priority = prop::sample::select(&Priority::ALL[..]);
    let step = prop_oneof![
        4 => (priority, 0..100_u64).prop_map(|(priority, until)| Step::Join(priority, until)),
        2 => (0..100_u64).prop_map(Step::Turn),
        1 => (0..40_usize).prop_map(Step::Leave),
    ];
    prop::collection::vec(step, 0..200)
}

/// The same as a list that is searched from end to end.
struct Model {
    waiting: Waiting,
    list: Vec<(Priority, u64, usize)>,
}

impl Model {
    fn join(&mut self, priority: Priority, until: u64, token: usize) -> Result<Option<usize>, ()> {
        let alike = self.list.iter().filter(|(p, ..)| *p == priority).count();
        if alike >= self.waiting.places(priority) as usize {
            return Err(());
        }
        let mut displaced = None;
        if self.list.len() >= self.waiting.length() as usize {
            let least = self.list.iter().map(|(p, ..)| *p).min().ok_or(())?;
            if least >= priority {
                return Err(());
            }
            let last = self.list.iter().rposition(|(p, ..)| *p == least).ok_or(())?;
            displaced = Some(self.list.remove(last).2);
        }
        self.list.push((priority, until, token));
        Ok(displaced)
    }

    fn turn(&mut self, now: u64) -> (Option<usize>, Vec<usize>) {
        let mut late = Vec::new();
        while let Some(most) = self.list.iter().map(|(p, ..)| *p).max() {
            let first = self
                .list
                .iter()
                .position(|(p, ..)| *p == most)
                .expect("there is one");
            let (_, until, token) = self.list.remove(first);
            if until > now {
                return (Some(token), late);
            }
            late.push(token);
        }
        (None, late)
    }
}

proptest! {
    #[test]
    fn the_line_is_as_the_plain_list_is(length in 0..12_u32, steps in steps()) {
        let start = Instant::now();
        let waiting = Waiting::new(length).expect("valid");
        let mut line = Line::new(waiting);
        let mut model = Model { waiting, list: Vec::new() };
        let mut places = Vec::new();
        for (token, step) in steps.into_iter().enumerate() {
            match step {
                Step::Join(priority, until) => {
                    let joined = line.join(priority, at(start, until), token);
                    let expected = model.join(priority, until, token);
                    prop_assert_eq!(joined.is_ok(), expected.is_ok());
                    if let (Ok(joined), Ok(expected)) = (joined, expected) {
                        prop_assert_eq!(joined.displaced, expected);
                        places.push((token, joined.place));
                    }
                }
                Step::Turn(now) => {
                    let mut late = Vec::new();
                    let turn = line.turn(at(start, now), &mut late);
                    prop_assert_eq!((turn, late), model.turn(now));
                }
                Step::Leave(which) if which < places.len() => {
                    let (token, place) = places[which];
                    let expected = model.list.iter().position(|(.., t)| *t == token);
                    prop_assert_eq!(line.leave(place), expected.map(|at| model.list.remove(at).2));
                }
                Step::Leave(_) => {}
            }
            prop_assert_eq!(line.len(), model.list.len());
            prop_assert!(line.len() <= length as usize);
        }
    }
}
