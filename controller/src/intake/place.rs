//! Where an order goes: a Remediation of its own, or one that is open already. Pure; whoever calls it holds the list
//! from etcd and runs it again when somebody was faster.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::ObjectMeta;
use smartops_common::action::Action;
use smartops_common::names::{self, label};
use smartops_common::remediation::{
    self, Attempt, AttemptResult, Handling, MetricCheck, OriginatingSignal, Phase, Remediation,
    RemediationSpec, SignalReference, Source, Target,
};
use smartops_common::signal::SignalKind;

use crate::remediation::machine::reason;
use crate::remediation::surroundings::is_held;

/// Signals kept by id; those before are only counted.
pub const SIGNALS_KEPT: usize = 32;
/// How long after its end a Remediation still takes in the signal that began it or joined it: a sender whose answer
/// was lost asks again, and must not be answered with a second remedy.
const REPEAT_WINDOW: SignedDuration = SignedDuration::from_mins(1);

/// What somebody wants done, resolved and mapped.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    /// The namespace of target and Remediation.
    pub namespace: String,
    /// The target.
    pub target: Target,
    /// The action, perhaps relative.
    pub action: Action,
    /// Why.
    pub cause: String,
    /// Where it came from.
    pub source: Source,
    /// The authenticated caller.
    pub requested_by: String,
    /// The digest of the caller's `Idempotency-Key`, where one was sent.
    pub idempotency: Option<String>,
    /// The signal, where one began it.
    pub signal: Option<OriginatingSignal>,
    /// Only try it out.
    pub dry_run: bool,
    /// Write nothing before somebody else has approved it.
    pub require_approval: bool,
    /// Watch the rollout.
    pub verify: bool,
    /// How long the rollout may take, in seconds.
    pub verify_timeout_seconds: u32,
    /// Seconds between two looks.
    pub verify_poll_seconds: u32,
    /// What else has to hold for it to have helped.
    pub checks: Vec<MetricCheck>,
    /// How it is handled.
    pub handling: Handling,
}

/// Where an order goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Place<'a> {
    /// A new Remediation of this sequence.
    New(u32),
    /// A signal joins this open one.
    Join(&'a Remediation),
    /// A caller has to wait for this open one.
    Busy(&'a Remediation),
    /// A caller used the idempotency key of this one for something else.
    Taken(&'a Remediation),
}

/// Places an order among the Remediations of its target. A signal joins an open one of the same cause, unless that
/// one is only a trial and the signal means it; a caller's request needs the target for itself, unless either changes
/// nothing: one that waits for approval keeps it, for what was put forward is about the target as it is. What the closed
/// loop holds back keeps nobody out. The same signal once more belongs to the Remediation it already has.
pub fn place<'a>(order: &Order, all: &'a [Remediation], now: Timestamp) -> Place<'a> {
    if let Some(known) = all.iter().find(|r| is_repeated(order, r, now)) {
        return Place::Join(known);
    }
    let of_key = |r: &&Remediation| {
        order.idempotency.is_some()
            && r.spec.idempotency_key == order.idempotency
            && r.spec.target.uid == order.target.uid
    };
    if let Some(known) = all.iter().find(of_key) {
        return if is_same_request(order, known) {
            Place::Join(known)
        } else {
            Place::Taken(known)
        };
    }
    let mut open = all.iter().filter(|r| r.spec.target.uid == order.target.uid && r.is_open());
    if order.signal.is_some() {
        let joins =
            |r: &&Remediation| r.spec.cause == order.cause && (order.dry_run || !r.spec.dry_run);
        if let Some(r) = open.find(joins) {
            return Place::Join(r);
        }
    } else if let Some(r) = open.find(|r| !order.dry_run && !r.spec.dry_run && !is_held(r)) {
        return Place::Busy(r);
    }
    let latest = all
        .iter()
        .filter(|r| r.spec.target.uid == order.target.uid && r.spec.cause == order.cause)
        .map(|r| r.spec.sequence)
        .max();
    Place::New(latest.unwrap_or(0).saturating_add(1))
}

