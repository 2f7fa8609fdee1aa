//! The configuration: YAML that is parsed once into types that cannot be wrong.
//!
//! [`load`] reads a file, [`parse`] a text. Either gives a [`Loaded`] configuration with its [`Warning`]s, or a
//! [`Report`] of everything that is wrong, each [`Problem`] with file, line, column and the key's path.

mod admin;
mod analysis;
mod authority;
mod authorization;
mod canary;
mod circuit_breaker;
mod compression;
mod condition;
mod context;
mod cors;
mod defaults;
mod discovery;
mod endpoint;
mod fault;
mod gateway;
mod grammar;
mod honoured;
mod identity;
mod limits;
mod listener;
mod load_balancing;
mod mesh;
mod mutual_tls;
mod names;
mod near;
mod origin;
mod outlier;
mod rate_limit;
mod report;
mod retry;
mod rfc3339;
mod rule;
mod scenario;
pub mod schema;
mod service;
mod shape;
mod share;
mod telemetry;
mod unique;
mod upstream_tls;
mod warning;
mod yaml;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use context::{Context, Wrong};
use names::Names;
use shape::{Fields, Shape, list, object};
use yaml::{Node, Place};

pub use admin::{Admin, Metrics};
pub use analysis::{Analysis, AnalysisSource, AnalysisTemplate, Judge};
pub use authority::{Authority, Join, Secret};
pub use authorization::{Authorization, AuthorizationMode, AuthorizationRule};
pub use canary::{AbTest, Canary, CanaryRouting, Criteria, Stage};
pub use circuit_breaker::CircuitBreaker;
pub use compression::Compression;
pub use discovery::{Discovery, VersionsFrom};
pub use fault::{Abort, Delay, FaultBounds, FaultInjection, Reset, Throttle};
pub use identity::{DnsName, HttpUrl, Identity, Namespace, TrustDomain};
pub use limits::Limits;
pub use listener::{Direction, Listener, ListenerTls, Trust, TrustedProxy, Upgrade};
pub use load_balancing::{Algorithm, HealthCheck, HealthCheckKind, LoadBalancing, StatusRange};
pub use mesh::Mesh;
pub use mutual_tls::MutualTls;
pub use origin::Origin;
pub use outlier::OutlierDetection;
pub use rate_limit::{LimitStore, RateLimiting};
pub use report::{Problem, Report};
pub use retry::{Retry, RetryBudget, RetryOn};
pub use rule::{Mirror, Rule, RuleAction};
pub use scenario::{load_scenario, parse_scenario};
pub use service::{Protocol, Service};
pub use share::{Percent, Ratio};
pub use telemetry::{AccessLog, HeaderSource, Jaeger, LogFormat, Otlp, OtlpProtocol, Telemetry};
pub use upstream_tls::UpstreamTls;
pub use warning::Warning;

/// A whole configuration: every name in it is known, every number in range.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// `serviceMesh`; the defaults if it is not written.
    pub mesh: Mesh,
    /// `canaryDeployment`; `None` if it is not written.
    pub canary: Option<Canary>,
    /// `analysisTemplates`, from the top of the file and from `canaryDeployment`.
    pub analysis_templates: Vec<AnalysisTemplate>,
}

impl Config {
    /// All analysis templates, those in files too.
    pub fn templates(&self) -> impl Iterator<Item = &mesh_canary::template::Template> {
        self.analysis_templates
            .iter()
            .flat_map(AnalysisTemplate::templates)
    }
}

/// A configuration that can be used, and what should be known about it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What was written but is not honoured, or will hardly do what it looks like; by line.
    pub warnings: Vec<Warning>,
}

/// The largest file that is read, in bytes.
pub const LARGEST_FILE: u64 = 4 * 1024 * 1024;

/// Reads a configuration from a file of at most [`LARGEST_FILE`] bytes, and the routes of the files it names in
/// `trafficManagement.gatewayApi`: they become rules behind its own. Relative paths in it are left as they
/// are, to be looked up from where the process runs; those of `analysisTemplates` begin where the file lies.
///
/// # Errors
/// Everything that is wrong with it, or why it could not be read.
pub fn load(path: &Path) -> Result<Loaded, Report> {
    let (name, text) = read_text(path)?;
    let mut loaded = parse(&name, &text)?;
    let extended = [
        gateway::extend(&mut loaded.config.mesh, &mut loaded.warnings),
        analysis::extend(&mut loaded.config, path, &mut loaded.warnings),
    ];
    Report::of_all(extended.into_iter().filter_map(Result::err))?;
    Ok(loaded)
}

