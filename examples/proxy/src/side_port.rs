//! Ports of this process beside its listeners: for what is asked of the process itself.

use std::net::{SocketAddr, TcpListener as StdListener};

use bytes::Bytes;
use http::{Request, Response};
use mesh_core::BoxError;
use mesh_core::body::Body;
use mesh_core::drain::{DrainTrigger, drain};
use mesh_core::serve::{ServeLimits, Server};
use mesh_tls::{ClientCerts, Identity};
use tokio::net::TcpListener;
use tower::Service;

use crate::accept::ListenerAccept;
use crate::config::ListenerTls;

/// A port that is being served. Dropped, it takes nothing more, and what is under way there is finished.
pub struct SidePort {
    wanted: Wanted,
    socket: StdListener,
    drain: DrainTrigger,
}

/// What a port is to be.
#[derive(Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its address.
    pub bind: SocketAddr,
    /// As whom TLS is spoken there, and what a client has to show; `None`: plaintext.
    pub tls: Option<(ClientCerts, Identity)>,
}

/// A port that is bound: nothing can refuse any more.
pub struct Ready {
    wanted: Wanted,
    socket: StdListener,
    listener: TcpListener,
    accept: ListenerAccept,
}

impl Wanted {
    /// Binds it, unless it is served as it is wanted: `None`.
    ///
    /// # Errors
    /// The address is taken, or the system refuses.
    pub fn prepare(
        self,
        serving: Option<&SidePort>,
        bind: impl FnOnce(SocketAddr) -> Result<StdListener, String>,
    ) -> Result<Option<Ready>, String> {
        if serving.is_some_and(|serving| serving.wanted == self) {
            return Ok(None);
        }
        let failed = |error: std::io::Error| format!("{} cannot be served: {error}", self.bind);
        let socket = match serving.filter(|serving| serving.wanted.bind == self.bind) {
            Some(serving) => serving.socket.try_clone().map_err(failed)?,
            None => bind(self.bind)?,
        };
        let listener = socket
            .try_clone()
            .and_then(TcpListener::from_std)
            .map_err(failed)?;
        let accept = match &self.tls {
            None => ListenerAccept::new(ListenerTls::Off, ClientCerts::Optional, None)?,
            Some((certs, own)) => ListenerAccept::new(ListenerTls::Strict, *certs, Some(own))?,
        };
        Ok(Some(Ready {
            wanted: self,
            socket,
            listener,
            accept,
        }))
    }
}

impl Ready {
    /// Begins to serve. `what` is what the log calls it.
    pub fn serve<S, B>(self, what: &'static str, limits: ServeLimits, service: S) -> SidePort
    where
        S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send + 'static,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (trigger, watcher) = drain();
        let address = self.listener.local_addr().unwrap_or(self.wanted.bind);
        tracing::info!(%address, tls = self.wanted.tls.is_some(), "serving {what}");
        let server = Server::accepting(self.accept).limits(limits).drain(watcher);
        tokio::spawn(server.serve(self.listener, service));
        SidePort {
            wanted: self.wanted,
            socket: self.socket,
            drain: trigger,
        }
    }
}

impl Drop for SidePort {
    fn drop(&mut self) {
        self.drain.start();
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::sync::Notify;

    use super::*;

    fn bound(address: SocketAddr) -> Result<StdListener, String> {
        let socket = StdListener::bind(address).map_err(|error| error.to_string())?;
        socket.set_nonblocking(true).map_err(|error| error.to_string())?;
        Ok(socket)
    }

    #[tokio::test]
    async fn what_is_under_way_when_a_port_is_given_up_is_answered_and_nothing_more_is_taken() {
        let bind = "127.0.0.1:0".parse().expect("an address");
        let wanted = Wanted { bind, tls: None };
        let ready = wanted.clone().prepare(None, bound).expect("bound").expect("new");
        let address = ready.listener.local_addr().expect("bound");
        let (came, answer) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (told, awaited) = (Arc::clone(&came), Arc::clone(&answer));
        let service = tower::service_fn(move |_: Request<Body>| {
            let (told, awaited) = (Arc::clone(&told), Arc::clone(&awaited));
            async move {
                told.notify_one();
                awaited.notified().await;
                Ok::<_, Infallible>(Response::new(Body::full("answered")))
            }
        });
        let port = ready.serve("a test", ServeLimits::default(), service);
        let stays = wanted.prepare(Some(&port), |_| Err("bound already".into()));
        assert!(stays.expect("nothing to do").is_none());

        let mut client = TcpStream::connect(address).await.expect("served");
        client
            .write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
            .await
            .expect("sent");
        came.notified().await;
        drop(port);
        answer.notify_one();
        let mut text = String::new();
        client
            .read_to_string(&mut text)
            .await
            .expect("answered, and closed");
        assert!(
            text.starts_with("HTTP/1.1 200 ") && text.ends_with("answered"),
            "{text}"
        );
        let refused = async { while TcpStream::connect(address).await.is_ok() {} };
        refused.await;
    }
}