fn is_repeated(order: &Order, r: &Remediation, now: Timestamp) -> bool {
    let Some(signal) = &order.signal else { return false };
    if r.spec.target.uid != order.target.uid || r.spec.cause != order.cause {
        return false;
    }
    let ended = r.status.as_ref().and_then(|s| s.outcome.as_ref()).map(|o| o.finished_at.0);
    let is_recent = ended.is_none_or(|ended| now.duration_since(ended) < REPEAT_WINDOW);
    if holds(r, &signal.id) {
        return is_recent || (signal.kind == SignalKind::Alert && has_answered(order, r));
    }
    signal.kind == SignalKind::Alert && has_answered_since(order, signal, r)
}

/// Whether an alert is answered by it for as long as it holds, however often it is told again: something was done about
/// it, or tried out where no more is wanted, a guardrail or a person refused, or the alert was resolved meanwhile. What
/// ended without any of these left the alert as it was.
fn has_answered(order: &Order, r: &Remediation) -> bool {
    let why = r.status.as_ref().and_then(|s| s.outcome.as_ref()).map(|o| o.reason.as_str());
    match r.phase() {
        Phase::Denied => true,
        Phase::DryRun => order.dry_run,
        _ => {
            [Some(reason::REJECTED_BY_APPROVER), Some(reason::SIGNAL_RESOLVED)].contains(&why)
                || has_acted(r)
        }
    }
}

/// Whether it has ended and changed its target, or found it as it should be, or may have changed it: a write that was
/// sent and not answered counts as made.
pub fn has_acted(r: &Remediation) -> bool {
    let done = |a: &Attempt| match a.result {
        Some(AttemptResult::Written | AttemptResult::Unchanged) => true,
        Some(AttemptResult::Expired) => a.sent_at.is_some(),
        _ => false,
    };
    let is_over = !r.is_open() && r.phase() != Phase::DryRun;
    is_over && r.status.iter().flat_map(|s| &s.attempts).any(done)
}

/// Whether it acted on the target after the alert had begun: the alert of another pod, told late or told again after
/// its id was no longer kept, is not a reason to act once more.
fn has_answered_since(order: &Order, signal: &OriginatingSignal, r: &Remediation) -> bool {
    let made = r.metadata.creation_timestamp.as_ref();
    has_acted(r)
        && (order.dry_run || !r.spec.dry_run)
        && signal.began_at.as_ref().zip(made).is_some_and(|(began, made)| began.0 <= made.0)
}

/// Whether a signal of this id belongs to it.
pub fn holds(r: &Remediation, id: &str) -> bool {
    r.spec.signal.as_ref().is_some_and(|s| s.id == *id)
        || r.status.iter().flat_map(|s| &s.signals).any(|s| s.id == *id)
}

fn is_same_request(order: &Order, r: &Remediation) -> bool {
    let spec = &r.spec;
    spec.action == order.action
        && spec.cause == order.cause
        && spec.dry_run == order.dry_run
        && spec.require_approval == order.require_approval
        && spec.verify == order.verify
}

/// The Remediation of an order, not yet stored.
pub fn make(order: &Order, sequence: u32) -> Remediation {
    let name = remediation::name(&order.target, &order.cause, sequence);
    let labels = BTreeMap::from([
        (label::TARGET_UID.to_owned(), order.target.uid.clone()),
        (label::CAUSE.to_owned(), remediation::cause_label(&order.cause)),
    ]);
    Remediation {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: Some(order.namespace.clone()),
            labels: Some(labels),
            ..ObjectMeta::default()
        },
        spec: RemediationSpec {
            target: order.target.clone(),
            action: order.action.clone(),
            cause: order.cause.clone(),
            sequence,
            source: order.source,
            requested_by: order.requested_by.clone(),
            created_by: names::service_account_user(
                names::SYSTEM_NAMESPACE,
                names::CONTROLLER_SERVICE_ACCOUNT,
            ),
            require_approval: order.require_approval,
            idempotency_key: order.idempotency.clone(),
            signal: order.signal.clone(),
            dry_run: order.dry_run,
            verify: order.verify,
            verify_timeout_seconds: order.verify_timeout_seconds,
            verify_poll_seconds: order.verify_poll_seconds,
            checks: order.checks.clone(),
            handling: order.handling.clone(),
        },
        status: None,
    }
}

