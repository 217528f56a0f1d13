//! The HTTP/1.1 server, plain or TLS: bounded in connections and time, and with a stop that resets nobody.
//!
//! Clients such as the API server keep pooled connections that outlive any endpoint list, and do not repeat a POST
//! on a connection the server closed. So the drain goes on accepting and answering, every answer with
//! `Connection: close`; only then are connections ended.
//!
//! Lives here: accepting. Where it listens is `bind`'s, what becomes of a connection is `connection`'s, and which
//! one goes when there are too many `places`'.

mod bind;
mod connection;
mod places;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

pub use self::bind::{BindError, bind};
use self::connection::Connection;
use self::places::Places;
use crate::BoxError;
use crate::shutdown::Shutdown;
use crate::telemetry::endpoint;

/// How long the head of a request may take, the idle time before it included. Longer than the 90 s after which the
/// API server closes an idle connection itself: were the server first, a request on its way would be lost. That goes
/// for a first request too: Go's client may dial a connection and pool it unused.
const HEAD_TIMEOUT: Duration = Duration::from_mins(2);
/// The pause after an error to accept, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A bound listener.
#[derive(Debug)]
pub struct Listener {
    name: &'static str,
    tcp: TcpListener,
    address: SocketAddr,
    patience: Duration,
}

/// What a server may take, and how it speaks.
#[derive(Debug, Clone)]
pub struct Options {
    /// TLS; absent means plain.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Connections at once. For a further one that is ended which has been without a request for longest.
    pub max_connections: usize,
}

impl Listener {
    /// The address it is bound to, the port included.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same for clients that repeat what is lost, such as probes: a connection on which no request comes for this long
    /// is ended.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
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
        let places = Places::new(self.name, options.max_connections);
        let tls = options.tls.map(TlsAcceptor::from);
        // Whoever is in the listener's queue when the stop comes is still served; whoever goes on coming is not.
        let mut late = 0;
        while late < options.max_connections {
            let stream = tokio::select! {
                biased;
                stream = self.accept() => stream,
                () = shutdown.stopping() => break,
            };
            late += usize::from(shutdown.is_stopping());
            let connection = Connection {
                listener: self.name,
                router: router.clone(),
                shutdown: shutdown.clone(),
                place: Arc::new(places.take().await),
                patience: self.patience,
            };
            connections.spawn(connection.run(stream, tls.clone()));
        }
        drop(self.tcp);
        connections.close();
        connections.wait().await;
        Ok(())
    }

    async fn accept(&self) -> TcpStream {
        loop {
            match self.tcp.accept().await {
                Ok((stream, _)) => {
                    // Answers are small and complete: waiting to fill a packet only costs time.
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(listener = self.name, %error, "no TCP_NODELAY");
                    }
                    return stream;
                }
                Err(error) => {
                    tracing::warn!(listener = self.name, %error, "a connection was not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}
