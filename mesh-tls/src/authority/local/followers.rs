//! Who follows the trust bundle, told to any process that serves this CA.

mod told;

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::authority::{BundleRequest, Follower};
use crate::secure_dir::SecureDir;
use crate::store::StoreError;

/// Who was silent for so long is gone: who follows asks every few seconds.
pub(super) const SILENT: Duration = Duration::from_secs(300);
/// What a process that is gone was told is kept for so long, and then removed.
const FORGOTTEN: Duration = Duration::from_secs(3_600);
/// How often what this process was told is written for the others, if nothing changes.
const TOLD_AGAIN: Duration = Duration::from_secs(60);
/// In which directory, below that of the CA.
const DIRECTORY: &str = "followers";

/// What was heard of a follower. Its age is measured by the clock that never jumps, but for what was written before this
/// process looked.
#[derive(Clone, Copy, Debug)]
struct Heard {
    in_force: u64,
    at: Instant,
    before: Duration,
}

impl Heard {
    fn silent_for(&self, now: Instant) -> Duration {
        self.before + now.saturating_duration_since(self.at)
    }
}

/// What another process wrote, and when.
#[derive(Clone, Debug)]
struct Other {
    written: SystemTime,
    heard: HashMap<Follower, Heard>,
}

/// Who follows the trust bundle.
#[derive(Clone, Debug)]
pub(super) struct Followers {
    own: HashMap<Follower, Heard>,
    others: HashMap<String, Other>,
    /// The name of this process's file.
    file: String,
    changed: bool,
    told_at: Option<Instant>,
    /// The highest sequence that anybody has seen.
    seen: u64,
}

impl Followers {
    pub(super) fn new() -> Self {
        Self {
            own: HashMap::new(),
            others: HashMap::new(),
            file: format!("{:016x}", fastrand::u64(..)),
            changed: false,
            told_at: None,
            seen: 0,
        }
    }

    /// Hears what a caller goes by.
    pub(super) fn hear(&mut self, request: &BundleRequest, now: Instant) {
        self.seen = self.seen.max(request.seen).max(request.in_force);
        self.own.retain(|_, heard| heard.silent_for(now) <= FORGOTTEN);
        let Some(follower) = &request.follower else {
            return;
        };
        let heard = Heard {
            in_force: request.in_force,
            at: now,
            before: Duration::ZERO,
        };
        let before = self.own.insert(follower.clone(), heard);
        self.changed |= before.is_none_or(|before| before.in_force != request.in_force);
    }

    /// The highest sequence that anybody has seen.
    pub(super) fn seen(&self) -> u64 {
        self.seen
    }

    /// Who follows, with what is in force there.
    pub(super) fn live(&self, now: Instant) -> Vec<(Follower, u64)> {
        self.known(now)
            .into_iter()
            .filter(|(_, heard)| heard.silent_for(now) <= SILENT)
            .map(|(follower, heard)| (follower.clone(), heard.in_force))
            .collect()
    }

    /// What was heard last of everybody.
    fn known(&self, now: Instant) -> Vec<(&Follower, &Heard)> {
        let others = self.others.values().flat_map(|other| &other.heard);
        let mut newest: HashMap<&Follower, &Heard> = HashMap::new();
        for (follower, heard) in self.own.iter().chain(others) {
            let known = newest.entry(follower).or_insert(heard);
            if heard.silent_for(now) < known.silent_for(now) {
                *known = heard;
            }
        }
        let mut known: Vec<_> = newest.into_iter().collect();
        known.sort_by_key(|(follower, _)| *follower);
        known
    }

    /// Tells the other processes who follows here, and learns from them who follows there. What cannot be read is
    /// removed: whoever wrote it writes it again.
    ///
    /// # Errors
    /// Then it is not known who follows.
    pub(super) fn exchange(
        &mut self,
        dir: &SecureDir,
        wall: SystemTime,
        now: Instant,
    ) -> Result<(), StoreError> {
        let is_due = |at: Instant| now.saturating_duration_since(at) >= TOLD_AGAIN;
        let has_news = self.changed || (!self.own.is_empty() && self.told_at.is_none_or(is_due));
        if !has_news && !SecureDir::exists(&dir.file(DIRECTORY)) {
            return Ok(());
        }
        let dir = SecureDir::create(dir.file(DIRECTORY))?;
        if has_news {
            told::write(&dir, &self.file, &self.own, wall, now)?;
            self.changed = false;
            self.told_at = Some(now);
        }
        self.learn(&dir, wall, now)
    }

    /// Takes over what a copy has exchanged, while this one went on to hear.
    pub(super) fn take_over(&mut self, exchanged: Self) {
        let is_told = |(follower, heard): (&Follower, &Heard)| {
            let told = exchanged.own.get(follower);
            told.is_some_and(|told| told.in_force == heard.in_force)
        };
        self.changed = exchanged.changed || !self.own.iter().all(is_told);
        self.told_at = exchanged.told_at;
        self.seen = self.seen.max(exchanged.seen);
        self.others = exchanged.others;
    }

