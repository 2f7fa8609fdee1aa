//! Hosts, compared in one canonical form: lower case, no port, no trailing dot.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use http::header::HOST;
use mesh_core::RequestHead;

/// The longest host that is looked at, in bytes: DNS allows 253.
const LONGEST: usize = 255;

/// A host as configuration names it, in canonical form.
///
/// ```
/// use mesh_traffic::router::HostName;
///
/// assert_eq!("API.example.org.".parse::<HostName>()?.as_str(), "api.example.org");
/// assert!("api.example.org:8080".parse::<HostName>().is_err());
/// # Ok::<(), mesh_traffic::router::HostError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostName(Arc<str>);

impl HostName {
    /// The canonical text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is not a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostError {
    found: Box<str>,
    why: &'static str,
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: String = self.found.chars().take(100).collect();
        write!(
            f,
            "{shown:?} is not a host: {}; expected a name or an address, as api.example.org",
            self.why
        )
    }
}

impl std::error::Error for HostError {}

impl FromStr for HostName {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        let refuse = |why| {
            Err(HostError {
                found: text.into(),
                why,
            })
        };
        let name = text.strip_suffix('.').unwrap_or(text);
        if name.is_empty() {
            return refuse("it is empty");
        }
        if name.len() > LONGEST {
            return refuse("it is longer than 255 bytes");
        }
        if name.contains("://") || name.contains('/') {
            return refuse("it is a URL; hosts are written without scheme and path");
        }
        if name.contains('*') {
            return refuse("only exact names, and \"*\" alone among a service's hosts, are known");
        }
        if let Some(address) = name.strip_prefix('[') {
            let inner = address
                .strip_suffix(']')
                .and_then(|inner| inner.parse::<std::net::Ipv6Addr>().ok());
            return match inner {
                Some(_) => Ok(Self(name.to_ascii_lowercase().into())),
                None => {
                    refuse("in brackets stands an IPv6 address, and nothing behind them: any port is meant")
                }
            };
        }
        if name.contains(':') {
            return refuse("it has a port (any port is meant), or is an IPv6 address without its brackets");
        }
        if !name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
        {
            return refuse("it has other bytes than ASCII letters, digits, '.', '-' and '_'");
        }
        if name.split('.').any(str::is_empty) {
            return refuse("a label between two dots is empty");
        }
        Ok(Self(name.to_ascii_lowercase().into()))
    }
}

/// What a service lists among its hosts.
///
/// ```
/// use mesh_traffic::router::HostPattern;
///
/// assert_eq!("*".parse::<HostPattern>()?, HostPattern::Any);
/// # Ok::<(), mesh_traffic::router::HostError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostPattern {
    /// `*`: every host that no service names.
    Any,
    /// This host, at any port.
    Name(HostName),
}

impl FromStr for HostPattern {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        if text == "*" {
            Ok(Self::Any)
        } else {
            text.parse().map(Self::Name)
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Name(name) => f.write_str(name.as_str()),
        }
    }
}

/// The host of a request as it stands there: the authority of its target, or else its `Host` field.
pub(crate) fn written_host<'r>(head: &RequestHead<'r>) -> Option<&'r str> {
    let of_field = || {
        head.headers
            .get(HOST)
            .and_then(|value| value.to_str().ok())
            .map(str::trim)
    };
    head.uri
        .authority()
        .map(|authority| authority.as_str())
        .or_else(of_field)
        .filter(|host| !host.is_empty())
}

/// The host of a request in canonical form, without an allocation.
pub(crate) struct RequestHost<'r> {
    /// What is left when the rest is cut off; empty without a host.
    written: &'r [u8],
    /// In lower case, as far as `written` is long, if that was not.
    lowered: Option<[u8; LONGEST]>,
}

impl<'r> RequestHost<'r> {
    pub(crate) fn of(head: &RequestHead<'r>) -> Self {
        Self::canonical(written_host(head).unwrap_or_default())
    }

