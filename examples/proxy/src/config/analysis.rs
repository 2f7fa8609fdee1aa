//! How a canary is judged: `analysis` and `analysisTemplates`.

mod file;

use std::path::PathBuf;

use mesh_canary::template::Template;

use super::Config;
use super::context::{Context, Wrong, steps_of};
use super::defaults;
use super::identity;
use super::identity::HttpUrl;
use super::origin::Origin;
use super::shape::{Fields, Shape, either, object, parsed, ratio, text, then, word};
use super::share::Ratio;
use super::yaml::Node;

/// `canaryDeployment.analysis`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Analysis {
    /// Where the numbers come from. Default: the proxy's own.
    pub source: AnalysisSource,
    /// How they are judged. Default: sequentially.
    pub judge: Judge,
    /// How often a good canary may be rolled back. Default 0.01.
    pub false_rollback: Ratio,
}

/// Where the numbers come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnalysisSource {
    /// What this proxy counted itself.
    Builtin,
    /// A Prometheus server.
    Prometheus {
        /// Its address.
        url: HttpUrl,
    },
}

impl Analysis {
    /// The Prometheus server that is asked, if one is.
    pub fn url(&self) -> Option<&HttpUrl> {
        match &self.source {
            AnalysisSource::Builtin => None,
            AnalysisSource::Prometheus { url } => Some(url),
        }
    }
}

/// How numbers are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Judge {
    /// A sequential test against the stable version.
    Sequential,
    /// The criteria alone.
    Threshold,
}

/// An analysis template.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum AnalysisTemplate {
    /// Written in place.
    Inline {
        /// Where.
        origin: Origin,
        /// Its name.
        name: Box<str>,
        /// The PromQL query; `{{.Service}}` and `{{.Version}}` stand for what is judged.
        query: Box<str>,
        /// When it is a success.
        success_condition: Option<Box<str>>,
        /// When it is a failure.
        failure_condition: Option<Box<str>>,
        /// All that, compiled.
        template: Template,
    },
    /// A file that holds `AnalysisTemplate`s of Argo Rollouts.
    File {
        /// Where it was named.
        origin: Origin,
        /// The file; a relative path begins where the configuration lies.
        path: PathBuf,
        /// What stands in it; nothing before [`load`](super::load) has read it.
        templates: Vec<Template>,
    },
}

impl AnalysisTemplate {
    /// The templates it stands for.
    pub fn templates(&self) -> &[Template] {
        match self {
            Self::Inline { template, .. } => std::slice::from_ref(template),
            Self::File { templates, .. } => templates,
        }
    }
}

pub(super) use file::extend;

pub(super) fn read(fields: &mut Fields<'_>) -> Option<Analysis> {
    let source = fields.optional("source", source());
    let judge = word(&[("sequential", Judge::Sequential), ("threshold", Judge::Threshold)]);
    let judge = fields.or("judge", judge, Judge::Sequential);
    let false_rollback = fields.or("falseRollback", ratio(), defaults::FALSE_ROLLBACK);
    Some(Analysis {
        source: source.unwrap_or(AnalysisSource::Builtin),
        judge,
        false_rollback,
    })
}

fn source() -> impl Shape<Value = AnalysisSource> {
    let prometheus = |fields: &mut Fields<'_>| {
        let url = fields.required("url", parsed(identity::URL, identity::http_url))?;
        Some(AnalysisSource::Prometheus { url })
    };
    let builtin = word(&[("builtin", ())]);
    either(
        then(builtin, |(), _| AnalysisSource::Builtin),
        object(move |fields: &mut Fields<'_>| fields.required("prometheus", object(prometheus))),
    )
}

/// What of templates and their source goes without the other.
pub(super) fn check(root: &Node, config: &Config, context: &mut Context) {
    let Some(canary) = config.canary.as_ref().filter(|canary| canary.enabled) else {
        return;
    };
    let mut advise = |path: &str, message: &str| {
        let steps = steps_of(path);
        let place = root.nearest(&steps).place;
        context.below(steps, |context| context.advise(place, message));
    };
    let has_templates = !config.analysis_templates.is_empty();
    match canary.analysis.source {
        AnalysisSource::Builtin if has_templates => {
            let below = root
                .get("canaryDeployment")
                .and_then(|canary| canary.get("analysisTemplates"));
            let path = match below {
                Some(_) => "canaryDeployment.analysisTemplates",
                None => "analysisTemplates",
            };
            advise(
                path,
                "nothing is asked: canaryDeployment.analysis.source names no Prometheus server, so that rollouts are judged by \
                 what this proxy counts alone",
            );
        }
        AnalysisSource::Prometheus { .. } if !has_templates => advise(
            "canaryDeployment.analysis.source",
            "it is asked nothing: there is no analysis template, so that rollouts are judged by what this proxy counts alone",
        ),
        _ => {}
    }
}

/// A template, or the path of a file that holds one.
pub(super) fn template() -> impl Shape<Value = AnalysisTemplate> {
    let file = text("the path of a file that holds an AnalysisTemplate of Argo Rollouts");
    let file = then(file, |path: Box<str>, origin| {
        let path = PathBuf::from(&*path);
        AnalysisTemplate::File {
            origin,
            path,
            templates: Vec::new(),
        }
    });
    either(file, object(read_template))
}

fn read_template(fields: &mut Fields<'_>) -> Option<AnalysisTemplate> {
    let origin = fields.origin();
    let condition = || text("a condition, as result[0] >= 99");
    let name = fields.required("name", text("the template's name"));
    let query = fields.required("query", text("a PromQL query"));
    let success_condition = fields.optional("successCondition", condition());
    let failure_condition = fields.optional("failureCondition", condition());
    if !fields.has("successCondition") && !fields.has("failureCondition") {
        fields.missing(
            "successCondition",
            Wrong::expected("successCondition, failureCondition or both"),
        );
        return None;
    }
    let (name, query) = (name?, query?);
    let (success, failure) = (success_condition.as_deref(), failure_condition.as_deref());
    let template = match Template::inline(&name, &query, success, failure) {
        Ok(template) => template,
        Err(error) => {
            for problem in error.problems() {
                let wrong = Wrong::expected(problem.expected());
                fields.refuse_within(key_of(problem.path()), problem.column(), problem.found(), wrong);
            }
            return None;
        }
    };
    for (path, column, warning) in template.warnings() {
        fields.advise_within(key_of(&path), Some(column), warning.to_string());
    }
    Some(AnalysisTemplate::Inline {
        origin,
        name,
        query,
        success_condition,
        failure_condition,
        template,
    })
}

/// The key at the end of a template's path.
fn key_of(path: &str) -> &'static str {
    let keys = ["successCondition", "failureCondition", "query"];
    keys.into_iter().find(|key| path.ends_with(key)).unwrap_or("name")
}
