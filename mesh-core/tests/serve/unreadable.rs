use std::sync::{Arc, Mutex};

use mesh_core::serve::{ServeLimits, Server, Unreadable};
use tokio::io::AsyncWriteExt as _;

use crate::support::{hello, open, read_to_end, read_until, send, server};

type Told = Arc<Mutex<Vec<(u16, Unreadable)>>>;

fn telling(change: impl FnOnce(&mut ServeLimits)) -> (Server, Told) {
    let told = Told::default();
    let tell = Arc::clone(&told);
    let server = server(change).on_unreadable(move |peer, why| {
        tell.lock()
            .expect("nobody panics")
            .push((peer.address.port(), why));
    });
    (server, told)
}

#[tokio::test(start_paused = true)]
async fn what_becomes_no_request_is_told_once_with_its_peer_and_why() {
    let large = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "a".repeat(40_000));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(200));
    for (sent, status, why) in [
        ("nothing of HTTP\r\n\r\n", "400", Unreadable::Malformed),
        ("GET / HTTP/1.1\r\nno colon\r\n\r\n", "400", Unreadable::Malformed),
        (&large, "431", Unreadable::TooLarge),
        (&many, "431", Unreadable::TooLarge),
        ("GET / HTTP/1.1\r\nhost: a", "", Unreadable::TooSlow),
    ] {
        let (server, told) = telling(|limits| limits.max_head_bytes = 16 * 1024);
        let mut io = open(&server, hello());
        // What is too large is refused before it was all sent.
        let _sent = io.write_all(sent.as_bytes()).await;
        let (answer, _) = read_to_end(&mut io).await;
        assert_eq!(answer.get(9..12).unwrap_or_default(), status, "{answer}");
        assert_eq!(*told.lock().expect("nobody panics"), [(1, why)], "{answer}");
        assert_eq!(
            why.status().map_or(String::new(), |status| status.to_string()),
            status
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_and_a_connection_at_rest_are_not_told_of_and_what_comes_after_is() {
    let (server, told) = telling(|_| {});
    let mut io = open(&server, hello());
    send(&mut io, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    read_until(&mut io, "hello").await;
    read_to_end(&mut io).await;
    assert!(told.lock().expect("nobody panics").is_empty());

    let mut io = open(&server, hello());
    send(&mut io, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    read_until(&mut io, "hello").await;
    send(&mut io, "\u{1}\r\n\r\n").await;
    read_to_end(&mut io).await;
    assert_eq!(*told.lock().expect("nobody panics"), [(1, Unreadable::Malformed)]);

    let (server, told) = telling(|_| {});
    drop(open(&server, hello()));
    let mut io = open(&server, hello());
    send(&mut io, "GET / HT").await;
    drop(io);
    tokio::time::sleep(std::time::Duration::from_secs(100)).await;
    assert!(
        told.lock().expect("nobody panics").is_empty(),
        "who goes away is not told of"
    );
}
