//! The table: rules and services compiled into one immutable value.

mod choice;
mod compile;
mod explain;
mod problem;

use std::collections::HashMap;

use mesh_core::Assignment;

use self::choice::{Choice, Versions};
use self::compile::Compiler;
pub use self::explain::{Explanation, SplitTaken, Tried, Verdict};
use self::explain::{Recorder, Silent, Writer};
pub use self::problem::{TableError, TableProblem};
use super::asking::Asking;
use super::condition::Condition;
use super::cors::Cors;
use super::decision::{Decision, Near, NoRoute, Routed};
use super::host::written_host;
use super::index::Index;
use super::matcher::View;
use super::rule::Rule;
use super::service::Service;

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
/// use mesh_traffic::router::Asking;
/// use mesh_traffic::{RouteTable, Service};
///
/// let table = RouteTable::new("dept-barc", [Service::new(ServiceName::new("sample-service")?)], [])?;
/// let request = http::Request::get("/").header("host", "sample-service.dept-barc.svc:3001").body(())?;
/// let asking = Asking::new(&RequestHead::of(&request), "unknown");
/// let decision = table.route(&asking).map_err(mesh_core::Error::from)?;
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
    /// For each decision that leaves the version open, by its index, the decisions of the versions.
    versions: Box<[Option<Box<Versions>>]>,
    /// Whether any rule does.
    answers_preflights: bool,
}

#[derive(Debug)]
struct Compiled {
    rule: Rule,
    choice: Choice,
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

