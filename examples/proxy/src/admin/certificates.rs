//! `/api/v1/certificates`: the identity of this process, and the CA it has.

use std::time::SystemTime;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use http::StatusCode;
use mesh_tls::authority::{
    CaGeneration, Follower, IssuedRecord, ManagedAuthority, RevocationReason, RevokeRequest, RotateRequest,
    RotationStep, SerialNumber,
};
use mesh_tls::{CaError, Identity, LocalCa};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Shared;
use super::problem::Problem;
use crate::cert::told;
use crate::identity::{InUse, days_until, troubles};

/// How many of the issued certificates are listed, unless told otherwise.
const LISTED: usize = 1000;

/// The identity of this process, whom it trusts, and the CA it has.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Certificates {
    /// What this process is to its peers; nothing without `mutualTLS`.
    identity: Option<Own>,
    /// The CA, where `mutualTLS.authority` is `local`.
    authority: Option<Authority>,
}

/// The certificate that this process shows.
#[derive(Debug, Serialize, ToSchema)]
struct Own {
    #[schema(example = "spiffe://cluster.local/ns/dept-barc/sa/service-mesh-proxy")]
    spiffe_id: String,
    /// Lower-case hexadecimal.
    serial: String,
    not_before: String,
    not_after: String,
    /// Until its end; negative when it is over.
    days_left: f64,
    /// The CAs it trusts.
    roots: Vec<Root>,
    /// When the next certificate is asked for; nothing, if somebody else renews.
    renewal_due: Option<String>,
    /// The sequence of the trust bundle in force.
    sequence: u64,
    /// What is not as it should be, though this process serves as ever.
    troubles: Vec<String>,
}

#[derive(Debug, Serialize, ToSchema)]
struct Root {
    subject: String,
    not_after: String,
    days_left: f64,
}

/// The CA.
#[derive(Debug, Serialize, ToSchema)]
struct Authority {
    trust_domain: String,
    /// The sequence of the trust bundle, and the number of the revocation lists in it.
    sequence: u64,
    /// When those lists were signed.
    lists_signed_at: String,
    /// Those that are not gone, the oldest first.
    generations: Vec<Generation>,
    /// Who follows the bundle.
    followers: Vec<FollowedBy>,
    /// What the CA does next by itself.
    next: Option<Next>,
    /// What keeps the prepared generation from signing.
    held: Option<String>,
    /// How many certificates it issued in all.
    issued_total: usize,
    /// The newest of them that were asked for, the newest first.
    issued: Vec<Issued>,
}

/// A generation of the CA: a key and a root of its own.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Generation {
    number: u64,
    /// `prepared`, `distributed`, `active`, `tainted`, `retiring`, `removed` or `aborted`.
    #[schema(example = "active")]
    state: String,
    /// Since when it is in that state.
    since: String,
    /// The end of its root.
    not_after: String,
    /// The end of the last certificate it signed.
    last_leaf_not_after: Option<String>,
}

/// A process that follows the trust bundle.
#[derive(Debug, Serialize, ToSchema)]
struct FollowedBy {
    #[schema(example = "spiffe://cluster.local/ns/dept-barc/sa/orders#00c0ffee00c0ffee")]
    follower: String,
    /// The sequence of the bundle that is in force there.
    in_force: u64,
}

/// A step of a rotation to come.
#[derive(Debug, Serialize, ToSchema)]
struct Next {
    #[schema(example = "prepare")]
    step: String,
    at: String,
}

/// A certificate that the CA issued.
#[derive(Debug, Serialize, ToSchema)]
struct Issued {
    serial: String,
    spiffe_id: String,
    /// `good`, `expired` or `revoked`.
    #[schema(example = "good")]
    state: &'static str,
    not_before: String,
    not_after: String,
    issued_at: String,
    /// SHA-256 of its public key.
    key_sha256: String,
    /// Which generation of the CA signed it.
    generation: u64,
    /// Since when it is taken back, and why.
    revoked: Option<TakenBack>,
}

#[derive(Debug, Serialize, ToSchema)]
struct TakenBack {
    at: String,
    #[schema(example = "key compromise")]
    reason: String,
}

/// Which of the issued certificates are listed.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    /// Those of this identity.
    spiffe_id: Option<String>,
    /// At most so many, the newest first. Default 1000.
    limit: Option<usize>,
}

