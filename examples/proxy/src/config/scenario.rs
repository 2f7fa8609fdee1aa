//! A scenario of `mesh-proxy simulate`: what happens to a rollout that is only tried.

use std::path::Path;
use std::time::Duration;

use mesh_canary::simulate::{Arms, Behaviour, Intervention, Scenario, What};

use mesh_core::duration::display;

use super::context::{Context, Wrong};
use super::report::Report;
use super::schema::Unit;
use super::shape::{Fields, Shape, duration, list, object, ratio, requests_per_second, word};
use super::yaml::{self, Place};

/// Reads a scenario from a file of at most [`LARGEST_FILE`](super::LARGEST_FILE) bytes.
///
/// # Errors
/// Everything that is wrong with it, or why it could not be read.
pub fn load_scenario(path: &Path) -> Result<Scenario, Report> {
    let (name, text) = super::read_text(path)?;
    parse_scenario(&name, &text)
}

/// Reads a scenario from a text; `name` stands for the file in what is reported.
///
/// ```
/// use mesh_proxy::config::parse_scenario;
///
/// let text = "duration: 1h\nrequestsPerSecond: 100\narms:\n  stable: [ { at: 0s, errorRate: 0.001 } ]\n";
/// let scenario = parse_scenario("bad.yaml", &format!("{text}  canary: [ {{ at: 0s, errorRate: 0.02 }} ]\n"));
/// assert_eq!(scenario.expect("nothing is wrong with it").arms.canary[0].error_rate, Some(0.02));
///
/// let report = parse_scenario("bad.yaml", &format!("{text}  canary: [ {{ errorrate: 2 }} ]\n")).expect_err("no such key");
/// assert_eq!(report.problems()[0].hint(), Some("did you mean errorRate?"));
/// ```
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse_scenario(name: &str, text: &str) -> Result<Scenario, Report> {
    super::check_length(name, text)?;
    let (root, problems) = yaml::read(text);
    let mut context = Context::new(name);
    problems.into_iter().for_each(|problem| context.problem(problem));
    let scenario = match &root {
        Some(root) => object(read).read(root, &mut context),
        None if context.has_problems() => None,
        None => {
            let wrong = Wrong::expected("duration, requestsPerSecond and arms");
            context.refuse(Place::START, "an empty file", wrong);
            None
        }
    };
    let (problems, is_whole, _) = context.finish();
    match scenario {
        Some(scenario) if problems.is_empty() => Ok(scenario),
        _ if is_whole => Err(Report::new(name, text, problems)),
        _ => Err(Report::new(name, text, problems).in_part()),
    }
}

fn read(fields: &mut Fields<'_>) -> Option<Scenario> {
    let length = fields.required("duration", duration().bare(Unit::Seconds));
    let rate = fields.required("requestsPerSecond", requests_per_second());
    let arms = fields.required("arms", object(read_arms));
    let intervention = move |fields: &mut Fields<'_>| read_intervention(fields, length);
    let operator = fields.optional("operator", list(object(intervention)));
    let mut scenario = Scenario::new(length?, rate?, arms?);
    scenario.operator = operator.unwrap_or_default();
    if let Err(error) = scenario.check() {
        // When somebody does something was looked at where it stands.
        let problems = error
            .problems()
            .iter()
            .filter(|problem| !problem.key().starts_with("operator["));
        for problem in problems {
            let wrong = Wrong::expected(problem.expected());
            fields.refuse_below(problem.key(), problem.found(), wrong);
        }
    }
    Some(scenario)
}

fn read_arms(fields: &mut Fields<'_>) -> Option<Arms> {
    let stable = fields.required("stable", list(object(read_behaviour)));
    let canary = fields.required("canary", list(object(read_behaviour)));
    Some(Arms {
        stable: stable?,
        canary: canary?,
    })
}

fn read_behaviour(fields: &mut Fields<'_>) -> Option<Behaviour> {
    Some(Behaviour {
        at: fields.or("at", moment(), Duration::ZERO),
        error_rate: fields.optional("errorRate", ratio()).map(|rate| rate.get()),
        p95: fields.optional("p95", duration().bare(Unit::Milliseconds)),
    })
}

