//! Where the log of rollouts is kept, so that a restart goes on with them.

use std::fmt;
use std::future::Future;

use mesh_core::{BoxError, ServiceName};

use crate::log::{Entry, Record};

mod any;
mod file;
mod memory;

pub use any::AnyStore;
pub use file::FileStore;
pub use memory::MemoryStore;

/// Keeps the log of each service's rollouts.
///
/// Records have positions, and a position is taken once: of two who append to the same one, the second learns that
/// somebody else decides now. That is all that a leader needs, wherever the log is kept.
///
/// ```
/// use std::time::SystemTime;
/// use mesh_canary::log::{History, Request};
/// use mesh_canary::plan::Plan;
/// use mesh_canary::rollout::Action;
/// use mesh_canary::store::{AnyStore, MemoryStore, RolloutStore, StoreErrorKind};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), mesh_core::BoxError> {
/// let store = AnyStore::new(MemoryStore::default()); // without a type parameter
/// let orders = "orders".parse()?;
/// let mut history = History::read("orders".parse()?, store.read(&orders).await?)?;
/// let request = Request::new("v1".parse()?, "v2".parse()?, Plan::default());
/// for action in history.start(request, SystemTime::now())?.actions {
///     if let Action::Persist { position, record } = action {
///         store.append(&orders, position, &record).await?;
///         let error = store.append(&orders, position, &record).await.expect_err("it is taken");
///         assert_eq!(error.kind(), StoreErrorKind::Conflict);
///     }
/// }
/// assert_eq!(History::read("orders".parse()?, store.read(&orders).await?)?, history);
/// # Ok(()) }
/// ```
pub trait RolloutStore: Send + Sync + 'static {
    /// The records of a service, with their positions, from the last one that started a rollout at the latest. None
    /// if there are none.
    ///
    /// # Errors
    /// What is kept cannot be read.
    fn read(
        &self,
        service: &ServiceName,
    ) -> impl Future<Output = Result<Vec<(u64, Record)>, StoreError>> + Send;

    /// Appends a record at a position, the one behind the last (0 if there is none). When it returns, a crash does not
    /// lose it. A record that starts a rollout allows the store to forget those before it.
    ///
    /// # Errors
    /// It was not appended, or nobody knows whether it was ([`StoreErrorKind::Unavailable`]): in both cases what is
    /// in memory is not to be trusted any more, and the log is to be read again.
    fn append(
        &self,
        service: &ServiceName,
        position: u64,
        record: &Record,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// Whether what is before this record may be forgotten.
fn begins(record: &Record) -> bool {
    matches!(record.entry, Entry::Started(_))
}

/// What went wrong, as far as the caller can act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// The position is not the next one: somebody else appended.
    Conflict,
    /// What was kept cannot be read back: it was changed, or is from a newer version of this program.
    Corrupt,
    /// Others could read or replace what is kept there, so that it is not used.
    Insecure,
    /// Somebody else keeps a log there.
    Locked,
    /// There is no room for more.
    Full,
    /// The place cannot be read or written now: no space, no permission, no answer.
    Unavailable,
}

/// A log could not be read or appended to.
#[derive(Debug)]
pub struct StoreError {
    kind: StoreErrorKind,
    message: String,
    source: Option<BoxError>,
}

impl StoreError {
    /// What went wrong, and a sentence that says where and what to do.
    pub fn new(kind: StoreErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
        }
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What went wrong.
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    fn conflict(service: &ServiceName, position: u64, next: u64) -> Self {
        let message = format!(
            "record {position} of the rollouts of {service} cannot be appended: the next one is {next}, so somebody else \
             decides now"
        );
        Self::new(StoreErrorKind::Conflict, message)
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source
            .as_deref()
            .map(|e| e as &(dyn std::error::Error + 'static))
    }
}

#[cfg(test)]
mod tests;
