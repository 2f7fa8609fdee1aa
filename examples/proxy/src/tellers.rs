//! Who is told of requests: collectors of spans, and the access log. What is the same in the next configuration goes on.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use http::HeaderValue;
use mesh_core::ServiceName;
use mesh_core::context::{Direction, Target};
use mesh_core::trace::SampleRatio;
use mesh_telemetry::Telemetry;
use mesh_telemetry::access_log::{AccessLog, LineFormat, LineQueue, LineWriter};
use mesh_telemetry::story::{Place, Teller};
use mesh_telemetry::trace::{Destination, Exporter, Sampling, SpanQueue, Tracer};
use mesh_tls::{CertificateDer, ServerName, TlsConnect, TlsPolicy, pem};
use tokio::time::Instant;

use crate::config::{self, HeaderSource, LogFormat, Mesh, OtlpProtocol};

/// How long the end of the process waits for collectors and for whoever reads the log.
const FLUSH: Duration = Duration::from_secs(5);

/// Who is told.
#[derive(Default)]
pub struct Tellers {
    collectors: Vec<Collector>,
    /// Those that are not told any more, and still send what they were told.
    before: Vec<Exporter>,
    lines: Option<(LineQueue, Arc<LineWriter>)>,
    log: Arc<ArcSwapOption<AccessLog>>,
}

/// Where spans go, and as what.
#[derive(Clone, PartialEq)]
struct Address {
    to: Destination,
    /// Believed beside those of this machine.
    roots: Vec<CertificateDer<'static>>,
    namespace: Box<str>,
}

struct Collector {
    address: Address,
    queue: SpanQueue,
    exporter: Exporter,
}

/// Who is told by one configuration; by default nobody.
#[derive(Default)]
pub struct Compiled {
    /// For each that is told, its queue; and the exporter, if it is a new one.
    collectors: Vec<(Address, SpanQueue, Option<Exporter>)>,
    lines: Option<(LineQueue, Arc<LineWriter>)>,
    tracer: Option<Tracer>,
    log: Option<AccessLog>,
}

/// What is told of the requests for one target.
pub struct Told {
    /// Their spans belong to the service they are for where they come in; where the sender is the application beside this
    /// process, to that.
    places: [Place; 2],
}

impl Told {
    /// Of the requests of a listener.
    pub fn place(&self, direction: Direction) -> &Place {
        let [inbound, outbound] = &self.places;
        match direction {
            Direction::Inbound => inbound,
            Direction::Outbound => outbound,
        }
    }
}

impl Tellers {
    /// Who is told by a configuration.
    ///
    /// # Errors
    /// A collector's address is none, or the system gives no thread.
    pub fn compile(&self, mesh: &Mesh, telemetry: &Telemetry) -> Result<Compiled, String> {
        let config::Telemetry {
            otlp,
            jaeger,
            access_log,
            ..
        } = &mesh.telemetry;
        let mut compiled = Compiled {
            collectors: Vec::new(),
            lines: None,
            tracer: None,
            log: None,
        };
        let address = |to, roots| Address {
            to,
            roots,
            namespace: mesh.namespace.as_str().into(),
        };
        let mut queues = Vec::new();
        let mut sampling = Sampling::new(SampleRatio::ALWAYS);
        if let Some(otlp) = otlp {
            let to = match otlp.protocol {
                OtlpProtocol::Http => Destination::otlp_http(otlp.endpoint.as_str()),
                OtlpProtocol::Grpc => Destination::otlp_grpc(otlp.endpoint.as_str()),
            };
            let mut to = to.map_err(|error| wrong("otlp", &error))?;
            for (name, source) in &otlp.headers {
                let value =
                    value(source).map_err(|why| wrong("otlp", &format_args!("headers.{name}: {why}")))?;
                to = to.with_header(name.clone(), value);
            }
            let roots = otlp.ca.as_deref().map_or(Ok(Vec::new()), roots_of);
            let address = address(to, roots.map_err(|error| wrong("otlp", &error))?);
            queues.push(self.collector(&mut compiled, address, telemetry)?);
            sampling = Sampling::new(SampleRatio::new(otlp.sample_ratio.get())).slow(otlp.slow);
        }
        if let Some(jaeger) = jaeger {
            let to = Destination::jaeger(jaeger.endpoint.as_str());
            let to = to.map_err(|error| wrong("jaeger", &error))?;
            queues.push(self.collector(&mut compiled, address(to, Vec::new()), telemetry)?);
        }
        if !queues.is_empty() {
            compiled.tracer = Some(Tracer::new(sampling, queues));
        }
        if let Some(log) = access_log {
            let lines = match &self.lines {
                Some(lines) => lines.clone(),
                None => {
                    let started = LineWriter::start(std::io::stdout(), telemetry);
                    let (queue, writer) = started.map_err(|error| wrong("accessLog", &error))?;
                    (queue, Arc::new(writer))
                }
            };
            let format = match log.format {
                LogFormat::Json => LineFormat::Json,
                LogFormat::Text => LineFormat::Text,
            };
            let to = AccessLog::new(lines.0.clone(), format);
            let to = to.sample(SampleRatio::new(log.sample.get())).query(log.query);
            compiled.log = Some(to);
            compiled.lines = Some(lines);
        }
        Ok(compiled)
    }

