//! Log lines that name the trace they were written in; and audit records, which are lines of their own form: what is
//! said in them and when, and nothing else.

use std::fmt::{Debug, Result};

use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::{AUDIT, traces};
use crate::clock::Clock;

/// Lines as another writes them; with `trace_id` and `span_id` where a span is under way.
#[derive(Debug)]
pub(super) struct Traced<F>(pub(super) F);

/// The same, where every line is a JSON object; an audit record is one too.
#[derive(Debug)]
pub(super) struct Records<F>(pub(super) Traced<F>);

impl<S, N, F> FormatEvent<S, N> for Records<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> Result {
        if event.metadata().target() != AUDIT {
            return self.0.format_event(context, writer, event);
        }
        let mut members = Members(format!(r#"{{"timestamp":"{}""#, Clock.now()));
        event.record(&mut members);
        writeln!(writer, "{}}}", members.0)
    }
}

/// The members of a JSON object, written one after the other.
struct Members(String);

impl Members {
    fn add(&mut self, field: &Field, value: &Value) {
        let name = Value::from(field.name());
        self.0.extend([",", &name.to_string(), ":", &value.to_string()]);
    }
}

impl Visit for Members {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, &value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, &value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, &value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, &value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.add(field, &format!("{value:?}").into());
    }
}

impl<S, N, F> FormatEvent<S, N> for Traced<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> Result {
        let Some((trace, span)) = traces::current_ids() else {
            return self.0.format_event(context, writer, event);
        };
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        match line.strip_prefix('{') {
            Some(rest) => write!(writer, r#"{{"trace_id":"{trace}","span_id":"{span}",{rest}"#),
            None => writeln!(writer, "{} trace_id={trace} span_id={span}", line.trim_end()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex, PoisonError};

    use tracing_subscriber::fmt::MakeWriter;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;
    use crate::telemetry::traces::{Kind, Origin, Span};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).write(line)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Lines {
        type Writer = Self;
        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    async fn told(
        origin: Option<&str>,
        subscriber: impl Subscriber + Send + Sync,
        lines: Lines,
    ) -> String {
        let _here = tracing::subscriber::set_default(subscriber);
        let span = Span::begin(Kind::Server, || "x", Origin::Of(origin));
        span.around(async { tracing::info!(a = 1, "said") }).await;
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[tokio::test]
    async fn a_line_within_a_trace_names_it_and_any_other_is_as_it_was() {
        const CALLER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        for origin in [Some(CALLER), None] {
            let lines = Lines::default();
            let layer = tracing_subscriber::fmt::layer().json().flatten_event(true);
            let layer = layer.map_event_format(|f| Records(Traced(f))).with_writer(lines.clone());
            let line = told(origin, tracing_subscriber::registry().with(layer), lines).await;
            let value: serde_json::Value = serde_json::from_str(&line).unwrap();
            assert_eq!((&value["message"], &value["a"]), (&"said".into(), &1.into()), "{line}");
            let ids = (value["trace_id"].as_str(), value["span_id"].as_str());
            let both = (Some("4bf92f3577b34da6a3ce929d0e0e4736"), Some("00f067aa0ba902b7"));
            assert_eq!(ids, if origin.is_some() { both } else { (None, None) });

            let lines = Lines::default();
            let layer = tracing_subscriber::fmt::layer().with_ansi(false);
            let layer = layer.map_event_format(Traced).with_writer(lines.clone());
            let line = told(origin, tracing_subscriber::registry().with(layer), lines).await;
            let end = if origin.is_some() { "span_id=00f067aa0ba902b7\n" } else { "said a=1\n" };
            assert!(line.ends_with(end), "{line:?}");
        }
    }

    #[test]
    fn an_audit_record_is_what_was_said_in_the_order_it_was_said() {
        let lines = Lines::default();
        let layer = tracing_subscriber::fmt::layer().json().flatten_event(true);
        let layer = layer.map_event_format(|f| Records(Traced(f))).with_writer(lines.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let absent: Option<&str> = None;
            tracing::info!(target: AUDIT, target = "a \"b\"", dry_run = true, traceId = absent);
        });
        let line = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let rest = line.split_once(',').unwrap();
        assert!(rest.0.starts_with(r#"{"timestamp":"2"#), "{line}");
        assert_eq!(rest.1, "\"target\":\"a \\\"b\\\"\",\"dry_run\":true}\n");
    }
}
