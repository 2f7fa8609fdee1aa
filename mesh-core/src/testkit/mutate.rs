//! Hostile input, made of valid input.

mod der;

use std::any::Any;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use tokio::time::Instant;

use der::Tree;

/// Bytes that mean something to some parser: ends of ranges, tags and lengths of DER, what separates and escapes.
const INTERESTING: &[u8] = &[
    0, 1, 2, 3, 4, 5, 6, 0x0c, 0x13, 0x17, 0x18, 0x30, 0x31, 0x7f, 0x80, 0x81, 0x82, 0x84, 0xa0, 0xa3, 0xff,
    b'/', b'.', b'%', b';', b'\\', b'"', b',', b'=', b' ', b'\t', b'\r', b'\n', b'#', b'?', b'-', b':', b'@',
    b'*',
];

/// Makes inputs that are almost those of a corpus: a bit flipped, a byte set, bytes taken out, put in, repeated or taken
/// from another entry, an end lost, a length of DER that lies, a part of DER moved. The same seed makes the same
/// inputs.
///
/// ```
/// use mesh_core::testkit::mutate::Mutator;
///
/// let corpus = [b"spiffe://cluster.local/ns/a/sa/b".to_vec()];
/// let mut one = Mutator::new(&corpus, 7);
/// let mut other = Mutator::new(&corpus, 7);
/// assert!((0..100).all(|_| one.mutant() == other.mutant()));
/// assert!((0..100).any(|_| one.mutant() != corpus[0]));
/// ```
#[derive(Debug)]
pub struct Mutator<'c> {
    corpus: &'c [Vec<u8>],
    tokens: Vec<Vec<u8>>,
    longest: usize,
    chance: fastrand::Rng,
}

impl<'c> Mutator<'c> {
    /// One that begins with the entries of a corpus. Of an empty one it makes input out of nothing.
    pub fn new(corpus: &'c [Vec<u8>], seed: u64) -> Self {
        Self {
            corpus,
            tokens: Vec::new(),
            longest: 64 * 1024,
            chance: fastrand::Rng::with_seed(seed),
        }
    }

    /// With words that are put in whole, as `%2e` into a path: chance alone would seldom spell them.
    #[must_use]
    pub fn with_tokens<T: AsRef<[u8]>>(mut self, tokens: impl IntoIterator<Item = T>) -> Self {
        self.tokens = tokens.into_iter().map(|token| token.as_ref().to_vec()).collect();
        self
    }

    /// The next input, of 64 KiB at most: an entry of the corpus with one to four changes, mostly one.
    pub fn mutant(&mut self) -> Vec<u8> {
        let mut input = self.entry().to_vec();
        loop {
            self.change(&mut input);
            input.truncate(self.longest);
            if self.chance.u8(..4) > 0 {
                return input;
            }
        }
    }

