//! Hand-written algorithms under every order in which threads may see their atomics: their files, compiled over
//! loom's instead of the usual ones.

#[path = "../src/retry/budget/slots.rs"]
mod slots;
#[path = "loom/sync.rs"]
mod sync;

use loom::sync::Arc;
use loom::thread;

use slots::Slots;

/// How many of two threads that ask at the same time, at these ticks, are allowed one if there is one.
fn granted(ticks: [u64; 2]) -> usize {
    let slots = Arc::new(Slots::new());
    let other = {
        let slots = Arc::clone(&slots);
        thread::spawn(move || slots.add_if(ticks[1], |spent| spent <= 1))
    };
    let mine = slots.add_if(ticks[0], |spent| spent <= 1);
    let others = other.join().expect("no panic");
    if !mine && !others {
        // Each saw the other and gave way: nothing is left behind.
        assert!(slots.add_if(ticks[0].max(ticks[1]), |spent| spent <= 1));
    }
    usize::from(mine) + usize::from(others)
}

#[test]
fn of_two_threads_that_ask_for_the_last_one_at_most_one_gets_it() {
    loom::model(|| assert!(granted([40, 40]) <= 1));
}

#[test]
fn threads_whose_clocks_differ_get_no_more() {
    loom::model(|| assert!(granted([40, 41]) <= 1));
}

#[test]
fn nothing_that_is_counted_is_lost_when_a_slot_begins_anew() {
    loom::model(|| {
        let slots = Arc::new(Slots::new());
        slots.count(1);
        // The same slot, a turn of the ring later.
        let other = {
            let slots = Arc::clone(&slots);
            thread::spawn(move || slots.count(22))
        };
        slots.count(22);
        other.join().expect("no panic");
        assert_eq!(slots.sum(22, 22), 2);
    });
}
