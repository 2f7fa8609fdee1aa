//! Origins: scheme, host and port of a page.

use std::fmt;

use http::Uri;

use super::CorsError;

/// Which origins are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origins {
    Any,
    These(Box<[Pattern]>),
}

/// One origin, or all of a scheme and a port whose hosts end so. In lower case, as browsers write them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    Exact(Box<str>),
    /// `https://` and `.example.com`, for `https://*.example.com`.
    Below {
        scheme: Box<str>,
        end: Box<str>,
    },
}

impl Origins {
    pub(super) fn new<T: AsRef<str>>(origins: impl IntoIterator<Item = T>) -> Result<Self, CorsError> {
        let mut patterns = Vec::new();
        for text in origins {
            match text.as_ref() {
                "*" => return Ok(Self::Any),
                text => {
                    patterns.push(Pattern::parse(text).ok_or_else(|| CorsError::Origin(text.into()))?);
                }
            }
        }
        match patterns.is_empty() {
            true => Err(CorsError::NoOrigin),
            false => Ok(Self::These(patterns.into())),
        }
    }

    /// A browser's `Origin`; `null` is nobody's but `*`.
    pub(super) fn contains(&self, origin: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::These(patterns) => {
                std::str::from_utf8(origin).is_ok_and(|origin| patterns.iter().any(|p| p.matches(origin)))
            }
        }
    }
}

impl Pattern {
    fn parse(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        let (scheme, rest) = text.split_once("://")?;
        let host = rest.strip_prefix("*.");
        let whole = format!("{scheme}://{}", host.unwrap_or(rest));
        let uri: Uri = whole.parse().ok()?;
        let (authority, port) = (uri.authority()?, uri.port_u16());
        // Nothing behind the port, nobody before the host, and a port that is one and says something.
        let default = matches!((scheme, port), ("http", Some(80)) | ("https", Some(443)));
        let plain = authority.as_str() == rest.strip_prefix("*.").unwrap_or(rest)
            && !authority.as_str().contains(['@', '*'])
            && !authority.host().is_empty()
            && authority.as_str().len()
                == authority.host().len() + port.map_or(0, |p| p.to_string().len() + 1);
        if !plain || default {
            return None;
        }
        Some(match host {
            None => Self::Exact(text.into()),
            Some(host) => Self::Below {
                scheme: format!("{scheme}://").into(),
                end: format!(".{host}").into(),
            },
        })
    }

    fn matches(&self, origin: &str) -> bool {
        match self {
            Self::Exact(exact) => origin.eq_ignore_ascii_case(exact),
            Self::Below { scheme, end } => {
                let lower = origin.to_ascii_lowercase();
                let host = lower
                    .strip_prefix(&**scheme)
                    .and_then(|rest| rest.strip_suffix(&**end));
                // What stands before is one label or several: not the end of another scheme's or host's name.
                host.is_some_and(|below| {
                    !below.is_empty()
                        && below
                            .bytes()
                            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
                })
            }
        }
    }
}

impl fmt::Display for Origins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::These(patterns) = self else {
            return f.write_str("all origins");
        };
        for (place, pattern) in patterns.iter().enumerate() {
            f.write_str(if place > 0 { ", " } else { "" })?;
            match pattern {
                Pattern::Exact(origin) => f.write_str(origin)?,
                Pattern::Below { scheme, end } => write!(f, "{scheme}*{end}")?,
            }
        }
        Ok(())
    }
}
