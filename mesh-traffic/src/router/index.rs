//! Finds the rules a request can match without trying all of them.
//!
//! A rule whose conditions ask for something exact (this path, below this path, this header with this value)
//! stands under that one thing only, and only requests that have it try the rule. Which thing, of several, is
//! the one that the fewest rules share. A rule that asks for nothing exact stands in `rest` and is always
//! tried. What is skipped could not have matched, so the outcome is the same as trying all in order.

use std::collections::{HashMap, HashSet};

use http::HeaderName;
use mesh_core::cookie::cookies;

use super::matcher::{Matcher, Predicate, View, comparable};
use super::query::{decoded, parameters};
use super::subject::Subject;

/// Places of rules in the order in which rules are tried, ascending.
type Bucket = Vec<usize>;
type Values = ByBytes<Bucket>;
type Names = ByBytes<Named>;

#[derive(Debug, Default)]
pub(crate) struct Index {
    paths: Values,
    below: Values,
    methods: Values,
    hosts: Values,
    sources: Values,
    headers: HashMap<HeaderName, Named>,
    cookies: Names,
    query: Names,
    rest: Bucket,
}

/// Something exact that a rule asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key<'c> {
    Path(&'c [u8]),
    /// The path, or one below it.
    Below(&'c [u8]),
    Host(&'c [u8]),
    Header(&'c HeaderName, Asked<'c>),
    Source(&'c [u8]),
    Query(&'c [u8], Asked<'c>),
    Cookie(&'c [u8], Asked<'c>),
    Method(&'c [u8]),
}

/// What is asked of a thing with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Asked<'c> {
    Value(&'c [u8]),
    Presence,
}

impl Index {
    /// Indexes rules, given with their places, ascending, and their conditions.
    pub(crate) fn build<'c, C>(rules: impl Iterator<Item = (usize, C)>) -> Self
    where
        C: Iterator<Item = &'c Matcher>,
    {
        let rules: Vec<(usize, Vec<Vec<Key<'c>>>)> = rules
            .map(|(place, conditions)| (place, conditions.filter_map(keys).collect()))
            .collect();
        let mut shared: HashMap<Key<'c>, usize> = HashMap::new();
        for key in rules
            .iter()
            .flat_map(|(_, conditions)| conditions.iter().flatten())
        {
            *shared.entry(*key).or_default() += 1;
        }
        let crowd = |keys: &Vec<Key<'c>>| keys.iter().filter_map(|key| shared.get(key)).max().copied();

        let mut index = Self::default();
        for (place, conditions) in &rules {
            match conditions
                .iter()
                .min_by_key(|keys| (crowd(keys), keys.first().map(Key::cost)))
            {
                Some(keys) => keys.iter().for_each(|key| index.put(*key, *place)),
                None => index.rest.push(*place),
            }
        }
        index
    }

    fn put(&mut self, key: Key<'_>, place: usize) {
        let bucket = match key {
            Key::Path(path) => self.paths.entry(path),
            Key::Below(path) => self.below.entry(path),
            Key::Host(host) => self.hosts.entry(host),
            Key::Source(source) => self.sources.entry(source),
            Key::Method(method) => self.methods.entry(method),
            Key::Header(name, asked) => self.headers.entry(name.clone()).or_default().bucket(asked),
            Key::Query(name, asked) => self.query.entry(name).bucket(asked),
            Key::Cookie(name, asked) => self.cookies.entry(name).bucket(asked),
        };
        // A rule may name one value twice.
        if bucket.last() != Some(&place) {
            bucket.push(place);
        }
    }

    /// The lowest place whose rule `matches`.
    pub(crate) fn first(&self, view: &View<'_>, matches: impl Fn(usize) -> bool) -> Option<usize> {
        let mut search = Search {
            best: None,
            matches,
            tried: Tried::default(),
        };
        let head = &view.head;
        let path = head.path().as_bytes();
        search.try_all(self.paths.get(path));
        self.below
            .each_at_or_above(path, |bucket| search.try_all(Some(bucket)));
        search.try_all(view.host.as_bytes().and_then(|host| self.hosts.get(host)));
        search.try_all(self.sources.get(view.source.as_bytes()));
        search.try_all(self.methods.get(head.method.as_str().as_bytes()));
        if self.headers.len() <= head.headers.keys_len() {
            for (name, named) in &self.headers {
                named.search_header(view, name, &mut search);
            }
        } else {
            for name in head.headers.keys() {
                if let Some(named) = self.headers.get(name) {
                    named.search_header(view, name, &mut search);
                }
            }
        }
        if !self.query.is_empty() {
            for (name, value) in parameters(head.query()) {
                if let Some(named) = decoded(name, |name| self.query.get(name)) {
                    decoded(value, |value| named.search(value, &mut search));
                }
            }
        }
        if !self.cookies.is_empty() {
            for (name, value) in cookies(head.headers) {
                if let Some(named) = self.cookies.get(name) {
                    named.search(value, &mut search);
                }
            }
        }
        search.try_all(Some(&self.rest));
        search.best
    }
}

/// What a request must have one of for a condition to hold; nothing if that cannot be said exactly.
fn keys<'c>(condition: &'c Matcher) -> Option<Vec<Key<'c>>> {
    let (subject, predicate) = condition.required()?;
    let values: &'c [Box<[u8]>] = match predicate {
        Predicate::Equals(value) => std::slice::from_ref(value),
        Predicate::OneOf(values) => values,
        Predicate::PathPrefix(prefix) if !prefix.is_empty() => return Some(vec![Key::Below(prefix)]),
        _ => &[],
    };
    let each = |key: fn(&'c [u8]) -> Key<'c>| {
        (!values.is_empty()).then(|| values.iter().map(|value| key(value)).collect())
    };
    let named = |key: &dyn Fn(Asked<'c>) -> Key<'c>| match values {
        [] => vec![key(Asked::Presence)],
        values => values.iter().map(|value| key(Asked::Value(value))).collect(),
    };
    match subject {
        Subject::Path => each(Key::Path),
        Subject::Method => each(Key::Method),
        Subject::Host => each(Key::Host),
        Subject::SourceService => each(Key::Source),
        Subject::Header(name) => Some(named(&|asked| Key::Header(name, asked))),
        Subject::Query(name) => Some(named(&|asked| Key::Query(name.as_bytes(), asked))),
        Subject::Cookie(name) => Some(named(&|asked| Key::Cookie(name.as_bytes(), asked))),
    }
}

impl Key<'_> {
    /// How much looking it up costs a request, and how much it leaves over: what decides among equals.
    fn cost(&self) -> u8 {
        match self {
            Self::Path(_) => 0,
            Self::Below(_) => 1,
            Self::Host(_) => 2,
            Self::Header(_, Asked::Value(_)) => 3,
            Self::Source(_) => 4,
            Self::Query(_, Asked::Value(_)) => 5,
            Self::Cookie(_, Asked::Value(_)) => 6,
            Self::Header(..) | Self::Query(..) | Self::Cookie(..) => 7,
            Self::Method(_) => 8,
        }
    }
}

/// The rules that ask for one header, cookie or parameter: for a value of it, or for more than equality.
#[derive(Debug, Default)]
struct Named {
    values: Values,
    present: Bucket,
}

impl Named {
    fn bucket(&mut self, asked: Asked<'_>) -> &mut Bucket {
        match asked {
            Asked::Value(value) => self.values.entry(value),
            Asked::Presence => &mut self.present,
        }
    }

    fn search_header<'i, M: Fn(usize) -> bool>(
        &'i self,
        view: &View<'_>,
        name: &HeaderName,
        search: &mut Search<'i, M>,
    ) {
        if view.head.headers.contains_key(name) {
            search.try_all(Some(&self.present));
            for value in comparable(view.head.headers, name) {
                search.try_once(self.values.get(value));
            }
        }
    }

    fn search<'i, M: Fn(usize) -> bool>(&'i self, value: &[u8], search: &mut Search<'i, M>) {
        search.try_once(Some(&self.present));
        search.try_once(self.values.get(value));
    }
}

/// Looks for the lowest place that matches, bucket by bucket.
struct Search<'i, M> {
    best: Option<usize>,
    matches: M,
    tried: Tried<'i>,
}

