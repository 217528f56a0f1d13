//! `traceparent`, by which callers hand on the trace they are in: read and written as W3C Trace Context has it.
//!
//! What a vendor adds (`tracestate`) is neither read nor handed on.

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

/// The name of the header.
pub const HEADER: &str = "traceparent";
/// Length of version 00, and least length of every later one.
const LENGTH: usize = 55;

/// The span a caller was in; nothing where the text says none.
pub fn read(text: &str) -> Option<SpanContext> {
    let head = text.get(..LENGTH)?;
    let tail = text.get(LENGTH..)?;
    let mut parts = head.split('-');
    let [version, trace, span, flags] =
        [(); 4].map(|()| parts.next().filter(|part| part.bytes().all(is_lower_hex)));
    let (version, trace, span, flags) = (version?, trace?, span?, flags?);
    let is_known = match version {
        "00" => tail.is_empty(),
        "ff" => false,
        _ => tail.is_empty() || tail.starts_with('-'),
    };
    if !is_known || [version.len(), trace.len(), span.len(), flags.len()] != [2, 32, 16, 2] {
        return None;
    }
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?) & TraceFlags::SAMPLED;
    let trace = TraceId::from_hex(trace).ok()?;
    let span = SpanId::from_hex(span).ok()?;
    let read = SpanContext::new(trace, span, flags, true, TraceState::default());
    read.is_valid().then_some(read)
}

/// How it is handed on.
pub fn written(span: &SpanContext) -> String {
    let sampled = u8::from(span.is_sampled());
    format!("00-{}-{}-{sampled:02x}", span.trace_id(), span.span_id())
}

const fn is_lower_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    #[test]
    fn what_is_handed_on_is_what_was_read() {
        for (flags, sampled) in [("01", true), ("00", false)] {
            let text = format!("00-{TRACE}-{SPAN}-{flags}");
            let read = read(&text).unwrap();
            assert_eq!((read.trace_id().to_string(), read.is_sampled()), (TRACE.into(), sampled));
            assert!(read.is_remote());
            assert_eq!(written(&read), text);
        }
    }

    #[test]
    fn flags_that_nobody_knows_yet_are_not_handed_on_and_a_later_version_is_read_as_far_as_it_is_known()
     {
        for text in [
            format!("00-{TRACE}-{SPAN}-ff"),
            format!("01-{TRACE}-{SPAN}-01"),
            format!("cc-{TRACE}-{SPAN}-01-whatever"),
        ] {
            assert_eq!(written(&read(&text).unwrap()), format!("00-{TRACE}-{SPAN}-01"), "{text}");
        }
    }

    #[test]
    fn what_is_no_traceparent_is_none() {
        let zeros = ("0".repeat(32), "0".repeat(16));
        for text in [
            String::new(),
            "00".into(),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}-01-more"),
            format!("00-{TRACE}-{SPAN}-01 "),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("cc-{TRACE}-{SPAN}-01.more"),
            format!("0-{TRACE}0-{SPAN}-01"),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-{}-{SPAN}-01", zeros.0),
            format!("00-{TRACE}-{}-01", zeros.1),
            format!("00-{TRACE}-{SPAN}-0g"),
            format!("00-{TRACE}{SPAN}--01"),
            "ü".repeat(40),
        ] {
            assert_eq!(read(&text), None, "{text}");
        }
    }
}
