//! How a canary is judged: `analysis` and `analysisTemplates`.

use std::path::PathBuf;

use super::context::Wrong;
use super::defaults;
use super::identity;
use super::identity::HttpUrl;
use super::origin::Origin;
use super::shape::{Fields, Shape, either, object, parsed, ratio, text, then, word};
use super::share::Ratio;

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

/// How numbers are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Judge {
    /// A sequential test against the stable version.
    Sequential,
    /// The criteria alone.
    Threshold,
}

/// An analysis template.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    },
    /// A file that holds an `AnalysisTemplate` of Argo Rollouts.
    File {
        /// Where it was named.
        origin: Origin,
        /// The file.
        path: PathBuf,
    },
}

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

/// A template, or the path of a file that holds one.
pub(super) fn template() -> impl Shape<Value = AnalysisTemplate> {
    let file = text("the path of a file that holds an AnalysisTemplate of Argo Rollouts");
    let file = then(file, |path: Box<str>, origin| {
        let path = PathBuf::from(&*path);
        AnalysisTemplate::File { origin, path }
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
    }
    Some(AnalysisTemplate::Inline {
        origin,
        name: name?,
        query: query?,
        success_condition,
        failure_condition,
    })
}
