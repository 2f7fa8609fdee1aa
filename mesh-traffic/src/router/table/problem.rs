//! What can be wrong with a table as a whole.

use std::fmt;

use mesh_core::ServiceName;

use crate::router::host::{HostError, HostPattern};

/// One thing that is wrong with a table. Places count from 0, in the order given to
/// [`RouteTable::new`](crate::RouteTable::new).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TableProblem {
    /// The namespace can be no part of a host.
    Namespace(HostError),
    /// Two services have one name.
    SameService {
        /// The place of the later one.
        service: usize,
        /// The place of the earlier one.
        earlier: usize,
        /// The name.
        name: ServiceName,
    },
    /// Two services are meant by one host.
    SameHost {
        /// The place of the later service.
        service: usize,
        /// The name of the earlier one.
        earlier: ServiceName,
        /// The host.
        host: HostPattern,
    },
    /// Two rules have one id.
    SameRule {
        /// The place of the later one.
        rule: usize,
        /// The place of the earlier one.
        earlier: usize,
        /// The id.
        id: Box<str>,
    },
    /// A rule sends requests to a service that does not exist.
    UnknownService {
        /// The place of the rule.
        rule: usize,
        /// The rule's id.
        id: Box<str>,
        /// The place of the destination in the rule.
        destination: usize,
        /// The service that does not exist.
        service: ServiceName,
    },
    /// A rule replaces a prefix of the path, and no condition, or more than one, says which.
    NoPrefix {
        /// The place of the rule.
        rule: usize,
        /// The rule's id.
        id: Box<str>,
    },
}

impl fmt::Display for TableProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Namespace(error) => write!(f, "the namespace cannot stand in a host name: {error}"),
            Self::SameService { name, .. } => {
                write!(
                    f,
                    "there are two services of the name {name:?}; rename or remove one"
                )
            }
            Self::SameHost { earlier, host, .. } => {
                write!(
                    f,
                    "the host {:?} means service {earlier:?} already; leave it to one",
                    host.to_string()
                )
            }
            Self::SameRule { id, .. } => {
                write!(f, "there are two rules of the id {id:?}; rename or remove one")
            }
            Self::UnknownService { id, service, .. } => write!(
                f,
                "rule {id:?} sends requests to service {service:?}, which does not exist; \
                 expected the name of a service, or \"<service>-<version>\""
            ),
            Self::NoPrefix { id, .. } => write!(
                f,
                "rule {id:?} replaces a prefix of the path and does not say which; \
                 expected one condition on the path, with the operator prefix, whose value it replaces"
            ),
        }
    }
}

/// Everything that is wrong with a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableError {
    problems: Vec<TableProblem>,
}

impl TableError {
    pub(super) fn new(problems: Vec<TableProblem>) -> Self {
        Self { problems }
    }

    /// The problems, services before rules.
    pub fn problems(&self) -> &[TableProblem] {
        &self.problems
    }
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, problem) in self.problems.iter().enumerate() {
            write!(f, "{}{problem}", if place == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

impl std::error::Error for TableError {}