/// `length`: how long the scenario is, if that could be read.
fn read_intervention(fields: &mut Fields<'_>, length: Option<Duration>) -> Option<Intervention> {
    let at = fields.required("at", moment());
    let what = fields.required("do", word(&WORDS));
    if let Some(at) = at
        && length.is_some_and(|length| at > length)
    {
        let wrong = Wrong::expected("no later than the end of the scenario");
        fields.refuse("at", display(at).to_string(), wrong);
    }
    Some(Intervention { at: at?, what: what? })
}

const WORDS: [(&str, What); 4] = [
    (What::Promote.word(), What::Promote),
    (What::Pause.word(), What::Pause),
    (What::Resume.word(), What::Resume),
    (What::Rollback.word(), What::Rollback),
];

/// Since the scenario began.
fn moment() -> super::shape::Span {
    duration().bare(Unit::Seconds).at_least(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "
duration: 1h
requestsPerSecond: 100
arms:
  stable: [ { at: 0s, errorRate: 0.001, p95: 120ms } ]
  canary: [ { at: 0s, errorRate: 0.001, p95: 120ms }, { at: 12m, errorRate: 0.02, p95: 150 } ]
operator: [ { at: 8m, do: pause }, { at: 540, do: resume } ]
";

    #[test]
    fn a_scenario_is_read_with_its_units() {
        let scenario = parse_scenario("s.yaml", GOOD).expect("good");
        let later = scenario.arms.canary[1];
        assert_eq!(later.at, Duration::from_secs(720));
        assert_eq!(later.p95, Some(Duration::from_millis(150)));
        let resumes = scenario.operator[1];
        assert_eq!(
            (resumes.at, resumes.what),
            (Duration::from_secs(540), What::Resume)
        );
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once_with_its_place() {
        let text = GOOD
            .replace("duration: 1h", "duration: 8d")
            .replace("at: 12m", "at: 0s")
            .replace("do: pause", "do: stop")
            .replace("0.001, p95: 120ms } ]\n  canary", "1.5, p95: 120ms } ]\n  canary");
        let report = parse_scenario("s.yaml", &text).expect_err("four things");
        insta::assert_snapshot!(report.to_string(), @r#"
        s.yaml: 4 problems

        s.yaml:2:11: duration
            found: 8d
            expected: a duration above zero and at most 7d
            2 | duration: 8d
              |           ^^

        s.yaml:5:34: arms.stable[0].errorRate
            found: the number 1.5
            expected: a ratio, 0 to 1, as 0.05 for 5 %
            hint: 1.5 % is written as 0.015
            5 |   stable: [ { at: 0s, errorRate: 1.5, p95: 120ms } ]
              |                                  ^^^

        s.yaml:6:61: arms.canary[1].at
            found: 0s
            expected: later than the step before
            6 |   canary: [ { at: 0s, errorRate: 0.001, p95: 120ms }, { at: 0s, errorRate: 0.02, p95: 150 } ]
              |                                                             ^^

        s.yaml:7:27: operator[0].do
            found: the text "stop"
            expected: one of promote, pause, resume, rollback
            7 | operator: [ { at: 8m, do: stop }, { at: 540, do: resume } ]
              |                           ^^^^
        "#);
    }

    #[test]
    fn what_somebody_does_after_the_end_is_told_beside_everything_else_that_is_wrong() {
        let text = GOOD
            .replace("at: 540", "at: 61m")
            .replace("do: pause", "do: stop")
            .replace("requestsPerSecond: 100", "requestsPerSecond: many")
            .replace("errorRate: 0.02", "errorRate: 2");
        let report = parse_scenario("s.yaml", &text).expect_err("four things");
        let told: Vec<_> = report.problems().iter().map(|problem| problem.path()).collect();
        assert_eq!(
            told,
            [
                "requestsPerSecond",
                "arms.canary[1].errorRate",
                "operator[0].do",
                "operator[1].at"
            ]
        );
    }

    #[test]
    fn what_each_value_allows_and_the_whole_does_not_is_told_where_it_stands() {
        let text = GOOD
            .replace("duration: 1h", "duration: 7m")
            .replace("at: 12m", "at: 0s");
        let report = parse_scenario("s.yaml", &text).expect_err("three things");
        let mut told: Vec<_> = report
            .problems()
            .iter()
            .map(|problem| (problem.line(), problem.path()))
            .collect();
        told.sort_unstable();
        assert_eq!(
            told,
            [
                (6, "arms.canary[1].at"),
                (7, "operator[0].at"),
                (7, "operator[1].at")
            ]
        );
    }
}
