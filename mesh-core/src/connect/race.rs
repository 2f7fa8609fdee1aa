//! The addresses of one name, tried so that one that does not answer costs little time: RFC 8305, "happy
//! eyeballs".

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long an address may be silent before the next is tried beside it: the RFC's recommendation.
const NEXT_AFTER: Duration = Duration::from_millis(250);

/// How many addresses of a name are tried.
const MOST: usize = 16;

/// The first connection that is made. The next address is tried when the last one failed, or was silent for
/// [`NEXT_AFTER`]; whoever is too late is given up.
///
/// # Errors
/// Every address failed: the error of the one tried last.
pub(super) async fn first_of<T, F>(
    addresses: impl IntoIterator<Item = SocketAddr>,
    connect: impl Fn(SocketAddr) -> F,
) -> io::Result<T>
where
    T: Send + 'static,
    F: Future<Output = io::Result<T>> + Send + 'static,
{
    let mut waiting = alternating(addresses).into_iter().take(MOST);
    let mut trying = JoinSet::new();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    loop {
        let next = waiting.next();
        let more = next.is_some();
        if let Some(address) = next {
            trying.spawn(connect(address));
        }
        let ended = if more {
            match timeout(NEXT_AFTER, trying.join_next()).await {
                Ok(ended) => ended,
                Err(_) => continue,
            }
        } else {
            trying.join_next().await
        };
        match ended {
            Some(Ok(Ok(connected))) => return Ok(connected),
            Some(Ok(Err(error))) => last = error,
            Some(Err(panicked)) => last = io::Error::other(panicked),
            None => return Err(last),
        }
    }
}

/// The two families in turn, the one that comes first ahead, each in its own order.
fn alternating(addresses: impl IntoIterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let addresses: Vec<SocketAddr> = addresses.into_iter().collect();
    let six_first = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|a| a.is_ipv6() == six_first);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut ordered = Vec::new();
    loop {
        let pair = [first.next(), second.next()];
        if pair == [None, None] {
            return ordered;
        }
        ordered.extend(pair.into_iter().flatten());
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, sleep};

    use super::*;

    fn four(last: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, last], 80))
    }

    fn six(last: u16) -> SocketAddr {
        SocketAddr::from(([0xfd00, 0, 0, 0, 0, 0, 0, last], 80))
    }

    /// IPv6 is silent, IPv4 answers in 20 ms, 10.0.0.9 refuses.
    async fn answer(address: SocketAddr) -> io::Result<SocketAddr> {
        if address.is_ipv6() {
            sleep(Duration::from_secs(3600)).await;
        }
        sleep(Duration::from_millis(20)).await;
        match address == four(9) {
            true => Err(io::ErrorKind::ConnectionRefused.into()),
            false => Ok(address),
        }
    }

    #[test]
    fn the_families_take_turns() {
        assert_eq!(
            alternating([six(1), six(2), six(3), four(1)]),
            [six(1), four(1), six(2), six(3)]
        );
        assert_eq!(alternating([four(1), six(1)]), [four(1), six(1)]);
        assert!(alternating([]).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_family_that_is_silent_costs_a_quarter_of_a_second() {
        let began = Instant::now();
        let connected = first_of([six(1), six(2), four(1)], answer)
            .await
            .expect("one answers");
        assert_eq!(connected, four(1));
        assert_eq!(began.elapsed(), Duration::from_millis(270));
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_refuses_costs_no_wait() {
        let began = Instant::now();
        first_of([four(9), four(9), four(1)], answer)
            .await
            .expect("one answers");
        assert_eq!(began.elapsed(), Duration::from_millis(60));
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_refuse_the_error_is_the_last_ones() {
        let error = first_of([four(9), four(9)], answer)
            .await
            .expect_err("all refuse");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        let error = first_of([], answer).await.expect_err("there is none");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
