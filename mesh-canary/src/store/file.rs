//! Keeps the log in files.

use std::collections::HashMap;
use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use mesh_core::ServiceName;

use super::{RolloutStore, StoreError, StoreErrorKind, begins};
use crate::log::Record;

mod line;

/// A rollout of an hour with a window every five seconds takes less than a megabyte.
const MAX_LEN: u64 = 64 * 1024 * 1024;

/// Keeps the log of each service in a file of mode 0600, in a directory of mode 0700 that one process at a time uses.
///
/// A line is a record, with a checksum. It is on the disk when `append` returns; a line that a crash cut short is not
/// there. A record that starts a rollout begins a new file, and the one before is kept beside it (`….log.before`).
///
/// ```
/// use mesh_canary::store::{FileStore, RolloutStore, StoreErrorKind};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), mesh_core::BoxError> {
/// # let dir = tempfile::tempdir()?;
/// let store = FileStore::open(dir.path().join("canary"))?;
/// assert!(store.read(&"orders".parse()?).await?.is_empty());
///
/// let error = FileStore::open(dir.path().join("canary")).expect_err("it is in use");
/// assert_eq!(error.kind(), StoreErrorKind::Locked);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct FileStore(Arc<Directory>);

struct Directory {
    path: PathBuf,
    /// Where each log ends, as far as this process knows: it is the only one that writes.
    ends: Mutex<HashMap<ServiceName, End>>,
    #[expect(dead_code, reason = "dropping it unlocks")]
    lock: File,
}

/// Where a log ends.
#[derive(Clone, Copy, Debug, Default)]
struct End {
    next: u64,
    length: u64,
}

impl FileStore {
    /// Keeps logs in this directory, which is made if it is not there.
    ///
    /// # Errors
    /// It cannot be made, others can get at it, or another process uses it.
    pub fn open(directory: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let path = directory.into();
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
        made.map_err(|error| unavailable(&path, "the directory cannot be made", error))?;
        let metadata =
            fs::symlink_metadata(&path).map_err(|e| unavailable(&path, "it cannot be looked at", e))?;
        if !metadata.is_dir() {
            let message = format!("{}: expected a directory that no link leads to", path.display());
            return Err(StoreError::new(StoreErrorKind::Insecure, message));
        }
        private(&path, &metadata, "700")?;
        let lock_path = path.join("lock");
        let lock = options()
            .create(true)
            .open(&lock_path)
            .map_err(|error| unavailable(&lock_path, "it cannot be made", error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let message = format!("{}: another process keeps its rollouts here", path.display());
                return Err(StoreError::new(StoreErrorKind::Locked, message));
            }
            Err(TryLockError::Error(error)) => {
                return Err(unavailable(&lock_path, "it cannot be locked", error));
            }
        }
        let ends = Mutex::default();
        Ok(Self(Arc::new(Directory { path, ends, lock })))
    }

    /// The services that have a log here.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn services(&self) -> Result<Vec<ServiceName>, StoreError> {
        let path = &self.0.path;
        let unread = |error| unavailable(path, "it cannot be read", error);
        let mut services = Vec::new();
        for entry in fs::read_dir(path).map_err(unread)? {
            let name = entry.map_err(unread)?.file_name();
            let service = name.to_str().and_then(|name| name.strip_suffix(".log"));
            services.extend(service.and_then(|service| service.parse::<ServiceName>().ok()));
        }
        Ok(services)
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Directory) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let directory = Arc::clone(&self.0);
        let done = tokio::task::spawn_blocking(move || work(&directory)).await;
        done.unwrap_or_else(|error| {
            let message = format!("no thread for {}: {error}", self.0.path.display());
            Err(StoreError::new(StoreErrorKind::Unavailable, message))
        })
    }
}

impl RolloutStore for FileStore {
    async fn read(&self, service: &ServiceName) -> Result<Vec<(u64, Record)>, StoreError> {
        let service = service.clone();
        self.blocking(move |directory| directory.read(&service)).await
    }

    async fn append(&self, service: &ServiceName, position: u64, record: &Record) -> Result<(), StoreError> {
        let (service, record) = (service.clone(), record.clone());
        // It goes on even if nobody waits for it any more: the next one then finds its position taken.
        self.blocking(move |directory| directory.append(&service, position, &record))
            .await
    }
}

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FileStore").field(&self.0.path).finish()
    }
}

impl Directory {
    fn file(&self, service: &ServiceName) -> PathBuf {
        self.path.join(format!("{service}.log"))
    }

    fn read(&self, service: &ServiceName) -> Result<Vec<(u64, Record)>, StoreError> {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let (records, end) = read(&self.file(service))?;
        ends.insert(service.clone(), end);
        Ok(records)
    }

