//! Spans: what took how long, within what, and how it ended. A span is begun where work begins and ends when it is
//! dropped; whatever is done [around](Span::around) it happens within it.
//!
//! Without a collector nothing is recorded and nearly nothing spent; a caller's own trace is still known, so that log
//! lines and Remediations name it. How spans get to the collector is `delivery`'s.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use opentelemetry::trace::{
    FutureExt as _, Link, Span as _, SpanBuilder, SpanContext, SpanKind, SpanRef, Status,
    TraceContextExt as _, Tracer, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider, SpanProcessor};

use super::delivery::Delivery;
use super::traceparent;
use crate::args::Collector;

/// Who makes spans, once somebody wants them.
static TRACER: OnceLock<SdkTracer> = OnceLock::new();
/// What is told of all spans: which code made them.
const SCOPE: &str = "smartops";

/// What a span is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Answering a request.
    Server,
    /// Asking somebody else.
    Client,
    /// Anything within the program.
    Internal,
}

/// What a span is called: one of few names.
type Name = Cow<'static, str>;

/// What a span belongs to. The texts are `traceparent`s; one that cannot be read counts as none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin<'a> {
    /// The span under way here.
    Current,
    /// The span that asked for it, here or elsewhere.
    Of(Option<&'a str>),
    /// Nothing: it begins a trace of its own, which names another that had a part in it.
    Joined(Option<&'a str>),
}

/// What every span within another says too: whom the work is for.
#[derive(Debug, Clone)]
struct About(Arc<[KeyValue]>);

/// A span under way. Dropping it ends it.
#[derive(Debug)]
#[must_use]
pub struct Span {
    context: Option<Context>,
}

impl Span {
    /// Begins now.
    pub fn begin<N: Into<Name>>(kind: Kind, name: impl FnOnce() -> N, origin: Origin<'_>) -> Self {
        Self::by(TRACER.get(), kind, name, origin, None)
    }

    /// Began then; end it with [`end_at`](Self::end_at).
    pub fn begun_at<N: Into<Name>>(
        kind: Kind,
        name: impl FnOnce() -> N,
        origin: Origin<'_>,
        at: SystemTime,
    ) -> Self {
        Self::by(TRACER.get(), kind, name, origin, Some(at))
    }

    fn by<N: Into<Name>>(
        tracer: Option<&SdkTracer>,
        kind: Kind,
        name: impl FnOnce() -> N,
        origin: Origin<'_>,
        at: Option<SystemTime>,
    ) -> Self {
        let named = |text: Option<&str>| text.and_then(traceparent::read);
        let (parent, link) = match origin {
            Origin::Current => (Some(Context::current()), None),
            Origin::Of(text) => (named(text).map(remote), None),
            Origin::Joined(text) => (None, named(text)),
        };
        let Some(tracer) = tracer else {
            return Self { context: parent.or_else(|| link.map(remote)) };
        };
        let builder = SpanBuilder {
            span_kind: Some(match kind {
                Kind::Server => SpanKind::Server,
                Kind::Client => SpanKind::Client,
                Kind::Internal => SpanKind::Internal,
            }),
            start_time: at,
            links: link.map(|other| vec![Link::with_context(other)]),
            ..SpanBuilder::from_name(name().into())
        };
        let parent = parent.unwrap_or_default();
        let mut span = tracer.build_with_context(builder, &parent);
        if let Some(About(about)) = parent.get().filter(|_| span.is_recording()) {
            span.set_attributes(about.iter().cloned());
        }
        Self { context: Some(parent.with_span(span)) }
    }

    /// Says something of it.
    pub fn text(&self, key: &'static str, value: &str) {
        self.say(key, || value.to_owned().into());
    }

    /// Says a number of it.
    pub fn number(&self, key: &'static str, value: i64) {
        self.say(key, || value.into());
    }

    /// Says yes or no of it.
    pub fn flag(&self, key: &'static str, value: bool) {
        self.say(key, || value.into());
    }

    /// Says whom the work is for, of this span and of each that is begun [around](Self::around) it: keys with their
    /// values, those without left out.
    pub fn about(&mut self, about: &[(&'static str, Option<&str>)]) {
        let Some(span) = self.recording() else { return };
        let about: Arc<[KeyValue]> = about
            .iter()
            .filter_map(|(key, value)| Some(KeyValue::new(*key, (*value)?.to_owned())))
            .collect();
        span.set_attributes(about.iter().cloned());
        let known = self.context.as_ref().map(|context| context.with_value(About(about)));
        self.context = known.or_else(|| self.context.take());
    }

    fn say(&self, key: &'static str, value: impl FnOnce() -> Value) {
        if let Some(span) = self.recording() {
            span.set_attribute(KeyValue::new(key, value()));
        }
    }

    /// It ended badly: in one word for machines, and in a sentence.
    pub fn failed(&self, error_type: &str, message: &str) {
        self.text("error.type", error_type);
        if let Some(span) = self.recording() {
            span.set_status(Status::error(message.to_owned()));
        }
    }

    fn recording(&self) -> Option<SpanRef<'_>> {
        self.context.as_ref().map(Context::span).filter(SpanRef::is_recording)
    }

    /// Has work done within it.
    pub fn around<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        work.with_context(self.context.clone().unwrap_or_else(Context::current))
    }

    /// How it is handed on to whoever goes on with the work.
    pub fn traceparent(&self) -> Option<String> {
        let context = self.context.as_ref()?;
        let span = context.span();
        let span = span.span_context();
        span.is_valid().then(|| traceparent::written(span))
    }

    /// Ended then.
    pub fn end_at(mut self, at: SystemTime) {
        if let Some(context) = self.context.take() {
            context.span().end_with_timestamp(at);
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let Some(context) = &self.context {
            context.span().end();
        }
    }
}

fn remote(span: SpanContext) -> Context {
    Context::new().with_remote_span_context(span)
}

/// Has work done elsewhere, as by another task, within the span under way here.
pub fn here<F: Future>(work: F) -> impl Future<Output = F::Output> + use<F> {
    work.with_current_context()
}

/// Says something of the span under way here.
pub fn say(key: &'static str, value: &str) {
    Context::map_current(|context| {
        let span = context.span();
        if span.is_recording() {
            span.set_attribute(KeyValue::new(key, value.to_owned()));
        }
    });
}

/// How the span under way here is handed on, where there is one.
pub fn current() -> Option<String> {
    with_current(traceparent::written)
}

/// The ids of trace and span under way here, as hex digits.
pub(super) fn current_ids() -> Option<(String, String)> {
    with_current(|span| (span.trace_id().to_string(), span.span_id().to_string()))
}

fn with_current<T>(told: impl FnOnce(&SpanContext) -> T) -> Option<T> {
    Context::map_current(|context| {
        let span = context.span();
        let span = span.span_context();
        span.is_valid().then(|| told(span))
    })
}

/// The id of the trace a `traceparent` names: 32 hex digits.
pub fn trace_id(text: &str) -> Option<String> {
    Some(traceparent::read(text)?.trace_id().to_string())
}

/// Has spans made from now on, and delivered.
pub(super) fn start(service: &'static str, to: Collector) -> Result<Delivery, super::Error> {
    let resource = Resource::builder()
        .with_service_name(service)
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    let (outbox, delivery) = super::delivery::start(to.endpoint, &resource)?;
    let _first_wins = TRACER.set(tracer(outbox, to.sample_ratio));
    Ok(delivery)
}

/// Whether a trace is recorded is decided where it begins.
fn tracer(outbox: impl SpanProcessor + 'static, ratio: f64) -> SdkTracer {
    let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio)));
    let provider =
        SdkTracerProvider::builder().with_sampler(sampler).with_span_processor(outbox).build();
    provider.tracer(SCOPE)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use opentelemetry_sdk::error::OTelSdkResult;
    use opentelemetry_sdk::trace::SpanData;

    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const CALLER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const UNSAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

    #[derive(Debug, Default, Clone)]
    struct Ended(Arc<Mutex<Vec<SpanData>>>);

    impl SpanProcessor for Ended {
        fn on_start(&self, _: &mut opentelemetry_sdk::trace::Span, _: &Context) {}
        fn on_end(&self, span: SpanData) {
            self.0.lock().unwrap().push(span);
        }
        fn force_flush(&self) -> OTelSdkResult {
            Ok(())
        }
        fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
            Ok(())
        }
    }

    impl Ended {
        fn all(&self) -> Vec<SpanData> {
            self.0.lock().unwrap().clone()
        }
    }

    fn begin(tracer: Option<&SdkTracer>, name: &'static str, origin: Origin<'_>) -> Span {
        Span::by(tracer, Kind::Internal, || name, origin, None)
    }

    #[tokio::test]
    async fn what_is_done_around_a_span_is_within_it_and_what_it_said_is_on_it() {
        let ended = Ended::default();
        let tracer = tracer(ended.clone(), 1.0);
        let outer = begin(Some(&tracer), "outer", Origin::Of(Some(CALLER)));
        outer.text("a", "b");
        outer.number("c", 1);
        outer.flag("d", true);
        let inner = async {
            tokio::task::yield_now().await;
            let inner = begin(Some(&tracer), "inner", Origin::Current);
            inner.failed("Conflict", "it moved");
            current().unwrap()
        };
        let within = outer.around(inner).await;
        assert_eq!(Some(within), outer.traceparent());
        assert_eq!(current(), None);
        drop(outer);
        let [inner, outer] = ended.all().try_into().unwrap();
        assert_eq!(outer.span_context.trace_id().to_string(), TRACE);
        assert_eq!(outer.parent_span_id.to_string(), "00f067aa0ba902b7");
        let said = [KeyValue::new("a", "b"), KeyValue::new("c", 1), KeyValue::new("d", true)];
        assert_eq!(outer.attributes, said);
        assert_eq!(inner.parent_span_id, outer.span_context.span_id());
        assert_eq!(inner.status, Status::error("it moved"));
        assert_eq!(inner.attributes, [KeyValue::new("error.type", "Conflict")]);
    }

    #[tokio::test]
    async fn whom_work_is_for_is_said_of_all_that_is_done_for_him_and_of_nothing_else() {
        let ended = Ended::default();
        let tracer = tracer(ended.clone(), 1.0);
        let mut outer = begin(Some(&tracer), "outer", Origin::Of(None));
        outer.about(&[("k8s.namespace.name", Some("shop")), ("smartops.signal.kind", None)]);
        let maker = tracer.clone();
        let elsewhere = async move {
            say("said", "of outer");
            drop(begin(Some(&maker), "inner", Origin::Current));
        };
        outer.around(async { tokio::spawn(here(elsewhere)).await }).await.unwrap();
        drop(outer);
        drop(begin(Some(&tracer), "other", Origin::Current));
        let [inner, outer, other] = ended.all().try_into().unwrap();
        let about = KeyValue::new("k8s.namespace.name", "shop");
        assert_eq!(outer.attributes, [about.clone(), KeyValue::new("said", "of outer")]);
        assert_eq!(inner.attributes, [about]);
        assert_eq!(inner.parent_span_id, outer.span_context.span_id());
        assert_eq!(other.attributes, []);
    }

    #[test]
    fn one_that_joined_others_begins_its_own_trace_and_names_theirs() {
        let ended = Ended::default();
        let tracer = tracer(ended.clone(), 1.0);
        drop(begin(Some(&tracer), "joined", Origin::Joined(Some(CALLER))));
        drop(begin(Some(&tracer), "alone", Origin::Joined(Some("nonsense"))));
        let [joined, alone] = ended.all().try_into().unwrap();
        assert_ne!(joined.span_context.trace_id().to_string(), TRACE);
        assert_eq!(joined.links[0].span_context.trace_id().to_string(), TRACE);
        assert_eq!(alone.links.len(), 0);
    }

    #[test]
    fn whether_a_trace_is_recorded_is_decided_where_it_begins() {
        for (ratio, origin, recorded) in [
            (1.0, None, true),
            (0.0, None, false),
            (0.0, Some(CALLER), true),
            (1.0, Some(UNSAMPLED), false),
        ] {
            let ended = Ended::default();
            let span = begin(Some(&tracer(ended.clone(), ratio)), "x", Origin::Of(origin));
            assert!(span.traceparent().is_some(), "it has a name in any case");
            drop(span);
            assert_eq!(ended.all().len(), usize::from(recorded), "{ratio} {origin:?}");
        }
    }

    #[test]
    fn a_span_told_afterwards_has_the_times_it_had() {
        let ended = Ended::default();
        let tracer = tracer(ended.clone(), 1.0);
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let origin = Origin::Of(None);
        Span::by(Some(&tracer), Kind::Internal, || "x", origin, Some(at(5))).end_at(at(9));
        let [span] = ended.all().try_into().unwrap();
        assert_eq!((span.start_time, span.end_time), (at(5), at(9)));
    }

    #[tokio::test]
    async fn without_a_collector_a_callers_trace_is_still_known() {
        for (origin, known) in [
            (Origin::Of(Some(CALLER)), Some(CALLER)),
            (Origin::Joined(Some(CALLER)), Some(CALLER)),
            (Origin::Of(None), None),
            (Origin::Current, None),
        ] {
            let span = begin(None, "x", origin);
            span.text("a", "b");
            let within = span.around(async { current() }).await;
            assert_eq!((within.as_deref(), span.traceparent().as_deref()), (known, known));
        }
        assert_eq!(trace_id(CALLER).as_deref(), Some(TRACE));
    }
}
