//! The webhook's process under SIGTERM and sixteen keep-alive clients: through the whole drain every request is
//! answered, each answer with `Connection: close`, no connection is reset; then the process ends within its grace.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;
use smartops_tests::programs::{Program, endpoints};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::support::own;

const CLIENTS: usize = 16;
const DRAIN: Duration = Duration::from_secs(3);
const GRACE: Duration = Duration::from_secs(10);
/// Requests before SIGTERM, so that every connection is a pooled one.
const WARM: usize = 200;

/// What all clients saw together.
#[derive(Debug, Default)]
struct Tally {
    kept: AtomicUsize,
    closed: AtomicUsize,
}

#[test]
fn through_the_whole_drain_every_request_is_answered_and_asked_to_close() -> Result<()> {
    let cluster = own("drain")?;
    Program::Webhook.terminate(&cluster, GRACE)?;
    let flags = [
        format!("--drain-seconds={}", DRAIN.as_secs()),
        format!("--grace-seconds={}", GRACE.as_secs()),
    ];
    Program::Webhook.start(&cluster, &[&flags[0], &flags[1]])?;
    let endpoints = endpoints(&cluster)?;
    let address = format!("{}:{}", endpoints.webhook_host, endpoints.webhook_port);
    let authority = certificate_authority(&cluster)?;
    let tls = connector(&authority)?;
    let tally = Arc::new(Tally::default());

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| runtime.spawn(client(address.clone(), tls.clone(), Arc::clone(&tally))))
        .collect();
    let warm = smartops_tests::wait::eventually(GRACE, "the connections are warm", || {
        let kept = tally.kept.load(Ordering::SeqCst);
        Ok(smartops_tests::wait::Seen::when(kept >= WARM, format!("{kept} answers")))
    });
    warm?;
    let told = Instant::now();
    Program::Webhook.terminate(&cluster, GRACE)?;
    let took = told.elapsed();
    for client in clients {
        let served = runtime.block_on(client)??;
        // Each client was served until the drain was over: a refusal before that would be a lost write.
        ensure!(
            served + Duration::from_millis(200) >= told + DRAIN,
            "a client was refused during the drain"
        );
    }
    let closed = tally.closed.load(Ordering::SeqCst);
    ensure!(closed > CLIENTS * 10, "only {closed} requests were answered during the drain");
    ensure!(took >= DRAIN && took < GRACE, "the process ended after {took:?}");
    cluster.stop()
}

/// Asks until no new connection is accepted; tells when the last answer came. A request that was sent must be answered.
async fn client(address: String, tls: TlsConnector, tally: Arc<Tally>) -> Result<Instant> {
    let mut last = Instant::now();
    loop {
        let Ok(mut sender) = connect(&address, &tls).await else { return Ok(last) };
        loop {
            let response =
                sender.send_request(review()?).await.context("a request was not answered")?;
            let status = response.status();
            let close = response.headers().get(CONNECTION).is_some_and(|v| v == "close");
            let body =
                response.into_body().collect().await.context("an answer was cut off")?.to_bytes();
            if status != StatusCode::OK || !body.windows(15).any(|w| w == b"\"allowed\":false") {
                bail!("{status}: {}", String::from_utf8_lossy(&body));
            }
            last = Instant::now();
            if close {
                tally.closed.fetch_add(1, Ordering::SeqCst);
                break;
            }
            ensure!(
                tally.closed.load(Ordering::SeqCst) < CLIENTS * 10,
                "an answer late in the drain lacks Connection: close"
            );
            tally.kept.fetch_add(1, Ordering::SeqCst);
        }
    }
}

pub(crate) async fn connect(address: &str, tls: &TlsConnector) -> Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("127.0.0.1")?;
    let stream = tls.connect(name, stream).await?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

/// A scale to fifty by a person: always denied, so an answer can be told from silence.
fn review() -> Result<Request<Full<Bytes>>> {
    let scale = |replicas: u32| {
        json!({
            "apiVersion": "autoscaling/v1", "kind": "Scale",
            "metadata": {"name": "web", "namespace": "smartops-dev", "uid": "u"}, "spec": {"replicas": replicas},
        })
    };
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "drain", "operation": "UPDATE", "name": "web", "namespace": "smartops-dev",
            "kind": {"group": "autoscaling", "version": "v1", "kind": "Scale"},
            "resource": {"group": "apps", "version": "v1", "resource": "deployments"},
            "subResource": "scale", "userInfo": {"username": "developer"},
            "oldObject": scale(3), "object": scale(50),
        },
    });
    Ok(Request::post("/validate/people?timeout=10s")
        .header(HOST, "localhost")
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(review.to_string())))?)
}

/// The CA as the API server trusts it: from the registration.
pub(crate) fn certificate_authority(cluster: &smartops_tests::cluster::Cluster) -> Result<Vec<u8>> {
    use base64::Engine as _;
    let registration =
        cluster.kubectl("admin").get(&["validatingwebhookconfiguration", "smartops-people"])?;
    let bundle = registration["webhooks"][0]["clientConfig"]["caBundle"].as_str();
    Ok(base64::engine::general_purpose::STANDARD.decode(bundle.context("no CA bundle")?)?)
}

pub(crate) fn connector(authority: &[u8]) -> Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authority) {
        roots.add(certificate?)?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
