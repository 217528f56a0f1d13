//! The spans of a Remediation, and how it keeps the trace in which it was asked for: an annotation holds the
//! `traceparent` by which whoever works on it goes on, the status the trace's id for people.

use std::time::SystemTime;

use smartops_common::names;
use smartops_common::remediation::{
    AttemptResult, Remediation, RemediationStatus, VerificationStatus,
};
use smartops_common::signal::SignalKind;
use smartops_process::telemetry::traces::{self, Kind, Origin, Span};

use crate::failure::Failure;
use crate::intake::place::Order;

const NAMESPACE: &str = "k8s.namespace.name";
const DEPLOYMENT: &str = "k8s.deployment.name";
const ACTION: &str = "smartops.action.type";
const SIGNAL: &str = "smartops.signal.kind";
const DRY_RUN: &str = "smartops.dry_run";
const VERIFICATION: &str = "smartops.verification.status";

/// An order on its way into etcd. A request that asks for one thing says on its own span whom it is about; a delivery of
/// alerts may be about many.
pub fn intake(order: &Order) -> Span {
    let about = [
        (NAMESPACE, Some(order.namespace.as_str())),
        (DEPLOYMENT, Some(order.target.name.as_str())),
        (ACTION, Some(order.action.type_.as_str())),
        (SIGNAL, order.signal.as_ref().map(|signal| signal.kind.as_str())),
    ];
    let is_one_of_many = order.signal.as_ref().is_some_and(|s| s.kind == SignalKind::Alert);
    for (key, value) in about.iter().filter(|_| !is_one_of_many) {
        if let Some(value) = value {
            traces::say(key, value);
        }
    }
    let mut span = Span::begin(Kind::Internal, || "intake", Origin::Current);
    span.about(&about);
    span.flag(DRY_RUN, order.dry_run);
    span
}

/// Has a new Remediation keep the trace it was asked for in.
pub fn keep(mut remediation: Remediation) -> Remediation {
    if let Some(parent) = traces::current() {
        let annotations = remediation.metadata.annotations.get_or_insert_default();
        annotations.insert(names::TRACE_PARENT.to_owned(), parent);
    }
    remediation
}

/// The trace that a Remediation was asked for in: 32 hex digits.
pub fn id(remediation: &Remediation) -> Option<String> {
    kept(remediation).and_then(traces::trace_id)
}

fn kept(remediation: &Remediation) -> Option<&str> {
    remediation.metadata.annotations.as_ref()?.get(names::TRACE_PARENT).map(String::as_str)
}

/// One asker's Remediation is part of his trace. Where others joined, it is nobody's alone, and names the first one's.
fn origin(remediation: &Remediation) -> Origin<'_> {
    match &remediation.status {
        Some(status) if status.signal_count > 0 => Origin::Joined(kept(remediation)),
        _ => Origin::Of(kept(remediation)),
    }
}

fn about(span: &mut Span, remediation: &Remediation) {
    let spec = &remediation.spec;
    span.about(&[
        (NAMESPACE, remediation.metadata.namespace.as_deref()),
        (DEPLOYMENT, Some(&spec.target.name)),
        (ACTION, Some(spec.action.type_.as_str())),
        (SIGNAL, spec.signal.as_ref().map(|signal| signal.kind.as_str())),
        ("smartops.remediation.uid", remediation.metadata.uid.as_deref()),
    ]);
    span.flag(DRY_RUN, spec.dry_run);
}

/// One look at a Remediation, with the steps it leads to.
pub fn step(remediation: &Remediation) -> Span {
    let mut span = Span::begin(Kind::Internal, || "remediation", origin(remediation));
    about(&mut span, remediation);
    span.text("smartops.remediation.phase", remediation.phase().as_str());
    span
}

/// A step that failed and will be repeated.
pub fn failed(span: &Span, failure: &Failure) {
    span.failed(&failure.code(), &failure.to_string());
}

/// An attempt being judged and written, within a step.
pub fn attempt(remediation: &Remediation) -> Span {
    let attempt = remediation.status.as_ref().and_then(|status| status.attempts.last());
    let type_ = attempt.map_or(remediation.spec.action.type_, |attempt| attempt.intent.type_);
    let span = Span::begin(Kind::Internal, || format!("action {type_}"), Origin::Current);
    span.flag(DRY_RUN, remediation.spec.dry_run);
    if let Some(attempt) = attempt {
        span.number("smartops.attempt.number", attempt.number.into());
    }
    span
}

/// What came of an attempt, as it will be recorded.
pub fn settled(span: &Span, status: &RemediationStatus) {
    let Some((attempt, result)) = status.attempts.last().and_then(|a| Some((a, a.result?))) else {
        return;
    };
    let result_name = format!("{result:?}");
    span.text("smartops.attempt.result", &result_name);
    if matches!(result, AttemptResult::Denied | AttemptResult::Failed | AttemptResult::Expired) {
        span.failed(&result_name, attempt.message.as_deref().unwrap_or_default());
    }
}

/// A verification that has come to its verdict, from its beginning to its end.
pub fn verification(former: Option<&RemediationStatus>, remediation: &Remediation) {
    let verification = |status: &RemediationStatus| status.verification.clone();
    let known = former.and_then(verification).is_some_and(|v| v.status.is_some());
    let Some(seen) = remediation.status.as_ref().and_then(verification).filter(|_| !known) else {
        return;
    };
    let (Some(verdict), Some(ended)) = (seen.status, seen.finished_at) else { return };
    let begun = SystemTime::from(seen.started_at.0);
    let name = || "verification";
    let mut span = Span::begun_at(Kind::Internal, name, origin(remediation), begun);
    about(&mut span, remediation);
    judged(&span, verdict, &seen.message);
    span.end_at(SystemTime::from(ended.0));
}

/// A verification that a caller waits for.
pub fn watch(namespace: &str, deployment: &str) -> Span {
    let mut span = Span::begin(Kind::Internal, || "verification", Origin::Current);
    span.about(&[(NAMESPACE, Some(namespace)), (DEPLOYMENT, Some(deployment))]);
    span
}

/// The verdict of a verification.
pub fn judged(span: &Span, verdict: VerificationStatus, message: &str) {
    span.text(VERIFICATION, verdict.as_str());
    if verdict != VerificationStatus::Success {
        span.failed(verdict.as_str(), message);
    }
}

#[cfg(test)]
mod tests {
    use smartops_common::action::Action;

    use super::*;
    use crate::fixture::remediation;

    const CALLER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[tokio::test]
    async fn a_remediation_keeps_the_trace_it_was_asked_for_in_and_none_where_there_was_none() {
        for (caller, trace) in
            [(Some(CALLER), Some("4bf92f3577b34da6a3ce929d0e0e4736")), (None, None)]
        {
            let span = Span::begin(Kind::Server, || "asked", Origin::Of(caller));
            let made = span.around(async { keep(remediation("r-1", Action::restart())) }).await;
            assert_eq!((kept(&made), id(&made).as_deref()), (caller, trace));
        }
    }

    #[tokio::test]
    async fn work_for_one_asker_is_in_his_trace_and_work_for_many_names_the_first_ones() {
        let span = Span::begin(Kind::Server, || "asked", Origin::Of(Some(CALLER)));
        let mut made = span.around(async { keep(remediation("r-1", Action::restart())) }).await;
        assert_eq!(origin(&made), Origin::Of(Some(CALLER)));
        made.status.get_or_insert_default().signal_count = 1;
        assert_eq!(origin(&made), Origin::Joined(Some(CALLER)));
    }
}