    fn entry(&mut self) -> &'c [u8] {
        match self.corpus.len() {
            0 => &[],
            entries => self
                .corpus
                .get(self.chance.usize(..entries))
                .map_or(&[], Vec::as_slice),
        }
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        match self.chance.u8(..16) {
            0 | 1 => self.at_a_byte(input, |chance, byte| *byte ^= 1 << chance.u8(..8)),
            2 | 3 => self.at_a_byte(input, |chance, byte| {
                *byte = INTERESTING[chance.usize(..INTERESTING.len())]
            }),
            4 => self.at_a_byte(input, |chance, byte| *byte = chance.u8(..)),
            5 => {
                let (begin, end) = self.range(input, 64);
                input.drain(begin..end);
            }
            6 => input.truncate(self.place(input)),
            7 => {
                let (begin, end) = self.range(input, 64);
                let piece = input[begin..end].to_vec();
                self.put(input, &piece);
            }
            8 => self.repeat(input),
            9 => {
                let other = self.entry();
                let (begin, end) = self.range(other, other.len());
                let piece = other[begin..end].to_vec();
                let (begin, end) = self.range(input, piece.len());
                input.splice(begin..end, piece);
            }
            10 => {
                let piece: Vec<u8> = (0..self.chance.usize(1..9)).map(|_| self.chance.u8(..)).collect();
                self.put(input, &piece);
            }
            11 | 12 if !self.tokens.is_empty() => {
                let piece = self.tokens[self.chance.usize(..self.tokens.len())].clone();
                self.put(input, &piece);
            }
            11..=13 => der::lie_about_a_length(input, &mut self.chance),
            _ => {
                let other = self.entry();
                if let Some(mut tree) = Tree::read(input) {
                    tree.change(Tree::read(other).as_ref(), &mut self.chance);
                    *input = tree.write();
                }
            }
        }
    }

    fn at_a_byte(&mut self, input: &mut [u8], change: impl FnOnce(&mut fastrand::Rng, &mut u8)) {
        if !input.is_empty() {
            let at = self.chance.usize(..input.len());
            change(&mut self.chance, &mut input[at]);
        }
    }

    fn place(&mut self, input: &[u8]) -> usize {
        self.chance.usize(..=input.len())
    }

    fn range(&mut self, input: &[u8], longest: usize) -> (usize, usize) {
        let begin = self.place(input);
        let most = longest.min(input.len() - begin);
        (begin, begin + self.chance.usize(..=most))
    }

    fn put(&mut self, input: &mut Vec<u8>, piece: &[u8]) {
        let at = self.place(input);
        input.splice(at..at, piece.iter().copied());
    }

    /// Often enough that what costs the square of its length is noticed.
    fn repeat(&mut self, input: &mut Vec<u8>) {
        let (begin, end) = self.range(input, 512);
        let piece = input[begin..end].to_vec();
        let times = match self.chance.u8(..8) {
            0 => self.longest / piece.len().max(1),
            _ => self.chance.usize(1..64),
        };
        let room = self.longest.saturating_sub(input.len()) / piece.len().max(1);
        self.put(input, &piece.repeat(times.min(room)));
    }
}

/// How often a case is tried again that took too long: other processes take time too, and not every time.
const TRIES: u32 = 4;

/// What came of [`Mutations::check`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many inputs there were, the corpus included.
    pub cases: u64,
    /// How many of the corpus, unchanged, were accepted.
    pub valid: u64,
    /// How many were accepted though they were changed. A property of what is accepted says something only if there
    /// are some.
    pub accepted: u64,
}

/// A parser is given a corpus, and many mutations of it, and is checked each time.
///
/// The environment's `MUTATIONS` says how many, in place of the number that a test gives; `MUTATION_SEED` makes other
/// ones.
///
/// ```
/// use mesh_core::SpiffeId;
/// use mesh_core::testkit::mutate::Mutations;
///
/// let tally = Mutations::of(["spiffe://cluster.local/ns/a/sa/b"]).cases(500).check(|input| {
///     let Ok(text) = std::str::from_utf8(input) else { return false };
///     let read = text.parse::<SpiffeId>();
///     assert!(read.as_ref().is_ok_and(|id| id.as_str() == text) || read.is_err());
///     read.is_ok()
/// });
/// assert!(tally.valid == 1 && tally.accepted > 0);
/// ```
#[derive(Clone, Debug)]
pub struct Mutations {
    corpus: Vec<Vec<u8>>,
    tokens: Vec<Vec<u8>>,
    cases: u64,
    seed: u64,
    slowest: Duration,
}

impl Mutations {
    /// Mutations of these: 1000, seed 1, each to be read within a second.
    pub fn of<E: AsRef<[u8]>>(corpus: impl IntoIterator<Item = E>) -> Self {
        Self {
            corpus: corpus.into_iter().map(|entry| entry.as_ref().to_vec()).collect(),
            tokens: Vec::new(),
            cases: 1_000,
            seed: 1,
            slowest: Duration::from_secs(1),
        }
    }

    /// So many.
    #[must_use]
    pub fn cases(mut self, cases: u64) -> Self {
        self.cases = cases;
        self
    }

    /// Other ones.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// With words that are put in whole ([`Mutator::with_tokens`]).
    #[must_use]
    pub fn tokens<T: AsRef<[u8]>>(mut self, tokens: impl IntoIterator<Item = T>) -> Self {
        self.tokens = tokens.into_iter().map(|token| token.as_ref().to_vec()).collect();
        self
    }

    /// How long one case may take. It is real time, and the best of some tries counts: generous, but what costs the
    /// square of its length does not pass.
    #[must_use]
    pub fn slowest(mut self, slowest: Duration) -> Self {
        self.slowest = slowest;
        self
    }

