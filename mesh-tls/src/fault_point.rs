//! Places at which a test lets the process die or the disk fail. Outside of tests there is nothing of them.
//!
//! A test runs its own binary again, with the variable `MESH_TLS_FAULT` in its environment: `kill:7` ends that process
//! like `kill -9` at the seventh place it comes to, and `28:7` has that place and all after it fail with the error of
//! this number of the system.

#[cfg(not(test))]
pub(crate) use none::{reach, write};
#[cfg(test)]
pub(crate) use tried::{reach, write};

#[cfg(not(test))]
mod none {
    use std::fs::File;
    use std::io::{self, Write as _};

    #[inline(always)]
    pub(crate) const fn reach() -> io::Result<()> {
        Ok(())
    }

    #[inline(always)]
    pub(crate) fn write(file: &mut File, content: &[u8]) -> io::Result<()> {
        file.write_all(content)
    }
}

#[cfg(test)]
mod tried {
    use std::fs::File;
    use std::io::{self, Write as _};
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    enum Fault {
        Kill,
        Errno(i32),
    }

    static WANTED: LazyLock<Option<(Fault, u64)>> = LazyLock::new(|| {
        let wanted = std::env::var("MESH_TLS_FAULT").ok()?;
        let (fault, place) = wanted.split_once(':').expect("fault:place");
        let fault = match fault {
            "kill" => Fault::Kill,
            errno => Fault::Errno(errno.parse().expect("an errno")),
        };
        Some((fault, place.parse().expect("a place")))
    });
    static REACHED: AtomicU64 = AtomicU64::new(0);

    pub(crate) fn reach() -> io::Result<()> {
        let Some((fault, place)) = &*WANTED else {
            return Ok(());
        };
        let reached = REACHED.fetch_add(1, Ordering::SeqCst) + 1;
        match fault {
            Fault::Kill if reached == *place => {
                let this = rustix::process::getpid();
                rustix::process::kill_process(this, rustix::process::Signal::KILL)
                    .expect("it may end itself");
                unreachable!("nothing survives this signal");
            }
            Fault::Errno(errno) if reached >= *place => Err(io::Error::from_raw_os_error(*errno)),
            _ => Ok(()),
        }
    }

    /// In two pieces, so that there is a place in the middle.
    pub(crate) fn write(file: &mut File, content: &[u8]) -> io::Result<()> {
        reach()?;
        let (first, second) = content.split_at(content.len() / 2);
        file.write_all(first)?;
        reach()?;
        file.write_all(second)
    }
}