/// The open Remediation with the order's signal added; `None` where that signal is in it already.
pub fn joined(order: &Order, open: &Remediation, now: Time) -> Option<Remediation> {
    let id = &order.signal.as_ref()?.id;
    if holds(open, id) {
        return None;
    }
    let mut status = open.status.clone().unwrap_or_default();
    status.signals.push(SignalReference { id: id.clone(), accepted_at: now, resolved_at: None });
    let surplus = status.signals.len().saturating_sub(SIGNALS_KEPT);
    status.signals.drain(..surplus);
    status.signal_count = status.signal_count.saturating_add(1);
    Some(Remediation { status: Some(status), ..open.clone() })
}

#[cfg(test)]
mod tests {
    use smartops_common::remediation::{RemediationStatus, TargetKind};

    use super::*;
    use crate::fixture::{at, deployment};
    use crate::remediation::record;

    fn order(cause: &str, signal: Option<&str>, dry_run: bool) -> Order {
        Order {
            namespace: "ns".into(),
            target: Target { kind: TargetKind::Deployment, name: "web".into(), uid: "u-1".into() },
            action: Action::restart(),
            cause: cause.into(),
            source: if signal.is_some() { Source::ClosedLoop } else { Source::User },
            requested_by: "apikey:test".into(),
            idempotency: None,
            signal: signal.map(|id| OriginatingSignal {
                kind: SignalKind::Rca,
                id: id.into(),
                began_at: None,
                score: Some(0.5),
            }),
            dry_run,
            require_approval: false,
            verify: true,
            verify_timeout_seconds: 60,
            verify_poll_seconds: 1,
            checks: Vec::new(),
            handling: Handling::default(),
        }
    }

    fn stored(order: &Order, sequence: u32, phase: Phase) -> Remediation {
        let status = RemediationStatus { phase, ..RemediationStatus::default() };
        Remediation { status: Some(status), ..make(order, sequence) }
    }

    #[test]
    fn a_signal_joins_only_an_open_remediation_of_its_own_cause() {
        let signal = order("rca/a", Some("w2"), false);
        let open = stored(&order("rca/a", Some("w1"), false), 1, Phase::Verifying);
        let other = stored(&order("rca/b", Some("w1"), false), 1, Phase::Executing);
        let ended = stored(&order("rca/a", Some("w1"), false), 4, Phase::Succeeded);
        assert_eq!(place(&signal, &[], at(9)), Place::New(1));
        assert_eq!(place(&signal, std::slice::from_ref(&open), at(9)), Place::Join(&open));
        assert_eq!(place(&signal, &[other], at(9)), Place::New(1));
        assert_eq!(place(&signal, &[ended], at(9)), Place::New(5));
    }

    #[test]
    fn a_signal_that_means_it_does_not_vanish_in_a_trial() {
        let trial = stored(&order("rca/a", Some("w1"), true), 1, Phase::Executing);
        let trials = std::slice::from_ref(&trial);
        assert_eq!(place(&order("rca/a", Some("w2"), false), trials, at(9)), Place::New(2));
        assert_eq!(place(&order("rca/a", Some("w2"), true), trials, at(9)), Place::Join(&trial));
    }

