//! Asks the admin API of a proxy that runs.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Method, Request, StatusCode, Uri};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use mesh_core::body::Body;
use mesh_core::connect::{Connect, HttpProtocol, TcpConnect};
use mesh_core::endpoint::Address;
use mesh_core::{Endpoint, SpiffeId};
use mesh_tls::{Certificate, IdentityFiles, ServerName, TlsConnect, TlsPolicy, pem};
use serde_json::Value;
use tokio::time::timeout;

/// How long a call may take: a decision waits for the disk.
const LIMIT: Duration = Duration::from_secs(30);

/// The longest answer that is read, in bytes.
const LONGEST: usize = 16 << 20;

/// Where the admin API is, and how one shows who one is.
#[derive(Clone, Debug, Args)]
pub(super) struct AdminAt {
    /// The admin API of the proxy, as serviceMesh.admin.bind names it
    #[arg(
        long,
        value_name = "URL",
        env = "MESH_ADMIN",
        default_value = "http://127.0.0.1:9091"
    )]
    admin: Uri,
    /// The file that holds the token, as serviceMesh.admin.tokenFile names it
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// With https: the certificate to show, with its chain
    #[arg(long, value_name = "FILE", requires = "key", requires = "ca")]
    cert: Option<PathBuf>,
    /// With https: the key of that certificate
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// With https: whom to believe; without it, the roots of this machine
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// With https: who the proxy has to prove to be; without it, the host of the URL
    #[arg(long, value_name = "SPIFFE ID", requires = "cert")]
    server_id: Option<SpiffeId>,
}

