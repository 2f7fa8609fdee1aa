//! `POST /v1/certificates`: a certificate for who proves to be somebody.

use std::sync::Arc;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use mesh_core::PeerInfo;
use mesh_core::body::Body;
use tokio::time::timeout;

use super::bundle::refused;
use super::{Inner, json, told};
use crate::authority::{CaError, CaErrorKind, CertAuthority, CertRequest, IssuedCert, TrustBundle};
use crate::certificate::Certificate;
use crate::hash::sha256;
use crate::remote::flight::{Boarding, landed};
use crate::remote::problem::Refusal;
use crate::remote::renewals::Standing;
use crate::remote::wire::{Ask, Issued, MAX_REQUEST, Unreadable};
use crate::remote::{Attested, Attestor, ProofKind};

/// What came of a request, for all who asked the same.
pub(super) type Outcome = Result<Arc<(IssuedCert, TrustBundle)>, Refusal>;

impl Inner {
    pub(super) async fn certificate(
        self: &Arc<Self>,
        request: Request<Body>,
        peer: Arc<PeerInfo>,
    ) -> Result<Response<Body>, Refusal> {
        let places = match peer.is_mtls() {
            true => &self.requests,
            false => &self.requests_of_newcomers,
        };
        let Ok(_place) = places.try_acquire() else {
            tracing::warn!(
                most = self.limits.requests,
                "a request for a certificate is sent away: too many are under way"
            );
            return Err(Refusal::busy());
        };
        let ask = self.read(request).await?;
        let issued = if ask.proof.kind() == &ProofKind::CERTIFICATE {
            Arc::clone(self).renew(ask, &peer).await?
        } else {
            Arc::clone(self).join(ask, peer).await?
        };
        json(StatusCode::CREATED, &Issued::of(&issued.0, &issued.1))
    }

