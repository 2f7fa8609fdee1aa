mod traps;

use std::time::Duration;

use serde_json::{Value as Json, json};

use super::*;
use crate::expression::Value;

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The query of the mesh's documentation, as it is written there.
const DOCUMENTED: &str = "sum(rate(http_requests_total{job=\"{{.Service}}-{{.Version}}\",code!~\"5..\"}[5m])) /\n\
                          sum(rate(http_requests_total{job=\"{{.Service}}-{{.Version}}\"}[5m])) * 100\n";

fn documented() -> Template {
    let template = Template::inline(
        "success-rate",
        DOCUMENTED,
        Some("result[0] >= 99"),
        Some("result[0] < 95"),
    );
    template.expect("as documented")
}

/// An `AnalysisTemplate` with one metric, which has these keys besides.
fn with(keys: &Json) -> Json {
    let mut metric = json!({
        "name": "errors",
        "interval": "1m",
        "successCondition": "result[0] < 1",
        "provider": { "prometheus": { "query": "up" } },
    });
    for (key, value) in keys.as_object().expect("keys") {
        metric[key] = value.clone();
    }
    json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AnalysisTemplate",
        "metadata": { "name": "checks", "labels": { "team": "web" } },
        "spec": { "metrics": [metric] },
    })
}

fn metric(document: &Json) -> Metric {
    let template = Template::read(document).unwrap_or_else(|error| panic!("{error}"));
    template.bind("orders", "v2", &[]).expect("bound").metrics()[0].clone()
}

#[test]
fn the_documented_template_is_read_and_judged_as_it_stands() {
    let mut analysis = documented().bind("orders", "v2", &[]).expect("bound");
    assert_eq!(
        analysis.metrics()[0].query,
        "sum(rate(http_requests_total{job=\"orders-v2\",code!~\"5..\"}[5m])) /\n\
         sum(rate(http_requests_total{job=\"orders-v2\"}[5m])) * 100\n"
    );
    for (value, phase) in [
        (99.0, Phase::Running),
        (97.0, Phase::Inconclusive),
        (94.9, Phase::Failed),
    ] {
        analysis.start(s(0));
        analysis.on(0, Input::Begun, s(0));
        analysis.on(0, Input::Answered(Ok(Value::from([value]))), s(0));
        assert_eq!(analysis.phase(), phase, "{value}");
    }
}

