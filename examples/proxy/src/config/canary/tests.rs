use std::time::Duration;

use crate::config::parse;

fn told(text: &str) -> Vec<String> {
    let report = parse("mesh.yaml", text).expect_err("something is wrong");
    let told = report.problems().iter().map(|problem| {
        let (line, column, path) = (problem.line(), problem.column(), problem.path());
        format!(
            "{line}:{column}: {path}: {}: expected {}",
            problem.found(),
            problem.expected()
        )
    });
    told.collect()
}

#[test]
fn an_ab_run_is_half_of_the_requests_for_a_day_unless_something_else_is_written() {
    let plan = |text: &str| {
        let loaded = parse("mesh.yaml", text).unwrap_or_else(|report| panic!("{report}"));
        assert_eq!(loaded.warnings, []);
        loaded.config.canary.expect("written").plan().expect("a plan")
    };
    let half = plan("canaryDeployment: { abTest: {} }");
    assert_eq!(
        half.to_string(),
        "A/B: 50% for 1d, then whatever somebody decides"
    );
    assert!(half.is_ab_test() && !half.auto_promote() && half.auto_rollback());
    assert_eq!(half.interval(), Duration::from_secs(5));
    assert_eq!(half.stuck_after(), Duration::from_secs(25 * 3600));
    // As much evidence as is kept.
    let month = plan("canaryDeployment: { abTest: { weight: 10, duration: 30d } }");
    assert_eq!(month.interval(), Duration::from_secs(58));
    assert_eq!(
        month.to_string(),
        "A/B: 10% for 30d, then whatever somebody decides"
    );
}

#[test]
fn what_no_ab_run_is_is_refused() {
    assert_eq!(
        told(
            "canaryDeployment:\n  autoPromote: true\n  abTest: { weight: 50 }\n  stages: [ { weight: 5, duration: 1m }, { weight: 100 } ]\n"
        ),
        [
            "2:16: canaryDeployment.autoPromote: true: expected false: an A/B run is promoted by somebody, or not at all",
            "3:11: canaryDeployment.abTest: an A/B run beside stages: expected stages or abTest, not both",
        ]
    );
    assert_eq!(
        told("canaryDeployment: { abTest: { weight: 100, duration: 31d } }").len(),
        2
    );
}

#[test]
fn a_service_that_is_to_be_rolled_out_twice_is_refused() {
    let services = "serviceMesh:\n  services:\n    - { name: orders, port: 3001, endpoints: [ \"127.0.0.1:4001\" ] }\n    - { name: \
                    users, port: 3002, endpoints: [ \"127.0.0.1:4002\" ] }\n";
    let text = format!("{services}canaryDeployment:\n  services: [ orders, users, orders ]\n");
    assert_eq!(
        told(&text),
        [
            "6:30: canaryDeployment.services[2]: the text \"orders\" a second time: expected each service once; line 6 has \
             it already"
        ]
    );
}
