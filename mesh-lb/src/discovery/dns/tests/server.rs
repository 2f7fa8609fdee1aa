//! A name server on loopback that answers what a test tells it to.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hickory_resolver::proto::op::{Message, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::{CNAME, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use parking_lot::Mutex;
use tokio::net::UdpSocket;
use tokio::sync::watch;

use crate::discovery::task::Task;

#[derive(Clone, Debug)]
pub(super) enum Reply {
    /// These answers, and additional records.
    Records(Vec<Record>, Vec<Record>),
    Code(ResponseCode),
    Silence,
}

pub(super) const EMPTY: Reply = Reply::Records(Vec::new(), Vec::new());
pub(super) const SERVFAIL: Reply = Reply::Code(ResponseCode::ServFail);
pub(super) const NXDOMAIN: Reply = Reply::Code(ResponseCode::NXDomain);

#[derive(Default)]
struct Zone {
    replies: HashMap<(Name, RecordType), Reply>,
    asked: HashMap<(Name, RecordType), usize>,
}

pub(super) struct Server {
    pub(super) address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    asked: watch::Receiver<usize>,
    _task: Task,
}

impl Server {
    pub(super) async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        let address = socket.local_addr().expect("an address");
        let zone = Arc::new(Mutex::new(Zone::default()));
        let (tell, asked) = watch::channel(0);
        let task = Task::start(serve(socket, Arc::clone(&zone), tell));
        Self {
            address,
            zone,
            asked,
            _task: task,
        }
    }

    /// From now on it answers so. A name of which nothing was said has no records; an unknown one is NXDOMAIN.
    pub(super) fn set(&self, of: &str, kind: RecordType, reply: Reply) {
        self.zone.lock().replies.insert((name(of), kind), reply);
    }

    /// The addresses of a name, both families, good for this many seconds.
    pub(super) fn set_addresses(&self, of: &str, ttl: u32, addresses: &[&str]) {
        let records = |kind| {
            let records = addresses.iter().map(|address| address_record(of, ttl, address));
            records.filter(|record| record.record_type() == kind).collect()
        };
        for kind in [RecordType::A, RecordType::AAAA] {
            self.set(of, kind, Reply::Records(records(kind), Vec::new()));
        }
    }

    /// How often it was asked for this.
    pub(super) fn asked(&self, of: &str, kind: RecordType) -> usize {
        self.zone
            .lock()
            .asked
            .get(&(name(of), kind))
            .copied()
            .unwrap_or(0)
    }

    /// Waits until it was asked something once more.
    pub(super) async fn was_asked(&mut self) {
        self.asked.changed().await.expect("it runs");
    }
}

async fn serve(socket: UdpSocket, zone: Arc<Mutex<Zone>>, tell: watch::Sender<usize>) {
    let mut buffer = vec![0; 4096];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
            return;
        };
        let Ok(query) = Message::from_vec(&buffer[..length]) else {
            continue;
        };
        let reply = zone.lock().reply(&query);
        tell.send_modify(|count| *count += 1);
        if let Some(reply) = reply {
            let bytes = reply.to_vec().expect("it fits");
            socket.send_to(&bytes, from).await.expect("sent");
        }
    }
}

impl Zone {
    fn reply(&mut self, query: &Message) -> Option<Message> {
        let question = query.queries.first()?;
        let key = (question.name().to_lowercase(), question.query_type());
        *self.asked.entry(key.clone()).or_default() += 1;
        let is_known = self.replies.keys().any(|(name, _)| *name == key.0);
        let reply = match self.replies.get(&key) {
            Some(reply) => reply.clone(),
            None if is_known => EMPTY,
            None => NXDOMAIN,
        };
        let mut message = Message::response(query.metadata.id, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.metadata.recursion_available = true;
        message.add_query(question.clone());
        match reply {
            Reply::Records(answers, additional) => {
                message.add_answers(answers);
                message.add_additionals(additional);
            }
            Reply::Code(code) => message.metadata.response_code = code,
            Reply::Silence => return None,
        }
        Some(message)
    }
}

pub(super) fn name(text: &str) -> Name {
    Name::from_ascii(text).expect(text)
}

pub(super) fn address_record(of: &str, ttl: u32, address: &str) -> Record {
    let data = match address.parse().expect(address) {
        IpAddr::V4(address) => RData::A(address.into()),
        IpAddr::V6(address) => RData::AAAA(address.into()),
    };
    Record::from_rdata(name(of), ttl, data)
}

pub(super) fn alias_record(of: &str, ttl: u32, target: &str) -> Record {
    Record::from_rdata(name(of), ttl, RData::CNAME(CNAME(name(target))))
}

pub(super) fn service_record(
    of: &str,
    ttl: u32,
    (priority, weight): (u16, u16),
    port: u16,
    target: &str,
) -> Record {
    Record::from_rdata(
        name(of),
        ttl,
        RData::SRV(SRV::new(priority, weight, port, name(target))),
    )
}
