//! A template as it is written.

use regex::Regex;
use serde_json::{Map, Value as Json};

use super::metric::{ADDRESS, MetricTemplate, QUERY, RETENTION, TIMEOUT};
use super::placeholder::{Hole, Text};
use super::problem::{Problem, TemplateError};
use super::{Argument, Template};

mod fields;

use fields::{Fields, Reader, kind};

/// How often a metric of the mesh's configuration is measured.
const INLINE_INTERVAL: &str = "1m";

pub(super) fn inline(
    name: &str,
    query: &str,
    success: Option<&str>,
    failure: Option<&str>,
) -> Result<Template, TemplateError> {
    let mut problems = Vec::new();
    if success.is_none() && failure.is_none() {
        let expected = "successCondition, failureCondition or both";
        problems.push(Problem::new(
            format!("{name}.successCondition"),
            "no condition",
            expected,
        ));
    }
    let keys = [
        (QUERY, Some(query)),
        ("successCondition", success),
        ("failureCondition", failure),
        ("interval", Some(INLINE_INTERVAL)),
    ];
    let mut metric = MetricTemplate {
        path: name.to_owned(),
        name: name.to_owned(),
        dry_run: false,
        retention: RETENTION,
        texts: Vec::new(),
    };
    for (key, text) in keys {
        if let Some(text) = text {
            add_text(&mut metric, key, text, &[], &mut problems);
        }
    }
    metric.bind(None, &mut problems);
    TemplateError::of(name, problems)?;
    Ok(Template {
        name: name.to_owned(),
        arguments: Vec::new(),
        metrics: vec![metric],
    })
}

pub(super) fn document(document: &Json) -> Result<Template, TemplateError> {
    let mut reader = Reader { problems: Vec::new() };
    let template = reader.document(document);
    for metric in &template.metrics {
        metric.bind(None, &mut reader.problems);
    }
    TemplateError::of(&template.name, reader.problems)?;
    Ok(template)
}

/// Adds a text if its placeholders are known.
fn add_text(
    metric: &mut MetricTemplate,
    key: &'static str,
    text: &str,
    arguments: &[Argument],
    problems: &mut Vec<Problem>,
) {
    let path = format!("{}.{key}", metric.path);
    match Text::parse(text) {
        Ok(text) => {
            for (hole, column) in text.holes() {
                if let Hole::Argument(name) = hole
                    && !arguments.iter().any(|known| known.name == *name)
                {
                    let problem =
                        Problem::new(&path, format!("{{{{args.{name}}}}}"), "an argument that args has");
                    problems.push(problem.at(Some(column)));
                }
            }
            metric.texts.push((key, text));
        }
        Err((column, found, expected)) => problems.push(Problem::new(path, found, expected).at(Some(column))),
    }
}

impl Reader {
    fn document(&mut self, document: &Json) -> Template {
        let mut top = self.object(String::new(), Some(document));
        let version = self.text(&mut top, "apiVersion");
        self.expect_word("apiVersion", version, &["argoproj.io/v1alpha1"]);
        let kind = self.text(&mut top, "kind");
        self.expect_word("kind", kind, &["AnalysisTemplate", "ClusterAnalysisTemplate"]);
        // What else stands in the metadata is Kubernetes' own.
        let metadata = top.get("metadata");
        let mut metadata = self.object("metadata".to_owned(), metadata);
        let name = self.text(&mut metadata, "name");
        let spec = top.get("spec");
        let spec = self.object("spec".to_owned(), spec);
        self.end(&top);
        let (arguments, metrics) = self.spec(spec);
        Template {
            name: name.unwrap_or("(without a name)").to_owned(),
            arguments,
            metrics,
        }
    }

    fn spec(&mut self, mut spec: Fields<'_>) -> (Vec<Argument>, Vec<MetricTemplate>) {
        let mut arguments: Vec<Argument> = Vec::new();
        for (path, argument) in self.list(&mut spec, "args") {
            if let Some(argument) = self.argument(path.clone(), argument) {
                if arguments.iter().any(|known| known.name == argument.name) {
                    self.wrong(
                        path,
                        format!("another argument {}", argument.name),
                        "each name once",
                    );
                }
                arguments.push(argument);
            }
        }
        let mut metrics: Vec<MetricTemplate> = Vec::new();
        for (path, metric) in self.list(&mut spec, "metrics") {
            if let Some(metric) = self.metric(path.clone(), metric, &arguments) {
                if metrics.iter().any(|known| known.name == metric.name) {
                    self.wrong(path, format!("another metric {}", metric.name), "each name once");
                }
                metrics.push(metric);
            }
        }
        if metrics.is_empty() {
            self.wrong(spec.path("metrics"), "no metric".to_owned(), "at least one");
        }
        for (path, rule) in self.list(&mut spec, "dryRun") {
            let mut rule = self.object(path, Some(rule));
            for n in self.named(&mut rule, &metrics) {
                metrics[n].dry_run = true;
            }
            self.end(&rule);
        }
        for (path, rule) in self.list(&mut spec, "measurementRetention") {
            let mut rule = self.object(path, Some(rule));
            let limit = rule
                .get("limit")
                .and_then(Json::as_u64)
                .and_then(|limit| usize::try_from(limit).ok());
            match limit {
                Some(limit @ 1..=1000) => {
                    for n in self.named(&mut rule, &metrics) {
                        metrics[n].retention = limit;
                    }
                }
                _ => self.wrong(
                    rule.path("limit"),
                    "no such number".to_owned(),
                    "a whole number from 1 to 1000",
                ),
            }
            self.end(&rule);
        }
        self.refuse(
            &mut spec,
            "templates",
            "other templates",
            "metrics: templates of templates are not supported",
        );
        self.end(&spec);
        (arguments, metrics)
    }

