//! Endpoints in a file that is watched.

mod content;
mod folder;
mod look;
mod position;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mesh_core::discovery::{Discover, DiscoverError, ServiceDiscovery};
use mesh_core::{Live, Publisher, ServiceName, live};

use self::folder::FolderWatch;
use self::look::{Look, Said};
use super::task::Task;

/// How often the file is looked at even without a notification: some file systems give none, and a link may
/// lead to another folder.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// A file of endpoints, in JSON:
///
/// ```json
/// {
///   "services": {
///     "orders": [
///       "10.0.0.7:3001",
///       { "address": "10.0.0.8:3001", "version": "v2", "weight": 3, "zone": "a" }
///     ]
///   }
/// }
/// ```
///
/// `weight` is 0 to 1000000, by default 1; `version` and `zone` may be left out. Whatever else the file holds is
/// refused, and every problem is told with its line and column. A file of up to 4 MiB is read, with up to
/// 10000 endpoints for a service.
///
/// A change is noticed at once where the file system tells of it, and within 5 seconds where it does not. Files
/// that are replaced and links that are switched, as of a mounted ConfigMap, are followed. A file that is refused
/// or gone changes nothing: the last good content stays in use until there is another. A service with an empty
/// list has no endpoints; one that is not in the file is an error, since it may be a mistake.
///
/// ```
/// use mesh_core::discovery::{Discover, ServiceDiscovery};
/// use mesh_lb::discovery::EndpointFile;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), mesh_core::BoxError> {
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("endpoints.json");
/// std::fs::write(&path, r#"{ "services": { "orders": ["10.0.0.7:3001"] } }"#)?;
///
/// let file = EndpointFile::start(&path);
/// assert_eq!(file.watch(&"orders".parse()?).next().await?.endpoints.len(), 1);
///
/// let error = file.watch(&"billing".parse()?).next().await.err().expect("it is not there");
/// assert!(error.to_string().ends_with("has no service billing; it has orders"));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct EndpointFile {
    said: Live<Said>,
    task: Arc<Task>,
}

impl EndpointFile {
    /// Reads the file, and follows it until the last clone and the last watch are dropped. Must be called
    /// within a tokio runtime. That the file cannot be read yet is told by the watches.
    pub fn start(path: impl Into<PathBuf>) -> Self {
        let look = Look::new(path.into());
        let (publisher, said) = live(Said::nothing_of(look.path()));
        let task = Task::start(follow(look, publisher));
        Self {
            said,
            task: Arc::new(task),
        }
    }
}

impl ServiceDiscovery for EndpointFile {
    type Watch = EndpointFileWatch;

    fn watch(&self, service: &ServiceName) -> EndpointFileWatch {
        EndpointFileWatch {
            service: service.clone(),
            said: self.said.clone(),
            told: None,
            _task: Arc::clone(&self.task),
        }
    }
}

/// Follows one service of an [`EndpointFile`].
#[derive(Debug)]
pub struct EndpointFileWatch {
    service: ServiceName,
    said: Live<Said>,
    told: Option<Arc<Said>>,
    _task: Arc<Task>,
}

impl Discover for EndpointFileWatch {
    async fn next(&mut self) -> Result<mesh_core::EndpointSet, DiscoverError> {
        loop {
            if self.told.is_some() {
                self.said.changed().await;
            }
            let said = self.said.load_full();
            let answer = said.of(&self.service, self.told.as_deref());
            self.told = Some(said);
            if let Some(answer) = answer {
                return answer;
            }
        }
    }
}

async fn follow(mut look: Look, publisher: Publisher<Said>) {
    let mut folder = FolderWatch::new(look.path());
    loop {
        // Watched before it is read: what changes in between is looked at again.
        folder.ensure();
        if let Some(said) = look.again(&publisher.current()).await {
            publisher.publish(said);
        }
        folder.changed_within(LOOK_AGAIN).await;
    }
}

#[cfg(test)]
mod tests;
