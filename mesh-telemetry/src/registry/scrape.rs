//! What is to be computed at each scrape.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;

type Hook = Arc<dyn Fn() + Send + Sync>;

#[derive(Default)]
pub(crate) struct Hooks(Arc<Mutex<Vec<Hook>>>);

/// Keeps a hook of [`Telemetry::before_scrape`](crate::Telemetry::before_scrape). Dropped, the hook is
/// forgotten.
#[must_use = "dropping it forgets the hook"]
pub struct BeforeScrape {
    hook: Hook,
    hooks: Weak<Mutex<Vec<Hook>>>,
}

impl Hooks {
    pub(crate) fn add(&self, hook: Hook) -> BeforeScrape {
        self.0.lock().push(Arc::clone(&hook));
        BeforeScrape {
            hook,
            hooks: Arc::downgrade(&self.0),
        }
    }

    /// Without the lock, so that a hook may add one.
    pub(crate) fn run(&self) {
        let hooks = self.0.lock().clone();
        for hook in hooks {
            hook();
        }
    }
}

impl Drop for BeforeScrape {
    fn drop(&mut self) {
        if let Some(hooks) = self.hooks.upgrade() {
            hooks.lock().retain(|hook| !Arc::ptr_eq(hook, &self.hook));
        }
    }
}