    fn learn(&mut self, dir: &SecureDir, wall: SystemTime, now: Instant) -> Result<(), StoreError> {
        let mut others = HashMap::new();
        for name in dir.names()? {
            if name == self.file || !told::is_name(&name) {
                continue;
            }
            let Some(read) = told::read(dir, &name)? else {
                // Its process has ended meanwhile.
                continue;
            };
            let before = self.others.remove(&name);
            let other = match before {
                Some(before) if before.written == read.written => before,
                _ => read.at(wall, now),
            };
            let is_forgotten = other
                .heard
                .values()
                .all(|heard| heard.silent_for(now) > FORGOTTEN);
            if is_forgotten {
                dir.remove(&name)?;
                continue;
            }
            let seen = other.heard.values().map(|heard| heard.in_force).max();
            self.seen = self.seen.max(seen.unwrap_or_default());
            others.insert(name, other);
        }
        self.others = others;
        Ok(())
    }

    /// This process ends: nobody has to wait for who followed here.
    pub(super) fn end(&self, dir: &SecureDir) {
        if self.told_at.is_some()
            && let Ok(dir) = SecureDir::open(dir.file(DIRECTORY))
            && let Err(error) = dir.remove(&self.file)
        {
            tracing::warn!(%error, "those who followed here are waited for, for some minutes");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follower(service: &str, instance: u64) -> Follower {
        let id = mesh_core::SpiffeId::of_service("cluster.local", "dept-barc", service).expect("valid");
        Follower::new(id, instance)
    }

    fn asks(follower: &Follower, in_force: u64) -> BundleRequest {
        BundleRequest::after(in_force).by(follower.clone())
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_silent_for_five_minutes_is_gone_and_nobody_waits_for_who_gave_no_name() {
        let mut followers = Followers::new();
        let orders = follower("orders", 1);
        followers.hear(&asks(&orders, 3), Instant::now());
        followers.hear(&BundleRequest::after(9), Instant::now());
        assert_eq!(followers.live(Instant::now()), [(orders.clone(), 3)]);
        assert_eq!(followers.seen(), 9);
        tokio::time::advance(SILENT).await;
        assert_eq!(followers.live(Instant::now()).len(), 1);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(followers.live(Instant::now()).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn processes_tell_each_other_and_a_clock_that_jumps_makes_nobody_silent() {
        let temporary = tempfile::tempdir().expect("a directory");
        let dir = SecureDir::create(temporary.path().join("ca")).expect("made");
        let (mut here, mut there) = (Followers::new(), Followers::new());
        let (orders, billing) = (follower("orders", 1), follower("billing", 2));
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        here.hear(&asks(&orders, 3), Instant::now());
        there.hear(&asks(&billing, 2), Instant::now());
        here.exchange(&dir, wall, Instant::now()).expect("told");
        there.exchange(&dir, wall, Instant::now()).expect("told");
        here.exchange(&dir, wall, Instant::now()).expect("told");
        let both = [(billing.clone(), 2), (orders.clone(), 3)];
        assert_eq!(here.live(Instant::now()), both);
        assert_eq!(there.live(Instant::now()), both);

        // The wall clock of one jumps ahead by a year: it knows how long it waits for whom.
        let ahead = wall + Duration::from_secs(365 * 86_400);
        here.exchange(&dir, ahead, Instant::now()).expect("told");
        assert_eq!(here.live(Instant::now()), both);

        // A process that ends takes who followed there with it.
        there.end(&dir);
        here.exchange(&dir, wall, Instant::now()).expect("told");
        assert_eq!(here.live(Instant::now()), [(orders, 3)]);
        assert_eq!(here.seen(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_begins_judges_what_it_finds_by_its_date() {
        let temporary = tempfile::tempdir().expect("a directory");
        let dir = SecureDir::create(temporary.path().join("ca")).expect("made");
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let mut died = Followers::new();
        died.hear(&asks(&follower("orders", 1), 3), Instant::now());
        died.exchange(&dir, wall, Instant::now()).expect("told");
        for (later, live) in [(SILENT, 1), (SILENT + Duration::from_secs(1), 0)] {
            let mut shell = Followers::new();
            shell.exchange(&dir, wall + later, Instant::now()).expect("told");
            assert_eq!(shell.live(Instant::now()).len(), live);
        }
        let mut shell = Followers::new();
        shell
            .exchange(&dir, wall + 2 * FORGOTTEN, Instant::now())
            .expect("told");
        let left = SecureDir::open(dir.file(DIRECTORY))
            .expect("there")
            .names()
            .expect("read");
        assert_eq!(left, Vec::<String>::new());
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_read_is_an_error_once_and_then_gone() {
        let temporary = tempfile::tempdir().expect("a directory");
        let dir = SecureDir::create(temporary.path().join("ca")).expect("made");
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let below = SecureDir::create(dir.file(DIRECTORY)).expect("made");
        below.write("00000000000000ab", b"junk").expect("written");
        let mut followers = Followers::new();
        assert!(followers.exchange(&dir, wall, Instant::now()).is_err());
        followers.exchange(&dir, wall, Instant::now()).expect("gone");
    }
}