/// Reads a file of at most a byte more than [`LARGEST_FILE`]. Gives its name beside what stands in it.
fn read_text(path: &Path) -> Result<(String, String), Report> {
    let name = path.display().to_string();
    let unreadable = |error: &std::io::Error| {
        let expected = "a file that can be read";
        Report::unreadable(&name, format!("that it cannot be read: {error}"), expected)
    };
    let file = File::open(path).map_err(|error| unreadable(&error))?;
    let mut bytes = Vec::new();
    // One byte more tells that it is too large; a pipe that never ends is left alone after that.
    let mut bounded = file.take(LARGEST_FILE + 1);
    bounded
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(&error))?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok((name, text)),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let line = 1 + error.as_bytes()[..at]
                .iter()
                .filter(|byte| **byte == b'\n')
                .count();
            let found = format!("bytes that are not UTF-8, in line {line}");
            Err(Report::unreadable(&name, found, "text in UTF-8"))
        }
    }
}

/// Reads a file that a configuration names.
fn read_bounded(path: &Path) -> Result<(String, String), Report> {
    let (name, text) = read_text(path)?;
    check_length(&name, &text)?;
    Ok((name, text))
}

/// Reads a configuration from a text; `name` stands for the file in what is reported. Files that it names are not
/// looked at.
///
/// ```
/// use mesh_proxy::config::parse;
///
/// let text = "serviceMesh:\n  services: [{ name: orders, port: 3001, endpoints: [\"127.0.0.1:4001\"] }]\n";
/// let loaded = parse("mesh.yaml", text).expect("nothing is wrong with it");
/// assert_eq!(loaded.config.mesh.services[0].name.as_str(), "orders");
/// assert_eq!(loaded.config.mesh.services[0].origin.to_string(), "mesh.yaml:2:14");
///
/// let report = parse("mesh.yaml", &text.replace("port", "prot")).expect_err("no such key");
/// assert_eq!(report.problems()[1].hint(), Some("did you mean port?"));
/// ```
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse(name: &str, text: &str) -> Result<Loaded, Report> {
    check_length(name, text)?;
    let (root, problems) = yaml::read(text);
    let mut context = Context::new(name);
    problems.into_iter().for_each(|problem| context.problem(problem));
    let config = match &root {
        Some(root) => read(root, &mut context),
        None if context.has_problems() => None,
        None => {
            let wrong = Wrong::expected("serviceMesh, canaryDeployment or analysisTemplates");
            context.refuse(Place::START, "an empty file", wrong);
            None
        }
    };
    let (problems, is_whole, mut warnings) = context.finish();
    match config {
        Some(config) if problems.is_empty() => {
            warnings.sort_by_key(|warning| (warning.origin().line(), warning.origin().column()));
            Ok(Loaded { config, warnings })
        }
        _ if is_whole => Err(Report::new(name, text, problems)),
        _ => Err(Report::new(name, text, problems).in_part()),
    }
}

fn check_length(name: &str, text: &str) -> Result<(), Report> {
    if text.len() as u64 > LARGEST_FILE {
        let limit = mesh_core::size::display(LARGEST_FILE);
        let expected = format!("at most {limit}");
        return Err(Report::unreadable(name, "more than that", &expected));
    }
    Ok(())
}

fn read(root: &Node, context: &mut Context) -> Option<Config> {
    let names = Names::of(root);
    let has_rollouts = root.get("canaryDeployment").is_some_and(|canary| {
        let enabled = canary.get("enabled").and_then(Node::scalar);
        enabled.and_then(yaml::Scalar::boolean) != Some(false)
    });
    let config = root_shape(&names, has_rollouts).read(root, context);
    unique::check(root, context);
    if let Some(config) = &config {
        analysis::check(root, config, context);
        honoured::check(root, config, context);
        authorization::check(config, context);
    }
    config
}

/// What a file looks like.
fn describe() -> schema::Schema {
    root_shape(&Names::default(), false).schema()
}

/// The whole file.
fn root_shape(names: &Names, has_rollouts: bool) -> impl Shape<Value = Config> {
    object(move |fields: &mut Fields<'_>| {
        let mesh = |fields: &mut Fields<'_>| mesh::read(fields, names, has_rollouts);
        let mesh = fields.part("serviceMesh", object(mesh));
        let canary = |fields: &mut Fields<'_>| canary::read(fields, names);
        let canary = fields.optional("canaryDeployment", object(canary));
        let templates = fields.optional("analysisTemplates", list(analysis::template()));
        let mut analysis_templates = templates.unwrap_or_default();
        let canary = canary.map(|(canary, templates)| {
            analysis_templates.extend(templates);
            canary
        });
        Some(Config {
            mesh: mesh?,
            canary,
            analysis_templates,
        })
    })
}
