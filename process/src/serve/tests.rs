//! The server against clients over loopback.

use axum::routing::{get, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::*;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

async fn start(router: Router) -> (SocketAddr, Shutdown, JoinHandle<Result<(), BoxError>>) {
    let listener = bind("api", SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let (address, shutdown) = (listener.address(), Shutdown::new());
    let options = Options { tls: None, max_connections: 4 };
    let server = tokio::spawn(listener.serve(router, options, shutdown.clone()));
    (address, shutdown, server)
}

/// One request and its answer on a connection that is open already.
async fn ask(stream: &mut TcpStream) -> String {
    stream.write_all(REQUEST).await.unwrap();
    let mut text = String::new();
    let mut buffer = [0u8; 1024];
    while !text.ends_with("hello") {
        let read = stream.read(&mut buffer).await.unwrap();
        assert_ne!(read, 0, "closed before the answer was complete: {text}");
        text.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
    }
    text.to_ascii_lowercase()
}

fn hello() -> Router {
    Router::new().route("/", get(async || "hello"))
}

/// A router whose answers wait: the first counts the requests that came, the second gives leave to answer.
fn held() -> (Router, Arc<Semaphore>, Arc<Semaphore>) {
    let (seen, gate) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (entered, leave) = (Arc::clone(&seen), Arc::clone(&gate));
    let answer = async move || {
        entered.add_permits(1);
        leave.acquire().await.unwrap().forget();
        "hello"
    };
    (Router::new().route("/", get(answer)), seen, gate)
}

/// Connections that say this and then nothing more.
async fn saying(address: SocketAddr, words: &[u8], count: usize) -> Vec<TcpStream> {
    let mut streams = Vec::new();
    for _ in 0..count {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(words).await.unwrap();
        streams.push(stream);
    }
    streams
}

#[tokio::test]
async fn answers_ask_to_close_only_while_draining_and_new_clients_are_still_served() {
    let (address, shutdown, server) = start(hello()).await;
    let mut kept = TcpStream::connect(address).await.unwrap();
    assert!(!ask(&mut kept).await.contains("connection: close"));
    shutdown.drain();
    assert!(ask(&mut kept).await.contains("connection: close"));
    assert_eq!(kept.read(&mut [0; 1]).await.unwrap(), 0, "closed cleanly after the answer");
    let mut late = TcpStream::connect(address).await.unwrap();
    assert!(ask(&mut late).await.contains("connection: close"));
    shutdown.stop();
    server.await.unwrap().unwrap();
}

#[tokio::test]
async fn idle_connections_are_closed_cleanly_at_the_stop() {
    let (address, shutdown, server) = start(hello()).await;
    let mut idle = TcpStream::connect(address).await.unwrap();
    ask(&mut idle).await;
    let mut silent = TcpStream::connect(address).await.unwrap();
    shutdown.stop();
    server.await.unwrap().unwrap();
    assert_eq!(idle.read(&mut [0; 1]).await.unwrap(), 0);
    assert!(matches!(silent.read(&mut [0; 1]).await, Ok(0) | Err(_)));
}

#[tokio::test]
async fn a_request_in_flight_at_the_stop_is_answered() {
    let (router, seen, gate) = held();
    let (address, shutdown, server) = start(router).await;
    let client = tokio::spawn(async move {
        let mut stream = TcpStream::connect(address).await.unwrap();
        ask(&mut stream).await
    });
    seen.acquire().await.unwrap().forget();
    shutdown.stop();
    gate.add_permits(1);
    assert!(client.await.unwrap().contains("200 ok"));
    server.await.unwrap().unwrap();
}

#[tokio::test]
async fn however_many_hold_every_place_without_a_request_one_more_is_answered() {
    let router = hello().route("/", post(async |_: axum::body::Bytes| "hello"));
    for words in
        [&b""[..], b"GET / HT", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nfour"]
    {
        let (address, shutdown, server) = start(router.clone()).await;
        let silent = saying(address, words, 4).await;
        let mut one_more = TcpStream::connect(address).await.unwrap();
        assert!(ask(&mut one_more).await.contains("200 ok"));
        // One made place for it, and nobody else did.
        let waits: Vec<_> = silent.iter().map(|stream| Box::pin(stream.readable())).collect();
        let (_, gone, _) = futures::future::select_all(waits).await;
        for stream in
            silent.iter().enumerate().filter_map(|(nr, stream)| (nr != gone).then_some(stream))
        {
            let open = stream.try_read(&mut [0; 1]).unwrap_err();
            assert_eq!(open.kind(), std::io::ErrorKind::WouldBlock);
        }
        // And each after it, on and on.
        for _ in 0..8 {
            assert!(ask(&mut TcpStream::connect(address).await.unwrap()).await.contains("200 ok"));
        }
        drop(silent);
        shutdown.stop();
        server.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn however_many_come_a_request_in_flight_is_answered() {
    let (router, seen, gate) = held();
    let (address, shutdown, server) = start(router).await;
    let mut asking = saying(address, REQUEST, 3).await;
    seen.acquire_many(3).await.unwrap().forget();
    let mut crowd = saying(address, b"", 20).await;
    // The last of the crowd holds the one place that is left, so all of it has been through.
    let last = crowd.last_mut().unwrap();
    last.write_all(REQUEST).await.unwrap();
    seen.acquire().await.unwrap().forget();
    // All four are being answered: whoever comes now waits.
    let mut late = TcpStream::connect(address).await.unwrap();
    late.write_all(REQUEST).await.unwrap();
    gate.add_permits(5);
    for stream in asking.iter_mut().chain([last, &mut late]) {
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
    }
    drop((asking, crowd, late));
    shutdown.stop();
    server.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_listener_of_little_patience_ends_who_brings_nothing_and_answers_who_does() {
    let listener = bind("health", SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let listener = listener.with_patience(Duration::from_millis(50));
    let (address, shutdown) = (listener.address(), Shutdown::new());
    let options = Options { tls: None, max_connections: 4 };
    let server = tokio::spawn(listener.serve(hello(), options, shutdown.clone()));
    let mut silent = TcpStream::connect(address).await.unwrap();
    assert!(matches!(silent.read(&mut [0; 1]).await, Ok(0) | Err(_)));
    assert!(ask(&mut TcpStream::connect(address).await.unwrap()).await.contains("200 ok"));
    shutdown.stop();
    server.await.unwrap().unwrap();
}
