//! A collector of traces: it takes OTLP over gRPC as it comes over the wire, and tells what came.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, anyhow, ensure};
use bytes::{Buf as _, Bytes};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1 as otlp;
use prost::Message as _;

use crate::hex::hex;

/// Where spans are sent.
const PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
/// What precedes a message: whether it is compressed, and its length.
const FRAME: usize = 5;

/// A span as it came. Ids are hex digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// Who sent it: `service.name`.
    pub service: String,
    /// What it is called.
    pub name: String,
    /// `Server`, `Client` or `Internal`.
    pub kind: String,
    /// The trace it is in.
    pub trace: String,
    /// Its own id.
    pub id: String,
    /// The span it is within; empty where there is none.
    pub parent: String,
    /// The traces it names besides its own.
    pub links: Vec<String>,
    /// What it says, as text.
    pub attributes: BTreeMap<String, String>,
    /// Whether it ended badly.
    pub failed: bool,
    /// How long it took, in nanoseconds.
    pub nanoseconds: u64,
}

impl Span {
    /// What it says under this key; empty where it says nothing.
    pub fn said(&self, key: &str) -> &str {
        self.attributes.get(key).map_or("", String::as_str)
    }
}

/// A collector that runs until the process ends.
#[derive(Debug, Clone)]
pub struct Collector {
    address: SocketAddr,
    spans: Arc<Mutex<Vec<Span>>>,
}

impl Collector {
    /// Starts one on a free port.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("no port for a collector")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let spans = Arc::default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let kept = Arc::clone(&spans);
        std::thread::spawn(move || runtime.block_on(serve(listener, kept)));
        Ok(Self { address, spans })
    }

    /// Where it listens, as `--otlp-endpoint` wants it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What came so far.
    pub fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn serve(listener: TcpListener, spans: Arc<Mutex<Vec<Span>>>) -> Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        let spans = Arc::clone(&spans);
        let service = service_fn(move |request| answer(request, Arc::clone(&spans)));
        // How a connection ends is the sender's business.
        tokio::spawn(
            http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service),
        );
    }
}

type Reply = http_body_util::combinators::BoxBody<Bytes, Infallible>;

async fn answer(
    request: Request<Incoming>,
    spans: Arc<Mutex<Vec<Span>>>,
) -> Result<Response<Reply>, Infallible> {
    let status = match read(request).await {
        Ok(read) => {
            spans.lock().unwrap_or_else(PoisonError::into_inner).extend(read);
            "0"
        }
        // INVALID_ARGUMENT
        Err(_) => "3",
    };
    let trailers = async move {
        let status = (HeaderName::from_static("grpc-status"), HeaderValue::from_static(status));
        Some(Ok(HeaderMap::from_iter([status])))
    };
    // An answer that says nothing is a message of no length.
    let body = Full::new(Bytes::from_static(&[0; FRAME])).with_trailers(trailers).boxed();
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    Ok(response)
}

async fn read(request: Request<Incoming>) -> Result<Vec<Span>> {
    ensure!(request.uri().path() == PATH, "nobody listens on {}", request.uri().path());
    let mut body = request.into_body().collect().await?.to_bytes();
    ensure!(body.len() >= FRAME && body.get_u8() == 0, "no message, or a compressed one");
    ensure!(usize::try_from(body.get_u32())? == body.len(), "not one message");
    let message = ExportTraceServiceRequest::decode(body)?;
    let mut spans = Vec::new();
    for of_resource in message.resource_spans {
        let service = service(of_resource.resource.as_ref())?;
        let sent = of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
        spans.extend(sent.map(|span| told(span, &service)));
    }
    Ok(spans)
}

fn service(resource: Option<&Resource>) -> Result<String> {
    let resource = resource.context("spans of nobody")?;
    let said = attributes(&resource.attributes);
    said.get("service.name").cloned().ok_or_else(|| anyhow!("spans of no service: {said:?}"))
}

fn told(span: otlp::Span, service: &str) -> Span {
    Span {
        service: service.to_owned(),
        kind: format!("{:?}", span.kind()),
        trace: hex(&span.trace_id),
        id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        links: span.links.iter().map(|link| hex(&link.trace_id)).collect(),
        attributes: attributes(&span.attributes),
        failed: span.status.is_some_and(|status| status.code() == otlp::status::StatusCode::Error),
        nanoseconds: span.end_time_unix_nano.saturating_sub(span.start_time_unix_nano),
        name: span.name,
    }
}

fn attributes(all: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &any_value::Value| match value {
        any_value::Value::StringValue(text) => text.clone(),
        any_value::Value::BoolValue(flag) => flag.to_string(),
        any_value::Value::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    };
    let value = |pair: &KeyValue| pair.value.as_ref().and_then(|v| v.value.as_ref()).map(text);
    all.iter().map(|pair| (pair.key.clone(), value(pair).unwrap_or_default())).collect()
}