    /// The metrics whose names match the rule's pattern.
    fn named(&mut self, rule: &mut Fields<'_>, metrics: &[MetricTemplate]) -> Vec<usize> {
        let Some(pattern) = self.text(rule, "metricName") else {
            return Vec::new();
        };
        let Ok(regex) = Regex::new(pattern) else {
            self.wrong(
                rule.path("metricName"),
                format!("{pattern:?}"),
                "a regular expression",
            );
            return Vec::new();
        };
        let named: Vec<usize> = (0..metrics.len())
            .filter(|n| regex.is_match(&metrics[*n].name))
            .collect();
        if named.is_empty() {
            self.wrong(
                rule.path("metricName"),
                format!("{pattern:?}"),
                "a pattern that a metric's name matches",
            );
        }
        named
    }

    fn argument(&mut self, path: String, argument: &Json) -> Option<Argument> {
        let mut fields = self.object(path, Some(argument));
        let name = self.text(&mut fields, "name");
        let default = fields
            .get("value")
            .is_some()
            .then(|| self.text(&mut fields, "value"))
            .flatten();
        let expected = "a value: values from secrets and fields are not supported";
        self.refuse(&mut fields, "valueFrom", "a reference", expected);
        self.end(&fields);
        Some(Argument {
            name: name?.to_owned(),
            default: default.map(str::to_owned),
        })
    }

    fn metric(&mut self, path: String, metric: &Json, arguments: &[Argument]) -> Option<MetricTemplate> {
        const KEYS: [&str; 9] = [
            "successCondition",
            "failureCondition",
            "interval",
            "initialDelay",
            "count",
            "failureLimit",
            "inconclusiveLimit",
            "consecutiveErrorLimit",
            "consecutiveSuccessLimit",
        ];
        let mut fields = self.object(path.clone(), Some(metric));
        let name = self.text(&mut fields, "name");
        let mut texts: Vec<(&'static str, String)> = Vec::new();
        for key in KEYS {
            match fields.get(key) {
                Some(Json::String(text)) => texts.push((key, text.clone())),
                Some(Json::Number(number)) if !key.ends_with("Condition") => {
                    texts.push((key, number.to_string()))
                }
                Some(other) => {
                    let expected = if key.ends_with("Condition") {
                        "a condition as text"
                    } else {
                        "a number or a text"
                    };
                    self.wrong(fields.path(key), kind(other).to_owned(), expected);
                }
                None => {}
            }
        }
        let provider = fields.get("provider");
        let mut provider = self.object(fields.path("provider"), provider);
        let others = provider
            .map
            .into_iter()
            .flat_map(Map::keys)
            .filter(|key| *key != "prometheus");
        for other in others {
            self.wrong(
                provider.path.clone(),
                other.clone(),
                "prometheus, the only provider that is supported",
            );
        }
        let prometheus = provider.get("prometheus");
        let mut prometheus = self.object(provider.path("prometheus"), prometheus);
        if let Some(query) = self.text(&mut prometheus, "query") {
            texts.push((QUERY, query.to_owned()));
        }
        for (key, within) in [(ADDRESS, "address"), (TIMEOUT, "timeout")] {
            match prometheus.get(within) {
                Some(Json::String(text)) => texts.push((key, text.clone())),
                // Here a bare number is a number of seconds.
                Some(Json::Number(seconds)) if within == "timeout" => {
                    texts.push((key, format!("{seconds}s")))
                }
                Some(other) => self.wrong(prometheus.path(within), kind(other).to_owned(), "a text"),
                None => {}
            }
        }
        for key in ["headers", "authentication", "insecure", "rangeQuery"] {
            self.refuse(
                &mut prometheus,
                key,
                "a key that is not supported",
                "query, address and timeout alone",
            );
        }
        self.end(&prometheus);
        self.end(&fields);
        let mut metric = MetricTemplate {
            path,
            name: name?.to_owned(),
            dry_run: false,
            retention: RETENTION,
            texts: Vec::new(),
        };
        for (key, text) in texts {
            add_text(&mut metric, key, &text, arguments, &mut self.problems);
        }
        Some(metric)
    }
}
