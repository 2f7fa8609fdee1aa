//! A copy that was begun, and the request it is of.

use bytes::Bytes;
use http::Request;
use http_body::Body;
use mesh_core::body::Body as MeshBody;
use tokio::time::Instant;

use super::counts::Ending;
use super::handle::Mirror;
use super::mirrored::{MirroredRequest, copied};
use super::pipe::Pipe;
use super::tee::TeeBody;

/// Leave to send one copy.
#[derive(Debug)]
#[must_use = "dropped, it counts as a copy that failed"]
pub struct Begun {
    ticket: Ticket,
    deadline: Instant,
}

impl Begun {
    pub(super) fn new(ticket: Ticket, deadline: Instant) -> Self {
        Self { ticket, deadline }
    }

    /// The request as it was, whose body tells its copy what it brings; and the copy.
    pub fn tee<B: Body<Data = Bytes>>(self, request: Request<B>) -> (Request<TeeBody<B>>, MirroredRequest) {
        let mut copy = copied(&request, self.deadline);
        if request.body().is_end_stream() {
            let copy = MirroredRequest::new(copy, None, self.ticket, self.deadline);
            return (request.map(TeeBody::plain), copy);
        }
        let (writer, reader, watch) = Pipe::new(self.ticket.mirror().buffer(), request.body().size_hint());
        *copy.body_mut() = MeshBody::new(reader);
        let copy = MirroredRequest::new(copy, Some(watch), self.ticket, self.deadline);
        (request.map(|body| TeeBody::telling(body, writer)), copy)
    }
}

/// A place among those under way, until it is told how the copy ended.
#[derive(Debug)]
pub(super) struct Ticket {
    mirror: Mirror,
    ending: Ending,
}

impl Ticket {
    pub(super) fn new(mirror: Mirror) -> Self {
        Self {
            mirror,
            ending: Ending::Failed,
        }
    }

    pub(super) fn mirror(&self) -> &Mirror {
        &self.mirror
    }

    pub(super) fn end(mut self, ending: Ending) {
        self.ending = ending;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.mirror.leave(self.ending);
    }
}
