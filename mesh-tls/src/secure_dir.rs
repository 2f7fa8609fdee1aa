//! A directory for secrets: nobody else can read it, and nothing in it is ever half written.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::OFlags;
use zeroize::Zeroizing;

use crate::fault_point;
use crate::store::{StoreError, StoreErrorKind};

/// What a file that is not finished is called, behind the name it will have.
const UNFINISHED: &str = ".new";
const LOCK: &str = "lock";
/// How long is waited for who writes.
const PATIENCE: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(5);

/// A directory of mode 0700 with files of mode 0600.
#[derive(Clone, Debug)]
pub(crate) struct SecureDir {
    path: PathBuf,
}

/// Tells one file from the one that took its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    inode: u64,
    length: u64,
    changed: (i64, i64),
}

/// Holds the directory for one writer.
pub(crate) struct Lock(#[expect(dead_code, reason = "dropping it unlocks")] File);

impl SecureDir {
    /// The directory; it is made if it is not there.
    pub(crate) fn create(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let path = path.into();
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
        made.map_err(|error| unavailable(&path, "the directory cannot be made", error))?;
        Self::open(path)
    }

    /// The directory, which has to be there.
    pub(crate) fn open(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let path = path.into();
        let metadata = fs::symlink_metadata(&path)
            .map_err(|error| unavailable(&path, "the directory cannot be looked at", error))?;
        if !metadata.is_dir() {
            return Err(insecure(
                &path,
                "it is no directory: expected a directory that no link leads to",
            ));
        }
        check(&path, &metadata, "700")?;
        Ok(Self { path })
    }

    /// Whether there is a directory of this name, or something else.
    pub(crate) fn exists(path: &Path) -> bool {
        fs::symlink_metadata(path).is_ok()
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// What a file holds; nothing if it is not there.
    pub(crate) fn read(&self, name: &str, most: u64) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let path = self.file(name);
        let opened = OpenOptions::new()
            .read(true)
            // A link may lead to another's file; a pipe would be waited for.
            .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
            .open(&path);
        let (file, metadata) = match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => file_of(&path, opened)?,
        };
        let mut content = Zeroizing::new(Vec::with_capacity(
            usize::try_from(metadata.len().min(most)).unwrap_or(0),
        ));
        let read = file.take(most.saturating_add(1)).read_to_end(&mut content);
        read.map_err(|error| unavailable(&path, "it cannot be read", error))?;
        if content.len() as u64 > most {
            let message = format!("{}: it is larger than {most} bytes", path.display());
            return Err(StoreError::new(StoreErrorKind::Corrupt, message));
        }
        Ok(Some(content))
    }

    /// Writes a file as a whole: after a crash there is the old one or the new one.
    pub(crate) fn write(&self, name: &str, content: &[u8]) -> Result<(), StoreError> {
        let (path, unfinished) = (self.file(name), self.file(&format!("{name}{UNFINISHED}")));
        let write = || -> io::Result<()> {
            fault_point::reach()?;
            // Left over from a crash: whoever holds the lock owns it.
            match fs::remove_file(&unfinished) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
                .open(&unfinished)?;
            fault_point::write(&mut file, content)?;
            fault_point::reach()?;
            file.sync_all()?;
            fault_point::reach()?;
            fs::rename(&unfinished, &path)?;
            fault_point::reach()?;
            File::open(&self.path)?.sync_all()?;
            fault_point::reach()
        };
        write().map_err(|error| unavailable(&path, "it cannot be written", error))
    }

    /// Which file there is of this name now: another one after each [`write`](Self::write) of anybody. `None` if there is
    /// none.
    pub(crate) fn stamp(&self, name: &str) -> Option<Stamp> {
        let metadata = fs::symlink_metadata(self.file(name)).ok()?;
        Some(Stamp {
            inode: metadata.ino(),
            length: metadata.len(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }

    /// The names of the files in it.
    pub(crate) fn names(&self) -> Result<Vec<String>, StoreError> {
        let failed = |error| unavailable(&self.path, "the directory cannot be read", error);
        let entries = fs::read_dir(&self.path).map_err(failed)?;
        let names = entries.map(|entry| entry.map(|entry| entry.file_name().into_string().ok()));
        let names: io::Result<Vec<Option<String>>> = names.collect();
        Ok(names.map_err(failed)?.into_iter().flatten().collect())
    }

    /// Removes a file; nothing is wrong if it is not there.
    pub(crate) fn remove(&self, name: &str) -> Result<(), StoreError> {
        let path = self.file(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(unavailable(&path, "it cannot be removed", error))
            }
            _ => Ok(()),
        }
    }

    /// Opens a file to append to, made if it is not there.
    pub(crate) fn append(&self, name: &str) -> Result<File, StoreError> {
        let path = self.file(name);
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
            .open(&path);
        file_of(&path, opened).map(|(file, _)| file)
    }

    /// Waits until nobody else writes here, on a thread that may block. What others hold it for takes milliseconds: who
    /// holds it for [`PATIENCE`] was stopped, and may never go on.
    pub(crate) fn lock(&self) -> Result<Lock, StoreError> {
        self.lock_within(PATIENCE)
    }

    fn lock_within(&self, patience: Duration) -> Result<Lock, StoreError> {
        let file = self.append(LOCK)?;
        let path = self.file(LOCK);
        let mut waited = Duration::ZERO;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Lock(file)),
                Err(TryLockError::WouldBlock) if waited < patience => {
                    std::thread::park_timeout(RETRY);
                    waited += RETRY;
                }
                Err(TryLockError::WouldBlock) => {
                    let message = format!(
                        "{}: another process has held this lock for {patience:?}: see which one it is, and end it",
                        path.display()
                    );
                    return Err(StoreError::new(StoreErrorKind::Locked, message));
                }
                Err(TryLockError::Error(error)) => {
                    return Err(unavailable(&path, "it cannot be locked", error));
                }
            }
        }
    }
}