    /// Decides where a request goes. The same request, source, address and random number are always decided the
    /// same, as long as no rollout changes the shares of a service's versions.
    ///
    /// # Errors
    /// No rule and no service matches.
    pub fn route<'t, 'r>(&'t self, asking: &Asking<'r>) -> Result<Routed<'t>, NoRoute<'t, 'r>> {
        let view = View::new(&asking.head, asking.source_service);
        self.decide(asking, &view, &mut Silent).ok_or_else(|| NoRoute {
            host: written_host(&asking.head),
            path: asking.head.path(),
            near: self.nearest(&view),
        })
    }

    /// The decision about the request that a browser asks leave for by this one, if that is for its rule to give
    /// ([`Rule::with_cors`]): then this one is answered with [`Cors::preflight`]. Otherwise it is routed as any other.
    pub fn preflight<'t>(&'t self, asking: &Asking<'_>) -> Option<(&'t Decision, &'t Cors)> {
        if !self.answers_preflights {
            return None;
        }
        let method = Cors::asked_method(&asking.head)?;
        let mut asked = *asking;
        asked.head.method = &method;
        let view = View::new(&asked.head, asked.source_service);
        let decision = self.decide(&asked, &view, &mut Silent)?.decision;
        Some((decision, decision.cors()?))
    }

    /// Decides as [`route`](Self::route) does, and tells why: every rule that was tried, the first condition of it
    /// that failed, and what the request has there.
    ///
    /// ```
    /// use mesh_core::{RequestHead, ServiceName};
    /// use mesh_traffic::router::{Asking, Operator, Respond, Subject, Verdict};
    /// use mesh_traffic::{Condition, RouteTable, Rule, RuleAction, Service};
    ///
    /// let deny = Rule::new("deny", RuleAction::Respond(Respond::new(403)?))?
    ///     .with_condition(Condition::new(Subject::Path, Operator::Prefix, ["/deny"])?);
    /// let table = RouteTable::new("dept-barc", [Service::new(ServiceName::new("orders")?)], [deny])?;
    ///
    /// let request = http::Request::get("http://orders/7").body(())?;
    /// let explanation = table.explain(&Asking::new(&RequestHead::of(&request), "unknown"));
    /// let found = vec!["/7".to_owned()];
    /// assert_eq!(explanation.tried[0].verdict, Verdict::Failed { condition: 0, found });
    /// assert!(explanation.decision.is_some_and(|decision| decision.rule().is_none()), "the host decided");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn explain<'t>(&'t self, asking: &Asking<'_>) -> Explanation<'t> {
        let mut writer = Writer::default();
        let view = View::new(&asking.head, asking.source_service);
        let routed = self.decide(asking, &view, &mut writer);
        let splits = writer
            .taken
            .into_iter()
            .map(|taken| taken.resolve(&self.decisions));
        Explanation {
            tried: writer.tried,
            splits: splits.collect(),
            decision: routed.map(|routed| routed.decision),
            cookie: routed.and_then(|routed| routed.cookie),
        }
    }

    fn decide<'t, R: Recorder<'t>>(
        &'t self,
        asking: &Asking<'_>,
        view: &View<'_>,
        recorder: &mut R,
    ) -> Option<Routed<'t>> {
        let place = match R::RECORDS {
            true => self.one_by_one(view, recorder),
            false => self.index.first(view, |place| self.rules[place].holds(view)),
        };
        let (index, cookie) = match place {
            Some(place) => self.rules[place].choice.decide(asking, recorder)?,
            None => (self.hosts.find(view.host.as_bytes())?, None),
        };
        let (index, cookie, assignment) = match self.versions.get(index) {
            None | Some(None) => (index, cookie, None),
            Some(Some(versions)) => {
                let (index, own, assignment) = versions.decide(asking, recorder);
                // One value is enough for all that draw by that cookie.
                (index, cookie.or(own), Some(assignment))
            }
        };
        let decision = self.decisions.get(index)?;
        let named = || decision.target().is_some_and(|target| target.version.is_some());
        let assignment = assignment.unwrap_or_else(|| match named() {
            true => Assignment::Asked,
            false => Assignment::Drawn,
        });
        Some(Routed {
            decision,
            cookie,
            assignment,
        })
    }

    /// The first rule that holds; every one before it is told of.
    fn one_by_one<'t, R: Recorder<'t>>(&'t self, view: &View<'_>, recorder: &mut R) -> Option<usize> {
        for (place, compiled) in self.rules.iter().enumerate() {
            let verdict = match compiled.first_failing(view) {
                _ if !compiled.rule.is_enabled() => Verdict::Off,
                None => Verdict::Holds,
                Some(condition) => Verdict::Failed {
                    condition,
                    found: compiled.rule.conditions()[condition].matcher().found(view),
                },
            };
            let holds = verdict == Verdict::Holds;
            recorder.tried(Tried {
                rule: &compiled.rule,
                verdict,
            });
            if holds {
                return Some(place);
            }
        }
        None
    }

    /// The rule of which the fewest conditions fail, and of those the one of which the most hold.
    fn nearest(&self, view: &View<'_>) -> Option<Near<'_>> {
        let tried = self
            .rules
            .iter()
            .filter(|compiled| compiled.rule.is_enabled())
            .take(LOOKED_AT);
        let nearest = tried
            .filter_map(|compiled| {
                let condition = compiled.first_failing(view)?;
                let all = compiled.rule.conditions();
                let failing = all.iter().filter(|other| !other.matcher().holds(view)).count();
                Some((
                    failing,
                    std::cmp::Reverse(all.len() - failing),
                    compiled,
                    condition,
                ))
            })
            .min_by_key(|(failing, holding, ..)| (*failing, *holding))?;
        let (_, _, compiled, condition) = nearest;
        Some(Near {
            rule: compiled.rule.id(),
            condition,
            kind: compiled.rule.conditions()[condition].subject().kind(),
        })
    }

    /// All that can be decided, by [`Decision::index`]: first each service by host, in the order given; then the
    /// rules, in the order in which they are tried, each with its destinations in theirs; then, for each of these
    /// that leaves the version of a service open whose versions share requests, the versions.
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
        self.first_failing(view).is_none()
    }

    /// The place of the first condition that does not hold.
    fn first_failing(&self, view: &View<'_>) -> Option<usize> {
        let fails = |condition: &Condition| !condition.matcher().holds(view);
        self.rule.conditions().iter().position(fails)
    }
}

/// How many rules are looked at for the one nearest to a request that none matches: whoever asks for nothing is not
/// to cost more than who asks for something.
const LOOKED_AT: usize = 100;

impl Hosts {
    fn find(&self, host: Option<&[u8]>) -> Option<usize> {
        host.and_then(|host| self.named.get(host).copied()).or(self.any)
    }
}

#[cfg(test)]
mod tests;
