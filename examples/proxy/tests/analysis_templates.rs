//! Analysis templates of the configuration and in files of Argo Rollouts: what is read, refused and told of.

use std::fs;

use mesh_proxy::config::{self, Loaded, Report};

const ARGO: &str = r#"apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata:
  name: latency
spec:
  args:
    - name: service-name
    - name: limit
      value: "0.5"
  metrics:
    - name: p95
      interval: 30s
      count: 3
      successCondition: result[0] < {{args.limit}}
      failureLimit: 1
      provider:
        prometheus:
          address: http://prometheus:9090
          query: latency{service="{{args.service-name}}"}
"#;

/// A configuration that names the file beside it.
fn load(template: &str, more: &str) -> Result<Loaded, Report> {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("templates")).expect("made");
    fs::write(folder.path().join("templates/latency.yaml"), template).expect("written");
    let mesh = folder.path().join("mesh.yaml");
    let text = format!(
        "canaryDeployment:\n  analysis: {{ source: {{ prometheus: {{ url: 'http://prometheus:9090' }} }} }}\n  analysisTemplates: [ \
         templates/latency.yaml ]\n{more}"
    );
    fs::write(&mesh, text).expect("written");
    config::load(&mesh)
}

/// What is wrong, without where the folder is.
fn told(report: &Report) -> Vec<String> {
    let problems = report.problems().iter();
    let told = problems.map(|problem| {
        format!(
            "{}:{}: {}: {}: expected {}",
            problem.line(),
            problem.column(),
            problem.path(),
            problem.found(),
            problem.expected()
        )
    });
    told.collect()
}

#[test]
fn a_file_of_argo_rollouts_is_read_from_where_the_configuration_lies() {
    let loaded = load(ARGO, "").unwrap_or_else(|report| panic!("{report}"));
    let templates: Vec<_> = loaded.config.templates().collect();
    assert_eq!(templates.len(), 1);
    let bound = templates[0].bind_known("orders", "v2").expect("bound");
    let metric = &bound.metrics()[0];
    assert_eq!(metric.query, r#"latency{service="orders"}"#);
    assert_eq!(metric.schedule.count, Some(3));
    assert_eq!(loaded.warnings, []);
}

#[test]
fn several_templates_may_stand_in_a_file_and_each_has_a_name_of_its_own() {
    let two = format!("{ARGO}---\n{}", ARGO.replace("name: latency", "name: other"));
    let loaded = load(&two, "").unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(loaded.config.templates().count(), 2);
    let report = load(&format!("{ARGO}---\n{ARGO}"), "").expect_err("the same name");
    assert_eq!(
        told(&report),
        [
            "24:9: metadata.name: the text \"latency\" a second time: expected a name that no other template has"
        ]
    );
    let inline = "analysisTemplates: [ { name: latency, query: up, successCondition: 'result[0] > 0' } ]\n";
    assert!(
        load(ARGO, inline).is_err(),
        "one of the configuration has that name"
    );
}

#[test]
fn what_is_wrong_in_a_file_is_told_with_line_column_and_key() {
    let wrong = ARGO
        .replace("result[0] < {{args.limit}}", "result[0] <")
        .replace("count: 3", "count: 3\n      counts: 3")
        .replace("prometheus:\n          address", "datadog:\n          address");
    let report = load(&wrong, "").expect_err("much is wrong");
    let text = report.to_string();
    assert!(text.contains("templates/latency.yaml:15:"), "{text}");
    let told = told(&report);
    let about = |path: &str| told.iter().any(|problem| problem.contains(path));
    for path in [
        "spec.metrics[0].successCondition",
        "spec.metrics[0].counts",
        "spec.metrics[0].provider",
    ] {
        assert!(about(path), "{path}: {told:#?}");
    }
}

#[test]
fn of_several_files_all_that_is_wrong_is_told_in_one_report() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("written");
    write("good.yaml", ARGO);
    write(
        "one.yaml",
        &ARGO.replace("result[0] < {{args.limit}}", "result[0] <"),
    );
    write("other.yaml", &ARGO.replace("count: 3", "counts: 3"));
    write(
        "mesh.yaml",
        "analysisTemplates: [ one.yaml, good.yaml, gone.yaml, other.yaml ]\n\
         serviceMesh: { trafficManagement: { gatewayApi: [ absent.yaml ] } }\n",
    );
    let report = config::load(&folder.path().join("mesh.yaml")).expect_err("four files are wrong");
    let text = report.to_string();
    let place = |part: &str| {
        text.find(part)
            .unwrap_or_else(|| panic!("{part} is not told of: {text}"))
    };
    let places = [
        place("absent.yaml: 1 problem"),
        place("one.yaml:14:"),
        place("gone.yaml:1:1:"),
        place("other.yaml: 1 problem"),
        place("spec.metrics[0].counts"),
    ];
    assert!(places.is_sorted(), "{text}");
    assert_eq!(report.others().len(), 3, "{text}");
}

#[test]
fn an_argument_that_nobody_fills_in_is_told_of() {
    let report = load(&ARGO.replace("      value: \"0.5\"\n", ""), "").expect_err("limit has no value");
    assert_eq!(
        told(&report),
        [
            "7:5: spec.args: no value for limit: expected a value, or one of the names service, service-name, version, \
          canary-version"
        ]
    );
}

