//! What a rule of a route matches.

use mesh_traffic::Condition;
use mesh_traffic::router::{ConditionError, ConditionPart, Operator, Subject};

use crate::config::context::Wrong;
use crate::config::grammar::{self, HEADER};
use crate::config::origin::Origin;
use crate::config::shape::{Fields, list, object, parsed, text, word, written};

/// All of it must hold.
pub(super) struct Match {
    pub(super) conditions: Vec<(Origin, Condition)>,
    /// What decides which of two matches comes first.
    pub(super) path_rank: u8,
    pub(super) path_len: usize,
    pub(super) method: bool,
    pub(super) headers: usize,
    pub(super) query: usize,
}

pub(super) const PREFIX: u8 = 1;
const EXPRESSION: u8 = 2;
const EXACT: u8 = 3;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Exact,
    Prefix,
    Expression,
}

const PATHS: &[(&str, Kind)] = &[
    ("Exact", Kind::Exact),
    ("PathPrefix", Kind::Prefix),
    ("RegularExpression", Kind::Expression),
];

const VALUES: &[(&str, Kind)] = &[("Exact", Kind::Exact), ("RegularExpression", Kind::Expression)];

impl Kind {
    fn operator(self) -> Operator {
        match self {
            Self::Exact => Operator::Equals,
            Self::Prefix => Operator::Prefix,
            Self::Expression => Operator::Regex,
        }
    }

    fn rank(self) -> u8 {
        match self {
            Self::Exact => EXACT,
            Self::Prefix => PREFIX,
            Self::Expression => EXPRESSION,
        }
    }
}

/// A match of an HTTPRoute.
pub(super) fn read_http(fields: &mut Fields<'_>) -> Option<Match> {
    let path = fields.optional("path", object(read_path));
    let headers = fields.optional("headers", list(object(read_header)));
    let query = fields.optional("queryParams", list(object(read_query)));
    let method = fields.optional("method", parsed("a method in upper case", grammar::method));
    let origin = fields.origin();
    // The API's default: every path.
    let path = match path {
        Some(path) => path,
        None if fields.has("path") => return None,
        None => Path {
            kind: Kind::Prefix,
            len: 1,
            condition: (
                origin.clone(),
                Condition::new(Subject::Path, Operator::Prefix, ["/"]).ok()?,
            ),
        },
    };
    let method = match method {
        None => None,
        Some(method) => {
            let condition = Condition::new(Subject::Method, Operator::Equals, [method.as_str()]);
            Some((origin, taken(fields, "method", condition)?))
        }
    };
    let (headers, query) = (
        first_of_each(headers.unwrap_or_default(), fields, "headers"),
        first_of_each(query.unwrap_or_default(), fields, "queryParams"),
    );
    Some(Match {
        path_rank: path.kind.rank(),
        path_len: path.len,
        method: method.is_some(),
        headers: headers.len(),
        query: query.len(),
        conditions: std::iter::once(path.condition)
            .chain(method)
            .chain(headers)
            .chain(query)
            .collect(),
    })
}

/// A match of a GRPCRoute: of calls only, which are posted.
pub(super) fn read_grpc(fields: &mut Fields<'_>) -> Option<Match> {
    let origin = fields.origin();
    let method = fields.optional("method", object(read_call));
    let headers = fields.optional("headers", list(object(read_header)));
    let calls = Condition::new(
        Subject::Header(http::header::CONTENT_TYPE),
        Operator::Regex,
        [r"application/grpc(?:[+;\s].*)?"],
    );
    let posted = Condition::new(Subject::Method, Operator::Equals, ["POST"]);
    // An expression could go over a slash otherwise.
    let two_names = Condition::new(Subject::Path, Operator::Regex, ["/[^/]+/[^/]+"]);
    let mut conditions = vec![(origin.clone(), posted.ok()?), (origin.clone(), calls.ok()?)];
    let call = match method {
        Some(call) => Some(call),
        None if fields.has("method") => return None,
        None => None,
    };
    let (path_rank, path_len, has_method) = match call {
        None => (PREFIX, 0, false),
        Some(call) => {
            conditions.push(call.condition);
            if call.kind == Kind::Expression {
                conditions.push((origin, two_names.ok()?));
            }
            (call.kind.rank(), call.service, call.method > 0)
        }
    };
    let headers = first_of_each(headers.unwrap_or_default(), fields, "headers");
    Some(Match {
        path_rank,
        path_len,
        method: has_method,
        headers: headers.len(),
        query: 0,
        conditions: conditions.into_iter().chain(headers).collect(),
    })
}