    fn canonical(written: &'r str) -> Self {
        // One look at each byte: what is behind the last '@', up to a ':' that is not within brackets.
        let (mut begin, mut end, mut has_capitals) = (0, None, false);
        for (at, byte) in written.bytes().enumerate() {
            match byte {
                b'@' => (begin, end, has_capitals) = (at + 1, None, false),
                b']' => end = None,
                b':' if end.is_none() => end = Some(at),
                b'A'..=b'Z' => has_capitals = true,
                _ => {}
            }
        }
        let host = &written[begin..end.unwrap_or(written.len())];
        let host = host.strip_suffix('.').unwrap_or(host).as_bytes();
        if host.len() > LONGEST {
            return Self {
                written: &[],
                lowered: None,
            };
        }
        let lowered = has_capitals.then(|| {
            let mut bytes = [0; LONGEST];
            for (lowered, byte) in bytes.iter_mut().zip(host) {
                *lowered = byte.to_ascii_lowercase();
            }
            bytes
        });
        Self {
            written: host,
            lowered,
        }
    }

    pub(crate) fn as_bytes(&self) -> Option<&[u8]> {
        let host = match &self.lowered {
            None => self.written,
            Some(bytes) => bytes.get(..self.written.len())?,
        };
        (!host.is_empty()).then_some(host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(written: &str) -> Option<String> {
        let host = RequestHost::canonical(written);
        host.as_bytes()
            .map(|bytes| String::from_utf8(bytes.to_vec()).expect("ASCII"))
    }

    #[test]
    fn a_requests_host_loses_case_port_and_trailing_dot() {
        for (written, expected) in [
            ("api.example.org", Some("api.example.org")),
            ("API.Example.org:8080", Some("api.example.org")),
            ("api.example.org.", Some("api.example.org")),
            ("api.example.org.:443", Some("api.example.org")),
            ("[::1]:8080", Some("[::1]")),
            ("[2001:DB8::1]", Some("[2001:db8::1]")),
            ("user@Host:1", Some("host")),
            ("User:x@host:1", Some("host")),
            ("a:b@c@[::1]:8", Some("[::1]")),
            ("host:80:90", Some("host")),
            (":80", None),
            (".", None),
        ] {
            assert_eq!(canonical(written).as_deref(), expected, "{written}");
        }
        assert_eq!(canonical(&"a".repeat(256)), None);
        assert_eq!(canonical(&"A".repeat(255)), Some("a".repeat(255)));
    }

    #[test]
    fn the_authority_wins_over_the_host_field() {
        let both = http::Request::get("http://Target.example/")
            .header("host", "field.example")
            .body(());
        let both = both.expect("valid");
        assert_eq!(
            RequestHost::of(&RequestHead::of(&both)).as_bytes(),
            Some(&b"target.example"[..])
        );

        let field = http::Request::get("/")
            .header("host", "Field.example:80")
            .body(())
            .expect("valid");
        assert_eq!(
            RequestHost::of(&RequestHead::of(&field)).as_bytes(),
            Some(&b"field.example"[..])
        );

        let none = http::Request::get("/").body(()).expect("valid");
        assert_eq!(RequestHost::of(&RequestHead::of(&none)).as_bytes(), None);
    }

    #[test]
    fn a_configured_host_that_could_never_match_is_refused() {
        for (text, why) in [
            ("", "empty"),
            (".", "empty"),
            ("http://a", "URL"),
            ("a/b", "URL"),
            ("*.example.org", "exact names"),
            ("a:80", "port"),
            ("::1", "brackets"),
            ("[::1]:80", "any port"),
            ("bücher.example", "ASCII"),
            ("a..b", "label"),
        ] {
            let error = text.parse::<HostName>().expect_err(text).to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
        assert_eq!(
            "[::1]".parse::<HostName>().map(|host| host.to_string()),
            Ok("[::1]".to_owned())
        );
        assert_eq!(
            "A_b.c-D.".parse::<HostName>().map(|host| host.to_string()),
            Ok("a_b.c-d".to_owned())
        );
    }
}