#[test]
fn traps_in_conditions_and_another_server_are_warned_of() {
    let trap = ARGO
        .replace("result[0] < {{args.limit}}", "'all(result, # < 0.5)'")
        .replace("http://prometheus:9090\n", "http://other:9090\n");
    let loaded = load(&trap, "").unwrap_or_else(|report| panic!("{report}"));
    let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert!(
        warnings[1].contains("spec.metrics: the server at http://other:9090 is not asked"),
        "{warnings:#?}"
    );
    assert!(
        warnings[0].contains(
            "latency.yaml:14:26: spec.metrics[0].successCondition: this holds if the list is empty"
        ),
        "{warnings:#?}"
    );
}

#[test]
fn a_condition_that_cannot_hold_for_what_its_query_answers_is_warned_of_where_it_stands() {
    let text = "analysisTemplates:\n  - name: success-rate\n    query: |\n      sum(rate(a{code!~\"5..\"}[5m])) / sum(rate(a[5m])) \
                * 100\n    successCondition: 'len(result) == 0 || result >= 99'\n    failureCondition: result[0] < \"95\"\n";
    let loaded = config::parse("mesh.yaml", text).expect("allowed");
    let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "mesh.yaml:5:44: analysisTemplates[0].successCondition: the query answers with a list, one number for each \
             series: write result[0] for the first",
            "mesh.yaml:6:35: analysisTemplates[0].failureCondition: this is a text, which no number is compared with: \
             write 95 without quotes",
        ]
    );
    let loaded = load(&ARGO.replace("result[0] < {{args.limit}}", "result < 0.5"), "").expect("allowed");
    let told = loaded
        .warnings
        .first()
        .map(ToString::to_string)
        .unwrap_or_default();
    assert!(
        told.contains("latency.yaml:14:25: spec.metrics[0].successCondition: the query answers with a list"),
        "{told}"
    );
}

#[test]
fn conditions_and_placeholders_of_the_configuration_are_read_at_load() {
    let parse = |template: &str| config::parse("mesh.yaml", &format!("analysisTemplates:\n  - {template}\n"));
    let report = parse("{ name: t, query: 'up{job=\"{{.Job}}\"}', successCondition: 'result[0] >=' }")
        .expect_err("two");
    let text = report.to_string();
    assert!(
        text.contains("mesh.yaml:2:32: analysisTemplates[0].query") && text.contains("{{.Job}}"),
        "{text}"
    );
    assert!(text.contains("analysisTemplates[0].successCondition"), "{text}");
    let loaded = parse("{ name: t, query: up, failureCondition: 'max(result) > 1' }").expect("allowed");
    assert!(
        loaded
            .warnings
            .iter()
            .any(|warning| warning.to_string().starts_with(
                "mesh.yaml:2:45: analysisTemplates[0].failureCondition: a NaN among the values makes this NaN"
            )),
        "{:#?}",
        loaded.warnings
    );
}

#[test]
fn templates_without_a_server_and_a_server_without_templates_are_warned_of() {
    let warned = |text: &str| {
        let loaded = config::parse("mesh.yaml", text).expect("a configuration");
        loaded
            .warnings
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    let template = "{ name: t, query: up, successCondition: 'result[0] > 0' }";
    let told = warned(&format!(
        "canaryDeployment: {{ analysisTemplates: [ {template} ] }}"
    ));
    assert!(
        told[0].contains("canaryDeployment.analysisTemplates: nothing is asked"),
        "{told:?}"
    );
    let told = warned("canaryDeployment: { analysis: { source: { prometheus: { url: 'http://p:9090' } } } }");
    assert!(
        told[0].contains("canaryDeployment.analysis.source: it is asked nothing"),
        "{told:?}"
    );
    assert_eq!(
        warned(&format!("analysisTemplates: [ {template} ]")),
        Vec::<String>::new()
    );
}

#[test]
fn a_plan_that_decides_nothing_is_refused_where_it_is_wrong() {
    let report = config::parse(
        "mesh.yaml",
        "canaryDeployment:\n  stages: [ { weight: 100 } ]\n  analysis: { falseRollback: 0 }\n  \
         successCriteria: { errorRate: 0.2 }\n",
    )
    .expect_err("three things");
    assert_eq!(
        told(&report),
        [
            "2:11: canaryDeployment.stages: a list of 1: expected 2 to 100 stages, or there is nothing to look at before all traffic is \
             moved",
            "3:30: canaryDeployment.analysis.falseRollback: 0: expected a ratio above 0 and below 1 (0.01 is 1%)",
            "4:33: canaryDeployment.successCriteria.errorRate: 0.2: expected at most rollbackCriteria.errorRate, or the same \
             canary is good and bad",
        ]
    );
    let loaded = config::parse(
        "mesh.yaml",
        "canaryDeployment: { stages: [ { weight: 5, duration: 10s }, { weight: 100 } ] }",
    );
    let warnings = loaded.expect("valid").warnings;
    assert!(
        warnings[0]
            .to_string()
            .contains("stage 1 takes at least 5m and not 10s"),
        "{warnings:?}"
    );
}
