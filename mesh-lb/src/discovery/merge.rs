//! Several sources as one.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::{BoxStream, unfold};
use mesh_core::discovery::{Discover, DiscoverError};
use mesh_core::{Backoff, EndpointSet};
use tokio::time::sleep;

/// The union of several sources: every address any of them knows, once. Where two know the same address, the
/// earlier source's word on it counts.
///
/// It answers as soon as one source does. A source that fails contributes its last good set and is asked again
/// with back-off, 30 s at most, while the others go on; that it fails is told once, as an error, until it works
/// again. That nothing has changed is only told while no source fails.
///
/// ```
/// use mesh_core::discovery::Discover;
/// use mesh_core::{Endpoint, EndpointSet, Live};
/// use mesh_lb::discovery::{LiveWatch, Merge};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), mesh_core::BoxError> {
/// let listed = |address: &str| {
///     let set = EndpointSet::new([Endpoint::new(address.parse()?)]);
///     Ok::<_, mesh_core::BoxError>(LiveWatch::following(Live::fixed(set)))
/// };
/// let mut merge = Merge::new().with(listed("10.0.0.7:3001")?).with(listed("10.0.0.8:3001")?);
/// assert_eq!(merge.next().await?.endpoints.len(), 2);
/// # Ok(()) }
/// ```
#[derive(Default)]
pub struct Merge {
    sources: Vec<Source>,
    told: Option<EndpointSet>,
    /// Something good was heard since the last answer.
    heard: bool,
    /// What is still to be told.
    failures: VecDeque<DiscoverError>,
}

/// A stream keeps its place when a call is dropped, whatever the source does.
type Answers = BoxStream<'static, Result<EndpointSet, DiscoverError>>;

struct Source {
    answers: Answers,
    known: Option<EndpointSet>,
    failing: bool,
}

impl Merge {
    /// No source yet: it would never answer.
    pub fn new() -> Self {
        Self::default()
    }

    /// With another source, whose word counts less than that of those before it.
    #[must_use]
    pub fn with(mut self, discover: impl Discover) -> Self {
        self.sources.push(Source {
            answers: answers(discover),
            known: None,
            failing: false,
        });
        self
    }

    /// Takes one answer of each source that has one.
    fn poll_sources(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut any = Poll::Pending;
        for source in &mut self.sources {
            let Poll::Ready(Some(answer)) = source.answers.poll_next_unpin(cx) else {
                continue;
            };
            any = Poll::Ready(());
            match answer {
                Ok(set) => {
                    source.known = Some(set);
                    source.failing = false;
                    self.heard = true;
                }
                Err(error) => {
                    if !std::mem::replace(&mut source.failing, true) {
                        self.failures.push_back(error);
                    }
                }
            }
        }
        any
    }

    /// What to answer after something good was heard, if anything.
    fn news(&mut self) -> Option<EndpointSet> {
        let union = union(self.sources.iter().filter_map(|source| source.known.as_ref()));
        let unchanged = self.told.as_ref() == Some(&union);
        if unchanged && self.sources.iter().any(|source| source.failing) {
            return None;
        }
        self.told = Some(union.clone());
        Some(union)
    }
}

impl fmt::Debug for Merge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Merge")
            .field("sources", &self.sources.len())
            .finish_non_exhaustive()
    }
}

impl Discover for Merge {
    async fn next(&mut self) -> Result<EndpointSet, DiscoverError> {
        loop {
            if std::mem::take(&mut self.heard)
                && let Some(set) = self.news()
            {
                return Ok(set);
            }
            if let Some(error) = self.failures.pop_front() {
                return Err(error);
            }
            poll_fn(|cx| self.poll_sources(cx)).await;
        }
    }
}

/// Every address once, in the order of the sources.
fn union<'a>(sets: impl Iterator<Item = &'a EndpointSet>) -> EndpointSet {
    let mut seen = HashSet::new();
    let mut union = EndpointSet::default();
    for endpoint in sets.flat_map(|set| &set.endpoints) {
        if seen.insert(endpoint.id()) {
            union.endpoints.push(Arc::clone(endpoint));
        }
    }
    union
}

/// A source that rests after failures.
struct Resting<D> {
    discover: D,
    backoff: Backoff,
    random: fastrand::Rng,
    rest: Option<Duration>,
}

impl<D: Discover> Resting<D> {
    async fn next(&mut self) -> Result<EndpointSet, DiscoverError> {
        if let Some(rest) = self.rest.take() {
            sleep(rest).await;
        }
        let answer = self.discover.next().await;
        match &answer {
            Ok(_) => self.backoff.reset(),
            Err(_) => self.rest = Some(self.backoff.next(&mut self.random)),
        }
        answer
    }
}

fn answers(discover: impl Discover) -> Answers {
    let source = Resting {
        discover,
        backoff: Backoff::new(Duration::from_millis(100), Duration::from_secs(30)),
        random: fastrand::Rng::new(),
        rest: None,
    };
    unfold(source, async |mut source| Some((source.next().await, source))).boxed()
}

#[cfg(test)]
mod tests;