#[test]
fn a_template_of_argo_rollouts_is_read_as_it_is() {
    let document = json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AnalysisTemplate",
        "metadata": { "name": "success-rate", "namespace": "web" },
        "spec": {
            "args": [{ "name": "service-name" }, { "name": "least", "value": "0.95" }],
            "metrics": [
                {
                    "name": "success-rate",
                    "interval": "5m",
                    "initialDelay": "90s",
                    "count": "10",
                    "successCondition": "result[0] >= {{args.least}}",
                    "failureLimit": 3,
                    "inconclusiveLimit": 2,
                    "consecutiveErrorLimit": 1,
                    "consecutiveSuccessLimit": 4,
                    "provider": { "prometheus": {
                        "address": "http://prometheus.example:9090",
                        "timeout": 40,
                        "query": "sum(irate(requests{service=~\"{{ args.service-name }}\",status!~\"5.*\"}[5m]))",
                    } },
                },
                { "name": "looked-at", "provider": { "prometheus": { "query": "up" } } },
            ],
            "dryRun": [{ "metricName": "looked.*" }],
            "measurementRetention": [{ "metricName": "success", "limit": 3 }],
        },
    });
    let template = Template::read(&document).expect("read");
    let analysis = template
        .bind("orders", "v2", &[("service-name", "orders.web")])
        .expect("bound");
    let [rate, looked_at] = analysis.metrics() else {
        panic!("two metrics")
    };
    assert_eq!(
        rate.query,
        "sum(irate(requests{service=~\"orders\\\\.web\",status!~\"5.*\"}[5m]))"
    );
    assert_eq!(
        rate.conditions.success.as_ref().expect("one").as_str(),
        "result[0] >= 0.95"
    );
    let schedule = Schedule {
        initial_delay: s(90),
        interval: Some(s(300)),
        count: Some(10),
    };
    assert_eq!(rate.schedule, schedule);
    let limits = MetricLimits {
        failures: Some(3),
        inconclusive: 2,
        consecutive_errors: 1,
        consecutive_successes: Some(4),
    };
    assert_eq!(rate.limits, limits);
    assert_eq!(
        (rate.address.as_deref(), rate.timeout),
        (Some("http://prometheus.example:9090"), Some(s(40)))
    );
    assert_eq!((rate.dry_run, rate.retention), (false, 3));
    assert_eq!((looked_at.dry_run, looked_at.retention), (true, 10));
    assert_eq!(looked_at.limits, MetricLimits::default());
    assert_eq!(looked_at.schedule.count, Some(1));

    let error = template
        .bind("orders", "v2", &[("least", "1")])
        .expect_err("one is missing");
    assert_eq!(
        error.to_string(),
        "the analysis template success-rate cannot be used\n  args: found no value for service-name, expected one"
    );
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let mut document = with(&json!({
        "successCondition": "result[0] >=",
        "failureCondition": "result[0] > {{args.most}}",
        "interval": "5min",
        "count": 2,
        "failureLimit": 3,
        "failureLimits": 3,
        "inconclusiveLimit": -1,
        "provider": { "web": {}, "prometheus": { "query": "up{job=\"{{.Job}}\"}", "headers": [] } },
    }));
    document["kind"] = json!("Analysis");
    document["spec"]["args"] =
        json!([{ "name": "a", "valueFrom": { "fieldRef": { "fieldPath": "x" } } }, { "name": "a" }]);
    document["spec"]["dryRun"] = json!([{ "metricName": "other" }]);
    document["spec"]["templates"] = json!([{ "templateName": "more" }]);
    let error = Template::read(&document).expect_err("much is wrong");
    assert_eq!(
        error.to_string(),
        "the analysis template checks cannot be used
  kind: found Analysis, expected AnalysisTemplate or ClusterAnalysisTemplate
  spec.args[0].valueFrom: found a reference, expected a value: values from secrets and fields are not supported
  spec.args[1]: found another argument a, expected each name once
  spec.metrics[0].provider: found web, expected prometheus, the only provider that is supported
  spec.metrics[0].provider.prometheus.headers: found a key that is not supported, expected query, address and timeout alone
  spec.metrics[0].failureLimits: found a key that is not known, expected one of name, successCondition, failureCondition, \
         interval, initialDelay, count, failureLimit, inconclusiveLimit, consecutiveErrorLimit, \
         consecutiveSuccessLimit, provider
  spec.metrics[0].failureCondition, character 13: found {{args.most}}, expected an argument that args has
  spec.metrics[0].provider.prometheus.query, character 9: found {{.Job}}, expected {{.Service}}, {{.Version}} or {{args.NAME}}
  spec.dryRun[0].metricName: found \"other\", expected a pattern that a metric's name matches
  spec.templates: found other templates, expected metrics: templates of templates are not supported
  spec.metrics[0].successCondition, character 13: found \"result[0] >=\": found the end, expected a value, expected a \
         condition, as result[0] >= 99
  spec.metrics[0].interval: found \"5min\" (\"min\" is not a unit; did you mean \"m\"?), expected a duration, as \
         \"30s\" or \"5m\"
  spec.metrics[0].inconclusiveLimit: found \"-1\", expected a whole number from 0
  spec.metrics[0].failureLimit: found 3 of 2 measurements, expected no more than count"
    );
}

#[test]
fn what_cannot_be_a_template_is_refused_without_harm() {
    for document in [
        json!(null),
        json!([]),
        json!({ "spec": null }),
        json!({ "spec": { "metrics": [null, 3, {}] } }),
        with(&json!({ "name": "" })),
        with(&json!({ "name": 3 })),
        with(&json!({ "provider": null })),
        with(&json!({ "provider": { "prometheus": {} } })),
        with(&json!({ "count": 2, "interval": null })),
        with(&json!({ "interval": "0s" })),
        with(&json!({ "count": 1.5 })),
        with(&json!({ "failureLimit": -2 })),
        with(&json!({ "failureLimit": -1 })),
        with(&json!({ "successCondition": true })),
    ] {
        let error = Template::read(&document).expect_err("refused");
        assert!(!error.problems().is_empty(), "{document}");
    }
    let error = Template::inline("none", "up", None, None).expect_err("no condition");
    assert_eq!(error.problems()[0].path(), "none.successCondition");
}

#[test]
fn traps_in_conditions_are_told_with_their_key() {
    let template =
        Template::inline("t", "up", Some("isNil(result[0]) || result[0] < 1"), None).expect("read");
    let warnings = template.warnings();
    assert_eq!(warnings.len(), 1);
    assert_eq!(warnings[0].0, "t.successCondition");
}

