//! `/api/v1/canaries`: new versions that are rolled out.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Extension, Path, State};
use http::StatusCode;
use mesh_canary::rollout::{Command, Operation};
use mesh_core::{MeshContext, Version};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Shared;
use super::problem::Problem;
use crate::canary::{Refusal, Shown};

/// Who is written down where nobody proved who it is.
const NOBODY: &str = "the admin API";

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unknown(why) => Self::new(StatusCode::NOT_FOUND, why),
            Refusal::Conflict(why) => Self::new(StatusCode::CONFLICT, why),
            Refusal::Unavailable(why) => Self::new(StatusCode::SERVICE_UNAVAILABLE, why),
        }
    }
}

/// The services that may be rolled out.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Canaries {
    /// Each with its rollout, by name.
    canaries: Vec<Shown>,
}

/// The services that may be rolled out, and how their rollouts stand
#[utoipa::path(get, path = "/api/v1/canaries", tag = "canaries", responses((status = 200, body = Canaries)))]
pub(super) async fn list(State(shared): State<Shared>) -> Json<Canaries> {
    let canaries = shared.canaries.all();
    Json(Canaries {
        canaries: canaries.into_iter().map(Arc::unwrap_or_clone).collect(),
    })
}

/// How the rollout of a service stands
#[utoipa::path(get, path = "/api/v1/canaries/{service}", tag = "canaries",
    params(("service" = String, Path, description = "The service")),
    responses(
        (status = 200, body = Shown),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "No service of this name is rolled out"),
    )
)]
pub(super) async fn show(
    State(shared): State<Shared>,
    Path(service): Path<String>,
) -> Result<Json<Shown>, Problem> {
    Ok(Json(Arc::unwrap_or_clone(shared.canaries.of(&service)?)))
}

/// What is to be rolled out.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Start {
    #[schema(example = "sample-service")]
    service: String,
    /// The new version.
    #[schema(example = "v2")]
    version: String,
    /// Whether to try it although it was rolled back before.
    #[serde(default)]
    retry: bool,
}

/// Roll a version out
///
/// As soon as it answers the first stage is decided on, and written down.
#[utoipa::path(post, path = "/api/v1/canaries", tag = "canaries", request_body = Start, responses(
    (status = 201, body = Shown),
    (status = 404, body = Problem, content_type = "application/problem+json", description = "No service of this name is rolled out, or it has no such version"),
    (status = 409, body = Problem, content_type = "application/problem+json", description = "The version has no endpoint that is ready, is stable, was rolled back before, or another rollout is under way"),
    (status = 503, body = Problem, content_type = "application/problem+json", description = "The log of rollouts cannot be written"),
))]
pub(super) async fn start(
    State(shared): State<Shared>,
    body: Result<Json<Start>, JsonRejection>,
) -> Result<(StatusCode, Json<Shown>), Problem> {
    let Json(start) = body?;
    let version: Version = start.version.parse().map_err(|error| {
        let detail = format!("{:?} is no version: {error}", start.version);
        Problem::new(StatusCode::BAD_REQUEST, detail)
    })?;
    let shown = shared
        .canaries
        .start(&start.service, version, start.retry)
        .await?;
    Ok((StatusCode::CREATED, Json(Arc::unwrap_or_clone(shown))))
}

/// Why somebody wants something.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Because {
    /// For the log.
    #[schema(example = "the dashboards look well")]
    reason: Option<String>,
}

/// How somebody wants a stage to be followed.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Promote {
    /// The stage, from 1, that is to be followed by the next: a call that comes twice promotes once. Without it, the
    /// present one.
    stage: Option<usize>,
    /// Everything at once, without looking at the stages between.
    #[serde(default)]
    full: bool,
    /// For the log.
    reason: Option<String>,
}

/// Who asks, as far as it was proven.
type Asker = Option<Extension<MeshContext>>;

fn who(asker: &Asker) -> String {
    let identity = asker
        .as_ref()
        .and_then(|Extension(context)| context.peer.as_ref()?.identity.clone());
    identity.map_or_else(|| NOBODY.to_owned(), |id| id.to_string())
}

