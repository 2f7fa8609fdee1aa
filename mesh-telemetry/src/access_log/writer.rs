//! The thread that writes lines, and the bounded way to it.

use std::fmt;
use std::io::{self, Write};

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::metrics::LineOutcome;
use crate::registry::Telemetry;

/// How many lines wait at most.
const ROOM: usize = 4096;
/// How many are written at a time.
const AT_ONCE: usize = 256;

enum Order {
    Line(String),
    /// Tell when all that came before is written.
    Tell(oneshot::Sender<()>),
}

/// Where lines are put. Clones are one.
#[derive(Clone)]
pub struct LineQueue {
    give: mpsc::Sender<Order>,
    telemetry: Telemetry,
}

impl LineQueue {
    pub(super) fn give(&self, line: String) {
        if self.give.try_send(Order::Line(line)).is_err() {
            self.telemetry.process().log_lines(LineOutcome::Dropped, 1);
        }
    }
}

/// The thread that writes lines. It ends when nobody can put any there any more.
#[derive(Debug)]
pub struct LineWriter {
    queue: mpsc::WeakSender<Order>,
}

impl LineWriter {
    /// Writes lines there, 4 096 of which wait at most.
    ///
    /// # Errors
    /// If the system gives no thread.
    ///
    /// ```
    /// use mesh_telemetry::Telemetry;
    /// use mesh_telemetry::access_log::{AccessLog, LineFormat, LineWriter};
    ///
    /// let (queue, writer) = LineWriter::start(std::io::sink(), &Telemetry::new())?;
    /// let log = AccessLog::new(queue, LineFormat::Json);
    /// # let _ = (log, writer);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn start(to: impl Write + Send + 'static, telemetry: &Telemetry) -> io::Result<(LineQueue, Self)> {
        let (give, take) = mpsc::channel(ROOM);
        let counts = telemetry.clone();
        std::thread::Builder::new()
            .name("access-log".into())
            .spawn(move || write(take, to, &counts))?;
        let queue = give.downgrade();
        let telemetry = telemetry.clone();
        Ok((LineQueue { give, telemetry }, Self { queue }))
    }

    /// Waits until what was put there so far is written, or until then. Whether it is.
    pub async fn flushed(&self, until: Instant) -> bool {
        let Some(queue) = self.queue.upgrade() else {
            return true;
        };
        let (tell, told) = oneshot::channel();
        let all = async {
            // Ended, it has written all.
            let _ = queue.send(Order::Tell(tell)).await;
            let _ = told.await;
        };
        timeout_at(until, all).await.is_ok()
    }
}

fn write(mut take: mpsc::Receiver<Order>, mut to: impl Write, telemetry: &Telemetry) {
    let mut orders = Vec::with_capacity(AT_ONCE);
    let mut text = String::new();
    while take.blocking_recv_many(&mut orders, AT_ONCE) > 0 {
        text.clear();
        let (mut lines, mut asked) = (0, Vec::new());
        for order in orders.drain(..) {
            match order {
                Order::Line(line) => {
                    lines += 1;
                    text.push_str(&line);
                }
                Order::Tell(tell) => asked.push(tell),
            }
        }
        let outcome = match to.write_all(text.as_bytes()).and_then(|()| to.flush()) {
            Ok(()) => LineOutcome::Written,
            Err(error) => {
                tracing::debug!(%error, lines, "the access log cannot be written");
                LineOutcome::Failed
            }
        };
        telemetry.process().log_lines(outcome, lines);
        for tell in asked {
            // Whoever asked may have given up waiting.
            let _ = tell.send(());
        }
    }
}

impl fmt::Debug for LineQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LineQueue")
            .field("room", &self.give.capacity())
            .finish_non_exhaustive()
    }
}
