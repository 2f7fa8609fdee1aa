//! What this version honours of the configuration. Everything else is named when the file is loaded, so that nothing
//! is silently ignored.
//!
//! [`TABLE`] is the one place to change when a part is built.

mod table;

use super::context::{Context, Step};
use super::rule::{Rule, RuleAction};
use super::service::Service;
use super::yaml::{Node, Place, Value};
use super::{Config, Warning};

use table::TABLE;

/// A key, and what of it is honoured.
struct Row {
    /// As `serviceMesh.services[].retry`; what stands below is meant too, unless it has a row of its own.
    path: &'static str,
    /// Whether this value is honoured, in this mapping.
    honoured: fn(&Node, &Node) -> bool,
    instead: Instead,
}

/// What happens instead of what was written.
#[derive(Clone, Copy)]
enum Instead {
    /// It is always honoured.
    Nothing,
    /// This, and no harm is done.
    Ignored(&'static str),
    /// Serving without it would be less secure, or do something else than the file says.
    Refused(&'static str),
}

/// What a key is, in the table.
enum Found {
    /// One or more rows, of which the first that does not honour a value counts.
    Rows(Vec<&'static Row>),
    /// Some of what stands below has a row.
    Container,
    Unknown,
}

fn find(path: &str) -> Found {
    let above = |row: &&Row| {
        path.strip_prefix(row.path)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    let below = |row: &Row| {
        row.path
            .strip_prefix(path)
            .is_some_and(|rest| rest.starts_with(['.', '[']))
    };
    let longest = TABLE.iter().filter(above).map(|row| row.path.len()).max();
    match longest {
        Some(longest) => {
            let nearest = |row: &&Row| row.path.len() == longest;
            Found::Rows(TABLE.iter().filter(above).filter(nearest).collect())
        }
        None if TABLE.iter().any(below) => Found::Container,
        None => Found::Unknown,
    }
}

/// How much of a key is honoured, for the documentation.
pub(super) fn summary(path: &str) -> &'static str {
    match find(path) {
        Found::Unknown => "not yet",
        Found::Container => "in part",
        Found::Rows(rows) => match rows.as_slice() {
            [row] => match row.instead {
                Instead::Nothing => "yes",
                _ if table::is_conditional(row) => "in part",
                Instead::Ignored(_) => "not yet",
                Instead::Refused(_) => "not yet: `run` refuses",
            },
            _ => "in part",
        },
    }
}

/// Names what was written and is not honoured.
pub(super) fn check(root: &Node, config: &Config, context: &mut Context) {
    let mut walk = Walk {
        context,
        steps: Vec::new(),
    };
    walk.mapping(root);
    for (index, rule) in config.mesh.rules.iter().enumerate() {
        check_versions(index, rule, config, context);
    }
}

struct Walk<'c> {
    context: &'c mut Context,
    steps: Vec<Step>,
}

impl Walk<'_> {
    fn mapping(&mut self, node: &Node) {
        for entry in node.entries().unwrap_or_default() {
            self.steps.push(Step::Key(entry.key.clone()));
            self.key(&entry.value, node, entry.key_place);
            self.steps.pop();
        }
    }

    fn key(&mut self, node: &Node, parent: &Node, place: Place) {
        let pattern = self.pattern();
        // The mesh as a whole is no part of it: what its switch does is a matter of its own.
        if is_off(node) && pattern != "serviceMesh" {
            return;
        }
        match find(&pattern) {
            Found::Unknown => self.warn(place, Instead::Ignored("it has no effect")),
            Found::Container => self.below(node),
            Found::Rows(rows) => {
                let ignoring = rows.iter().find(|row| !(row.honoured)(node, parent));
                match ignoring {
                    Some(row) => self.warn(place, row.instead),
                    None => self.below(node),
                }
            }
        }
    }

    fn below(&mut self, node: &Node) {
        match &node.value {
            Value::Map(_) => self.mapping(node),
            Value::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    if is_off(item) {
                        continue;
                    }
                    self.steps.push(Step::Index(index));
                    self.mapping(item);
                    self.steps.pop();
                }
            }
            Value::Scalar(_) => {}
        }
    }

    /// The path without the places in lists.
    fn pattern(&self) -> String {
        let mut pattern = String::new();
        for step in &self.steps {
            match step {
                Step::Index(_) => pattern.push_str("[]"),
                Step::Key(key) => {
                    if !pattern.is_empty() {
                        pattern.push('.');
                    }
                    pattern.push_str(key);
                }
            }
        }
        pattern
    }

    fn warn(&mut self, place: Place, instead: Instead) {
        let message = |text: &str| format!("not honoured by this version yet: {text}");
        self.context.at(&self.steps, |context| {
            let (origin, path) = (context.origin(place), context.path());
            context.warning(match instead {
                Instead::Nothing => return,
                Instead::Ignored(text) => Warning::advice(origin, path, message(text)),
                Instead::Refused(text) => Warning::refusal(origin, path, message(text)),
            });
        });
    }
}

/// A part that is switched off is honoured by not being there.
fn is_off(node: &Node) -> bool {
    let enabled = node.get("enabled").and_then(Node::scalar);
    enabled.and_then(|enabled| enabled.boolean()) == Some(false)
}

/// A version that no endpoint has is served by nobody.
fn check_versions(index: usize, rule: &Rule, config: &Config, context: &mut Context) {
    let RuleAction::Forward(split) = &rule.action else {
        return;
    };
    for (place, destination) in split.destinations().iter().enumerate() {
        let of_name = |service: &&Service| Some(&service.name) == destination.service();
        let (Some(service), Some(version)) =
            (config.mesh.services.iter().find(of_name), destination.version())
        else {
            continue;
        };
        let is_whole = service.discovery.is_none() && !service.endpoints.is_empty();
        let known = service
            .endpoints
            .iter()
            .any(|endpoint| endpoint.version.as_ref() == Some(version));
        if !is_whole || known {
            continue;
        }
        let steps = [
            "serviceMesh".into(),
            "trafficManagement".into(),
            "rules".into(),
            index.into(),
            "destinations".into(),
            place.into(),
        ];
        context.at(&steps, |context| {
            let message = format!(
                "no endpoint of {} has version {version}: what is sent there is answered with no_healthy_endpoint",
                service.name
            );
            let warning = Warning::advice(rule.origin.clone(), context.path(), message);
            context.warning(warning);
        });
    }
}
