//! A wish to look again before it is time.

use std::sync::Arc;

use tokio::sync::Notify;

/// Asks a source to look again now, as after a connection that could not be made: the endpoint may be gone.
/// Clones ask the same source. Asking never waits; how often it is granted, the source decides.
///
/// ```
/// use mesh_lb::discovery::Refresh;
///
/// let refresh = Refresh::default();
/// refresh.clone().ask();
/// # tokio::runtime::Builder::new_current_thread().build().expect("runtime").block_on(async {
/// refresh.asked().await; // what a source waits for
/// # });
/// ```
#[derive(Clone, Debug, Default)]
pub struct Refresh(Arc<Notify>);

impl Refresh {
    /// Asks. Many wishes before the next look are one.
    pub fn ask(&self) {
        self.0.notify_one();
    }

    /// Waits until somebody asks; a wish from before this call counts. One source waits at a time.
    /// Cancel-safe.
    pub async fn asked(&self) {
        self.0.notified().await;
    }
}
