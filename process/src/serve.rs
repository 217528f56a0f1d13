//! The HTTP/1.1 server, plain or TLS: bounded in connections and time, and with a stop that resets nobody.
//!
//! Clients such as the API server keep pooled connections that outlive any endpoint list, and do not repeat a POST
//! on a connection the server closed. So the drain goes on accepting and answering, every answer with
//! `Connection: close`; only then are connections ended.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, header};
use axum::middleware::from_fn;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::BoxError;
use crate::shutdown::Shutdown;
use crate::telemetry::endpoint;

/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the head of a request may take, the idle time before it included. Longer than the 90 s after which the
/// API server closes an idle connection itself: were the server first, a request on its way would be lost. That goes
/// for a first request too: Go's client may dial a connection and pool it unused.
const HEAD_TIMEOUT: Duration = Duration::from_mins(2);
/// How long a connection without a request in flight is kept once the stop has begun.
const QUIET_TIMEOUT: Duration = Duration::from_millis(250);
/// How long after the stop a connection may still bring the request for which it was opened.
const LINGER: Duration = Duration::from_millis(500);
/// The pause after an error to accept, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A bound listener.
#[derive(Debug)]
pub struct Listener {
    name: &'static str,
    tcp: TcpListener,
    address: SocketAddr,
}

/// What a server may take, and how it speaks.
#[derive(Debug, Clone)]
pub struct Options {
    /// TLS; absent means plain.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Connections at once; further ones wait in the kernel's queue.
    pub max_connections: usize,
}

/// The address could not be listened on.
#[derive(Debug, thiserror::Error)]
#[error(
    "the {name} listener cannot use {address}: {source}; choose another address or port 0 for a free one"
)]
pub struct BindError {
    name: &'static str,
    address: SocketAddr,
    source: std::io::Error,
}

/// Binds, and tells the bound address in one log line. `name` is `api`, `webhook` or `health`.
pub async fn bind(name: &'static str, address: SocketAddr) -> Result<Listener, BindError> {
    let failed = |source| BindError { name, address, source };
    let tcp = TcpListener::bind(address).await.map_err(failed)?;
    let address = tcp.local_addr().map_err(failed)?;
    tracing::info!(listener = name, %address, "listening");
    Ok(Listener { name, tcp, address })
}

impl Listener {
    /// The address it is bound to, the port included.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves `router` until the stop, then ends when the last connection has.
    pub async fn serve(
        self,
        router: Router,
        options: Options,
        shutdown: Shutdown,
    ) -> Result<(), BoxError> {
        let router = router.layer(from_fn(endpoint::traced));
        let connections = TaskTracker::new();
        let places = Arc::new(Semaphore::new(options.max_connections));
        let tls = options.tls.map(TlsAcceptor::from);
        loop {
            // Whoever is in the listener's queue when the stop comes is still served.
            let (stream, place) = tokio::select! {
                biased;
                accepted = self.accept(&places) => accepted?,
                () = shutdown.stopping() => break,
            };
            let connection = Connection {
                router: router.clone(),
                shutdown: shutdown.clone(),
                listener: self.name,
            };
            let tls = tls.clone();
            connections.spawn(async move {
                connection.run(stream, tls).await;
                drop(place);
            });
        }
        drop(self.tcp);
        connections.close();
        connections.wait().await;
        Ok(())
    }

    async fn accept(
        &self,
        places: &Arc<Semaphore>,
    ) -> Result<(TcpStream, OwnedSemaphorePermit), BoxError> {
        let place = Arc::clone(places).acquire_owned().await?;
        loop {
            match self.tcp.accept().await {
                Ok((stream, _)) => {
                    // Answers are small and complete: waiting to fill a packet only costs time.
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(listener = self.name, %error, "no TCP_NODELAY");
                    }
                    return Ok((stream, place));
                }
                Err(error) => {
                    tracing::warn!(listener = self.name, %error, "a connection was not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

struct Connection {
    router: Router,
    shutdown: Shutdown,
    listener: &'static str,
}

impl Connection {
    async fn run(self, stream: TcpStream, tls: Option<TlsAcceptor>) {
        let listener = self.listener;
        let Some(tls) = tls else {
            return self.speak(stream).await;
        };
        match tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
            Ok(Ok(stream)) => self.speak(stream).await,
            Ok(Err(error)) => tracing::debug!(listener, %error, "TLS handshake failed"),
            Err(_) => tracing::debug!(listener, "TLS handshake took too long"),
        }
    }

    async fn speak(self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let in_flight = Arc::new(AtomicUsize::new(0));
        let service = service_fn(|request: Request<Incoming>| {
            let flight = Flight::begin(&in_flight);
            answer(self.router.clone(), self.shutdown.clone(), request, flight)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.shutdown.stopping() => {
                // Who was accepted in the last moment of the drain has a request on the way; its answer closes.
                if let Ok(ended) = tokio::time::timeout(LINGER, connection.as_mut()).await {
                    return self.ended(ended);
                }
                connection.as_mut().graceful_shutdown();
                // A connection that never sent a request does not count as idle for the library and would be
                // kept until the head times out.
                loop {
                    match tokio::time::timeout(QUIET_TIMEOUT, connection.as_mut()).await {
                        Ok(ended) => break ended,
                        Err(_) if in_flight.load(Ordering::Relaxed) == 0 => break Ok(()),
                        Err(_) => {}
                    }
                }
            }
        };
        self.ended(ended);
    }

    fn ended(&self, ended: hyper::Result<()>) {
        if let Err(error) = ended {
            tracing::debug!(listener = self.listener, %error, "a connection ended badly");
        }
    }
}

/// Counts a request from its head to the end of its answer's making.
struct Flight(Arc<AtomicUsize>);

impl Flight {
    fn begin(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn answer(
    router: Router,
    shutdown: Shutdown,
    request: Request<Incoming>,
    flight: Flight,
) -> Result<Response<Body>, Infallible> {
    let mut response = router.oneshot(request.map(Body::new)).await?;
    if shutdown.is_draining() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    drop(flight);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
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
        let gate = Arc::new(Semaphore::new(0));
        let (seen, held) = (Arc::new(Semaphore::new(0)), Arc::clone(&gate));
        let entered = Arc::clone(&seen);
        let router = Router::new().route(
            "/",
            get(async move || {
                entered.add_permits(1);
                held.acquire().await.unwrap().forget();
                "hello"
            }),
        );
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
}
