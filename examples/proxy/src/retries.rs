//! Retries: what is tried again for each decision, and the budgets, which are kept from one configuration to the next.

use std::borrow::Cow;

use mesh_core::ServiceName;
use mesh_telemetry::Telemetry;
use mesh_telemetry::metrics::Retry;
use mesh_traffic::retry::{BudgetPolicy, Retries, RetryBudget, RetryOutcome};
use mesh_traffic::{Decision, RouteTable};
use tokio::time::Instant;

use crate::config;

/// The budgets in use.
#[derive(Default)]
pub struct RetryBudgets {
    running: Vec<Budget>,
}

/// A budget, and whose it is. What is written for a service and for a rule that leads to it is one budget if it says the
/// same: it bounds what that service is asked.
#[derive(Clone)]
struct Budget {
    service: ServiceName,
    budget: RetryBudget,
}

/// The retries of one configuration.
#[derive(Default)]
pub struct Compiled {
    budgets: Vec<Budget>,
    /// Of each decision of the table.
    of_decisions: Vec<Option<Retries>>,
}

impl RetryBudgets {
    /// The retries of a configuration, with the budgets in use where they would be the same.
    ///
    /// # Errors
    /// A number of a budget is out of range: the configuration was not checked as it should have been.
    pub fn compile(
        &self,
        mesh: &config::Mesh,
        table: &RouteTable,
        telemetry: &Telemetry,
    ) -> Result<Compiled, String> {
        let mut compiled = Compiled::default();
        for decision in table.decisions() {
            let retries = match written(mesh, decision) {
                None => None,
                Some((service, retry)) => {
                    let policy = retry.budget.policy();
                    let policy = policy.map_err(|error| format!("service {service}: {error}"))?;
                    let budget = compiled.budget(service, policy, &self.running);
                    let telemetry = telemetry.clone();
                    let retries = Retries::new(retry.policy(), budget);
                    Some(retries.observe(move |outcome| count(&telemetry, outcome)))
                }
            };
            compiled.of_decisions.push(retries);
        }
        Ok(compiled)
    }

    /// Keeps these budgets and no others.
    pub fn adopt(&mut self, retries: &Compiled) {
        self.running.clone_from(&retries.budgets);
    }
}

impl Compiled {
    /// How the requests of a decision are tried again.
    pub fn met_by(&self, decision: &Decision) -> Option<Retries> {
        self.of_decisions.get(decision.index())?.clone()
    }

    fn budget(&mut self, service: &ServiceName, policy: BudgetPolicy, running: &[Budget]) -> RetryBudget {
        let is_it = |budget: &&Budget| budget.service == *service && *budget.budget.policy() == policy;
        if let Some(known) = self.budgets.iter().find(is_it) {
            return known.budget.clone();
        }
        let kept = running.iter().find(is_it).cloned();
        let budget = kept.unwrap_or_else(|| Budget {
            service: service.clone(),
            budget: RetryBudget::new(policy, Instant::now()),
        });
        self.budgets.push(budget.clone());
        budget.budget
    }
}

/// What is written for a decision: of its rule, else of its service. A limit for each try is one also if nothing is
/// tried again.
fn written<'c>(
    mesh: &'c config::Mesh,
    decision: &'c Decision,
) -> Option<(&'c ServiceName, Cow<'c, config::Retry>)> {
    let service = &decision.target()?.service;
    let rule = mesh.rules.iter().find(|rule| Some(&*rule.id) == decision.rule());
    let of_rule = rule.and_then(|rule| rule.retry.as_ref());
    let of_service = || mesh.services.iter().find(|known| known.name == *service);
    let retry = match of_rule {
        Some(written) => written.as_ref(),
        None => of_service()?.retry.as_ref(),
    };
    let each = rule.and_then(|rule| rule.attempt_timeout);
    let retry = match (retry, each) {
        (retry, None) => Cow::Borrowed(retry?),
        (retry, each) => Cow::Owned(config::Retry {
            per_try_timeout: each,
            ..retry.cloned().unwrap_or_default()
        }),
    };
    Some((service, retry))
}

