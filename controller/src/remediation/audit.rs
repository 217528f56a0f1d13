//! The audit record: one line of the log, of target `audit`, for each attempt that has ended, and for a Remediation
//! that ended without one. What it says is the Remediation's; nothing of a patch stands in it.

use smartops_common::remediation::{Attempt, AttemptResult, Remediation, RemediationStatus};
use smartops_process::telemetry::AUDIT;

/// What the record says where nothing was verified.
const NOT_VERIFIED: &str = "none";

/// One action, as it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The Remediation's uid and the attempt's number; 0 where nothing was attempted.
    pub audit_id: String,
    /// Kind, namespace and name of the target.
    pub target: String,
    /// What was done, or would have been.
    pub action_type: &'static str,
    /// Whether it was only tried out.
    pub dry_run: bool,
    /// The verdict on the rollout, or `none`.
    pub verification_status: &'static str,
    /// Where it came from.
    pub source: &'static str,
    /// Who asked.
    pub requested_by: String,
    /// The trace he asked in, where there was one.
    pub trace_id: Option<String>,
}

impl Record {
    /// Tells it.
    pub fn tell(&self) {
        tracing::info!(
            target: AUDIT,
            auditId = self.audit_id,
            target = self.target,
            action_type = self.action_type,
            dry_run = self.dry_run,
            verification_status = self.verification_status,
            source = self.source,
            requestedBy = self.requested_by,
            traceId = self.trace_id,
        );
    }
}

/// The records of what has ended between the former status and the one just recorded.
pub fn ended(former: Option<&RemediationStatus>, remediation: &Remediation) -> Vec<Record> {
    let Some(status) = &remediation.status else { return Vec::new() };
    if status.attempts.is_empty() {
        let ends = status.phase.is_final() && former.is_none_or(|f| !f.phase.is_final());
        return ends.then(|| record(remediation, None, NOT_VERIFIED)).into_iter().collect();
    }
    let was = |number| former.is_some_and(|former| has_ended(former, number));
    let newly = |a: &&Attempt| has_ended(status, a.number) && !was(a.number);
    let told = |a| record(remediation, Some(a), verdict(former, status, a));
    status.attempts.iter().filter(newly).map(told).collect()
}

/// An attempt has ended when it failed, when what it wrote was verified, when another followed it, or with its
/// Remediation.
fn has_ended(status: &RemediationStatus, number: u32) -> bool {
    let Some(last) = status.attempts.last() else { return false };
    if status.phase.is_final() || number < last.number {
        return number <= last.number;
    }
    let is_verified = status.verification.as_ref().is_some_and(|v| v.status.is_some());
    number == last.number && last.result.is_some_and(|_| !is_on(last) || is_verified)
}

/// Whether what was wanted is on the target, so that a verification speaks of this attempt.
const fn is_on(attempt: &Attempt) -> bool {
    matches!(attempt.result, Some(AttemptResult::Written | AttemptResult::Unchanged))
}

fn verdict(
    former: Option<&RemediationStatus>,
    status: &RemediationStatus,
    attempt: &Attempt,
) -> &'static str {
    if !is_on(attempt) {
        return NOT_VERIFIED;
    }
    // The next attempt begins without the verification of the one before.
    let is_last = status.attempts.last().is_some_and(|last| last.number == attempt.number);
    let seen = if is_last { Some(status) } else { former }.and_then(|s| s.verification.as_ref());
    seen.and_then(|verification| verification.status)
        .map_or(NOT_VERIFIED, |verdict| verdict.as_str())
}

fn record(
    remediation: &Remediation,
    attempt: Option<&Attempt>,
    verification_status: &'static str,
) -> Record {
    let (spec, metadata) = (&remediation.spec, &remediation.metadata);
    let uid = metadata.uid.as_deref().unwrap_or_default();
    let namespace = metadata.namespace.as_deref().unwrap_or_default();
    Record {
        audit_id: format!("{uid}/{}", attempt.map_or(0, |attempt| attempt.number)),
        target: format!("Deployment/{namespace}/{}", spec.target.name),
        action_type: attempt.map_or(spec.action.type_, |a| a.intent.type_).as_str(),
        dry_run: spec.dry_run,
        verification_status,
        source: spec.source.as_str(),
        requested_by: spec.requested_by.clone(),
        trace_id: remediation.status.as_ref().and_then(|status| status.trace_id.clone()),
    }
}

#[cfg(test)]
mod tests {
    use smartops_common::action::Action;
    use smartops_common::remediation::{Observed, Phase, VerificationStatus};

