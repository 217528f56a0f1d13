//! How ended spans get to the collector: through a bounded queue that never makes anybody wait, by a thread of its own,
//! each delivery under a deadline. What does not fit or cannot be delivered is dropped and counted in
//! `smartops_traces_dropped_total`; it is never tried for long, never kept for later.

use std::future::pending;
use std::pin::pin;
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_otlp::{RetryPolicy, SpanExporter as Otlp, WithExportConfig, WithTonicConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanExporter, SpanProcessor};
use prometheus::IntCounter;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc as queue, watch};
use tokio::time::timeout;

use super::Error;

/// Ended spans that wait.
const CAPACITY: usize = 8192;
/// Spans delivered together.
const BATCH: usize = 512;
/// How long others are waited for once there is one.
const GATHERING: Duration = Duration::from_millis(500);
/// How long one delivery may take.
const DELIVERY_LIMIT: Duration = Duration::from_secs(3);
/// How long the end of the process waits for what is left.
const FLUSH_LIMIT: Duration = Duration::from_millis(1500);
/// How long it waits for the thread to say that it is done, at most.
const END_LIMIT: Duration = Duration::from_secs(2);

/// Where ended spans are put.
#[derive(Debug)]
pub(super) struct Outbox {
    queue: queue::Sender<SpanData>,
    dropped: IntCounter,
}

impl SpanProcessor for Outbox {
    fn on_start(&self, _span: &mut Span, _parent: &Context) {}