#[test]
fn values_stay_what_they_are_within_a_query() {
    // The query, the value, what comes out; or the value is refused.
    let cases = [
        (
            r#"a{b="{{args.v}}"}"#,
            r#"x"} or vector(1) #"#,
            Some(r#"a{b="x\"} or vector(1) #"}"#),
        ),
        (
            r#"a{b='{{args.v}}'}"#,
            r#"it's "so""#,
            Some(r#"a{b='it\'s "so"'}"#),
        ),
        (r#"a{b="{{args.v}}"}"#, "a\\b\nc", Some(r#"a{b="a\\b\nc"}"#)),
        (
            r#"a{b=~"{{args.v}}-.*"}"#,
            "a.b|c",
            Some(r#"a{b=~"a\\.b\\|c-.*"}"#),
        ),
        (r#"a{b !~ "x{{args.v}}"}"#, ".", Some(r#"a{b !~ "x\\."}"#)),
        (r#"a{b=~"x",c="{{args.v}}"}"#, "a.b", Some(r#"a{b=~"x",c="a.b"}"#)),
        ("a{b=~`{{args.v}}`}", "a.b", Some("a{b=~`a\\.b`}")),
        ("a{b=`{{args.v}}`}", "`", None),
        (r#"a{b="\{{args.v}}"}"#, "n", None),
        ("rate(a[{{args.v}}])", "5m", Some("rate(a[5m])")),
        ("a > {{args.v}}", "0.5", Some("a > 0.5")),
        ("a > {{args.v}}", "0 or vector(1)", None),
        ("a > {{args.v}}", "", None),
        (r#"a{c="it's"} > {{args.v}}"#, "1}", None),
    ];
    for (query, value, expected) in cases {
        let mut document = with(&json!({ "provider": { "prometheus": { "query": query } } }));
        document["spec"]["args"] = json!([{ "name": "v" }]);
        let template = Template::read(&document).expect(query);
        let bound = template.bind("orders", "v2", &[("v", value)]);
        let found = bound
            .as_ref()
            .ok()
            .map(|analysis| analysis.metrics()[0].query.as_str());
        assert_eq!(found, expected, "{query} with {value:?}: {bound:?}");
    }
}

#[test]
fn values_of_conditions_are_numbers_or_texts() {
    let mut document = with(&json!({ "successCondition": "result[0] < {{args.v}} && 'x' != '{{args.v}}'" }));
    document["spec"]["args"] = json!([{ "name": "v", "value": "1" }]);
    let template = Template::read(&document).expect("read");
    assert!(template.bind("orders", "v2", &[]).is_ok());
    let error = template
        .bind("orders", "v2", &[("v", "1 || true")])
        .expect_err("an expression");
    assert_eq!(error.problems()[0].column(), Some(13));
    let error = template
        .bind("orders", "v2", &[("w", "1")])
        .expect_err("no such argument");
    assert!(
        error
            .to_string()
            .contains("args: found w (1), expected an argument that the template has"),
        "{error}"
    );
}

/// What a letter of the cases stands for.
fn inputs(letter: char) -> Vec<Input> {
    let answered = |value: f64| vec![Input::Begun, Input::Answered(Ok(Value::Float(value)))];
    match letter {
        'S' => answered(1.0),
        'F' => answered(-1.0),
        'I' => answered(0.0),
        'E' => vec![Input::Begun, Input::Answered(Err("no answer".to_owned()))],
        '.' => vec![Input::Ended],
        '!' => vec![Input::Stopped],
        other => panic!("{other}"),
    }
}

#[test]
fn every_run_ends_as_it_does_in_argo_rollouts() {
    let (mut tried, mut wrong) = (0, Vec::new());
    for line in include_str!("runs.tsv")
        .lines()
        .filter(|line| !line.starts_with('#'))
    {
        let cells: Vec<&str> = line.split('\t').collect();
        let [case, limits, happens, expected] = cells[..] else {
            panic!("four cells: {line}")
        };
        let mut keys = json!({ "successCondition": "result > 0", "failureCondition": "result < 0" });
        for limit in limits.split_whitespace() {
            let (key, value) = limit.split_once('=').expect("key=value");
            keys[key] = json!(value);
        }
        let mut run = MetricRun::new(metric(&with(&keys)).into(), s(0));
        for input in happens.chars().flat_map(inputs) {
            run.on(input, s(1));
        }
        tried += 1;
        if run.phase().to_string() != expected {
            wrong.push(format!(
                "{case}: {limits} {happens}: {}, expected {expected}",
                run.phase()
            ));
        }
    }
    assert!(tried > 25, "only {tried}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_is_measured_before_its_delay_and_after_an_error_it_is_tried_again_soon() {
    let metric = metric(&with(&json!({ "initialDelay": "30s", "interval": "5m" })));
    let mut run = MetricRun::new(metric.into(), s(100));
    assert_eq!(run.due(), Some(s(130)));
    run.on(Input::Begun, s(130));
    assert_eq!(run.due(), None);
    run.on(Input::Answered(Err("no answer".to_owned())), s(140));
    assert_eq!(run.due(), Some(s(150)));
    run.on(Input::Begun, s(150));
    run.on(Input::Answered(Ok(Value::from([0.0]))), s(152));
    assert_eq!(run.due(), Some(s(452)));
    run.on(Input::Stopped, s(200));
    assert_eq!((run.due(), run.phase()), (None, Phase::Terminated));
    run.on(Input::Answered(Ok(Value::from([0.0]))), s(201));
    assert_eq!((run.phase(), run.measurements().len()), (Phase::Terminated, 2));
}

#[test]
fn as_many_measurements_are_kept_as_are_asked_for() {
    let mut document = with(&json!({ "failureLimit": 100 }));
    document["spec"]["measurementRetention"] = json!([{ "metricName": "errors", "limit": 2 }]);
    let mut run = MetricRun::new(metric(&document).into(), s(0));
    for at in 0..5 {
        run.on(Input::Answered(Ok(Value::from([at as f64 / 2.0]))), s(at));
    }
    let kept: Vec<_> = run
        .measurements()
        .map(|m| (m.at, m.phase, m.value.as_str()))
        .collect();
    assert_eq!(
        kept,
        [(s(3), Phase::Failed, "[1.5]"), (s(4), Phase::Failed, "[2]")]
    );
}

/// Three metrics, of which the last is only looked at.
fn three() -> Analysis {
    let mut document = with(&json!({}));
    let metric = document["spec"]["metrics"][0].clone();
    let named = |name: &str| {
        let mut metric = metric.clone();
        metric["name"] = json!(name);
        metric
    };
    document["spec"]["metrics"] = json!([named("a"), named("b"), named("c")]);
    document["spec"]["dryRun"] = json!([{ "metricName": "c" }]);
    let template = Template::read(&document).expect("read");
    let mut analysis = template.bind("orders", "v2", &[]).expect("bound");
    assert_eq!(analysis.phase(), Phase::Pending);
    analysis.start(s(0));
    analysis
}

fn phases(analysis: &Analysis) -> Vec<Phase> {
    analysis.runs().iter().map(MetricRun::phase).collect()
}

#[test]
fn the_first_metric_that_goes_wrong_terminates_the_others() {
    let mut analysis = three();
    assert_eq!(analysis.due(s(0)).collect::<Vec<_>>(), [0, 1, 2]);
    analysis.on(0, Input::Answered(Ok(Value::from([0.0]))), s(1));
    analysis.on(1, Input::Answered(Ok(Value::from([5.0]))), s(1));
    assert_eq!(
        phases(&analysis),
        [Phase::Terminated, Phase::Failed, Phase::Terminated]
    );
    assert_eq!((analysis.phase(), analysis.next_due()), (Phase::Failed, None));
}

#[test]
fn what_is_only_looked_at_decides_nothing() {
    let mut analysis = three();
    analysis.on(2, Input::Answered(Ok(Value::from([5.0]))), s(1));
    assert_eq!(phases(&analysis), [Phase::Pending, Phase::Pending, Phase::Failed]);
    analysis.on(0, Input::Answered(Ok(Value::from([0.0]))), s(2));
    analysis.on(1, Input::Answered(Ok(Value::from([0.0]))), s(2));
    assert_eq!(analysis.phase(), Phase::Running);
    analysis.end(s(3));
    assert_eq!(analysis.phase(), Phase::Successful);

    let mut document = with(&json!({}));
    document["spec"]["dryRun"] = json!([{ "metricName": ".*" }]);
    let mut alone = Template::read(&document)
        .expect("read")
        .bind("orders", "v2", &[])
        .expect("bound");
    alone.start(s(0));
    assert_eq!(alone.phase(), Phase::Running);
    alone.on(0, Input::Answered(Ok(Value::from([5.0]))), s(1));
    assert_eq!(alone.phase(), Phase::Successful);
}

#[test]
fn an_analysis_without_a_measurement_is_no_success() {
    let mut analysis = three();
    analysis.end(s(60));
    assert_eq!(analysis.phase(), Phase::Terminated);
}
