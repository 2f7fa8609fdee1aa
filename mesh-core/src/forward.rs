//! What is done to a request before it goes on, and to its response before it goes back: the two hops' fields
//! are kept apart, and the mesh's own are set.

use http::header::{CONNECTION, HeaderValue, UPGRADE};
use http::request::Parts;
use http::{Response, StatusCode, Version};
use hyper::upgrade::OnUpgrade;

use crate::context::MeshContext;
use crate::edge::Facts;
use crate::error::{Error, ErrorKind};
use crate::forwarded::{
    Believed, PeerMarks, RequestMarks, TargetMarks, inherit, mark_request, mark_response,
};
use crate::hop;
use crate::reject::{RejectBody, reject};

/// A request of which what is for this hop only, and what is not believed, was taken.
#[derive(Debug)]
pub struct Received {
    /// What it told that is believed.
    pub believed: Believed,
    /// The client's side of the upgrade it asks for, if it asks for a WebSocket and that is allowed. Any
    /// other upgrade was removed: the request goes on as an ordinary one.
    pub upgrade: Option<OnUpgrade>,
}

/// A request that is ready to go on.
#[derive(Debug)]
pub struct Outgoing {
    /// What its response is to tell again.
    pub marks: RequestMarks,
    /// The client's side of the WebSocket it asks for.
    pub upgrade: Option<OnUpgrade>,
}

/// Takes from a request that the [edge](crate::edge) admitted what ends here. Call it before the rules: they
/// are to decide on what is forwarded.
///
/// # Errors
/// [`ErrorKind::BadRequest`] if `Connection` names what is not for one hop.
pub fn receive(
    parts: &mut Parts,
    facts: Facts,
    context: &mut MeshContext,
    peer: &PeerMarks,
    allow_websocket: bool,
) -> Result<Received, Error> {
    let websocket = facts.asks_for_upgrade() && allow_websocket && hop::asks_for_websocket(parts, facts);
    let upgrade = if websocket {
        parts.extensions.remove::<OnUpgrade>()
    } else {
        None
    };
    hop::strip_request(&mut parts.headers, facts)?;
    let believed = inherit(&mut parts.headers, facts, peer, context);
    Ok(Received { believed, upgrade })
}

/// Sets what the request carries to where it goes.
pub fn prepare(
    parts: &mut Parts,
    received: Received,
    context: &MeshContext,
    peer: &PeerMarks,
    target: &TargetMarks,
) -> Outgoing {
    let Received { believed, upgrade } = received;
    let marks = mark_request(&mut parts.headers, believed, context, peer, target);
    if upgrade.is_some() {
        websocket_fields(&mut parts.headers);
    }
    Outgoing { marks, upgrade }
}

/// Refuses a request, with what each response of the mesh carries. Behind one that is not what HTTP allows nothing is
/// believed either: over HTTP/1.1 its connection ends.
pub fn refuse<B>(
    error: &Error,
    grpc: bool,
    version: Version,
    marks: RequestMarks,
    peer: &PeerMarks,
) -> Response<RejectBody<B>> {
    let mut response = reject(error, grpc);
    mark_response(response.headers_mut(), marks, peer);
    if error.kind() == ErrorKind::BadRequest && version != Version::HTTP_2 {
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Fits a response to go back.
///
/// # Errors
/// [`ErrorKind::UpstreamReset`] for a switch of protocols nobody asked for, and for a body that ends in two
/// ways.
pub fn finish<B>(response: &mut Response<B>, marks: RequestMarks, peer: &PeerMarks) -> Result<(), Error> {
    hop::check_response(response.status(), response.version(), response.headers(), false)?;
    finish_checked(response, marks, peer);
    Ok(())
}

/// The same for a response that was [checked](hop::check_response) already.
pub fn finish_checked<B>(response: &mut Response<B>, marks: RequestMarks, peer: &PeerMarks) {
    *response.version_mut() = http::Version::HTTP_11;
    hop::strip_response(response.status(), response.headers_mut());
    mark_response(response.headers_mut(), marks, peer);
}

/// Fits a response to an upgrade to go back, and takes the endpoint's side of the tunnel out of it.
///
/// # Errors
/// [`ErrorKind::UpstreamReset`] if the endpoint agreed to another protocol than the WebSocket it was asked for.
pub fn finish_upgrade<B>(
    response: &mut Response<B>,
    marks: RequestMarks,
    peer: &PeerMarks,
) -> Result<Option<OnUpgrade>, Error> {
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return finish(response, marks, peer).map(|()| None);
    }
    let websocket = response
        .headers()
        .get(UPGRADE)
        .is_some_and(|u| u.as_bytes().eq_ignore_ascii_case(b"websocket"));
    let upgrade = response
        .extensions_mut()
        .remove::<OnUpgrade>()
        .filter(|_| websocket);
    let Some(upgrade) = upgrade else {
        return Err(Error::new(
            ErrorKind::UpstreamReset,
            "the endpoint switched to another protocol than WebSocket",
        ));
    };
    hop::strip_response(response.status(), response.headers_mut());
    mark_response(response.headers_mut(), marks, peer);
    websocket_fields(response.headers_mut());
    Ok(Some(upgrade))
}

fn websocket_fields(headers: &mut http::HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
}