/// Why a call came to nothing.
#[derive(Debug)]
pub(super) struct CallError(String);

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AdminAt {
    /// Without anything to show, as on this machine.
    pub(super) fn plainly(admin: Uri) -> Self {
        Self {
            admin,
            token_file: None,
            cert: None,
            key: None,
            ca: None,
            server_id: None,
        }
    }

    /// What is there.
    pub(super) async fn get(&self, path: &str) -> Result<Value, CallError> {
        self.call(Method::GET, path, None).await
    }

    /// Has something done.
    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Value, CallError> {
        self.call(Method::POST, path, Some(body)).await
    }

    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, CallError> {
        match timeout(LIMIT, self.asked(method, path, body)).await {
            Ok(answer) => answer,
            Err(_) => Err(CallError(format!(
                "{} did not answer within {}",
                self.admin,
                mesh_core::duration::display(LIMIT)
            ))),
        }
    }

    async fn asked(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, CallError> {
        let (scheme, host) = (self.admin.scheme_str().unwrap_or("http"), self.admin.host());
        let wrong = |why: &str| CallError(format!("{}: {why}", self.admin));
        let host = host.ok_or_else(|| wrong("expected a URL, as http://127.0.0.1:9091"))?;
        let port = self
            .admin
            .port_u16()
            .unwrap_or(if scheme == "https" { 443 } else { 80 });
        let address: Address = format!("{host}:{port}")
            .parse()
            .map_err(|_| wrong("it has no host and port that one could connect to"))?;
        let endpoint = Endpoint::new(address);
        let authority = self
            .admin
            .authority()
            .map_or(host, |authority| authority.as_str());
        let request = self.request(method, authority, path, body).await?;
        match scheme {
            "http" => self.exchange(TcpConnect::new(), &endpoint, request).await,
            "https" => self.exchange(self.tls(host).await?, &endpoint, request).await,
            _ => Err(wrong("expected http or https")),
        }
    }

    async fn request(
        &self,
        method: Method,
        authority: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Request<Body>, CallError> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/api/v1/{path}"))
            .header(HOST, authority)
            .header(ACCEPT, "application/json");
        if let Some(file) = &self.token_file {
            let token = tokio::fs::read_to_string(file).await;
            let token = token.map_err(|error| CallError(format!("{}: {error}", file.display())))?;
            let mut value = http::HeaderValue::try_from(format!("Bearer {}", token.trim()))
                .map_err(|_| CallError(format!("{}: it holds no token", file.display())))?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        let body = match body {
            Some(body) => {
                request = request.header(CONTENT_TYPE, "application/json");
                Body::full(body.to_string())
            }
            None => Body::empty(),
        };
        request.body(body).map_err(|error| CallError(error.to_string()))
    }

    async fn tls(&self, host: &str) -> Result<TlsConnect, CallError> {
        let told = |error: &dyn fmt::Display| CallError(format!("{}: {error}", self.admin));
        let name = || {
            let host = host.trim_matches(['[', ']']).to_owned();
            ServerName::try_from(host).map_err(|error| told(&error))
        };
        let read = async |path: &PathBuf| {
            let text = tokio::fs::read(path).await;
            let text = text.map_err(|error| CallError(format!("{}: {error}", path.display())))?;
            pem::certificates(&text).map_err(|error| CallError(format!("{}: {error}", path.display())))
        };
        let connect = match (&self.cert, &self.key, &self.ca) {
            (Some(cert), Some(key), Some(ca)) => {
                let chain = read(cert).await?;
                let own = chain.first().map(Certificate::parse).transpose();
                let own = own.map_err(|error| told(&error))?;
                let id = own.as_ref().map(Certificate::spiffe_id).transpose();
                let id = id.map_err(|error| told(&error))?.cloned();
                let id =
                    id.ok_or_else(|| CallError(format!("{}: it holds no certificate", cert.display())))?;
                let identity = IdentityFiles::new(cert, key, ca).start(id).await;
                let identity = identity.map_err(|error| told(&error))?;
                match &self.server_id {
                    Some(server) => identity.connect_to(server.clone()),
                    None => identity.connect_to_name(name()?),
                }
            }
            (_, _, ca) => {
                let roots = match ca {
                    Some(ca) => read(ca).await?,
                    None => mesh_tls::system_roots(),
                };
                let connect = TlsConnect::external(name()?, roots, &TlsPolicy::default());
                connect.map_err(|error| told(&error))?
            }
        };
        Ok(connect.with_protocols([HttpProtocol::Http1]))
    }

    async fn exchange(
        &self,
        connect: impl Connect,
        endpoint: &Endpoint,
        request: Request<Body>,
    ) -> Result<Value, CallError> {
        let connected = connect.connect(endpoint).await.map_err(|error| {
            CallError(format!(
                "the admin API at {} cannot be reached: {error}\n  does the proxy run, and does its serviceMesh.admin.bind say \
                 this address? --admin URL names another",
                self.admin
            ))
        })?;
        let broke = |error: &dyn fmt::Display| CallError(format!("{} did not answer: {error}", self.admin));
        let (mut sender, connection) = http1::handshake(TokioIo::new(connected.io))
            .await
            .map_err(|error| broke(&error))?;
        let answer = async {
            let response = sender
                .send_request(request)
                .await
                .map_err(|error| broke(&error))?;
            let status = response.status();
            let body = axum::body::to_bytes(axum::body::Body::new(response.into_body()), LONGEST).await;
            Ok((status, body.map_err(|error| broke(&error))?))
        };
        // The answer does not come unless the connection is polled beside it.
        let (mut answer, mut connection) = (std::pin::pin!(answer), std::pin::pin!(connection));
        let (status, body) = tokio::select! {
            biased;
            answer = &mut answer => answer,
            _ = &mut connection => answer.await,
        }?;
        self.read(status, &body)
    }

    fn read(&self, status: StatusCode, body: &[u8]) -> Result<Value, CallError> {
        let answer: Option<Value> = serde_json::from_slice(body).ok();
        match answer {
            Some(answer) if status.is_success() => Ok(answer),
            Some(problem) if problem["detail"].is_string() => {
                let detail = problem["detail"].as_str().unwrap_or_default();
                let hint = match status {
                    StatusCode::UNAUTHORIZED => " (--token-file FILE shows one)",
                    _ => "",
                };
                Err(CallError(format!("{detail}{hint}")))
            }
            _ => Err(CallError(format!(
                "{} answered {status}, and not as the admin API of a proxy does",
                self.admin
            ))),
        }
    }
}