    /// Checks them. `check` tells whether an input was accepted, and panics if what became of it is wrong.
    ///
    /// # Panics
    /// If `check` does, or if one case takes too long: with the input, in hexadecimal, to make a test of.
    #[track_caller]
    pub fn check(&self, mut check: impl FnMut(&[u8]) -> bool) -> Tally {
        let cases = from_environment("MUTATIONS").unwrap_or(self.cases);
        let seed = self.seed ^ from_environment("MUTATION_SEED").unwrap_or(0).rotate_left(32);
        let mut mutator = Mutator::new(&self.corpus, seed).with_tokens(&self.tokens);
        let mut tally = Tally::default();
        for entry in &self.corpus {
            tally.cases += 1;
            tally.valid += u64::from(self.case(entry, "of the corpus", &mut check));
        }
        for number in 0..cases {
            let input = mutator.mutant();
            let accepted = self.case(&input, &format!("mutation {number}, seed {seed}"), &mut check);
            tally.cases += 1;
            tally.accepted += u64::from(accepted && !self.corpus.contains(&input));
        }
        tally
    }

    #[track_caller]
    fn case(&self, input: &[u8], which: &str, check: &mut impl FnMut(&[u8]) -> bool) -> bool {
        let mut best = Duration::MAX;
        for _ in 0..TRIES {
            let began = Instant::now();
            let accepted = match catch_unwind(AssertUnwindSafe(|| check(input))) {
                Ok(accepted) => accepted,
                Err(panic) => panic!("{which}: {}\nthe input: {}", message(&*panic), hexadecimal(input)),
            };
            best = best.min(began.elapsed());
            if best <= self.slowest {
                return accepted;
            }
        }
        panic!(
            "{which}: it took {best:?} to read {} bytes, expected at most {:?}\nthe input: {}",
            input.len(),
            self.slowest,
            hexadecimal(input)
        );
    }
}

fn from_environment(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    match value.replace('_', "").parse() {
        Ok(number) => Some(number),
        Err(error) => panic!("{name}={value:?}: {error}"),
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("it panicked")
}

fn hexadecimal(input: &[u8]) -> String {
    let mut text = String::with_capacity(2 * input.len());
    for byte in input {
        // Writing into a text cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_change_happens_and_a_seed_repeats_them() {
        let corpus = [b"0123456789".to_vec(), b"abcdefghij".to_vec()];
        let mutants = |seed| {
            let mut mutator = Mutator::new(&corpus, seed).with_tokens(["TOKEN"]);
            (0..5_000).map(|_| mutator.mutant()).collect::<Vec<_>>()
        };
        let made = mutants(1);
        assert_eq!(made, mutants(1));
        assert_ne!(made, mutants(2));
        let any = |what: &str, is: &dyn Fn(&[u8]) -> bool| {
            assert!(made.iter().any(|made| is(made)), "none is {what}")
        };
        any("cut", &|made| made.len() < 10 && corpus[0].starts_with(made));
        any("spliced", &|made| {
            made.starts_with(b"0123") && made.ends_with(b"hij")
        });
        any("larger", &|made| made.len() > 1_000);
        any("with a token", &|made| {
            made.windows(5).any(|word| word == b"TOKEN")
        });
        any("one bit away", &|made| {
            made.len() == 10
                && made
                    .iter()
                    .zip(&corpus[0])
                    .map(|(a, b)| (a ^ b).count_ones())
                    .sum::<u32>()
                    == 1
        });
        assert!(made.iter().all(|made| made.len() <= 64 * 1024));
        assert!(Mutator::new(&[], 1).mutant().len() < 100);
    }

    #[test]
    fn what_is_accepted_is_counted() {
        let tally = Mutations::of(["abc", "def"])
            .cases(200)
            .check(|input| input.first() == Some(&b'a'));
        assert_eq!(tally.valid, 1);
        assert!(tally.accepted > 0 && tally.accepted < tally.cases);
    }

    #[test]
    #[should_panic(expected = "found a z\nthe input: ")]
    fn a_check_that_fails_tells_its_input() {
        Mutations::of(["zzz"]).check(|input| {
            assert!(!input.contains(&b'z'), "found a z");
            false
        });
    }

    #[test]
    #[should_panic(expected = "expected at most 1ns")]
    fn a_case_that_takes_too_long_is_noticed() {
        Mutations::of(["abc"])
            .slowest(Duration::from_nanos(1))
            .check(|input| {
                std::hint::black_box(input.repeat(1_000));
                false
            });
    }
}
