//! What is looked up.

use std::fmt;

use hickory_resolver::proto::rr::Name;
use mesh_core::endpoint::Address;

/// A name to look up, and the kind of records that lead to endpoints.
///
/// A dot at the end says that no search domain is to be tried: it saves lookups, and keeps a name from meaning
/// something else.
///
/// ```
/// use mesh_lb::discovery::DnsName;
///
/// let name = DnsName::addresses("Orders.dept-barc.svc.cluster.local.", 3001)?;
/// assert_eq!(name.to_string(), "orders.dept-barc.svc.cluster.local.:3001");
/// let name = DnsName::srv("_http._tcp.orders.dept-barc.svc.cluster.local.")?;
/// assert_eq!(name.to_string(), "SRV _http._tcp.orders.dept-barc.svc.cluster.local.");
/// assert!(DnsName::addresses("10.0.0.7", 3001).is_err()); // an address has nothing to look up
/// # Ok::<(), mesh_lb::discovery::DnsNameError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DnsName {
    pub(super) name: Name,
    pub(super) records: Records,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Records {
    /// A and AAAA; the port is known.
    Addresses { port: u16 },
    /// SRV, which lead to names and ports.
    Srv,
}

impl DnsName {
    /// Every address of a name, IPv4 and IPv6, with this port.
    ///
    /// # Errors
    /// It is no host name, or the port is 0.
    pub fn addresses(name: &str, port: u16) -> Result<Self, DnsNameError> {
        let wrong = || DnsNameError {
            found: format!("{name}:{port}"),
            expected: "a host name and a port above 0, as orders.dept-barc.svc.cluster.local. and 3001",
        };
        match format!("{name}:{port}").parse::<Address>() {
            Ok(Address::Host { name, port }) => Ok(Self {
                name: Name::from_ascii(&*name).map_err(|_| wrong())?,
                records: Records::Addresses { port },
            }),
            Ok(Address::Socket(_)) | Err(_) => Err(wrong()),
        }
    }

    /// The targets of the SRV records of a name, as RFC 2782 has it.
    ///
    /// Of the targets that have addresses, those of the lowest priority number are ready. The others are held in
    /// reserve, as [`Readiness::Terminating`](mesh_core::endpoint::Readiness::Terminating): the last resort. A
    /// target's weight is shared by its addresses; a weight of 0 counts as 1, next to others a small chance, as
    /// the RFC wants it.
    ///
    /// # Errors
    /// It is not the name of a service: two labels that begin with an underscore, and a domain.
    pub fn srv(name: &str) -> Result<Self, DnsNameError> {
        let wrong = || DnsNameError {
            found: name.to_owned(),
            expected: "the name of an SRV record, as _http._tcp.orders.dept-barc.svc.cluster.local.",
        };
        let mut labels = name.strip_suffix('.').unwrap_or(name).split('.');
        let is_label = |label: &str| {
            label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        };
        let is_service = |label: Option<&str>| {
            label
                .and_then(|label| label.strip_prefix('_'))
                .is_some_and(|rest| !rest.is_empty() && is_label(rest))
        };
        let domain_is_good = |mut labels: std::str::Split<'_, char>| {
            let mut any = false;
            labels.all(|label| {
                any = true;
                !label.is_empty() && is_label(label)
            }) && any
        };
        if !is_service(labels.next()) || !is_service(labels.next()) || !domain_is_good(labels) {
            return Err(wrong());
        }
        Ok(Self {
            name: Name::from_ascii(name.to_ascii_lowercase()).map_err(|_| wrong())?,
            records: Records::Srv,
        })
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.records {
            Records::Addresses { port } => write!(f, "{}:{port}", self.name),
            Records::Srv => write!(f, "SRV {}", self.name),
        }
    }
}

/// Why a text is nothing to look up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsNameError {
    found: String,
    expected: &'static str,
}

impl fmt::Display for DnsNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} cannot be looked up: expected {}",
            self.found, self.expected
        )
    }
}

impl std::error::Error for DnsNameError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_name_to_look_up_is_refused() {
        for name in [
            "",
            ".",
            "10.0.0.7",
            "[::1]",
            "::1",
            "or ders",
            "orders:80",
            "-x",
            &"x.".repeat(150),
        ] {
            assert!(DnsName::addresses(name, 3001).is_err(), "{name:?}");
        }
        assert!(DnsName::addresses("orders", 0).is_err());
        let long = format!("_http._tcp.{}", "x.".repeat(150));
        for name in [
            "",
            "orders",
            "_http.orders",
            "_http._tcp",
            "_http._tcp.",
            "_._tcp.orders",
            "http._tcp.x",
            &long,
        ] {
            assert!(DnsName::srv(name).is_err(), "{name:?}");
        }
        assert!(DnsName::srv("_http._tcp.or ders").is_err());
        assert_eq!(
            DnsName::srv("orders").expect_err("no service").to_string(),
            "\"orders\" cannot be looked up: expected the name of an SRV record, as \
             _http._tcp.orders.dept-barc.svc.cluster.local."
        );
    }

    #[test]
    fn a_name_has_one_spelling_and_keeps_its_dot() {
        let name = |text| DnsName::addresses(text, 80).expect(text);
        assert_eq!(name("Orders.Example"), name("orders.example"));
        assert!(name("orders.").name.is_fqdn() && !name("orders").name.is_fqdn());
        let srv = DnsName::srv("_HTTP._tcp.orders").expect("a service");
        assert_eq!(srv.to_string(), "SRV _http._tcp.orders");
    }
}
