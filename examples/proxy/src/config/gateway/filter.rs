//! The filters of a rule: what is changed, or where the client is sent.

use http::uri::Scheme;
use mesh_traffic::router::{Cors, HeaderEdits, HostName, PathChange, PathError, Redirect, Rewrite};

use super::mirror;
use super::route::{Anything, port};
use crate::config::Mesh;
use crate::config::context::Wrong;
use crate::config::cors;
use crate::config::grammar::{self, HOST};
use crate::config::rule::Mirror;
use crate::config::shape::{Fields, integer, list, object, parsed, word, written};

/// All filters of a rule.
#[derive(Default)]
pub(super) struct Filters {
    pub(super) rewrite: Rewrite,
    pub(super) request_headers: HeaderEdits,
    pub(super) response_headers: HeaderEdits,
    pub(super) redirect: Option<Redirect>,
    pub(super) cors: Option<Cors>,
    pub(super) mirrors: Vec<Mirror>,
    pub(super) replaces_prefix: bool,
}

pub(super) enum Filter {
    Request(HeaderEdits),
    Response(HeaderEdits),
    Rewrite(Rewrite),
    Redirect(Redirect),
    Cors(Cors),
    /// Nothing if there is no such service.
    Mirror(Option<Mirror>),
}

impl Filters {
    /// Each kind once, and no rewrite beside a redirect.
    pub(super) fn join(filters: Vec<Filter>) -> Result<Self, Wrong> {
        let mut all = Self::default();
        let mut seen = Vec::new();
        for filter in filters {
            let kind = std::mem::discriminant(&filter);
            if seen.contains(&kind) && !matches!(filter, Filter::Mirror(_)) {
                return Err(Wrong::expected("each type of filter but RequestMirror once"));
            }
            seen.push(kind);
            match filter {
                Filter::Request(edits) => all.request_headers = edits,
                Filter::Response(edits) => all.response_headers = edits,
                Filter::Rewrite(rewrite) => all.rewrite = rewrite,
                Filter::Redirect(redirect) => all.redirect = Some(redirect),
                Filter::Cors(cors) => all.cors = Some(cors),
                Filter::Mirror(mirror) => all.mirrors.extend(mirror),
            }
        }
        if all.redirect.is_some() && (all.rewrite != Rewrite::new() || !all.request_headers.is_empty()) {
            return Err(Wrong::expected(
                "nothing that is changed of a request that is sent elsewhere",
            ));
        }
        if all.redirect.is_some() && !all.mirrors.is_empty() {
            return Err(Wrong::expected("no RequestMirror beside a RequestRedirect"));
        }
        let paths = [all.rewrite.path(), all.redirect.as_ref().and_then(Redirect::path)];
        all.replaces_prefix = paths.into_iter().flatten().any(|path| !path.is_whole());
        Ok(all)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Request,
    Response,
    Rewrite,
    Redirect,
    Cors,
    Mirror,
    NotDone,
}

const KINDS: &[(&str, Kind)] = &[
    ("RequestHeaderModifier", Kind::Request),
    ("ResponseHeaderModifier", Kind::Response),
    ("URLRewrite", Kind::Rewrite),
    ("RequestRedirect", Kind::Redirect),
    ("RequestMirror", Kind::Mirror),
    ("CORS", Kind::Cors),
    ("ExternalAuth", Kind::NotDone),
    ("ExtensionRef", Kind::NotDone),
];

pub(super) fn read(fields: &mut Fields<'_>, namespace: &str, mesh: &Mesh) -> Option<Filter> {
    let kind = fields.required("type", word(KINDS));
    let request = fields.optional("requestHeaderModifier", object(read_edits));
    let response = fields.optional("responseHeaderModifier", object(read_edits));
    let rewrite = fields.optional("urlRewrite", object(read_rewrite));
    let redirect = fields.optional("requestRedirect", object(read_redirect));
    let cors = fields.optional("cors", object(cors::read_filter));
    let copied = |fields: &mut Fields<'_>| mirror::read(fields, namespace, mesh);
    let mirror = fields.optional("requestMirror", object(copied));
    for key in ["externalAuth", "extensionRef"] {
        fields.optional(key, Anything);
    }
    let (key, filter) = match kind? {
        Kind::Request => ("requestHeaderModifier", request.map(Filter::Request)),
        Kind::Response => ("responseHeaderModifier", response.map(Filter::Response)),
        Kind::Rewrite => ("urlRewrite", rewrite.map(Filter::Rewrite)),
        Kind::Redirect => ("requestRedirect", redirect.map(Filter::Redirect)),
        Kind::Cors => ("cors", cors.map(Filter::Cors)),
        Kind::Mirror => ("requestMirror", mirror.map(Filter::Mirror)),
        Kind::NotDone => {
            let wrong = Wrong::expected(
                "one of RequestHeaderModifier, ResponseHeaderModifier, URLRewrite, RequestRedirect, RequestMirror, \
                 CORS: this version does no other yet",
            );
            fields.refuse("type", "a filter that would not be applied", wrong);
            return None;
        }
    };
    if !fields.has(key) {
        fields.missing(key, Wrong::expected("what the filter's type says"));
    }
    filter
}

fn read_edits(fields: &mut Fields<'_>) -> Option<HeaderEdits> {
    let field = |fields: &mut Fields<'_>| {
        let name = fields.required(
            "name",
            parsed("a header that may be changed", grammar::editable_header),
        );
        let value = fields.required("value", written("a header's value"));
        Some((name?, value?))
    };
    let set = fields.optional("set", list(object(field)));
    let add = fields.optional("add", list(object(field)));
    let names = parsed("a header that may be changed", grammar::editable_header);
    let remove = fields.optional("remove", list(names));
    let edits = || {
        let mut edits = HeaderEdits::new();
        for name in remove.iter().flatten() {
            edits = edits.remove(name.as_str())?;
        }
        for (name, value) in set.iter().flatten() {
            edits = edits.set(name.as_str(), value)?;
        }
        for (name, value) in add.iter().flatten() {
            edits = edits.add(name.as_str(), value)?;
        }
        Ok::<_, mesh_traffic::router::HeaderEditError>(edits)
    };
    match edits() {
        Ok(edits) => Some(edits),
        Err(error) => {
            fields.refuse_whole(error.to_string(), Wrong::expected("changes a rule may make"));
            None
        }
    }
}

