//! A signal taken back: what rests on it alone and has not begun is called off. Pure; whoever calls it holds the
//! Remediation from etcd and runs it again when somebody was faster.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use smartops_common::remediation::{Phase, Remediation, RemediationStatus, SignalReference};

use super::place::holds;
use crate::remediation::machine::reason;
use crate::remediation::record;

/// The Remediation after its signal `id` was taken back; `None` where that changes nothing: it rests on other signals,
/// has begun or has ended, or knew it already.
pub fn recalled(remediation: &Remediation, id: &str, now: Timestamp) -> Option<Remediation> {
    let mut status = remediation.status.clone().unwrap_or_default();
    let waits = matches!(status.phase, Phase::Pending | Phase::AwaitingApproval);
    if !waits || !status.attempts.is_empty() || !holds(remediation, id) {
        return None;
    }
    let made = remediation.metadata.creation_timestamp.as_ref().map_or(now, |made| made.0);
    match status.signals.iter_mut().find(|signal| signal.id == id) {
        Some(known) if known.resolved_at.is_some() => return None,
        Some(known) => known.resolved_at = Some(Time(now)),
        None => status.signals.push(SignalReference {
            id: id.to_owned(),
            accepted_at: Time(made),
            resolved_at: Some(Time(now)),
        }),
    }
    let surplus = status.signals.len().saturating_sub(super::place::SIGNALS_KEPT);
    status.signals.drain(..surplus);
    if is_groundless(remediation, &status) {
        let message = "its signals were taken back before it began";
        record::finish(&mut status, Phase::Cancelled, reason::SIGNAL_RESOLVED, message, now);
    }
    Some(Remediation { status: Some(status), ..remediation.clone() })
}

/// Whether every signal it rests on was taken back. One that is only counted any more may still hold.
fn is_groundless(remediation: &Remediation, status: &RemediationStatus) -> bool {
    let Some(first) = &remediation.spec.signal else { return false };
    let resolved = |signal: &SignalReference| signal.resolved_at.is_some();
    let (of_first, joined): (Vec<_>, Vec<_>) =
        status.signals.iter().partition(|signal| signal.id == first.id);
    of_first.into_iter().any(resolved)
        && joined.iter().all(|signal| resolved(signal))
        && u32::try_from(joined.len()) == Ok(status.signal_count)
}

#[cfg(test)]
mod tests {
    use smartops_common::action::Action;
    use smartops_common::remediation::OriginatingSignal;
    use smartops_common::signal::SignalKind;

    use super::*;
    use crate::fixture::{at, deployment, remediation};

    fn pending(joined: &[&str]) -> Remediation {
        let mut r = remediation("a", Action::restart());
        r.spec.signal = Some(OriginatingSignal {
            kind: SignalKind::Alert,
            id: "first".into(),
            began_at: None,
            score: None,
        });
        let signals = joined.iter().map(|id| SignalReference {
            id: (*id).into(),
            accepted_at: Time(at(1)),
            resolved_at: None,
        });
        r.status = Some(RemediationStatus {
            signal_count: u32::try_from(joined.len()).unwrap(),
            signals: signals.collect(),
            ..RemediationStatus::default()
        });
        r
    }

    fn phase_after(r: &Remediation, ids: &[&str]) -> Phase {
        let mut r = r.clone();
        for id in ids {
            r = recalled(&r, id, at(5)).unwrap_or(r);
        }
        r.phase()
    }

    #[test]
    fn what_rests_on_a_resolved_signal_alone_is_called_off_before_it_begins() {
        let cancelled = recalled(&pending(&[]), "first", at(5)).unwrap();
        assert_eq!(cancelled.phase(), Phase::Cancelled);
        assert_eq!(cancelled.status.unwrap().outcome.unwrap().reason, "SignalResolved");
        let mut waiting = pending(&[]);
        waiting.status.as_mut().unwrap().phase = Phase::AwaitingApproval;
        assert_eq!(phase_after(&waiting, &["first"]), Phase::Cancelled);
        let mut unseen = pending(&[]);
        unseen.status = None;
        assert_eq!(phase_after(&unseen, &["first"]), Phase::Cancelled);
    }

    #[test]
    fn it_goes_on_as_long_as_another_signal_holds() {
        let shared = pending(&["second"]);
        assert_eq!(phase_after(&shared, &["first"]), Phase::Pending);
        assert_eq!(phase_after(&shared, &["second"]), Phase::Pending);
        assert_eq!(phase_after(&shared, &["second", "first"]), Phase::Cancelled);
        let mut forgotten = pending(&["second"]);
        forgotten.status.as_mut().unwrap().signal_count = 40;
        assert_eq!(phase_after(&forgotten, &["first", "second"]), Phase::Pending);
        assert_eq!(recalled(&shared, "somebody-elses", at(5)), None);
    }

    #[test]
    fn what_has_begun_or_ended_is_left_alone() {
        let live = deployment(3);
        let mut begun = pending(&[]);
        let intent = crate::action::plan(&begun.spec.action, None, &live, at(2)).unwrap();
        record::begin(begun.status.as_mut().unwrap(), intent, &live, "me", at(2));
        assert_eq!(recalled(&begun, "first", at(5)), None);
        let mut ended = pending(&[]);
        record::finish(ended.status.as_mut().unwrap(), Phase::Succeeded, "Verified", "", at(3));
        assert_eq!(recalled(&ended, "first", at(5)), None);
    }
}