/// The identity of this process, whom it trusts, and the CA it has
#[utoipa::path(get, path = "/api/v1/certificates", tag = "certificates", params(Filter), responses(
    (status = 200, body = Certificates),
))]
pub(super) async fn show(
    State(shared): State<Shared>,
    filter: Result<Query<Filter>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<Certificates>, Problem> {
    let Query(filter) = filter.map_err(|error| Problem::new(error.status(), error.body_text()))?;
    let in_use = shared.identity.load_full();
    let Some(in_use) = in_use.as_ref() else {
        return Ok(Json(Certificates {
            identity: None,
            authority: None,
        }));
    };
    let now = SystemTime::now();
    let authority = match in_use.ca() {
        Some(ca) => Some(authority(ca, &filter, now).await?),
        None => None,
    };
    Ok(Json(Certificates {
        identity: Some(own(in_use.identity(), now)),
        authority,
    }))
}

fn own(identity: &Identity, now: SystemTime) -> Own {
    let status = identity.status();
    let certificate = &status.certificate;
    let roots = status.trust.roots.iter().map(|root| Root {
        subject: root.subject.clone(),
        not_after: told(root.not_after),
        days_left: days_until(root.not_after, now),
    });
    Own {
        spiffe_id: identity.id().to_string(),
        serial: certificate.serial().to_string(),
        not_before: told(certificate.not_before()),
        not_after: told(certificate.not_after()),
        days_left: days_until(certificate.not_after(), now),
        roots: roots.collect(),
        renewal_due: status.renewal.due.map(told),
        sequence: status.trust.sequence,
        troubles: troubles(identity),
    }
}

async fn authority(ca: &LocalCa, filter: &Filter, now: SystemTime) -> Result<Authority, Problem> {
    let reader = ca.clone();
    // It reads files.
    let read =
        tokio::task::spawn_blocking(move || Ok::<_, CaError>((reader.status()?, reader.issued()?))).await;
    let read = read.map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    let (status, issued) = read?;
    let wanted = |record: &&IssuedRecord| match &filter.spiffe_id {
        Some(id) => record.spiffe_id.as_str() == id,
        None => true,
    };
    let newest = issued
        .iter()
        .rev()
        .filter(wanted)
        .take(filter.limit.unwrap_or(LISTED));
    Ok(Authority {
        trust_domain: ca.trust_domain().to_owned(),
        sequence: status.sequence,
        lists_signed_at: told(status.lists_signed_at),
        generations: status.generations.iter().map(generation).collect(),
        followers: status.followers.iter().map(followed_by).collect(),
        next: status.next.map(|(step, at)| Next {
            step: step.to_string(),
            at: told(at),
        }),
        held: status.held,
        issued_total: issued.len(),
        issued: newest.map(|record| listed(record, now)).collect(),
    })
}

fn followed_by((follower, in_force): &(Follower, u64)) -> FollowedBy {
    FollowedBy {
        follower: follower.to_string(),
        in_force: *in_force,
    }
}

fn generation(generation: &CaGeneration) -> Generation {
    Generation {
        number: generation.number,
        state: generation.state.to_string(),
        since: told(generation.since),
        not_after: told(generation.not_after),
        last_leaf_not_after: generation.last_leaf_not_after.map(told),
    }
}

fn listed(record: &IssuedRecord, now: SystemTime) -> Issued {
    let state = match record.revoked {
        Some(_) => "revoked",
        None if record.not_after < now => "expired",
        None => "good",
    };
    Issued {
        serial: record.serial.to_string(),
        spiffe_id: record.spiffe_id.to_string(),
        state,
        not_before: told(record.not_before),
        not_after: told(record.not_after),
        issued_at: told(record.issued_at),
        key_sha256: record.key_hash.clone(),
        generation: record.generation,
        revoked: record.revoked.map(|(at, reason)| TakenBack {
            at: told(at),
            reason: reason.to_string(),
        }),
    }
}

/// Why a certificate is taken back.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Revoke {
    /// `unspecified`, `key compromise`, `CA compromise`, `affiliation changed`, `superseded`, `cessation of operation` or
    /// `privilege withdrawn`.
    #[schema(example = "key compromise")]
    reason: Option<String>,
}

/// A certificate was taken back.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Revoked {
    serial: String,
    reason: String,
    revoked_at: String,
    /// The number of the first revocation list that holds it.
    crl_number: u64,
    /// The sequence of the first trust bundle with that list: who goes by it refuses the certificate, and has closed the
    /// connections of who showed it.
    sequence: u64,
}