    async fn read(&self, request: Request<Body>) -> Result<Ask, Refusal> {
        let too_large = |detail: String| Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail);
        let most = format!("expected a request of at most {MAX_REQUEST} bytes");
        let is_json = request.headers().get(CONTENT_TYPE).is_some_and(|kind| {
            let kind = kind
                .as_bytes()
                .split(|byte| *byte == b';')
                .next()
                .unwrap_or_default();
            kind.trim_ascii().eq_ignore_ascii_case(b"application/json")
        });
        if !is_json {
            let detail = "expected content-type: application/json";
            return Err(Refusal::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "media_type",
                detail,
            ));
        }
        let body = request.into_body();
        // What says that it is too large is refused before a byte of it is read.
        if http_body::Body::size_hint(&body).lower() > MAX_REQUEST as u64 {
            return Err(too_large(most));
        }
        let body = match timeout(self.limits.body, Limited::new(body, MAX_REQUEST).collect()).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => return Err(too_large(most)),
            Ok(Err(_)) => {
                return Err(Refusal::new(
                    StatusCode::BAD_REQUEST,
                    "invalid_request",
                    "the body broke off",
                ));
            }
            Err(_) => {
                let detail = format!("the body took longer than {:?}", self.limits.body);
                return Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "timeout", detail));
            }
        };
        Ask::read(&body).map_err(|unreadable| match unreadable {
            Unreadable::TooLarge(detail) => too_large(detail),
            Unreadable::Malformed(detail) => Refusal::new(StatusCode::BAD_REQUEST, "invalid_request", detail),
        })
    }

    /// By the certificate that was shown. The same request while one is under way gets the same answer, another one about
    /// the same certificate none.
    async fn renew(self: Arc<Self>, ask: Ask, peer: &Arc<PeerInfo>) -> Outcome {
        let bundle = self.current_bundle().await?;
        let standing = self.renewals.standing(peer, &bundle).await;
        let standing = standing.map_err(|error| refused("a renewal", peer, &error))?;
        let answer = match self.under_way.board(&standing.serial, &sha256(&ask.csr)) {
            Boarding::Same(answer) => answer,
            Boarding::Other => {
                let error = CaError::new(
                    CaErrorKind::Conflict,
                    "the certificate is being renewed with another key",
                )
                .with_retry_after(Duration::from_secs(1));
                return Err(refused("a renewal", peer, &error));
            }
            Boarding::First(pilot) => {
                let (peer, inner) = (Arc::clone(peer), Arc::clone(&self));
                // On its own: who goes away in the middle leaves nothing half done.
                let task = tokio::spawn(async move {
                    let outcome = inner.renew_now(ask, &standing, &peer, bundle).await;
                    pilot.answer(outcome.clone());
                    outcome
                });
                return task.await.unwrap_or_else(|error| Err(broken(&error)));
            }
        };
        landed(answer).await.unwrap_or_else(|| Err(Refusal::busy()))
    }

    async fn renew_now(
        &self,
        ask: Ask,
        standing: &Standing,
        peer: &PeerInfo,
        bundle: TrustBundle,
    ) -> Outcome {
        let left = standing
            .not_after
            .duration_since(self.clock.now())
            .unwrap_or_default();
        self.members.admit(left).await.map_err(Refusal::throttled)?;
        let mut attested = Attested::new(standing.id.clone());
        attested.dns_names.clone_from(&standing.dns_names);
        self.issue(ask, &attested, Some(standing), peer, bundle)
            .await
            .map_err(|error| refused("a renewal", peer, &error))
    }

    /// By a proof that an attestor believes.
    async fn join(self: Arc<Self>, ask: Ask, peer: Arc<PeerInfo>) -> Outcome {
        self.newcomers.admit(Duration::MAX).await.map_err(|wait| {
            tracing::warn!(peer = %told(&peer), "a join is sent away: too many ask");
            Refusal::throttled(wait)
        })?;
        let bundle = self.current_bundle().await?;
        let task = tokio::spawn(async move { self.join_now(ask, &peer, bundle).await });
        task.await.unwrap_or_else(|error| Err(broken(&error)))
    }

    async fn join_now(&self, ask: Ask, peer: &PeerInfo, bundle: TrustBundle) -> Outcome {
        let kind = ask.proof.kind().clone();
        let denied = |error: &CaError| {
            tracing::warn!(peer = %told(peer), proof = %kind, %error, "a certificate is refused");
            Refusal::of(error)
        };
        let attested = self
            .attestor
            .attest(&ask.proof, peer)
            .await
            .map_err(|error| denied(&error))?;
        let issued = self.issue(ask, &attested, None, peer, bundle).await;
        match issued {
            Ok(issued) => Ok(issued),
            Err(error) => {
                self.attestor.give_back(&attested).await;
                Err(denied(&error))
            }
        }
    }

    async fn issue(
        &self,
        ask: Ask,
        attested: &Attested,
        replaces: Option<&Standing>,
        peer: &PeerInfo,
        bundle: TrustBundle,
    ) -> Result<Arc<(IssuedCert, TrustBundle)>, CaError> {
        let ttl = Duration::from_secs(ask.ttl_seconds);
        let longest = attested.longest.unwrap_or(self.limits.lifetime);
        let ttl = ttl.min(longest).min(self.limits.lifetime);
        let mut request = CertRequest::new(ask.csr, attested.spiffe_id.clone(), ttl)?;
        request.dns_names.clone_from(&attested.dns_names);
        let cert = self.authority.issue(request).await?;
        let (id, names) = (&attested.spiffe_id, &attested.dns_names);
        let replaces = replaces.map(|standing| standing.serial);
        self.renewals
            .issued(cert.serial(), id, names, cert.not_after(), replaces)
            .await?;
        let leaf = Certificate::parse(cert.leaf())
            .map_err(|error| CaError::new(CaErrorKind::Internal, error.to_string()))?;
        tracing::info!(
            target: "mesh_tls::audit",
            %id,
            serial = %cert.serial(),
            key = %sha256(&leaf.spki),
            proof = %ask.proof.kind(),
            replaces = replaces.map(tracing::field::display),
            peer = %told(peer),
            "a certificate is handed out"
        );
        Ok(Arc::new((cert, bundle)))
    }
}

fn broken(error: &tokio::task::JoinError) -> Refusal {
    tracing::error!(%error, "the signing of a certificate ended without a result");
    Refusal::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "internal",
        "the CA cannot sign now; why stands in its log",
    )
}