impl<'i, M: Fn(usize) -> bool> Search<'i, M> {
    fn try_all(&mut self, bucket: Option<&'i Bucket>) {
        for &place in bucket.into_iter().flatten() {
            if self.best.is_some_and(|best| best <= place) {
                return;
            }
            if (self.matches)(place) {
                self.best = Some(place);
                return;
            }
        }
    }

    /// For buckets a request can lead to many times: a header may repeat a value as often as fits in it,
    /// which must not multiply the work.
    fn try_once(&mut self, bucket: Option<&'i Bucket>) {
        if let Some(bucket) = bucket
            && !bucket.is_empty()
            && self.tried.insert(bucket)
        {
            self.try_all(Some(bucket));
        }
    }
}

/// The buckets that were tried. The first few are remembered in place; a request that leads to more pays for
/// an allocation.
#[derive(Default)]
struct Tried<'i> {
    few: [Option<&'i Bucket>; 8],
    many: HashSet<*const Bucket>,
}

impl<'i> Tried<'i> {
    /// Whether the bucket is new.
    fn insert(&mut self, bucket: &'i Bucket) -> bool {
        for slot in &mut self.few {
            match slot {
                Some(tried) if std::ptr::eq(*tried, bucket) => return false,
                Some(_) => {}
                None => {
                    *slot = Some(bucket);
                    return true;
                }
            }
        }
        self.many.insert(std::ptr::from_ref(bucket))
    }
}

