//! Notifications of changes in the file's folder.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

/// How long a folder must be quiet before its file is read: editors and Kubernetes write in several steps.
const SETTLE: Duration = Duration::from_millis(100);

/// How many times in a row that is waited for.
const PATIENCE: usize = 10;

/// Watches the folder and not the file: a file that is replaced is another file, and a mounted ConfigMap is
/// switched by a link beside it.
pub(super) struct FolderWatch {
    folder: PathBuf,
    watching: Option<Watching>,
    warned: bool,
}

struct Watching {
    /// Which folder it is: one that is replaced has to be watched anew.
    folder: (u64, u64),
    changed: mpsc::Receiver<()>,
    _watcher: RecommendedWatcher,
}

impl FolderWatch {
    pub(super) fn new(file: &Path) -> Self {
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
        Self {
            folder: folder.unwrap_or_else(|| Path::new(".")).to_owned(),
            watching: None,
            warned: false,
        }
    }

    /// Watches the folder that is there now, if it does not yet.
    pub(super) fn ensure(&mut self) {
        match watched(&self.folder, self.watching.take()) {
            Ok(watching) => {
                self.watching = Some(watching);
                self.warned = false;
            }
            Err(error) if !self.warned => {
                self.warned = true;
                let folder = self.folder.display();
                tracing::warn!(%folder, %error, "the folder cannot be watched; its file is looked at now and then");
            }
            Err(_) => {}
        }
    }

    /// Waits for a change, and until no more follow at once; for this long at most.
    pub(super) async fn changed_within(&mut self, time: Duration) {
        let Some(watching) = &mut self.watching else {
            return sleep(time).await;
        };
        let told = timeout(time, watching.changed.recv()).await;
        if let Ok(None) = told {
            // Watched anew at the next call of `ensure`, which is not to come at once.
            self.watching = None;
            return sleep(time).await;
        }
        for _ in 0..PATIENCE {
            if told.is_err() || timeout(SETTLE, watching.changed.recv()).await.is_err() {
                return;
            }
        }
    }
}

fn watched(folder: &Path, watching: Option<Watching>) -> notify::Result<Watching> {
    let metadata = folder.metadata().map_err(notify::Error::io)?;
    let id = (metadata.dev(), metadata.ino());
    if let Some(watching) = watching
        && watching.folder == id
    {
        return Ok(watching);
    }
    let (tell, changed) = mpsc::channel(1);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading the file, as is done here, is not changing it.
        if event.is_ok_and(|event| !event.kind.is_access()) {
            // Full: a look is due already.
            let _due = tell.try_send(());
        }
    })?;
    watcher.watch(folder, RecursiveMode::NonRecursive)?;
    Ok(Watching {
        folder: id,
        changed,
        _watcher: watcher,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_folder_is_in_the_current_one() {
        assert_eq!(
            FolderWatch::new(Path::new("endpoints.json")).folder,
            Path::new(".")
        );
        assert_eq!(
            FolderWatch::new(Path::new("/etc/mesh/endpoints.json")).folder,
            Path::new("/etc/mesh")
        );
    }
}
