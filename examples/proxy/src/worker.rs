//! One core: a thread, a runtime, the listeners' servers and the services' balancers on it.
//!
//! A socket stays with the runtime that made it, so each worker has connections of its own. What must be
//! counted together (load, limits, metrics) is in the plan, which all workers share.

use std::collections::HashMap;
use std::io;
use std::net::TcpListener as StdListener;
use std::sync::Arc;
use std::thread;

use arc_swap::ArcSwap;
use mesh_core::ServiceName;
use mesh_core::drain::DrainWatcher;
use mesh_core::serve::Server;
use mesh_lb::{Balance, LeastConnections, Maglev, PeakEwma, Random, RingHash, RoundRobin, Weighted};
use mesh_telemetry::metrics::Retry;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::accept::ListenerAccept;
use crate::config::Algorithm;
use crate::inbound::{Connection, Inbound, Serving};
use crate::plan::{ListenerPlan, Plan, ServicePlan};

/// What a worker is told.
enum Order {
    /// Serve by this plan from now on; answer when it does.
    Adopt(Arc<Plan>, oneshot::Sender<()>),
    /// Serve this listener until it drains.
    Listen {
        listener: Box<ListenerPlan>,
        server: Server<ListenerAccept>,
        socket: StdListener,
        drain: DrainWatcher,
    },
}

/// A worker, as the process sees it.
pub struct Worker {
    orders: mpsc::UnboundedSender<Order>,
    ended: oneshot::Receiver<()>,
}

impl Worker {
    /// Starts the thread. It serves nothing before it has adopted a plan.
    ///
    /// # Errors
    /// If the system gives no thread or no event queue.
    pub fn start(index: usize) -> io::Result<Self> {
        let (orders, received) = mpsc::unbounded_channel();
        let (end, ended) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        thread::Builder::new()
            .name(format!("worker-{index}"))
            .spawn(move || {
                runtime.block_on(work(received));
                // The process may be gone already.
                let _ = end.send(());
            })?;
        Ok(Self { orders, ended })
    }

    /// Has the plan adopted. Resolves when every new request is served by it.
    pub async fn adopt(&self, plan: &Arc<Plan>) {
        let (done, adopted) = oneshot::channel();
        self.tell(Order::Adopt(Arc::clone(plan), done));
        if adopted.await.is_err() {
            tracing::error!("a worker thread is gone");
        }
    }

    /// Has a listener served, on a socket that is bound already, until it drains.
    pub fn listen(
        &self,
        listener: ListenerPlan,
        server: Server<ListenerAccept>,
        socket: StdListener,
        drain: DrainWatcher,
    ) {
        self.tell(Order::Listen {
            listener: Box::new(listener),
            server,
            socket,
            drain,
        });
    }

    fn tell(&self, order: Order) {
        if self.orders.send(order).is_err() {
            tracing::error!("a worker thread is gone");
        }
    }

    /// Waits until all its listeners are drained and all connections are closed.
    pub async fn finished(self) {
        drop(self.orders);
        if self.ended.await.is_err() {
            tracing::error!("a worker thread ended by a panic");
        }
    }
}

async fn work(mut orders: mpsc::UnboundedReceiver<Order>) {
    let mut serving: Option<Arc<ArcSwap<Serving>>> = None;
    let mut balancers = Balancers::default();
    let mut servers = JoinSet::new();
    loop {
        let order = tokio::select! {
            order = orders.recv() => order,
            Some(ended) = servers.join_next(), if !servers.is_empty() => {
                log_panic(ended);
                continue;
            }
        };
        match order {
            None => break,
            Some(Order::Adopt(plan, done)) => {
                let next = Serving {
                    balancers: balancers.of(&plan),
                    plan,
                };
                match &serving {
                    Some(serving) => serving.store(Arc::new(next)),
                    None => serving = Some(Arc::new(ArcSwap::from_pointee(next))),
                }
                // Whoever asked may have given up waiting.
                let _ = done.send(());
            }
            Some(Order::Listen {
                listener,
                server,
                socket,
                drain,
            }) => {
                let Some(serving) = serving.clone() else {
                    tracing::error!(listener = %listener.name, "told to listen before there is a plan");
                    continue;
                };
                match TcpListener::from_std(socket) {
                    Ok(socket) => {
                        let inbound = Arc::new(Inbound {
                            listener: *listener,
                            serving,
                            drain: drain.clone(),
                        });
                        servers.spawn(server.drain(drain).serve_with(socket, move |peer| {
                            let connection = Connection::new(&inbound, peer);
                            tower::service_fn(move |request| Arc::clone(&connection).answer(request))
                        }));
                    }
                    Err(error) => {
                        tracing::error!(listener = %listener.name, %error, "the listener cannot be served")
                    }
                }
            }
        }
    }
    while let Some(ended) = servers.join_next().await {
        log_panic(ended);
    }
}

fn log_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a listener's server ended by a panic");
    }
}

/// This worker's balancers, kept from one plan to the next where nothing changed.
#[derive(Default)]
struct Balancers {
    known: HashMap<ServiceName, (ServicePlan, Balance)>,
}

impl Balancers {
    fn of(&mut self, plan: &Plan) -> Vec<Balance> {
        let mut before = std::mem::take(&mut self.known);
        let balancer = |service: &ServicePlan| {
            let balance = match before.remove(&service.name) {
                Some((old, balance)) if service.keeps_balancers_of(&old) => balance,
                Some((old, balance)) if service.keeps_connections_of(&old) => start(service, Some(&balance)),
                _ => start(service, None),
            };
            self.known
                .insert(service.name.clone(), (service.clone(), balance.clone()));
            balance
        };
        plan.services.iter().map(balancer).collect()
    }
}

fn start(service: &ServicePlan, before: Option<&Balance>) -> Balance {
    let (metrics, telemetry) = (Arc::clone(&service.metrics), service.telemetry.clone());
    let mut builder = Balance::builder(service.name.clone())
        .fleet(service.fleet.clone())
        .settings(service.settings.clone())
        .observe(move |attempt| {
            metrics.attempt(attempt.outcome);
            if attempt.number > 1 {
                let failed = attempt.outcome.counts_against_endpoint();
                telemetry
                    .process()
                    .retry(if failed { Retry::Failure } else { Retry::Success });
            }
        });
    if let Some(tls) = &service.tls {
        builder = builder.connect(tls.connector());
    }
    if let Some(before) = before {
        builder = builder.succeeding(before);
    }
    match service.algorithm {
        Algorithm::RoundRobin => builder.balancer(RoundRobin::new()),
        Algorithm::LeastConnections => builder.balancer(LeastConnections::new()),
        Algorithm::Random => builder.balancer(Random::new()),
        Algorithm::Weighted => builder.balancer(Weighted::new()),
        Algorithm::P2cEwma => builder.balancer(PeakEwma::new()),
        Algorithm::RingHash => builder.balancer(RingHash::new(service.hash_key.clone())),
        Algorithm::Maglev => builder.balancer(Maglev::new(service.hash_key.clone())),
    }
    .start()
}
