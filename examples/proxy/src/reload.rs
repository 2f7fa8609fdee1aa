//! Watches the configuration's file.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

/// How long a file must be left alone before it is read: editors and Kubernetes write in several steps.
const SETTLE: Duration = Duration::from_millis(100);

/// How often the file is looked at even without a notification: some file systems give none.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Tells when the content of a file changes.
pub struct FileWatch {
    path: PathBuf,
    seen: Option<u64>,
    events: mpsc::Receiver<()>,
    _watcher: Option<RecommendedWatcher>,
}

impl FileWatch {
    /// Watches a file, and its folder: a file that is replaced is another file, and a mounted ConfigMap is
    /// swapped by a link beside it.
    pub fn start(path: &Path) -> Self {
        let (changed, events) = mpsc::channel(1);
        let told = move |event: notify::Result<notify::Event>| {
            // Reading it, as this watch does, is not changing it.
            if event.is_ok_and(|event| !event.kind.is_access()) {
                // Full: a look is due already.
                let _ = changed.try_send(());
            }
        };
        let folder = path
            .parent()
            .filter(|p| !p.as_os_str().is_empty())
            .unwrap_or_else(|| Path::new("."));
        let watcher = notify::recommended_watcher(told).and_then(|mut watcher| {
            watcher.watch(folder, RecursiveMode::NonRecursive)?;
            Ok(watcher)
        });
        let watcher = match watcher {
            Ok(watcher) => Some(watcher),
            Err(error) => {
                tracing::warn!(%error, every = ?LOOK_AGAIN, "the configuration's folder cannot be watched; its file is looked at now and then");
                None
            }
        };
        Self {
            seen: digest(path),
            path: path.to_owned(),
            events,
            _watcher: watcher,
        }
    }

    /// Takes the content as it is now for known: it is being read for another reason.
    pub fn seen(&mut self) {
        self.seen = digest(&self.path);
    }

    /// Resolves when the content is another than at the last call. Cancel-safe.
    pub async fn changed(&mut self) {
        loop {
            // A lost watcher leaves the regular look.
            let _ = tokio::time::timeout(LOOK_AGAIN, async {
                if self.events.recv().await.is_none() {
                    std::future::pending::<()>().await;
                }
            })
            .await;
            tokio::time::sleep(SETTLE).await;
            let now = digest(&self.path);
            if now != self.seen {
                self.seen = now;
                return;
            }
        }
    }
}

/// Tells one content from another; nothing if the file cannot be read.
fn digest(path: &Path) -> Option<u64> {
    let content = std::fs::read(path).ok()?;
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    Some(hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_changed_file_is_noticed_and_a_touched_one_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("mesh.yaml");
        std::fs::write(&path, "a").expect("writable");
        let mut watch = FileWatch::start(&path);
        std::fs::write(&path, "a").expect("writable");
        assert!(tokio::time::timeout(SETTLE * 3, watch.changed()).await.is_err());
        std::fs::write(folder.path().join("new"), "b").expect("writable");
        std::fs::rename(folder.path().join("new"), &path).expect("renamed");
        tokio::time::timeout(Duration::from_secs(10), watch.changed())
            .await
            .expect("noticed");
    }
}