fn count(telemetry: &Telemetry, outcome: RetryOutcome) {
    // Beside those that the balancer makes by itself, which it counts.
    let outcome = match outcome {
        RetryOutcome::Success => Retry::Success,
        RetryOutcome::Failure => Retry::Failure,
        RetryOutcome::BudgetExhausted => Retry::BudgetExhausted,
        RetryOutcome::AttemptsExhausted => Retry::AttemptsExhausted,
        RetryOutcome::NotReplayable => Retry::NotReplayable,
        _ => Retry::TooLate,
    };
    telemetry.process().retry(outcome);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mesh_traffic::LiveSplits;

    use super::*;
    use crate::routing;

    /// Services and rules: the retries of each decision, by the rule that decides and the service it leads to.
    struct Read {
        compiled: Compiled,
        of: Vec<(String, Option<Retries>)>,
    }

    fn read(before: &RetryBudgets, services: &str, rules: &str) -> Read {
        let text =
            format!("serviceMesh: {{ services: [{services}], trafficManagement: {{ rules: [{rules}] }} }}");
        let loaded = config::parse("mesh.yaml", &text).unwrap_or_else(|report| panic!("{report}"));
        let (table, _) = routing::table(&loaded.config, &LiveSplits::default()).expect("a table");
        let compiled = before.compile(&loaded.config.mesh, &table, &Telemetry::new());
        let compiled = compiled.expect("checked");
        let name = |decision: &Decision| {
            let service = decision.target().map_or("", |target| target.service.as_str());
            format!("{} to {service}", decision.rule().unwrap_or("none"))
        };
        let decisions = table.decisions().iter();
        let of = decisions.map(|decision| (name(decision), compiled.met_by(decision)));
        Read {
            of: of.collect(),
            compiled,
        }
    }

    impl Read {
        fn of(&self, name: &str) -> Option<&Retries> {
            let (_, retries) = self.of.iter().find(|(known, _)| known == name).expect("decided");
            retries.as_ref()
        }

        fn budget(&self, name: &str) -> &RetryBudget {
            self.of(name).expect("written").budget()
        }
    }

    const A: &str = "{ name: a, port: 1, endpoints: ['127.0.0.1:1'], retry: { attempts: 1 } }";
    const B: &str = "{ name: b, port: 1, endpoints: ['127.0.0.1:2'] }";

    #[test]
    fn a_rule_says_it_instead_of_its_service() {
        let rules = "{ id: more, destinations: [{ service: a }], retry: { attempts: 5 } }, \
                     { id: off, destinations: [{ service: a }], retry: { enabled: false } }, \
                     { id: plain, destinations: [{ service: a }] }, { id: none, destinations: [{ service: b }] }";
        let read = read(&RetryBudgets::default(), &format!("{A}, {B}"), rules);
        let attempts = |name| read.of(name).map(|retries| retries.policy().attempts);
        assert_eq!(attempts("more to a"), Some(5));
        assert_eq!(attempts("off to a"), None);
        assert_eq!(attempts("plain to a"), Some(1));
        assert_eq!(attempts("none to b"), None);
    }

    #[test]
    fn a_limit_for_each_try_is_one_whether_or_not_anything_is_tried_again() {
        let rules = "{ id: a, destinations: [{ service: a }] }, { id: b, destinations: [{ service: b }] }";
        let text =
            format!("serviceMesh: {{ services: [{A}, {B}], trafficManagement: {{ rules: [{rules}] }} }}");
        let mut config = config::parse("mesh.yaml", &text).expect("valid").config;
        let limit = Some(Duration::from_secs(2));
        for rule in &mut config.mesh.rules {
            rule.attempt_timeout = limit;
        }
        let (table, _) = routing::table(&config, &LiveSplits::default()).expect("a table");
        let compiled = RetryBudgets::default().compile(&config.mesh, &table, &Telemetry::new());
        let compiled = compiled.expect("checked");
        let by_rule = table
            .decisions()
            .iter()
            .filter(|decision| decision.rule().is_some());
        let policies = by_rule.map(|decision| compiled.met_by(decision).expect("limited").policy().clone());
        let said: Vec<_> = policies
            .map(|policy| (policy.attempts, policy.per_try_timeout))
            .collect();
        assert_eq!(said, [(1, limit), (0, limit)]);
    }

    #[test]
    fn a_service_has_one_budget_whoever_leads_to_it_unless_another_is_written() {
        let rules = "{ id: same, destinations: [{ service: a }], retry: { attempts: 5 } }, \
                     { id: other, destinations: [{ service: a }], retry: { budget: { percent: 5 } } }, \
                     { id: away, destinations: [{ service: b }], retry: { attempts: 1 } }, \
                     { id: plain, destinations: [{ service: a }] }";
        let read = read(&RetryBudgets::default(), &format!("{A}, {B}"), rules);
        let plain = read.budget("plain to a");
        assert!(plain.is_same_as(read.budget("same to a")));
        assert!(!plain.is_same_as(read.budget("other to a")));
        assert!(!plain.is_same_as(read.budget("away to b")));
    }

    #[test]
    fn a_budget_is_kept_as_long_as_it_says_the_same() {
        let rule = "{ id: r, destinations: [{ service: a }] }";
        let mut budgets = RetryBudgets::default();
        let first = read(&budgets, A, rule);
        budgets.adopt(&first.compiled);
        let again = read(&budgets, &A.replace("attempts: 1", "attempts: 3"), rule);
        assert!(again.budget("r to a").is_same_as(first.budget("r to a")));
        assert_eq!(
            again.of("r to a").map(|retries| retries.policy().attempts),
            Some(3)
        );
        let other = read(&budgets, &A.replace("attempts: 1", "budget: { ttl: 5s }"), rule);
        assert!(!other.budget("r to a").is_same_as(first.budget("r to a")));
    }
}
