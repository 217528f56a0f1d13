//! Logs on stderr through a bounded queue that never blocks the writer.
//!
//! When the queue is three quarters full, lines below WARN are dropped; the last quarter is kept for warnings, errors
//! and audit records, so denials are the last to go. Drops are counted in `smartops_log_lines_dropped_total`. Lines written within
//! a trace name it. Traces are `telemetry::traces`'.

mod delivery;
pub mod endpoint;
mod traced;
pub mod traceparent;
pub mod traces;

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use prometheus::IntCounter;
use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use self::delivery::Delivery;
use self::traced::{Records, Traced};
use crate::args::{CommonArgs, InvalidArguments, LogFormat};
use crate::metrics::Metrics;

/// Lines the queue holds.
const CAPACITY: usize = 8192;
/// Lines after which only warnings and errors are taken.
const CAPACITY_BELOW_WARN: usize = CAPACITY / 4 * 3;
/// What is told already, with more context, by whoever runs the watch. The level asked for may name it again.
const QUIET: &str = "kube_runtime::watcher=off";
/// The target of audit records. They are written whatever level is asked for, and among the last to be dropped.
pub const AUDIT: &str = "audit";
/// How long the end of the process waits for the queue to empty.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The level cannot be read.
    #[error("--log-level cannot be read: {0}")]
    Level(#[from] tracing_subscriber::filter::ParseError),
    /// A logger is installed already.
    #[error("logging is set up already: {0}")]
    Twice(#[from] TryInitError),
    /// The writer's thread could not be started.
    #[error("the writer of logs or traces could not be started: {0}")]
    Thread(#[from] io::Error),
    /// A counter could not be made.
    #[error("the count of what is dropped could not be made: {0}")]
    Metric(#[from] prometheus::Error),
    /// The collector's address cannot be used.
    #[error("the collector of traces cannot be used: {0}")]
    Collector(#[from] opentelemetry_otlp::ExporterBuildError),
    /// A flag cannot work.
    #[error(transparent)]
    Arguments(#[from] InvalidArguments),
}

/// Keeps log and traces alive; dropping it writes out what is queued.
#[derive(Debug)]
pub struct Telemetry {
    queue: Arc<Queue>,
    traces: Option<Delivery>,
}

impl Telemetry {
    /// Makes the counts of what was dropped visible.
    pub fn register(&self, metrics: &Metrics) -> Result<(), Error> {
        if let Some(traces) = &self.traces {
            metrics.register(traces.dropped())?;
        }
        Ok(metrics.register(self.queue.dropped.clone())?)
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(traces) = &self.traces {
            traces.end();
        }
        self.queue.flush(FLUSH_TIMEOUT);
    }
}

/// Sends every log line of the process, panics included, to stderr, and its traces, as `service`, to the collector.
pub fn init(service: &'static str, args: &CommonArgs) -> Result<Telemetry, Error> {
    let collector = args.collector()?;
    let (format, level) = (args.log_format, &args.log_level);
    let queue = Arc::new(Queue::new()?);
    let writer = Arc::clone(&queue);
    std::thread::Builder::new().name("log".into()).spawn(move || writer.write_out(io::stderr()))?;
    let make = QueueWriter(Arc::clone(&queue));
    let registry = tracing_subscriber::registry()
        .with(EnvFilter::try_new(format!("{QUIET},{level},{AUDIT}=info"))?);
    match format {
        LogFormat::Json => registry
            .with(
                tracing_subscriber::fmt::layer()
                    .json()
                    .flatten_event(true)
                    .with_current_span(true)
                    .with_span_list(false)
                    .map_event_format(|lines| Records(Traced(lines)))
                    .with_writer(make),
            )
            .try_init()?,
        LogFormat::Text => registry
            .with(
                tracing_subscriber::fmt::layer()
                    .with_ansi(false)
                    .map_event_format(Traced)
                    .with_writer(make),
            )
            .try_init()?,
    }
    std::panic::set_hook(Box::new(|panic| {
        tracing::error!(%panic, "panic");
    }));
    let traces = collector.map(|to| traces::start(service, to)).transpose()?;
    Ok(Telemetry { queue, traces })
}

#[derive(Debug)]
struct Queue {
    lines: Mutex<Lines>,
    filled: Condvar,
    emptied: Condvar,
    dropped: IntCounter,
}

#[derive(Debug, Default)]
struct Lines {
    waiting: VecDeque<Vec<u8>>,
    writing: bool,
}

impl Queue {
    fn new() -> Result<Self, prometheus::Error> {
        Ok(Self {
            lines: Mutex::default(),
            filled: Condvar::new(),
            emptied: Condvar::new(),
            dropped: IntCounter::new(
                "smartops_log_lines_dropped_total",
                "Log lines dropped because they could not be written fast enough.",
            )?,
        })
    }

    fn push(&self, line: &[u8], important: bool) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let capacity = if important { CAPACITY } else { CAPACITY_BELOW_WARN };
        if lines.waiting.len() >= capacity {
            drop(lines);
            self.dropped.inc();
            return;
        }
        lines.waiting.push_back(line.to_vec());
        drop(lines);
        self.filled.notify_one();
    }

    /// Writes lines as they come, for as long as the process lives.
    fn write_out(&self, mut out: impl Write) {
        loop {
            let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            lines.writing = false;
            self.emptied.notify_all();
            while lines.waiting.is_empty() {
                lines = self.filled.wait(lines).unwrap_or_else(PoisonError::into_inner);
            }
            let batch = std::mem::take(&mut lines.waiting);
            lines.writing = true;
            drop(lines);
            for line in batch {
                if out.write_all(&line).is_err() {
                    self.dropped.inc();
                }
            }
        }
    }

    fn flush(&self, limit: Duration) {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let _unused = self
            .emptied
            .wait_timeout_while(lines, limit, |l| l.writing || !l.waiting.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
    }
}

/// Whether a line is among the last to be dropped.
fn is_important(meta: &Metadata<'_>) -> bool {
    *meta.level() <= Level::WARN || meta.target() == AUDIT
}

#[derive(Debug, Clone)]
struct QueueWriter(Arc<Queue>);

/// Takes one whole line at a time, as the formatter hands it over.
struct LineWriter<'a> {
    queue: &'a Queue,
    important: bool,
}

impl<'a> MakeWriter<'a> for QueueWriter {
    type Writer = LineWriter<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        LineWriter { queue: &self.0, important: false }
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Self::Writer {
        LineWriter { queue: &self.0, important: is_important(meta) }
    }
}

impl Write for LineWriter<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.queue.push(line, self.important);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_still_fit_when_other_lines_no_longer_do() {
        let queue = Queue::new().unwrap();
        for _ in 0..CAPACITY {
            queue.push(b"info\n", false);
        }
        assert_eq!(queue.dropped.get(), (CAPACITY - CAPACITY_BELOW_WARN) as u64);
        let before = queue.dropped.get();
        queue.push(b"warn\n", true);
        assert_eq!(queue.dropped.get(), before);
        assert_eq!(queue.lines.lock().unwrap().waiting.back().unwrap(), b"warn\n");
    }

    #[test]
    fn nothing_is_taken_beyond_the_capacity() {
        let queue = Queue::new().unwrap();
        for _ in 0..=CAPACITY {
            queue.push(b"warn\n", true);
        }
        assert_eq!(queue.dropped.get(), 1);
    }
}
