//! What a rule makes of a path.

use std::fmt;

use mesh_core::edge::{EdgePolicy, canonical_path};

/// What a rule makes of a path: of a rewritten request, or of the place a redirect leads to.
///
/// ```
/// use mesh_traffic::router::PathChange;
///
/// assert!(PathChange::prefix("/v2").is_ok());
/// let error = PathChange::whole("/a/../b").expect_err("nothing is forwarded so");
/// assert!(error.to_string().contains("write \"/b\""), "{error}");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathChange {
    to: Box<str>,
    whole: bool,
}

/// Why a text is no path that requests can be sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathError {
    found: Box<str>,
    why: String,
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: String = self.found.chars().take(100).collect();
        write!(
            f,
            "{shown:?} is not a path: {}; expected a path as /v2, without a query",
            self.why
        )
    }
}

impl std::error::Error for PathError {}

impl PathError {
    /// Why not, in words.
    pub fn why(&self) -> &str {
        &self.why
    }
}

impl PathChange {
    /// The longest path, in bytes.
    pub const LONGEST: usize = 4096;

    /// This path, whatever it was.
    ///
    /// # Errors
    /// It is not a path in canonical form: such a path is what rules match and what is forwarded.
    pub fn whole(path: &str) -> Result<Self, PathError> {
        Ok(Self {
            to: checked(path)?,
            whole: true,
        })
    }

    /// This in place of the prefix that the rule's one condition on the path names; an empty text or `/`
    /// takes it away. The rest of the path stays.
    ///
    /// # Errors
    /// It is neither empty nor a path in canonical form.
    pub fn prefix(prefix: &str) -> Result<Self, PathError> {
        let to = match prefix {
            "" => "".into(),
            prefix => checked(prefix)?,
        };
        Ok(Self { to, whole: false })
    }

    /// What the path, or its prefix, becomes.
    pub fn as_str(&self) -> &str {
        &self.to
    }

    /// Whether it takes the place of the whole path.
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// Fits it to a rule whose condition on the path names `matched`.
    pub(crate) fn compile(&self, matched: Option<&str>) -> PathEdit {
        let cut = matched.map(|prefix| prefix.strip_suffix('/').unwrap_or(prefix).len());
        let to = match self.whole {
            true => &*self.to,
            false => self.to.strip_suffix('/').unwrap_or(&self.to),
        };
        PathEdit {
            to: to.into(),
            cut: cut.filter(|_| !self.whole),
        }
    }
}

fn checked(path: &str) -> Result<Box<str>, PathError> {
    let refuse = |why: String| {
        Err(PathError {
            found: path.into(),
            why,
        })
    };
    if path.len() > PathChange::LONGEST {
        return refuse(format!("it has more than {} bytes", PathChange::LONGEST));
    }
    match respelt(path) {
        Ok(None) => Ok(path.into()),
        Ok(Some(canonical)) => refuse(format!(
            "requests reach it in another spelling, write {canonical:?}"
        )),
        Err(why) => refuse(why),
    }
}

/// The spelling in which a path reaches rules and services, if it is another than this; or why none does.
pub(crate) fn respelt(path: &str) -> Result<Option<String>, String> {
    let mut lenient = EdgePolicy::default();
    lenient.keep_encoded_slashes = true;
    lenient.keep_path_parameters = true;
    canonical_path(path, &lenient).map_err(|error| error.message().to_owned())
}

/// A change of paths, compiled for one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PathEdit {
    to: Box<str>,
    /// How much of a path that the rule matched goes; all if it is not said.
    cut: Option<usize>,
}

impl PathEdit {
    /// The path and the query that this path and query become.
    pub(crate) fn apply(&self, path: &str, query: Option<&str>) -> String {
        let rest = self.cut.and_then(|cut| path.get(cut..)).unwrap_or_default();
        let query_len = query.map_or(0, |query| query.len() + 1);
        let mut changed = String::with_capacity(self.to.len() + rest.len() + query_len + 1);
        changed.push_str(&self.to);
        changed.push_str(rest);
        if changed.is_empty() {
            changed.push('/');
        }
        if let Some(query) = query {
            changed.push('?');
            changed.push_str(query);
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_prefix_is_replaced_by_whole_segments() {
        // Path, prefix of the condition, prefix that takes its place, what becomes of it.
        for (path, matched, to, expected) in [
            ("/foo/bar", "/foo", "/xyz", "/xyz/bar"),
            ("/foo/bar", "/foo", "/xyz/", "/xyz/bar"),
            ("/foo/bar", "/foo/", "/xyz", "/xyz/bar"),
            ("/foo/bar", "/foo/", "/xyz/", "/xyz/bar"),
            ("/foo", "/foo", "/xyz", "/xyz"),
            ("/foo/", "/foo", "/xyz", "/xyz/"),
            ("/foo/bar", "/foo", "", "/bar"),
            ("/foo/", "/foo", "", "/"),
            ("/foo", "/foo", "", "/"),
            ("/foo/", "/foo", "/", "/"),
            ("/foo", "/foo", "/", "/"),
            ("/bar", "/", "/v1", "/v1/bar"),
        ] {
            let edit = PathChange::prefix(to).expect("a path").compile(Some(matched));
            assert_eq!(edit.apply(path, None), expected, "{path} {matched} {to}");
        }
    }

    #[test]
    fn the_query_stays() {
        let whole = PathChange::whole("/x").expect("a path").compile(None);
        assert_eq!(whole.apply("/a/b", Some("q=1")), "/x?q=1");
        assert_eq!(whole.apply("/a/b", Some("")), "/x?");
    }

    #[test]
    fn what_no_request_is_forwarded_to_is_refused_with_the_spelling_that_is() {
        for (path, why) in [
            ("/%41", "write \"/A\""),
            ("/a//b", "write \"/a/b\""),
            ("/a/./b", "write \"/a/b\""),
            ("a", "begin with a slash"),
            ("/a?b", "'?'"),
            ("/a\\b", "backslash"),
            ("/%zz", "hexadecimal"),
        ] {
            let error = PathChange::whole(path).expect_err(path).to_string();
            assert!(error.contains(why), "{error}");
            assert!(PathChange::prefix(path).is_err(), "{path}");
        }
    }

    proptest! {
        #[test]
        fn what_becomes_of_a_canonical_path_is_canonical(
            segments in proptest::collection::vec("[a-z]{1,3}|%2F|%C3%A9|\\.well", 0..4),
            to in proptest::collection::vec("[A-Z]{1,3}|~x", 0..3),
            slash: bool,
        ) {
            let mut path = format!("/foo/{}", segments.join("/"));
            if slash && !segments.is_empty() {
                path.push('/');
            }
            prop_assume!(respelt(&path) == Ok(None));
            let edit = PathChange::prefix(&format!("/{}", to.join("/"))).expect("a path").compile(Some("/foo"));
            let changed = edit.apply(&path, None);
            prop_assert_eq!(respelt(&changed), Ok(None), "{}", changed);
        }
    }
}
