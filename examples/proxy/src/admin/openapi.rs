//! The calls there are, and the document that describes them: both from one list.

use axum::routing::get;
use axum::{Json, Router};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Shared, canaries, certificates, live, process, shown};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "mesh-proxy",
        description = "What runs in a proxy of the mesh, and what can be done about it.",
        license(name = "Apache-2.0 OR MIT")
    ),
    tags(
        (name = "canaries", description = "New versions that are rolled out, and what can be done about them"),
        (name = "certificates", description = "The identity of this process, and the CA it has"),
        (name = "traffic", description = "What runs now: services, endpoints, routes, and how requests go"),
        (name = "live", description = "What happens, as it happens"),
        (name = "process", description = "Configuration and end of the process"),
    )
)]
struct Described;

/// Every call.
pub(super) fn api() -> OpenApiRouter<Shared> {
    OpenApiRouter::with_openapi(Described::openapi())
        .routes(routes!(canaries::list, canaries::start))
        .routes(routes!(canaries::show))
        .routes(routes!(canaries::promote))
        .routes(routes!(canaries::pause))
        .routes(routes!(canaries::resume))
        .routes(routes!(canaries::rollback))
        .routes(routes!(certificates::show))
        .routes(routes!(certificates::revoke))
        .routes(routes!(certificates::rotate))
        .routes(routes!(shown::services))
        .routes(routes!(shown::stats))
        .routes(routes!(shown::endpoints))
        .routes(routes!(shown::edges))
        .routes(routes!(shown::routes))
        .routes(routes!(live::events))
        .routes(routes!(live::tap))
        .routes(routes!(process::reload))
        .routes(routes!(process::drain))
}

/// The document, under a path of its own.
pub(super) fn served(document: utoipa::openapi::OpenApi) -> Router<Shared> {
    let document = Json(document);
    Router::new().route(
        "/api/v1/openapi.json",
        get(move || std::future::ready(document.clone())),
    )
}
