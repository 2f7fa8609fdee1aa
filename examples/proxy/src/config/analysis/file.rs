//! Files that hold an `AnalysisTemplate` of Argo Rollouts.

use std::collections::HashSet;
use std::path::Path;

use mesh_canary::template::Template;
use serde_json::{Map, Number, Value as Json};

use super::AnalysisTemplate;
use crate::config::context::{Context, Wrong, steps_of};
use crate::config::report::Report;
use crate::config::warning::Warning;
use crate::config::yaml::{self, Node, Scalar, Value};
use crate::config::{Config, read_bounded};

/// Reads the files that a configuration names, relative to where it lies, and their templates.
///
/// # Errors
/// Everything that is wrong with all of them.
pub(in crate::config) fn extend(
    config: &mut Config,
    configuration: &Path,
    warnings: &mut Vec<Warning>,
) -> Result<(), Report> {
    let url = config.canary.as_ref().and_then(|canary| canary.analysis.url());
    let url = url.map(|url| url.as_str().to_owned());
    let inline = config
        .analysis_templates
        .iter()
        .flat_map(AnalysisTemplate::templates);
    let mut names: HashSet<String> = inline.map(|template| template.name().to_owned()).collect();
    let beside = configuration.parent().unwrap_or_else(|| Path::new(""));
    let mut wrong = Vec::new();
    for written in &mut config.analysis_templates {
        let AnalysisTemplate::File { path, templates, .. } = written else {
            continue;
        };
        let (name, text) = match read_bounded(&beside.join(&*path)) {
            Ok(read) => read,
            Err(report) => {
                wrong.push(report);
                continue;
            }
        };
        let mut context = Context::new(&name);
        *templates = read(&text, url.as_deref(), &mut names, &mut context);
        let (problems, is_whole, told) = context.finish();
        warnings.extend(told);
        wrong.extend(Report::of(&name, &text, problems, is_whole));
    }
    Report::of_all(wrong)
}

/// The templates of a text.
fn read(text: &str, url: Option<&str>, names: &mut HashSet<String>, context: &mut Context) -> Vec<Template> {
    let (documents, problems) = yaml::read_all(text);
    problems.into_iter().for_each(|problem| context.problem(problem));
    if documents.is_empty() && !context.has_problems() {
        let wrong = Wrong::expected("an AnalysisTemplate of Argo Rollouts");
        context.refuse(yaml::Place::START, "an empty file", wrong);
    }
    let mut templates = Vec::new();
    for document in &documents {
        match Template::read(&json(document)) {
            Ok(template) => {
                look_at(&template, document, url, names, context);
                templates.push(template);
            }
            Err(error) => {
                for problem in error.problems() {
                    refuse(document, problem, context);
                }
            }
        }
    }
    templates
}

fn refuse(document: &Node, problem: &mesh_canary::template::Problem, context: &mut Context) {
    let steps = steps_of(problem.path());
    let place = document.nearest(&steps).place_within(problem.column());
    context.below(steps, |context| {
        context.refuse(place, problem.found(), Wrong::expected(problem.expected()));
    });
}

/// What can only be told of a template that is whole.
fn look_at(
    template: &Template,
    document: &Node,
    url: Option<&str>,
    names: &mut HashSet<String>,
    context: &mut Context,
) {
    if !names.insert(template.name().to_owned()) {
        let steps = steps_of("metadata.name");
        let place = document.nearest(&steps).place;
        let wrong = Wrong::expected("a name that no other template has");
        let found = format!("the text {:?} a second time", template.name());
        context.below(steps, |context| context.refuse(place, found, wrong));
    }
    // Whatever service and version are, these texts are one.
    if let Err(error) = template.bind_known("service", "v1") {
        for problem in error.problems() {
            let at = match problem.path() {
                "args" => "spec.args",
                path => path,
            };
            let steps = steps_of(at);
            let place = document.nearest(&steps).place;
            let wrong = Wrong::expected(
                "a value, or one of the names service, service-name, version, canary-version",
            );
            context.below(steps, |context| context.refuse(place, problem.found(), wrong));
        }
    }
    for (path, column, warning) in template.warnings() {
        let steps = steps_of(&path);
        let place = document.nearest(&steps).place_within(Some(column));
        context.below(steps, |context| context.advise(place, warning.to_string()));
    }
    let same =
        |address: &str| url.is_some_and(|url| url.trim_end_matches('/') == address.trim_end_matches('/'));
    if let Some(address) = template.addresses().find(|address| !same(address)) {
        let message = format!(
            "the server at {address} is not asked: analysis.source.prometheus.url names the one that is"
        );
        let steps = steps_of("spec.metrics");
        let place = document.nearest(&steps).place;
        context.below(steps, |context| context.advise(place, message));
    }
}

/// As JSON, by the rules of YAML 1.2's core schema.
fn json(node: &Node) -> Json {
    match &node.value {
        Value::Scalar(scalar) => scalar_json(scalar),
        Value::List(items) => items.iter().map(|item| json(item)).collect(),
        Value::Map(entries) => {
            let entries = entries
                .iter()
                .map(|entry| (entry.key.to_string(), json(&entry.value)));
            Json::Object(entries.collect::<Map<_, _>>())
        }
    }
}

fn scalar_json(scalar: &Scalar) -> Json {
    if scalar.is_null() {
        return Json::Null;
    }
    if let Some(boolean) = scalar.boolean() {
        return Json::Bool(boolean);
    }
    let integer = scalar.integer().and_then(|integer| i64::try_from(integer).ok());
    let number = || scalar.number().and_then(Number::from_f64);
    match integer.map(Number::from).or_else(number) {
        Some(number) => Json::Number(number),
        None => Json::String(scalar.text.to_string()),
    }
}