    fn collector(
        &self,
        compiled: &mut Compiled,
        address: Address,
        telemetry: &Telemetry,
    ) -> Result<SpanQueue, String> {
        if let Some(known) = self.collectors.iter().find(|known| known.address == address) {
            let queue = known.queue.clone();
            compiled.collectors.push((address, queue.clone(), None));
            return Ok(queue);
        }
        let exporter = Exporter::to(address.to.clone()).namespace(&address.namespace);
        let (queue, exporter) = match address.to.is_secure() {
            false => exporter.start(telemetry),
            true => exporter.connect(secure(&address)?).start(telemetry),
        };
        compiled.collectors.push((address, queue.clone(), Some(exporter)));
        Ok(queue)
    }

    /// The access log in use, if there is one: for what becomes no request.
    pub fn log(&self) -> Arc<ArcSwapOption<AccessLog>> {
        Arc::clone(&self.log)
    }

    /// Tells these and no others.
    pub fn adopt(&mut self, compiled: Compiled) {
        let Compiled {
            collectors,
            lines,
            log,
            ..
        } = compiled;
        let mut known = std::mem::take(&mut self.collectors);
        for (address, queue, exporter) in collectors {
            let place = known.iter().position(|known| known.address == address);
            match (exporter, place) {
                (Some(exporter), _) => self.collectors.push(Collector {
                    address,
                    queue,
                    exporter,
                }),
                (None, Some(place)) => self.collectors.push(known.swap_remove(place)),
                // It is one of those that are known.
                (None, None) => {}
            }
        }
        // They end by themselves when the last request is over that is told to them.
        self.before.retain(|exporter| !exporter.is_finished());
        self.before.extend(known.into_iter().map(|known| known.exporter));
        self.lines = lines.or_else(|| self.lines.take());
        self.log.store(log.map(Arc::new));
    }

    /// Has all sent and written that there is, within a bounded time.
    pub async fn close(self) {
        let until = Instant::now() + FLUSH;
        let collectors = self.collectors.into_iter().map(|collector| collector.exporter);
        for exporter in self.before.into_iter().chain(collectors) {
            if !exporter.close(until).await {
                tracing::warn!("spans are lost: their collector did not take them in time");
            }
        }
        if let Some((_, lines)) = self.lines
            && !lines.flushed(until).await
        {
            tracing::warn!("lines of the access log are lost: nobody read them in time");
        }
    }
}

impl Compiled {
    /// What is told of the requests for a service, of which spans are made or not; by this process, which is `own`.
    pub fn of(&self, target: Option<&Target>, spans: bool, own: &ServiceName) -> Option<Told> {
        let tracer = self.tracer.clone().filter(|_| spans);
        let teller = Teller::new().tracer(tracer).access_log(self.log.clone());
        let service = target.map_or(own, |target| &target.service);
        let place = |service: &ServiceName| Place::new(teller.clone(), service.shared(), target.cloned());
        (!teller.is_silent()).then(|| Told {
            places: [service, own].map(place),
        })
    }
}

/// A collector is an outside service: it proves its name.
fn secure(address: &Address) -> Result<TlsConnect, String> {
    let host = address.to.host();
    let name = ServerName::try_from(host.to_owned());
    let name = name.map_err(|_| wrong("otlp", &format_args!("{host} cannot be verified")))?;
    let roots = mesh_tls::system_roots()
        .into_iter()
        .chain(address.roots.iter().cloned());
    let connect = TlsConnect::external(name, roots, &TlsPolicy::default());
    let connect = connect.map_err(|error| wrong("otlp", &error))?;
    Ok(connect.with_protocols([address.to.protocol()]))
}

fn roots_of(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let wrong = |error: &dyn fmt::Display| format!("ca: {}: {error}", path.display());
    let text = std::fs::read(path).map_err(|error| wrong(&error))?;
    pem::certificates(&text).map_err(|error| wrong(&error))
}

/// The value of a field. What is wrong with it is told without it.
fn value(source: &HeaderSource) -> Result<HeaderValue, String> {
    let (text, place) = match source {
        HeaderSource::Value(value) => return Ok(value.clone()),
        HeaderSource::File(path) => {
            let place = path.display().to_string();
            let text = std::fs::read(path).map_err(|error| format!("{place}: {error}"))?;
            (text, place)
        }
        HeaderSource::Env(name) => {
            let text =
                std::env::var_os(&**name).ok_or_else(|| format!("{name} is not in the environment"))?;
            (text.into_encoded_bytes(), name.to_string())
        }
    };
    match text.trim_ascii() {
        [] => Err(format!("{place} is empty")),
        text => HeaderValue::from_bytes(text).map_err(|_| format!("{place} holds more than one line")),
    }
}

fn wrong(part: &str, error: &dyn fmt::Display) -> String {
    format!("telemetry.{part}: {error}")
}