    #[test]
    fn a_callers_request_needs_the_target_for_itself_unless_either_changes_nothing() {
        let open = stored(&order("rca/a", Some("w1"), false), 1, Phase::Pending);
        let trial = stored(&order("rca/a", Some("w1"), true), 1, Phase::Pending);
        let open = std::slice::from_ref(&open);
        assert_eq!(place(&order("api/restart", None, false), open, at(9)), Place::Busy(&open[0]));
        assert_eq!(place(&order("api/restart", None, true), open, at(9)), Place::New(1));
        let mut held = open[0].clone();
        let status = held.status.as_mut().unwrap();
        record::hold(status, Some("Storm"), String::new(), at(8));
        assert_eq!(place(&order("api/restart", None, false), &[held], at(9)), Place::New(1));
        let waiting = [stored(&order("api/scale", None, false), 1, Phase::AwaitingApproval)];
        let placed = place(&order("api/restart", None, false), &waiting, at(9));
        assert_eq!(placed, Place::Busy(&waiting[0]));
        assert_eq!(place(&order("api/restart", None, false), &[trial], at(9)), Place::New(1));
        let mut elsewhere = order("api/restart", None, false);
        elsewhere.target.uid = "u-2".into();
        assert_eq!(place(&elsewhere, open, at(9)), Place::New(1));
    }

    #[test]
    fn a_repeat_by_its_idempotency_key_is_the_first_one_and_another_request_by_it_is_none() {
        let mut first = order("api/restart", None, false);
        first.idempotency = Some("k".repeat(64));
        for phase in [Phase::Executing, Phase::Succeeded, Phase::Denied] {
            let known = [stored(&first, 1, phase)];
            assert_eq!(place(&first, &known, at(9)), Place::Join(&known[0]), "{phase:?}");
            let mut other = first.clone();
            other.dry_run = true;
            assert_eq!(place(&other, &known, at(9)), Place::Taken(&known[0]));
            other.idempotency = Some("o".repeat(64));
            assert!(matches!(place(&other, &known, at(9)), Place::New(2)));
        }
    }

    fn alert(id: &str, began: i64) -> Order {
        let mut order = order("alert/x", Some(id), false);
        let signal = order.signal.as_mut().unwrap();
        (signal.kind, signal.began_at) = (SignalKind::Alert, Some(Time(at(began))));
        order
    }

    /// One that has ended so, after an attempt with this result where there was one, sent or not.
    fn ended(
        order: &Order,
        (phase, why): (Phase, &str),
        attempt: Option<(AttemptResult, bool)>,
        made: i64,
    ) -> Remediation {
        let mut r = stored(order, 1, Phase::Pending);
        r.metadata.creation_timestamp = Some(Time(at(made)));
        let (live, now) = (deployment(3), at(made + 10));
        let status = r.status.as_mut().unwrap();
        if let Some((result, is_sent)) = attempt {
            let intent = crate::action::plan(&order.action, None, &live, now).unwrap();
            record::begin(status, intent, &live, "me", now);
            status.attempts[0].sent_at = is_sent.then_some(Time(now));
            record::settle(status, result, None);
        }
        record::finish(status, phase, why, "", now);
        r
    }

    const WRITTEN: Option<(AttemptResult, bool)> = Some((AttemptResult::Written, true));