/// Take a certificate back
///
/// When it answers, the revocation is stored, and every process that follows this CA is told. To do it twice changes
/// nothing.
#[utoipa::path(post, path = "/api/v1/certificates/{serial}/revoke", tag = "certificates",
    params(("serial" = String, Path, description = "Its serial number, in hexadecimal, with or without colons")),
    request_body(content = Option<Revoke>),
    responses(
        (status = 200, body = Revoked),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "The CA issued no such certificate"),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "There is no CA here"),
    )
)]
pub(super) async fn revoke(
    State(shared): State<Shared>,
    Path(serial): Path<String>,
    body: Result<Option<Json<Revoke>>, JsonRejection>,
) -> Result<Json<Revoked>, Problem> {
    let ca = ca(&shared)?;
    let bad = |detail: String| Problem::new(StatusCode::BAD_REQUEST, detail);
    let serial: SerialNumber = serial
        .parse()
        .map_err(|error| bad(format!("{serial:?} is no serial number: {error}")))?;
    let wanted = body?.map(|Json(body)| body).unwrap_or_default();
    let mut request = RevokeRequest::new(serial);
    if let Some(reason) = wanted.reason {
        request = request.because(one_of(&reason, "reason", RevocationReason::ALL).map_err(bad)?);
    }
    let revoked = ca.revoke(request).await?;
    tracing::warn!(serial = %revoked.serial, reason = %revoked.reason, "a certificate was revoked by the admin API");
    Ok(Json(Revoked {
        serial: revoked.serial.to_string(),
        reason: revoked.reason.to_string(),
        revoked_at: told(revoked.revoked_at),
        crl_number: revoked.crl_number,
        sequence: revoked.sequence,
    }))
}

/// A step of a rotation of the CA.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rotate {
    /// `prepare`, `activate`, `taint`, `remove` or `abort`; without it, the next one of a planned rotation.
    #[schema(example = "prepare")]
    step: Option<String>,
    /// Whether to take it although proxies have not confirmed, or certificates are still good: those fail.
    #[serde(default)]
    force: bool,
}

/// Take a step of a rotation of the CA
///
/// `prepare` makes the next generation, which everybody trusts and nobody is signed by; `activate` lets it sign, once every
/// proxy trusts it; `remove` ends the trust in the one before, once its last certificate is over. Answers with the
/// generation that the step was about.
#[utoipa::path(post, path = "/api/v1/certificates/rotate", tag = "certificates", request_body = Option<Rotate>, responses(
    (status = 200, body = Generation),
    (status = 409, body = Problem, content_type = "application/problem+json", description = "The step is not possible now, or there is no CA here"),
))]
pub(super) async fn rotate(
    State(shared): State<Shared>,
    body: Result<Option<Json<Rotate>>, JsonRejection>,
) -> Result<Json<Generation>, Problem> {
    let ca = ca(&shared)?;
    let wanted = body?.map(|Json(body)| body).unwrap_or_default();
    let bad = |detail| Problem::new(StatusCode::BAD_REQUEST, detail);
    let step = match &wanted.step {
        Some(step) => one_of(step, "step", RotationStep::ALL).map_err(bad)?,
        None => {
            let reader = ca.clone();
            let status = tokio::task::spawn_blocking(move || reader.status()).await;
            let failed = |error: tokio::task::JoinError| {
                Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
            };
            status.map_err(failed)??.planned_step(SystemTime::now())
        }
    };
    let request = RotateRequest::new(step);
    let request = if wanted.force { request.forced() } else { request };
    let about = ca.rotate(request).await?;
    tracing::warn!(%step, force = wanted.force, generation = about.number, state = %about.state, "the CA was rotated by the admin API");
    Ok(Json(generation(&about)))
}

fn ca(shared: &Shared) -> Result<LocalCa, Problem> {
    let in_use = shared.identity.load();
    let ca = Option::as_ref(&in_use).and_then(InUse::ca);
    ca.cloned().ok_or_else(|| {
        let detail = "this process has no CA: it can be asked where mutualTLS.authority is local, and files or another CA are \
                      to be changed where they come from";
        Problem::new(StatusCode::CONFLICT, detail)
    })
}

/// The one of these that is called so.
fn one_of<T: Copy + ToString>(name: &str, what: &str, all: impl IntoIterator<Item = T>) -> Result<T, String> {
    let all: Vec<(String, T)> = all.into_iter().map(|one| (one.to_string(), one)).collect();
    let same = |known: &str| {
        let letters = |text: &str| text.replace(['_', '-'], " ").to_ascii_lowercase();
        letters(known) == letters(name)
    };
    match all.iter().find(|(known, _)| same(known)) {
        Some((_, one)) => Ok(*one),
        None => {
            let known: Vec<&str> = all.iter().map(|(known, _)| known.as_str()).collect();
            Err(format!(
                "{what}: {name:?} is none: expected one of {}",
                known.join(", ")
            ))
        }
    }
}
