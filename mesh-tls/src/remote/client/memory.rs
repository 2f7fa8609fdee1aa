//! Who the CA's server is, over a restart.

use std::path::PathBuf;
use std::sync::Arc;

use mesh_core::SpiffeId;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::authority::{CaError, CaErrorKind};
use crate::sealed;
use crate::secure_dir::SecureDir;
use crate::store::StoreError;

const FILE: &str = "remote-ca";
const MAX_LEN: u64 = 64 * 1024;

/// As it is written. Another URL is another server.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    url: String,
    server: String,
}

/// Who the CA's server is: what was configured, or what the proof said when this process joined.
pub(super) struct Memory {
    server: Arc<Mutex<Option<SpiffeId>>>,
    configured: bool,
    url: String,
    dir: Option<SecureDir>,
}

impl Memory {
    pub(super) fn open(
        configured: Option<SpiffeId>,
        directory: Option<PathBuf>,
        url: &str,
    ) -> Result<Self, CaError> {
        let dir = directory.map(SecureDir::create).transpose().map_err(storage)?;
        let is_configured = configured.is_some();
        let server = match (configured, &dir) {
            (Some(server), _) => Some(server),
            (None, Some(dir)) => read(dir, url)?,
            (None, None) => None,
        };
        Ok(Self {
            server: Arc::new(Mutex::new(server)),
            configured: is_configured,
            url: url.to_owned(),
            dir,
        })
    }

    pub(super) fn server(&self) -> Option<SpiffeId> {
        self.server.lock().clone()
    }

    /// What cannot be stored counts all the same, until the next restart.
    pub(super) async fn remember(&self, server: SpiffeId) {
        if self.configured || self.server().as_ref() == Some(&server) {
            return;
        }
        *self.server.lock() = Some(server.clone());
        let Some(dir) = self.dir.clone() else {
            return;
        };
        let url = self.url.clone();
        let written = tokio::task::spawn_blocking(move || {
            let record = Record {
                url,
                server: server.to_string(),
            };
            let sealed = sealed::seal(&record)?;
            let _lock = dir.lock().map_err(|error| error.to_string())?;
            dir.write(FILE, &sealed).map_err(|error| error.to_string())
        });
        let written = written.await.unwrap_or_else(|error| Err(error.to_string()));
        if let Err(error) = written {
            tracing::error!(%error, "who the CA's server is could not be stored; a restart needs a join token");
        }
    }
}

/// What is damaged is as good as forgotten: a proof says it again.
fn read(dir: &SecureDir, url: &str) -> Result<Option<SpiffeId>, CaError> {
    let Some(content) = dir.read(FILE, MAX_LEN).map_err(storage)? else {
        return Ok(None);
    };
    match sealed::open::<Record>(&content) {
        Ok(record) if record.url == url => Ok(record.server.parse().ok()),
        Ok(_) => Ok(None),
        Err(why) => {
            tracing::warn!(file = %dir.file(FILE).display(), %why, "who the CA's server is was forgotten");
            Ok(None)
        }
    }
}

fn storage(error: StoreError) -> CaError {
    CaError::new(CaErrorKind::Storage, error.to_string()).with_source(error)
}