    fn append(&self, service: &ServiceName, position: u64, record: &Record) -> Result<(), StoreError> {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.file(service);
        let end = match ends.get(service) {
            Some(end) => *end,
            None => read(&path)?.1,
        };
        if position != end.next {
            return Err(StoreError::conflict(service, position, end.next));
        }
        let line = line::write(position, record).map_err(|error| {
            StoreError::new(
                StoreErrorKind::Unavailable,
                format!("{}: {error}", path.display()),
            )
        })?;
        let begins = begins(record);
        let before = if begins { 0 } else { end.length };
        let length = before.saturating_add(line.len() as u64);
        if length > MAX_LEN {
            let message = format!(
                "{}: it would be longer than {MAX_LEN} bytes: end the rollout",
                path.display()
            );
            return Err(StoreError::new(StoreErrorKind::Full, message));
        }
        // Until it is done nobody knows where the log ends: after an error it is read again.
        ends.remove(service);
        let written = if begins {
            self.begin(&path, &line)
        } else {
            extend(&path, end.length, &line)
        };
        written.map_err(|error| unavailable(&path, "it cannot be written", error))?;
        let next = position.saturating_add(1);
        ends.insert(service.clone(), End { next, length });
        Ok(())
    }

    /// A new log, in place of the one that is there. At any moment one of them is there whole.
    fn begin(&self, path: &Path, line: &[u8]) -> io::Result<()> {
        let (new, before) = (path.with_extension("log.new"), path.with_extension("log.before"));
        // Left over from a crash.
        remove(&new)?;
        let mut file = options().create_new(true).open(&new)?;
        file.write_all(line)?;
        file.sync_all()?;
        if path.try_exists()? {
            remove(&before)?;
            fs::hard_link(path, &before)?;
        }
        fs::rename(&new, path)?;
        File::open(&self.path)?.sync_all()
    }
}

/// Behind the last whole line: what a crash left there is no record.
fn extend(path: &Path, length: u64, line: &[u8]) -> io::Result<()> {
    let mut file = options().open(path)?;
    if file.metadata()?.len() != length {
        file.set_len(length)?;
    }
    file.seek(SeekFrom::Start(length))?;
    let written = file.write_all(line).and_then(|()| file.sync_all());
    if written.is_err() {
        // What is there of it must not look like a record later. If even that fails, the error says enough.
        let _ = file.set_len(length);
    }
    written
}

fn read(path: &Path) -> Result<(Vec<(u64, Record)>, End), StoreError> {
    let mut file = match options().open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), End::default())),
        opened => opened.map_err(|error| unavailable(path, "it cannot be opened", error))?,
    };
    let metadata = file
        .metadata()
        .map_err(|error| unavailable(path, "it cannot be looked at", error))?;
    private(path, &metadata, "600")?;
    let mut content = Vec::new();
    let most = MAX_LEN.saturating_add(1);
    let read = (&mut file).take(most).read_to_end(&mut content);
    read.map_err(|error| unavailable(path, "it cannot be read", error))?;
    if content.len() as u64 > MAX_LEN {
        let message = format!("{}: it is longer than {MAX_LEN} bytes", path.display());
        return Err(StoreError::new(StoreErrorKind::Corrupt, message));
    }
    let (records, length) = line::read(&content).map_err(|problem| {
        let message = format!("{}: {problem}", path.display());
        StoreError::new(StoreErrorKind::Corrupt, message)
    })?;
    // A log is made with its first record in it.
    let Some((last, _)) = records.last() else {
        let message = format!(
            "{}: there is no record in it: what was decided is lost. Put back a copy ({}, if it is there), or remove it to \
             begin anew",
            path.display(),
            path.with_extension("log.before").display()
        );
        return Err(StoreError::new(StoreErrorKind::Corrupt, message));
    };
    let next = last.saturating_add(1);
    let length = length as u64;
    Ok((records, End { next, length }))
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Nobody else can get at it.
fn private(path: &Path, metadata: &fs::Metadata, mode: &str) -> Result<(), StoreError> {
    let open = metadata.permissions().mode() & 0o077;
    if open == 0 {
        return Ok(());
    }
    let message = format!(
        "{}: others can get at it: expected mode {mode} (chmod {mode})",
        path.display()
    );
    Err(StoreError::new(StoreErrorKind::Insecure, message))
}

fn unavailable(path: &Path, what: &str, error: io::Error) -> StoreError {
    let message = format!("{}: {what}: {error}", path.display());
    StoreError::new(StoreErrorKind::Unavailable, message).with_source(error)
}

#[cfg(test)]
mod tests;
