//! The recording webhook: a TLS server that stores every AdmissionReview and allows what it is asked.

use std::convert::Infallible;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use smartops_tests::pki::Authority;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

/// Everything that was asked, oldest first.
pub(crate) type Seen = Arc<Mutex<Vec<Value>>>;

/// A running server. It ends with this value.
pub(crate) struct Server {
    /// Where the API server reaches it.
    pub(crate) url: String,
    /// The PEM of the authority that vouches for it.
    pub(crate) authority: String,
    seen: Seen,
    _runtime: Runtime,
}

impl Server {
    /// Starts it with keys below `folder`.
    pub(crate) fn start(folder: &Path) -> Result<Self> {
        let keys = folder.join("recorder");
        Authority::create(&keys)?.issue("recorder", "recorder", &[], &["127.0.0.1"])?;
        let acceptor = TlsAcceptor::from(Arc::new(server_config(&keys)?));
        let authority = std::fs::read_to_string(keys.join("ca.crt")).context("no authority")?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .context("no runtime")?;
        let listener = runtime
            .block_on(TcpListener::bind(("127.0.0.1", 0)))
            .context("the recorder has no port")?;
        let url = format!("https://{}/", listener.local_addr().context("no address")?);
        let seen = Seen::default();
        runtime.spawn(serve(listener, acceptor, Arc::clone(&seen)));
        Ok(Self { url, authority, seen, _runtime: runtime })
    }

    /// How many reviews came so far.
    pub(crate) fn count(&self) -> usize {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The first review from the `start`-th on that fits.
    pub(crate) fn find(&self, start: usize, fits: impl Fn(&Value) -> bool) -> Option<Value> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter().skip(start).find(|review| fits(review)).cloned()
    }
}

fn server_config(keys: &Path) -> Result<ServerConfig> {
    let chain =
        CertificateDer::from_pem_file(keys.join("recorder.crt")).context("no certificate")?;
    let key = PrivateKeyDer::from_pem_file(keys.join("recorder.key")).context("no key")?;
    ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![chain], key)
        .context("the certificate does not fit its key")
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, seen: Seen) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, seen) = (acceptor.clone(), Arc::clone(&seen));
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let service = service_fn(move |request| answer(request, Arc::clone(&seen)));
            let served = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service);
            // A connection that breaks off is the API server's; it will ask again.
            drop(served.await);
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    seen: Seen,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = match request.into_body().collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return Ok(refusal(&error.to_string())),
    };
    let review: Value = match serde_json::from_slice(&body) {
        Ok(review) => review,
        Err(error) => return Ok(refusal(&error.to_string())),
    };
    let reply = json!({
        "apiVersion": review["apiVersion"],
        "kind": review["kind"],
        "response": {"uid": review["request"]["uid"], "allowed": true},
    });
    seen.lock().unwrap_or_else(PoisonError::into_inner).push(review);
    Ok(Response::new(Full::new(Bytes::from(reply.to_string()))))
}

fn refusal(why: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(why.to_owned())));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response
}
