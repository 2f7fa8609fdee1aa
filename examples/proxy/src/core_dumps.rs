//! Keeps the memory of this process, which has private keys in it, out of files and debuggers.

use std::io;

use rustix::process::{Resource, Rlimit, setrlimit};

/// Forbids core dumps for good: a limit of no bytes, which cannot be raised again, and on Linux a process that is not to
/// be dumped, so that no program that takes dumps from the kernel gets one, and nobody but root attaches to it.
///
/// # Errors
/// The system refuses. It is not forbidden to be stricter with oneself, but a sandbox may not know these calls.
pub(crate) fn forbid() -> io::Result<()> {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none)?;
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    Ok(())
}

/// The same, and if it cannot be, the log tells.
pub(crate) fn forbid_or_tell() {
    if let Err(error) = forbid() {
        tracing::warn!(%error, "core dumps cannot be forbidden: a crash may leave the private keys of this process in a file");
    }
}