/// A map from bytes of the configuration. Requests can only look up, so that nobody can fill it.
#[derive(Debug)]
struct ByBytes<T> {
    map: HashMap<Box<[u8]>, T>,
    /// The lengths of the keys, ascending.
    lengths: Vec<usize>,
}

impl<T> Default for ByBytes<T> {
    fn default() -> Self {
        Self {
            map: HashMap::new(),
            lengths: Vec::new(),
        }
    }
}

impl<T: Default> ByBytes<T> {
    fn entry(&mut self, key: &[u8]) -> &mut T {
        if let Err(place) = self.lengths.binary_search(&key.len()) {
            self.lengths.insert(place, key.len());
        }
        self.map.entry(key.into()).or_default()
    }

    fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// Hashes nothing that has another length than every key.
    fn get(&self, key: &[u8]) -> Option<&T> {
        self.lengths.binary_search(&key.len()).ok()?;
        self.map.get(key)
    }

    /// What stands under the path and under all it is below of, by segments.
    fn each_at_or_above<'i>(&'i self, path: &[u8], mut see: impl FnMut(&'i T)) {
        for &length in &self.lengths {
            let Some(above) = path.get(..length) else { return };
            if matches!(path.get(length), None | Some(b'/'))
                && let Some(found) = self.map.get(above)
            {
                see(found);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_tried_once_however_often_a_request_leads_to_it() {
        let buckets: Vec<Bucket> = (0..20).map(|place| vec![place]).collect();
        let asked = std::cell::Cell::new(0);
        let matches = |_| {
            asked.set(asked.get() + 1);
            false
        };
        let mut search = Search {
            best: None,
            matches,
            tried: Tried::default(),
        };
        for bucket in buckets.iter().chain(&buckets).chain(&buckets) {
            search.try_once(Some(bucket));
        }
        assert_eq!(asked.get(), 20);
    }

    #[test]
    fn a_search_stops_at_what_is_worse_than_found() {
        let mut search = Search {
            best: None,
            matches: |place| place % 2 == 1,
            tried: Tried::default(),
        };
        for bucket in [vec![4, 7, 9], vec![8, 11], vec![0, 2, 5], vec![3]] {
            let bucket = Box::leak(Box::new(bucket));
            search.try_all(Some(bucket));
        }
        assert_eq!(search.best, Some(3));
    }

    #[test]
    fn paths_are_found_at_and_above_by_segments() {
        let mut below = ByBytes::<Bucket>::default();
        for (place, prefix) in ["/a", "/a/b", "/ab", "/a/bc", "*"].iter().enumerate() {
            below.entry(prefix.as_bytes()).push(place);
        }
        let found = |path: &str| {
            let mut found = Vec::new();
            below.each_at_or_above(path.as_bytes(), |bucket| found.extend(bucket.iter().copied()));
            found
        };
        assert_eq!(found("/a"), [0]);
        assert_eq!(found("/a/b/c"), [0, 1]);
        assert_eq!(found("/a/bc"), [0, 3]);
        assert_eq!(found("/abc"), [0_usize; 0]);
        assert_eq!(found("/ab/"), [2]);
        assert_eq!(found("*"), [4]);
        assert_eq!(found(""), [0_usize; 0]);
    }
}