async fn command(
    shared: &Shared,
    service: &str,
    operation: Operation,
    asker: &Asker,
    reason: Option<String>,
) -> Result<Json<Shown>, Problem> {
    let command = Command::new(operation, who(asker));
    let command = match reason {
        Some(reason) => command.because(reason),
        None => command,
    };
    let shown = shared.canaries.command(service, command).await?;
    Ok(Json(Arc::unwrap_or_clone(shown)))
}

/// Have a stage followed by the next
///
/// At once if it went well and waits for it, or is paused since its numbers are neither good nor bad; else as soon as it has
/// gone well.
#[utoipa::path(post, path = "/api/v1/canaries/{service}/promote", tag = "canaries",
    params(("service" = String, Path, description = "The service")),
    request_body(content = Option<Promote>),
    responses(
        (status = 200, body = Shown),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "No service of this name is rolled out"),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "Not possible now; the detail says why"),
    )
)]
pub(super) async fn promote(
    State(shared): State<Shared>,
    Path(service): Path<String>,
    asker: Asker,
    body: Result<Option<Json<Promote>>, JsonRejection>,
) -> Result<Json<Shown>, Problem> {
    let wanted = body?.map(|Json(body)| body).unwrap_or_default();
    let operation = match (wanted.full, wanted.stage) {
        (true, _) => Operation::PromoteFully,
        (false, Some(0)) => {
            let detail = "stages are counted from 1";
            return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
        }
        (false, Some(stage)) => Operation::Promote { stage: stage - 1 },
        (false, None) => Operation::Promote {
            stage: shared.canaries.stage(&service)?,
        },
    };
    command(&shared, &service, operation, &asker, wanted.reason).await
}

/// Have a rollout wait
///
/// What guards the traffic stays in force: a bad canary is rolled back all the same.
#[utoipa::path(post, path = "/api/v1/canaries/{service}/pause", tag = "canaries",
    params(("service" = String, Path, description = "The service")),
    request_body(content = Option<Because>),
    responses(
        (status = 200, body = Shown),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "No service of this name is rolled out"),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "Not possible now; the detail says why"),
    )
)]
pub(super) async fn pause(
    State(shared): State<Shared>,
    Path(service): Path<String>,
    asker: Asker,
    body: Result<Option<Json<Because>>, JsonRejection>,
) -> Result<Json<Shown>, Problem> {
    let because = body?.map(|Json(body)| body).unwrap_or_default();
    command(&shared, &service, Operation::Pause, &asker, because.reason).await
}

/// Have a rollout go on that waits, in spite of why it does
#[utoipa::path(post, path = "/api/v1/canaries/{service}/resume", tag = "canaries",
    params(("service" = String, Path, description = "The service")),
    request_body(content = Option<Because>),
    responses(
        (status = 200, body = Shown),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "No service of this name is rolled out"),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "It does not wait; the detail says why"),
    )
)]
pub(super) async fn resume(
    State(shared): State<Shared>,
    Path(service): Path<String>,
    asker: Asker,
    body: Result<Option<Json<Because>>, JsonRejection>,
) -> Result<Json<Shown>, Problem> {
    let because = body?.map(|Json(body)| body).unwrap_or_default();
    command(&shared, &service, Operation::Resume, &asker, because.reason).await
}

/// Send everything to the stable version, and end the rollout
#[utoipa::path(post, path = "/api/v1/canaries/{service}/rollback", tag = "canaries",
    params(("service" = String, Path, description = "The service")),
    request_body(content = Option<Because>),
    responses(
        (status = 200, body = Shown),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "No service of this name is rolled out"),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "It is over, or is being rolled back already"),
    )
)]
pub(super) async fn rollback(
    State(shared): State<Shared>,
    Path(service): Path<String>,
    asker: Asker,
    body: Result<Option<Json<Because>>, JsonRejection>,
) -> Result<Json<Shown>, Problem> {
    let because = body?.map(|Json(body)| body).unwrap_or_default();
    command(&shared, &service, Operation::Rollback, &asker, because.reason).await
}
