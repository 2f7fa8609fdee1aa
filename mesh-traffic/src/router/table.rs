//! The table: rules and services compiled into one immutable value.

mod compile;
mod problem;

use std::collections::HashMap;

use mesh_core::RequestHead;

use self::compile::Compiler;
pub use self::problem::{TableError, TableProblem};
use super::decision::{Decision, NoRoute};
use super::host::written_host;
use super::index::Index;
use super::matcher::View;
use super::rule::Rule;
use super::service::Service;
use super::weights::Weights;

/// Rules and services, compiled. See [`router`](super) for what is tried in which order.
///
/// Deciding takes no lock and, with the exceptions below, allocates nothing. Rules that ask for something
/// exact (a path or a prefix of one, a host, a value of a header, cookie or query parameter, a source, a
/// method) are indexed by it, so that ten thousand of them cost about as much as ten; others are tried one
/// by one. Exceptions: a query parameter of more than 128 encoded bytes is decoded on the heap, a request
/// whose headers lead to more than eight different groups of rules remembers them there, and a regular
/// expression takes its scratch memory from a pool.
///
/// ```
/// use mesh_core::{RequestHead, ServiceName};
/// use mesh_traffic::{RouteTable, Service};
///
/// let table = RouteTable::new("dept-barc", [Service::new(ServiceName::new("sample-service")?)], [])?;
/// let request = http::Request::get("/").header("host", "sample-service.dept-barc.svc:3001").body(())?;
/// let decision = table.route(&RequestHead::of(&request), "unknown", 0).map_err(mesh_core::Error::from)?;
/// assert_eq!(decision.target().map(|target| target.service.as_str()), Some("sample-service"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct RouteTable {
    /// In the order in which they are tried.
    rules: Box<[Compiled]>,
    index: Index,
    hosts: Hosts,
    decisions: Box<[Decision]>,
}

#[derive(Debug)]
struct Compiled {
    rule: Rule,
    choice: Choice,
}

/// Which of the decisions a rule takes.
#[derive(Debug)]
enum Choice {
    /// It is switched off.
    Never,
    Only(usize),
    /// One of those that begin here.
    Weighted(usize, Weights),
}

/// Which decision a host leads to.
#[derive(Debug, Default)]
struct Hosts {
    named: HashMap<Box<[u8]>, usize>,
    any: Option<usize>,
}

impl RouteTable {
    /// Compiles a table for a mesh of this namespace. Reports all problems at once.
    pub fn new(
        namespace: &str,
        services: impl IntoIterator<Item = Service>,
        rules: impl IntoIterator<Item = Rule>,
    ) -> Result<Self, TableError> {
        let mut compiler = Compiler::new(namespace);
        services
            .into_iter()
            .for_each(|service| compiler.add_service(service));
        rules.into_iter().for_each(|rule| compiler.add_rule(rule));
        compiler.finish()
    }

    /// Decides where a request goes. `source_service` is [`MeshContext::source_service`], and `random` a
    /// number uniform over all of `u32`: the same number always decides the same.
    ///
    /// [`MeshContext::source_service`]: mesh_core::MeshContext::source_service
    pub fn route<'t, 'r>(
        &'t self,
        head: &RequestHead<'r>,
        source_service: &str,
        random: u32,
    ) -> Result<&'t Decision, NoRoute<'r>> {
        let view = View::new(head, source_service);
        let decided = match self.index.first(&view, |place| self.rules[place].holds(&view)) {
            Some(place) => self.rules[place].choice.decide(random),
            None => self.hosts.find(view.host.as_bytes()),
        };
        let decision = decided.and_then(|index| self.decisions.get(index));
        decision.ok_or_else(|| NoRoute {
            host: written_host(head),
            path: head.path(),
        })
    }

    /// All that can be decided, by [`Decision::index`]: first each service by host, in the order given; then
    /// the rules, in the order in which they are tried, each with its destinations in theirs.
    pub fn decisions(&self) -> &[Decision] {
        &self.decisions
    }

    /// The rules, in the order in which they are tried; those that are switched off among them.
    pub fn rules(&self) -> impl ExactSizeIterator<Item = &Rule> {
        self.rules.iter().map(|compiled| &compiled.rule)
    }
}

impl Compiled {
    fn holds(&self, view: &View<'_>) -> bool {
        self.rule
            .conditions()
            .iter()
            .all(|condition| condition.matcher().holds(view))
    }
}

impl Choice {
    fn decide(&self, random: u32) -> Option<usize> {
        match self {
            Self::Never => None,
            Self::Only(index) => Some(*index),
            Self::Weighted(first, weights) => Some(first + weights.choose(random)),
        }
    }
}

impl Hosts {
    fn find(&self, host: Option<&[u8]>) -> Option<usize> {
        host.and_then(|host| self.named.get(host).copied()).or(self.any)
    }
}

#[cfg(test)]
mod tests;
