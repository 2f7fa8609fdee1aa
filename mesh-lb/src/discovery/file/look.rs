//! One look at the file, and what it says.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mesh_core::discovery::DiscoverError;
use mesh_core::{EndpointSet, ServiceName};

use super::content::{self, Services};

/// The largest file that is read, in bytes.
pub(super) const MAX_LEN: u64 = 4 * 1024 * 1024;

/// What the file says.
#[derive(Clone, Debug)]
pub(super) struct Said {
    path: Arc<Path>,
    /// The last good content.
    services: Option<Arc<Services>>,
    /// What is wrong with the newest, if anything.
    error: Option<Arc<str>>,
}

impl Said {
    /// Nothing yet.
    pub(super) fn nothing_of(path: &Path) -> Self {
        Self {
            path: path.into(),
            services: None,
            error: None,
        }
    }

    /// What a watch of this service answers after it was told `told`; nothing if that says it all.
    pub(super) fn of(
        &self,
        service: &ServiceName,
        told: Option<&Self>,
    ) -> Option<Result<EndpointSet, DiscoverError>> {
        if let Some(error) = &self.error {
            return Some(Err(DiscoverError::new(&**error)));
        }
        let services = self.services.as_ref()?;
        if let Some(set) = services.get(service) {
            return Some(Ok(set.clone()));
        }
        let is_told = told.is_some_and(|told| {
            let before = told.services.as_ref();
            told.error.is_none() && before.is_some_and(|before| Arc::ptr_eq(before, services))
        });
        (!is_told).then(|| Err(self.missing(service, services)))
    }

    fn missing(&self, service: &ServiceName, services: &Services) -> DiscoverError {
        const MOST: usize = 10;
        let mut names: Vec<&str> = services.keys().map(ServiceName::as_str).collect();
        names.sort_unstable();
        let more = names.len().saturating_sub(MOST);
        names.truncate(MOST);
        let has = match (names.is_empty(), more) {
            (true, _) => String::from("none"),
            (false, 0) => names.join(", "),
            (false, more) => format!("{} and {more} more", names.join(", ")),
        };
        DiscoverError::new(format!(
            "{} has no service {service}; it has {has}",
            self.path.display()
        ))
    }
}

/// Looks at a file.
pub(super) struct Look {
    path: Arc<Path>,
    /// The last good content.
    content: Option<Arc<[u8]>>,
}

/// What a look found.
enum Found {
    Unchanged,
    Good(Arc<[u8]>, Services),
}

impl Look {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path: path.into(),
            content: None,
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What the file says now; nothing if it is as wrong as it was.
    pub(super) async fn again(&mut self, before: &Said) -> Option<Said> {
        let (path, known) = (Arc::clone(&self.path), self.content.clone());
        let found = tokio::task::spawn_blocking(move || look(&path, known.as_deref())).await;
        let found =
            found.unwrap_or_else(|error| Err(format!("{} was not read: {error}", self.path.display())));
        let path = Arc::clone(&self.path);
        match found {
            Ok(Found::Unchanged) => Some(Said {
                path,
                services: before.services.clone(),
                error: None,
            }),
            Ok(Found::Good(content, services)) => {
                self.content = Some(content);
                Some(Said {
                    path,
                    services: Some(Arc::new(services)),
                    error: None,
                })
            }
            Err(error) if before.error.as_deref() == Some(&*error) => None,
            Err(error) => Some(Said {
                path,
                services: before.services.clone(),
                error: Some(error.into()),
            }),
        }
    }
}

fn look(path: &Path, known: Option<&[u8]>) -> Result<Found, String> {
    let shown = path.display();
    let content = read(path).map_err(|error| format!("{shown} cannot be read: {error}"))?;
    if known == Some(&*content) {
        return Ok(Found::Unchanged);
    }
    let services = content::parse(&content).map_err(|problems| problems.told_of(path))?;
    Ok(Found::Good(content.into(), services))
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    // Asked before it is opened: opening a pipe would wait for who writes to it.
    if !path.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no file"));
    }
    let mut content = Vec::new();
    File::open(path)?.take(MAX_LEN + 1).read_to_end(&mut content)?;
    if content.len() as u64 > MAX_LEN {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it is larger than {MAX_LEN} bytes"),
        ));
    }
    Ok(content)
}
