//! The key that sticky cookies are signed with: made once, kept in a file that nobody else can read.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use mesh_traffic::router::CookieKey;
use rustix::fs::OFlags;
use zeroize::Zeroizing;

use crate::config::{self, Config};

/// What the key's file is called in `canaryDeployment.stateDir`.
const NAME: &str = "cookie.key";

/// Two digits a byte.
const DIGITS: usize = 2 * CookieKey::LENGTH;

/// The keys of this process.
pub struct CookieKeys {
    of_process: CookieKey,
    warned: bool,
}

impl CookieKeys {
    /// With a random one, for when none can be kept.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn new() -> Result<Self, String> {
        Ok(Self {
            of_process: CookieKey::new(random()?),
            warned: false,
        })
    }

    /// The key for a configuration: that of `routing.cookieKeyFile`, else of a file in `stateDir`. Whoever is first makes
    /// it. Where `stateDir` cannot be used it is one that lasts as long as the process, and that is told.
    ///
    /// # Errors
    /// `cookieKeyFile` cannot be used: replicas that were to share a key would undo each other's choices.
    pub fn of(&mut self, config: &Config) -> Result<CookieKey, String> {
        let Some(canary) = sticky(config) else {
            return Ok(self.of_process.clone());
        };
        let (path, named) = place(canary);
        match open(&path) {
            Ok(key) => {
                self.warned = false;
                Ok(key)
            }
            Err(why) if named => Err(format!("canaryDeployment.routing.cookieKeyFile: {why}")),
            Err(why) => {
                if !std::mem::replace(&mut self.warned, true) {
                    tracing::warn!(
                        "clients stay with their version only until this process ends: canaryDeployment.stateDir: {why}"
                    );
                }
                Ok(self.of_process.clone())
            }
        }
    }
}

/// The key as it is kept now, for whoever only looks: where there is none yet, one that has signed nothing.
///
/// # Errors
/// The system has no random numbers.
pub fn to_look(config: &Config) -> Result<CookieKey, String> {
    let kept = sticky(config).and_then(|canary| read(&place(canary).0).ok());
    kept.map_or_else(|| Ok(CookieKey::new(random()?)), Ok)
}

fn sticky(config: &Config) -> Option<&config::Canary> {
    let canary = config.canary.as_ref()?;
    (canary.enabled && canary.routing.sticky).then_some(canary)
}

/// Where the key is, and whether somebody has said so.
fn place(canary: &config::Canary) -> (PathBuf, bool) {
    match &canary.routing.cookie_key_file {
        Some(path) => (path.clone(), true),
        None => (canary.state_dir.join(NAME), false),
    }
}

fn random() -> Result<Zeroizing<[u8; CookieKey::LENGTH]>, String> {
    let mut secret = Zeroizing::new([0; CookieKey::LENGTH]);
    aws_lc_rs::rand::fill(secret.as_mut_slice())
        .map_err(|_| "the system gives no random numbers".to_owned())?;
    Ok(secret)
}

/// The key in this file, made now if there is none.
fn open(path: &Path) -> Result<CookieKey, String> {
    match read(path) {
        Err(Unread::Missing) => {
            make(path).map_err(|error| format!("{}: it cannot be made: {error}", path.display()))?;
            read(path).map_err(|why| why.told(path))
        }
        read => read.map_err(|why| why.told(path)),
    }
}

/// Whole or not at all, and never over one that another process made meanwhile.
fn make(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = directory.unwrap_or_else(|| Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let secret = random().map_err(io::Error::other)?;
    let mut digits = Zeroizing::new(String::with_capacity(DIGITS + 1));
    for byte in secret.iter() {
        for digit in [byte >> 4, byte & 0xf] {
            digits.extend(char::from_digit(digit.into(), 16));
        }
    }
    digits.push('\n');
    // Of mode 600, and gone if it is not finished.
    let mut unfinished = tempfile::NamedTempFile::new_in(directory)?;
    unfinished.write_all(digits.as_bytes())?;
    unfinished.as_file().sync_all()?;
    match unfinished.persist_noclobber(path) {
        Err(error) if error.error.kind() == ErrorKind::AlreadyExists => {}
        made => drop(made.map_err(|error| error.error)?),
    }
    File::open(directory)?.sync_all()
}

enum Unread {
    Missing,
    Failed(io::Error),
    Wrong(String),
}

impl Unread {
    fn told(&self, path: &Path) -> String {
        let path = path.display();
        match self {
            Self::Missing => format!("{path}: it is gone again"),
            Self::Failed(error) => format!("{path}: it cannot be read: {error}"),
            Self::Wrong(why) => format!("{path}: {why}"),
        }
    }
}

fn read(path: &Path) -> Result<CookieKey, Unread> {
    // Without waiting: a pipe would have nobody at its other end.
    let mut without_waiting = OpenOptions::new();
    without_waiting
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed());
    let file = without_waiting.open(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Unread::Missing,
        _ => Unread::Failed(error),
    })?;
    let metadata = file.metadata().map_err(Unread::Failed)?;
    let mode = metadata.mode() & 0o777;
    if !metadata.is_file() {
        return Err(Unread::Wrong("expected a file".to_owned()));
    }
    // A secret that is mounted for a group is read by that.
    if mode & 0o037 != 0 {
        return Err(Unread::Wrong(format!(
            "others can get at it (mode {mode:o}): expected mode 600"
        )));
    }
    let mut text = Zeroizing::new(String::with_capacity(2 * DIGITS));
    file.take(2 * DIGITS as u64)
        .read_to_string(&mut text)
        .map_err(Unread::Failed)?;
    secret(text.trim_end()).ok_or_else(|| {
        Unread::Wrong(format!(
            "expected {DIGITS} hexadecimal digits: put back what it was, or move it away for a new one"
        ))
    })
}

fn secret(text: &str) -> Option<CookieKey> {
    if text.len() != DIGITS {
        return None;
    }
    let mut secret = Zeroizing::new([0; CookieKey::LENGTH]);
    for (byte, digits) in secret.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digit = |place: usize| char::from(digits[place]).to_digit(16);
        *byte = u8::try_from(digit(0)? << 4 | digit(1)?).ok()?;
    }
    Some(CookieKey::new(secret))
}

#[cfg(test)]
mod tests;