    fn on_end(&self, span: SpanData) {
        if !span.span_context.is_sampled() {
            return;
        }
        if let Err(TrySendError::Full(_) | TrySendError::Closed(_)) = self.queue.try_send(span) {
            self.dropped.inc();
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _limit: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// The thread that delivers.
#[derive(Debug)]
pub(super) struct Delivery {
    stop: watch::Sender<bool>,
    ended: Mutex<mpsc::Receiver<()>>,
    dropped: IntCounter,
}

impl Delivery {
    /// The count of dropped spans.
    pub(super) fn dropped(&self) -> IntCounter {
        self.dropped.clone()
    }

    /// Takes no more spans and gives those that wait a last chance.
    pub(super) fn end(&self) {
        self.stop.send_replace(true);
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(mpsc::RecvTimeoutError::Timeout) = ended.recv_timeout(END_LIMIT) {
            tracing::warn!("the delivery of traces did not end in time");
        }
    }
}

/// Starts delivering to this endpoint.
pub(super) fn start(endpoint: String, resource: &Resource) -> Result<(Outbox, Delivery), Error> {
    let dropped = IntCounter::new(
        "smartops_traces_dropped_total",
        "Spans dropped because the collector did not take them fast enough, or at all.",
    )?;
    let (sender, waiting) = queue::channel(CAPACITY);
    let (stop, stopping) = watch::channel(false);
    let (done, ended) = mpsc::sync_channel(1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut exporter = {
        // The channel to the collector lives on the runtime it is made on.
        let _within = runtime.enter();
        Otlp::builder()
            .with_tonic()
            .with_endpoint(&endpoint)
            .with_timeout(DELIVERY_LIMIT)
            .with_retry_policy(RetryPolicy::disabled())
            .build()?
    };
    exporter.set_resource(resource);
    let postman =
        Postman { exporter, endpoint, dropped: dropped.clone(), is_failing: false, on_the_way: 0 };
    std::thread::Builder::new().name("traces".into()).spawn(move || {
        runtime.block_on(postman.run(waiting, stopping));
        // Whatever hangs in the runtime is not waited for.
        runtime.shutdown_background();
        drop(done);
    })?;
    let outbox = Outbox { queue: sender, dropped: dropped.clone() };
    Ok((outbox, Delivery { stop, ended: Mutex::new(ended), dropped }))
}

struct Postman<E> {
    exporter: E,
    endpoint: String,
    dropped: IntCounter,
    is_failing: bool,
    /// Spans of the delivery under way.
    on_the_way: usize,
}

impl<E: SpanExporter> Postman<E> {
    /// Delivers until the stop, and then what is left for a moment.
    async fn run(mut self, mut waiting: queue::Receiver<SpanData>, stop: watch::Receiver<bool>) {
        let overdue = async {
            stopped(stop.clone()).await;
            tokio::time::sleep(FLUSH_LIMIT).await;
        };
        tokio::select! {
            () = self.deliver_all(&mut waiting, stop.clone()) => {}
            () = overdue => {}
        }
        waiting.close();
        let left = std::iter::from_fn(|| waiting.try_recv().ok()).count();
        self.drop_spans(left + self.on_the_way);
    }

    /// Delivers as spans come; after the stop what waits, and no more.
    async fn deliver_all(
        &mut self,
        waiting: &mut queue::Receiver<SpanData>,
        stop: watch::Receiver<bool>,
    ) {
        let mut stopped = pin!(stopped(stop));
        let mut is_stopped = false;
        loop {
            let mut batch = Vec::new();
            tokio::select! {
                biased;
                () = &mut stopped, if !is_stopped => {
                    is_stopped = true;
                    waiting.close();
                    continue;
                }
                count = waiting.recv_many(&mut batch, BATCH) => if count == 0 { return },
            }
            let gathering = async {
                while batch.len() < BATCH {
                    let room = BATCH - batch.len();
                    if waiting.recv_many(&mut batch, room).await == 0 {
                        return;
                    }
                }
            };
            tokio::select! {
                biased;
                () = gathering => {}
                () = &mut stopped, if !is_stopped => {
                    is_stopped = true;
                    waiting.close();
                }
                () = tokio::time::sleep(GATHERING) => {}
            }
            self.deliver(batch).await;
        }
    }

    async fn deliver(&mut self, batch: Vec<SpanData>) {
        self.on_the_way = batch.len();
        let delivered = timeout(DELIVERY_LIMIT, self.exporter.export(batch)).await;
        let spans = std::mem::take(&mut self.on_the_way);
        let why = match delivered {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("no answer within {DELIVERY_LIMIT:?}")),
        };
        match &why {
            // Once for each time it fails, not for each delivery.
            Some(why) if !self.is_failing => {
                let endpoint = &self.endpoint;
                tracing::warn!(%endpoint, %why, "traces are dropped until the collector takes them");
            }
            None if self.is_failing => {
                tracing::info!(endpoint = %self.endpoint, "the collector takes traces again");
            }
            _ => {}
        }
        self.is_failing = why.is_some();
        if self.is_failing {
            self.drop_spans(spans);
        }
    }

    fn drop_spans(&self, count: usize) {
        self.dropped.inc_by(u64::try_from(count).unwrap_or(u64::MAX));
    }
}

/// Returns at the stop. Nobody left to say it is none.
async fn stopped(mut stop: watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::sync::Arc;
    use std::time::Instant;

    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry::trace::{Span as _, Tracer as _};
    use opentelemetry_sdk::trace::SdkTracerProvider;

    use super::*;

    /// What a request or a stop may take beyond what is promised, on a machine that is busy.
    const SLACK: Duration = Duration::from_secs(1);

    /// Ends this many spans and tells how long that took.
    fn end_spans(outbox: Outbox, count: usize) -> Duration {
        let provider = SdkTracerProvider::builder().with_span_processor(outbox).build();
        let tracer = provider.tracer("test");
        let begun = Instant::now();
        for _ in 0..count {
            tracer.start("work").end();
        }
        begun.elapsed()
    }

    /// A listener that does this with each connection.
    fn listen(answer: fn(TcpStream)) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || answer(stream));
            }
        });
        address
    }

    fn absent() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
    }

    /// Takes whatever comes and never says a word.
    fn hang(mut stream: TcpStream) {
        let _read = std::io::copy(&mut stream, &mut std::io::sink());
    }

    /// Says that it will not, in a language that is not even gRPC.
    fn refuse(mut stream: TcpStream) {
        let _read = stream.read(&mut [0; 1024]);
        let _written = stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\n\r\n");
    }

    #[test]
    fn a_collector_that_is_absent_refuses_hangs_or_dies_delays_neither_work_nor_the_stop() {
        for (what, address) in [
            ("absent", absent()),
            ("refuses", listen(refuse)),
            ("hangs", listen(hang)),
            ("dies", listen(drop)),
        ] {
            let resource = Resource::builder_empty().build();
            let (outbox, delivery) = start(format!("http://{address}"), &resource).unwrap();
            let spans = CAPACITY * 2;
            let took = end_spans(outbox, spans);
            assert!(took < SLACK, "{what}: {spans} spans took {took:?}");
            let begun = Instant::now();
            delivery.end();
            let took = begun.elapsed();
            assert!(took < END_LIMIT + SLACK, "{what}: the stop took {took:?}");
            assert_eq!(delivery.dropped.get(), spans as u64, "{what}");
        }
    }

    /// How many came each time.
    #[derive(Debug, Default, Clone)]
    struct Kept(Arc<Mutex<Vec<usize>>>);

    impl SpanExporter for Kept {
        async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(batch.len());
            Ok(())
        }
    }

    #[tokio::test]
    async fn what_waits_at_the_stop_is_still_delivered_and_what_comes_later_is_counted_as_dropped()
    {
        let kept = Kept::default();
        let dropped = IntCounter::new("dropped", "Dropped.").unwrap();
        let (sender, waiting) = queue::channel(CAPACITY);
        let (stop, stopping) = watch::channel(false);
        let postman = Postman {
            exporter: kept.clone(),
            endpoint: "here".into(),
            dropped: dropped.clone(),
            is_failing: false,
            on_the_way: 0,
        };
        let outbox = || Outbox { queue: sender.clone(), dropped: dropped.clone() };
        end_spans(outbox(), BATCH + 1);
        stop.send_replace(true);
        postman.run(waiting, stopping).await;
        assert_eq!(*kept.0.lock().unwrap(), [BATCH, 1]);
        assert_eq!(dropped.get(), 0);
        end_spans(outbox(), 3);
        assert_eq!(dropped.get(), 3);
    }
}