    use super::*;
    use crate::action;
    use crate::fixture::{at, deployment, remediation};
    use crate::remediation::record;

    type Edit = fn(&mut RemediationStatus);
    /// For each edit the records it led to: id and verdict.
    type Told = Vec<Vec<(String, &'static str)>>;

    fn begin(status: &mut RemediationStatus) {
        let live = deployment(3);
        let intent = action::plan(&Action::scale_by(1), None, &live, at(10)).unwrap();
        record::begin(status, intent, &live, "controller/1", at(10));
    }

    fn write(status: &mut RemediationStatus) {
        record::settle_written(status, AttemptResult::Written, &deployment(4), at(11));
    }

    fn watch(status: &mut RemediationStatus) {
        record::begin_verification(status, at(12));
    }

    fn fail(status: &mut RemediationStatus) {
        let verdict = VerificationStatus::Failed;
        record::end_verification(status, verdict, "no", Observed::default(), at(13));
    }

    fn succeed(status: &mut RemediationStatus) {
        let verdict = VerificationStatus::Success;
        record::end_verification(status, verdict, "yes", Observed::default(), at(13));
    }

    fn deny(status: &mut RemediationStatus) {
        record::settle(status, AttemptResult::Denied, Some("no"));
    }

    fn end(status: &mut RemediationStatus) {
        record::finish(status, Phase::Succeeded, "Done", "done", at(14));
    }

    /// What these edits, one after the other, have told.
    fn told(edits: &[Edit]) -> Told {
        let mut former = None;
        let mut remediation = remediation("r-1", Action::scale_by(1));
        let mut tell = |edit: &Edit| {
            edit(remediation.status.get_or_insert_default());
            let records = ended(former.as_ref(), &remediation);
            former.clone_from(&remediation.status);
            let said = records.into_iter().map(|r| (r.audit_id, r.verification_status));
            said.collect()
        };
        edits.iter().map(&mut tell).collect()
    }

    #[test]
    fn each_attempt_is_told_once_when_it_has_ended() {
        let one = |number: &str, verdict| vec![(format!("r-1/{number}"), verdict)];
        let cases: [(&[Edit], Told); 6] = [
            (&[begin, write, end], vec![vec![], vec![], one("1", "none")]),
            (
                &[begin, write, watch, succeed, end],
                vec![vec![], vec![], vec![], one("1", "SUCCESS"), vec![]],
            ),
            (
                &[begin, write, watch, fail, begin, write, watch, succeed, end],
                vec![
                    vec![],
                    vec![],
                    vec![],
                    one("1", "FAILED"),
                    vec![],
                    vec![],
                    vec![],
                    one("2", "SUCCESS"),
                    vec![],
                ],
            ),
            (&[begin, deny, end], vec![vec![], one("1", "none"), vec![]]),
            // An attempt that nobody saw the end of ends with the one that follows.
            (&[begin, begin, end], vec![vec![], one("1", "none"), one("2", "none")]),
            (&[|_| {}, end, |_| {}], vec![vec![], one("0", "none"), vec![]]),
        ];
        for (number, (edits, expected)) in cases.into_iter().enumerate() {
            assert_eq!(told(edits), expected, "case {number}");
        }
    }

    #[test]
    fn a_verification_that_ended_with_the_next_attempts_beginning_is_told_of_the_one_before() {
        let [first, second] = told(&[
            |status| {
                begin(status);
                write(status);
                watch(status);
            },
            |status| {
                fail(status);
                begin(status);
            },
        ])
        .try_into()
        .unwrap();
        assert_eq!(first, []);
        // What it came to stands in no status that was ever stored.
        assert_eq!(second, [("r-1/1".to_owned(), "none")]);
    }

    #[test]
    fn a_record_says_what_was_done_to_whom_for_whom_and_in_which_trace() {
        let mut remediation = remediation("r-1", Action::scale_by(1));
        let status = remediation.status.get_or_insert_default();
        status.trace_id = Some("4bf92f3577b34da6a3ce929d0e0e4736".into());
        begin(status);
        deny(status);
        let expected = Record {
            audit_id: "r-1/1".into(),
            target: "Deployment/ns/web".into(),
            action_type: "scale",
            dry_run: false,
            verification_status: "none",
            source: "user",
            requested_by: "apikey:test".into(),
            trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736".into()),
        };
        assert_eq!(ended(None, &remediation), [expected]);
    }
}