fn read_path(fields: &mut Fields<'_>) -> Option<PathChange> {
    let kinds = word(&[("ReplaceFullPath", true), ("ReplacePrefixMatch", false)]);
    let whole = fields.required("type", kinds);
    let refuse = |error: &PathError| {
        Wrong::expected("a path in the spelling in which requests come").because(error.why())
    };
    let full = fields.optional(
        "replaceFullPath",
        parsed("a path", |text| {
            PathChange::whole(text).map_err(|error| refuse(&error))
        }),
    );
    let prefix = fields.optional(
        "replacePrefixMatch",
        parsed("a path", |text| {
            PathChange::prefix(text).map_err(|error| refuse(&error))
        }),
    );
    let (key, path, other) = match whole? {
        true => ("replaceFullPath", full, "replacePrefixMatch"),
        false => ("replacePrefixMatch", prefix, "replaceFullPath"),
    };
    if fields.has(other) {
        let wrong = Wrong::expected("what the type says, and nothing else");
        fields.refuse(other, format!("{other} beside {key}"), wrong);
    }
    if !fields.has(key) {
        fields.missing(key, Wrong::expected("what the type says"));
    }
    path
}

fn read_rewrite(fields: &mut Fields<'_>) -> Option<Rewrite> {
    let host: Option<HostName> = fields.optional("hostname", parsed(HOST, grammar::host));
    let path = fields.optional("path", object(read_path));
    let mut rewrite = Rewrite::new();
    if let Some(host) = host {
        rewrite = rewrite.with_host(host);
    }
    if let Some(path) = path {
        rewrite = rewrite.with_path(path);
    }
    Some(rewrite)
}

fn read_redirect(fields: &mut Fields<'_>) -> Option<Redirect> {
    let schemes = word(&[("http", false), ("https", true)]);
    let secure = fields.optional("scheme", schemes);
    let host = fields.optional("hostname", parsed(HOST, grammar::host));
    let path = fields.optional("path", object(read_path));
    let to_port = fields.optional("port", port());
    let status = fields.or("statusCode", integer(300..=399_u16), 302);
    let mut redirect = match Redirect::new(status) {
        Ok(redirect) => redirect,
        Err(error) => {
            fields.refuse(
                "statusCode",
                error.to_string(),
                Wrong::expected("301, 302, 303, 307 or 308"),
            );
            return None;
        }
    };
    if let Some(secure) = secure {
        redirect = redirect.with_scheme(if secure { Scheme::HTTPS } else { Scheme::HTTP });
    }
    if let Some(host) = host {
        redirect = redirect.with_host(host);
    }
    if let Some(port) = to_port {
        redirect = redirect.with_port(port);
    }
    if let Some(path) = path {
        redirect = redirect.with_path(path);
    }
    Some(redirect)
}
