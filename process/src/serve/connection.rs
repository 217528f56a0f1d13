//! One connection: the TLS handshake, its requests one after another, and its end. Which connections there may be is
//! `places`'.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, header};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use super::places::{Coming, Flight, Place};
use crate::shutdown::Shutdown;

/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection without a request in flight is kept once the stop has begun.
const QUIET_TIMEOUT: Duration = Duration::from_millis(250);
/// How long after the stop a connection may still bring the request for which it was opened.
const LINGER: Duration = Duration::from_millis(500);

pub(super) struct Connection {
    pub(super) listener: &'static str,
    pub(super) router: Router,
    pub(super) shutdown: Shutdown,
    pub(super) place: Arc<Place>,
    /// How long the head of a request may take, the idle time before it included.
    pub(super) patience: Duration,
}

impl Connection {
    /// Serves until either side ends it, or somebody else needs its place.
    pub(super) async fn run(self, stream: TcpStream, tls: Option<TlsAcceptor>) {
        let (listener, place) = (self.listener, Arc::clone(&self.place));
        tokio::select! {
            biased;
            () = place.lost() => tracing::debug!(listener, "an idle connection made place for another"),
            () = self.serve(stream, tls) => {}
        }
    }

    async fn serve(self, stream: TcpStream, tls: Option<TlsAcceptor>) {
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
        let service = service_fn(|request: Request<Incoming>| {
            let (coming, flight) = self.place.begin();
            let request = request.map(|body| Body::new(Holding::new(body, coming)));
            answer(self.router.clone(), self.shutdown.clone(), request, flight)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.patience)
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
                        Err(_) if !self.place.is_busy() => break Ok(()),
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

async fn answer(
    router: Router,
    shutdown: Shutdown,
    request: Request<Body>,
    flight: Flight,
) -> Result<Response<Holding<Body, Flight>>, Infallible> {
    let mut response = router.oneshot(request).await?;
    if shutdown.is_draining() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    flight.telling();
    Ok(response.map(|body| Holding::new(body, flight)))
}

/// What is held for as long as a body lasts, told of its parts.
trait Held {
    fn part(&self) {}
}

impl Held for Coming {}

impl Held for Flight {
    fn part(&self) {
        self.telling();
    }
}

/// A body that holds something until its end has come, or until nobody wants it any more.
struct Holding<B, H> {
    body: B,
    held: Option<H>,
}

impl<B: HttpBody, H> Holding<B, H> {
    fn new(body: B, held: H) -> Self {
        let held = (!body.is_end_stream()).then_some(held);
        Self { body, held }
    }
}

impl<B: HttpBody + Unpin, H: Held + Unpin> HttpBody for Holding<B, H> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if frame.is_none() || self.body.is_end_stream() {
            self.held = None;
        } else if let Some(held) = &self.held {
            held.part();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