/// A file that was opened, if it is one and only this user may get at it.
fn file_of(path: &Path, opened: io::Result<File>) -> Result<(File, fs::Metadata), StoreError> {
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            return Err(insecure(path, "it is a link: expected a file"));
        }
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
            return Err(insecure(path, "it is no file"));
        }
        Err(error) => return Err(unavailable(path, "it cannot be opened", error)),
    };
    let metadata = file
        .metadata()
        .map_err(|error| unavailable(path, "it cannot be looked at", error))?;
    if !metadata.is_file() {
        return Err(insecure(path, "it is no file"));
    }
    check(path, &metadata, "600")?;
    Ok((file, metadata))
}

/// Only this user may get at it.
fn check(path: &Path, metadata: &fs::Metadata, expected: &str) -> Result<(), StoreError> {
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        let message = format!(
            "its mode is {mode:04o}, so that others can get at it: expected 0{expected} (chmod {expected})"
        );
        return Err(insecure(path, &message));
    }
    let (owner, own) = (metadata.uid(), rustix::process::geteuid().as_raw());
    if owner != own {
        return Err(insecure(
            path,
            &format!("it belongs to user {owner}: expected this process's user, {own}"),
        ));
    }
    Ok(())
}

fn insecure(path: &Path, what: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Insecure, format!("{}: {what}", path.display()))
}

fn unavailable(path: &Path, what: &str, error: io::Error) -> StoreError {
    let message = format!("{}: {what}: {error}", path.display());
    StoreError::new(StoreErrorKind::Unavailable, message).with_source(error)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn secret() -> (tempfile::TempDir, SecureDir) {
        let temporary = tempfile::tempdir().expect("a directory");
        let dir = SecureDir::create(temporary.path().join("state")).expect("made");
        (temporary, dir)
    }

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).expect("there").permissions().mode() & 0o7777
    }

    #[test]
    fn nobody_else_can_get_at_what_is_written() {
        let (_temporary, dir) = secret();
        dir.write("key", b"one").expect("written");
        dir.write("key", b"two").expect("written over");
        assert_eq!((mode(dir.path()), mode(&dir.file("key"))), (0o700, 0o600));
        assert_eq!(**dir.read("key", 3).expect("read").expect("there"), *b"two");
        assert!(dir.read("other", 3).expect("read").is_none());
        assert_eq!(
            dir.read("key", 2).expect_err("too large").kind(),
            StoreErrorKind::Corrupt
        );
    }

    #[test]
    fn what_others_can_get_at_is_refused_by_name_and_mode() {
        let (_temporary, dir) = secret();
        dir.write("key", b"one").expect("written");
        fs::set_permissions(dir.file("key"), fs::Permissions::from_mode(0o644)).expect("loosened");
        let error = dir.read("key", 9).expect_err("refused");
        assert_eq!(error.kind(), StoreErrorKind::Insecure);
        let text = error.to_string();
        assert!(
            text.contains("key") && text.contains("0644") && text.contains("chmod 600"),
            "{text}"
        );
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("loosened");
        assert!(
            SecureDir::open(dir.path())
                .expect_err("refused")
                .to_string()
                .contains("chmod 700")
        );
    }

    #[test]
    fn links_pipes_and_directories_are_no_files() {
        let (_temporary, dir) = secret();
        dir.write("key", b"one").expect("written");
        symlink(dir.file("key"), dir.file("link")).expect("a link");
        fs::create_dir(dir.file("sub")).expect("a directory");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            dir.file("pipe"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .expect("a pipe");
        for name in ["link", "sub", "pipe"] {
            let error = dir.read(name, 9).expect_err(name);
            assert_eq!(error.kind(), StoreErrorKind::Insecure, "{error}");
        }
        symlink(dir.path(), dir.file("loop")).expect("a link");
        assert!(SecureDir::open(dir.file("loop")).is_err());
    }

    #[test]
    fn who_never_gives_the_lock_back_is_not_waited_for_for_ever() {
        let (_temporary, dir) = secret();
        let held = dir.lock().expect("free");
        let error = dir.lock_within(RETRY).err().expect("held");
        assert_eq!(error.kind(), StoreErrorKind::Locked);
        assert!(
            error.to_string().contains("state/lock: another process"),
            "{error}"
        );
        drop(held);
        dir.lock().expect("free again");
    }

    #[test]
    fn what_a_crash_left_half_written_is_in_nobodys_way() {
        let (_temporary, dir) = secret();
        fs::write(dir.file("key.new"), b"ha").expect("left over");
        dir.write("key", b"whole").expect("written");
        assert_eq!(**dir.read("key", 9).expect("read").expect("there"), *b"whole");
        assert!(!dir.file("key.new").exists());
    }
}