struct Path {
    kind: Kind,
    len: usize,
    condition: (Origin, Condition),
}

fn read_path(fields: &mut Fields<'_>) -> Option<Path> {
    let kind = fields.or("type", word(PATHS), Kind::Prefix);
    let value = fields.or("value", written("a path"), "/".into());
    let condition = Condition::new(Subject::Path, kind.operator(), [&*value]);
    Some(Path {
        kind,
        len: value.trim_end_matches('/').len().max(1),
        condition: (fields.origin(), taken(fields, "value", condition)?),
    })
}

/// A condition, and the name it is on, in the case in which names are compared.
type Named = (String, (Origin, Condition));

fn read_header(fields: &mut Fields<'_>) -> Option<Named> {
    let name = fields.required("name", parsed(HEADER, grammar::header_name));
    let name = name.map(|name| (name.as_str().to_owned(), Subject::Header(name)));
    read_value(fields, name)
}

fn read_query(fields: &mut Fields<'_>) -> Option<Named> {
    let name = fields.required("name", text("the name of a parameter"));
    let name = name.map(|name| (name.to_string(), Subject::Query(name)));
    read_value(fields, name)
}

fn read_value(fields: &mut Fields<'_>, name: Option<(String, Subject)>) -> Option<Named> {
    let kind = fields.or("type", word(VALUES), Kind::Exact);
    let value = fields.required("value", written("a text"));
    let (name, subject) = name?;
    let condition = Condition::new(subject, kind.operator(), [&*value?]);
    Some((name, (fields.origin(), taken(fields, "value", condition)?)))
}

/// Of several conditions on one name the API counts the first.
fn first_of_each(named: Vec<Named>, fields: &mut Fields<'_>, key: &'static str) -> Vec<(Origin, Condition)> {
    let mut seen: Vec<String> = Vec::new();
    let mut first = Vec::new();
    for (name, condition) in named {
        if seen.contains(&name) {
            fields.advise(
                key,
                format!("{name} is there twice; the first counts, as the Gateway API says"),
            );
        } else {
            seen.push(name);
            first.push(condition);
        }
    }
    first
}

struct Call {
    kind: Kind,
    /// How long the names are that it asks for.
    service: usize,
    method: usize,
    condition: (Origin, Condition),
}

fn read_call(fields: &mut Fields<'_>) -> Option<Call> {
    let kind = fields.or("type", word(VALUES), Kind::Exact);
    let service = fields.optional("service", written("the name of a gRPC service"));
    let method = fields.optional("method", written("the name of a gRPC method"));
    let quoted = |name: &str| match kind {
        Kind::Expression => format!("(?:{name})"),
        _ => regex::escape(name),
    };
    let (operator, path) = match (service.as_deref(), method.as_deref()) {
        (None, None) => {
            let wrong = Wrong::expected("a service, a method or both");
            fields.refuse_whole("neither service nor method", wrong);
            return None;
        }
        (Some(service), Some(method)) if kind == Kind::Exact => {
            (Operator::Equals, format!("/{service}/{method}"))
        }
        (Some(service), None) if kind == Kind::Exact => (Operator::Prefix, format!("/{service}")),
        (service, method) => {
            let part = |name: Option<&str>| name.map_or_else(|| "[^/]+".to_owned(), quoted);
            (Operator::Regex, format!("/{}/{}", part(service), part(method)))
        }
    };
    let condition = Condition::new(Subject::Path, operator, [path]);
    let key = if service.is_some() { "service" } else { "method" };
    Some(Call {
        kind,
        service: service.map_or(0, |name| name.len()),
        method: method.map_or(0, |name| name.len()),
        condition: (fields.origin(), taken(fields, key, condition)?),
    })
}

fn taken(
    fields: &mut Fields<'_>,
    key: &'static str,
    condition: Result<Condition, ConditionError>,
) -> Option<Condition> {
    match condition {
        Ok(condition) => Some(condition),
        Err(error) => {
            let key = if error.part() == ConditionPart::Field {
                "name"
            } else {
                key
            };
            let message = error.to_string().replace('\n', " ");
            let (found, expected) = message
                .rsplit_once("; expected ")
                .unwrap_or((&message, "a value that a request can have"));
            fields.refuse(key, found, Wrong::expected(expected));
            None
        }
    }
}