    #[test]
    fn an_alert_told_again_for_hours_is_answered_once_unless_nothing_was_done() {
        use AttemptResult::{Denied, DryRun, Expired, Failed, Unchanged};
        let hours = at(20_000);
        for (phase, why, attempt, again) in [
            (Phase::Succeeded, reason::VERIFIED, WRITTEN, false),
            (Phase::Succeeded, reason::UNCHANGED, Some((Unchanged, false)), false),
            (Phase::RolledBack, reason::UNDONE, WRITTEN, false),
            (Phase::Failed, "CrashLoopBackOff", WRITTEN, false),
            (Phase::Failed, reason::UNAVAILABLE, Some((Failed, true)), true),
            (Phase::Failed, reason::UNAVAILABLE, None, true),
            (Phase::Failed, reason::TARGET_GONE, Some((Failed, false)), true),
            (Phase::Failed, reason::REJECTED_BY_APPROVER, None, false),
            (Phase::Failed, reason::APPROVAL_STALE, Some((Failed, false)), true),
            (Phase::TimedOut, reason::TIMED_OUT, WRITTEN, false),
            (Phase::TimedOut, reason::UNKNOWN, Some((Expired, true)), false),
            (Phase::TimedOut, reason::UNAVAILABLE, Some((Expired, false)), true),
            (Phase::Denied, reason::GUARDRAIL, Some((Denied, false)), false),
            (Phase::Cancelled, reason::SIGNAL_RESOLVED, None, false),
            (Phase::Cancelled, reason::REJECTED_BY_APPROVER, None, false),
            (Phase::Cancelled, reason::SUPERSEDED_BY_RCA, None, true),
            (Phase::Cancelled, reason::APPROVAL_EXPIRED, None, true),
            (Phase::Skipped, reason::STALE, None, true),
            (Phase::DryRun, reason::DRY_RUN_PASSED, Some((DryRun, false)), true),
        ] {
            let known = [ended(&alert("a", 5), (phase, why), attempt, 10)];
            let expected = if again { Place::New(2) } else { Place::Join(&known[0]) };
            assert_eq!(place(&alert("a", 5), &known, hours), expected, "{phase:?} {why}");
            // It is not made twice for a sender whose answer was lost.
            assert_eq!(place(&alert("a", 5), &known, at(30)), Place::Join(&known[0]), "{why}");
        }
        let end = (Phase::Succeeded, reason::VERIFIED);
        let known = [ended(&order("rca/a", Some("w"), false), end, WRITTEN, 10)];
        assert_eq!(place(&order("rca/a", Some("w"), false), &known, hours), Place::New(2));
    }

    #[test]
    fn a_trial_answers_an_alert_where_no_more_than_a_trial_is_wanted() {
        let mut tried = alert("a", 5);
        tried.dry_run = true;
        let end = (Phase::DryRun, reason::DRY_RUN_PASSED);
        let known = [ended(&tried, end, Some((AttemptResult::DryRun, false)), 10)];
        assert_eq!(place(&tried, &known, at(20_000)), Place::Join(&known[0]));
        assert_eq!(place(&alert("a", 5), &known, at(20_000)), Place::New(2));
    }

    #[test]
    fn the_alert_of_another_pod_that_began_before_the_remedy_belongs_to_it() {
        let known = [ended(&alert("a", 5), (Phase::Succeeded, reason::VERIFIED), WRITTEN, 10)];
        assert_eq!(place(&alert("b", 7), &known, at(500)), Place::Join(&known[0]));
        assert_eq!(place(&alert("b", 11), &known, at(500)), Place::New(2));
        for end in [(Phase::Skipped, reason::STALE), (Phase::Failed, reason::UNAVAILABLE)] {
            let undone = [ended(&alert("a", 5), end, None, 10)];
            assert_eq!(place(&alert("b", 7), &undone, at(500)), Place::New(2), "{end:?}");
        }
    }

    #[test]
    fn signals_that_join_are_kept_once_bounded_and_counted() {
        let mut open = stored(&order("rca/a", Some("w0"), false), 1, Phase::Pending);
        assert_eq!(joined(&order("rca/a", Some("w0"), false), &open, Time(at(1))), None);
        for n in 1..=40 {
            let signal = order("rca/a", Some(&format!("w{n}")), false);
            open = joined(&signal, &open, Time(at(n))).unwrap();
            assert_eq!(joined(&signal, &open, Time(at(n))), None);
        }
        let status = open.status.unwrap();
        assert_eq!((status.signals.len(), status.signal_count), (32, 40));
        assert_eq!(status.signals[31].id, "w40");
    }
}
