//! Somebody else's word on what would be written: what it has to name, how it is asked for, and which of several counts.
//! Pure; when it is asked and acted on is `machine`'s.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use smartops_common::action::{ActionType, Intent, PatchFormat};
use smartops_common::approval::{Decision, RemediationApproval};
use smartops_common::names;
use smartops_common::remediation::{self, Proposal, Remediation, Undo};

use super::record;
use crate::action::{Seen, undo};

/// What an approval of this intent, for what is seen, has to name.
pub fn hash<'a>(remediation: &Remediation, seen: impl Into<Seen<'a>>, intent: &Intent) -> String {
    let (seen, uid) = (seen.into(), remediation.metadata.uid.as_deref().unwrap_or_default());
    let bounds = record::bounds_before(intent, seen);
    remediation::intent_hash(uid, &record::target_of(seen.live), intent, bounds)
}

/// The word that counts, if anybody gave one: a rejection before any approval, of several alike the first by name.
pub fn decided<'a>(
    remediation: &Remediation,
    hash: &str,
    approvals: &'a [RemediationApproval],
    expiry: SignedDuration,
    now: Timestamp,
) -> Option<&'a RemediationApproval> {
    let uid = remediation.metadata.uid.as_deref().unwrap_or_default();
    let parties = [remediation.spec.requested_by.as_str(), remediation.spec.created_by.as_str()];
    let counting = approvals.iter().filter(|a| a.counts(uid, hash, parties, expiry, now));
    counting.min_by_key(|a| (a.spec.decision == Decision::Approve, a.metadata.name.as_deref()))
}

/// Who decided and why, as in `Carol: the quota was raised`.
pub fn by_whom(approval: &RemediationApproval) -> String {
    let spec = &approval.spec;
    if spec.reason.is_empty() {
        spec.approver.clone()
    } else {
        format!("{}: {}", spec.approver, spec.reason)
    }
}

/// What is asked, of whom, until when, and how to answer.
pub fn request<'a>(
    remediation: &Remediation,
    seen: impl Into<Seen<'a>>,
    proposal: &Proposal,
) -> String {
    let spec = &remediation.spec;
    let name = remediation.metadata.name.as_deref().unwrap_or_default();
    let uid = remediation.metadata.uid.as_deref().unwrap_or_default();
    let undo = if spec.handling.undo == Undo::OnFailure
        && spec.verify
        && undo::leaves_something(proposal.intent.type_)
    {
        ", and take exactly that back should it fail its verification"
    } else {
        ""
    };
    format!(
        "waits for approval until {}: {}{undo}. Approve or reject it with `kubectl create -f` of a RemediationApproval here, \
         spec {{remediation: {{name: {name}, uid: {uid}}}, intentHash: {}, decision: Approve or Reject, reason: …}}, as \
         a member of a group in SmartOpsConfig spec.approval.groups and neither {}, who asked for it, nor whoever made it",
        in_seconds(proposal.expires_at.0),
        would_do(seen.into(), &proposal.intent),
        proposal.hash,
        spec.requested_by,
    )
}

/// A moment as the status stores it.
pub fn in_seconds(moment: Timestamp) -> String {
    moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// What would be written, in words. A patch is long and stands in the status: here is only where.
fn would_do(seen: Seen<'_>, intent: &Intent) -> String {
    let live = seen.live;
    let (name, generation) = (live.name(), live.generation());
    let what = match (intent.type_, &intent.patch) {
        (ActionType::Scale, _) => format!(
            "scale Deployment {name} from {} to {} replicas",
            live.replicas(),
            intent.replicas.unwrap_or_default()
        ),
        (ActionType::Restart, _) => format!(
            "restart Deployment {name} ({} becomes {})",
            names::RESTARTED_AT,
            intent.restarted_at.as_deref().unwrap_or_default()
        ),
        (ActionType::Patch, patch) => {
            let format = match patch.as_ref().map(|p| p.format) {
                Some(PatchFormat::Json) => "JSON Patch",
                _ => "strategic merge patch",
            };
            let length = patch.as_ref().map_or(0, |p| p.body.len());
            format!(
                "write to Deployment {name} the {format} of {length} bytes in status.proposal.intent.patch"
            )
        }
        (ActionType::Rollback, _) => {
            let revision = intent.revision.as_ref();
            format!(
                "bring back revision {} of Deployment {name}, the pod template of ReplicaSet {}",
                revision.map_or(0, |r| r.number),
                revision.map_or("", |r| r.replica_set.as_str())
            )
        }
        (ActionType::EvictPod, _) => format!(
            "evict pod {} of Deployment {name}",
            intent.pod.as_ref().map_or("", |pod| pod.name.as_str())
        ),
        (ActionType::Pause, _) => format!("pause the rollout of Deployment {name}"),
        (ActionType::Resume, _) => format!("resume the rollout of Deployment {name}"),
        (ActionType::HpaBounds, _) => {
            let bounds = intent.bounds.as_ref();
            let before = record::bounds_before(intent, seen);
            format!(
                "set the bounds of HorizontalPodAutoscaler {} of Deployment {name} from {} and {} to {} and {}",
                bounds.map_or("", |b| b.name.as_str()),
                before.map_or(0, |b| b.min_replicas),
                before.map_or(0, |b| b.max_replicas),
                bounds.map_or(0, |b| b.min_replicas),
                bounds.map_or(0, |b| b.max_replicas)
            )
        }
    };
    format!("{what}, at its generation {generation}")
}

/// The approval a member of the groups would create, ready for `kubectl create -f`.
pub fn manifest(remediation: &Remediation, proposal: &Proposal) -> Value {
    let name = remediation.metadata.name.as_deref().unwrap_or_default();
    json!({
        "apiVersion": format!("{}/v1alpha1", names::GROUP),
        "kind": "RemediationApproval",
        "metadata": {
            "generateName": format!("{}-", name.chars().take(200).collect::<String>()),
            "namespace": remediation.metadata.namespace,
        },
        "spec": {
            "remediation": {"name": name, "uid": remediation.metadata.uid},
            "intentHash": proposal.hash,
            "decision": "Approve",
        },
    })
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use smartops_common::action::Action;

    use super::*;
    use crate::action;
    use crate::fixture::{approval, at, deployment, remediation};
    use crate::target::Live;

    fn proposal(r: &Remediation, live: &Live) -> Proposal {
        let intent = action::plan(&r.spec.action, None, live, at(10)).unwrap();
        Proposal {
            hash: hash(r, live, &intent),
            intent,
            target: record::target_of(live),
            proposed_at: Time(at(10)),
            expires_at: Time(at(910) + SignedDuration::from_millis(7)),
        }
    }

    #[test]
    fn whoever_is_asked_reads_exactly_what_would_be_written_until_when_and_how_to_answer() {
        let live = deployment(3);
        for (asked, words) in [
            (Action::scale_to(5), "scale Deployment web from 3 to 5 replicas, at its generation 7"),
            (Action::restart(), "kubectl.kubernetes.io/restartedAt becomes 1970-01-01T00:00:10Z"),
            (
                Action::patch(PatchFormat::Strategic, &json!({"spec": {"paused": true}})),
                "strategic merge patch of 24 bytes in status.proposal.intent.patch",
            ),
        ] {
            let r = remediation("a", asked);
            let proposal = proposal(&r, &live);
            let text = request(&r, &live, &proposal);
            let takes_back = text.contains("take exactly that back");
            assert_eq!(takes_back, !words.contains("restartedAt"), "{text}");
            for part in [words, "until 1970-01-01T00:15:10Z", &proposal.hash, "apikey:test"] {
                assert!(text.contains(part), "no {part:?} in {text}");
            }
            let manifest = manifest(&r, &proposal);
            let read: RemediationApproval = serde_json::from_value(manifest).unwrap();
            assert_eq!(
                (read.spec.intent_hash, read.spec.remediation.uid),
                (proposal.hash, "a".into())
            );
        }
    }

    #[test]
    fn one_no_outweighs_any_yes_and_what_does_not_count_is_not_heard() {
        let r = remediation("a", Action::scale_to(5));
        let hash = proposal(&r, &deployment(3)).hash;
        let yes = approval(&r, &hash, Decision::Approve, "carol", 20);
        let no = approval(&r, &hash, Decision::Reject, "dave", 30);
        let own = approval(&r, &hash, Decision::Reject, "apikey:test", 30);
        let other = approval(&r, &"0".repeat(64), Decision::Reject, "dave", 30);
        let expiry = SignedDuration::from_secs(900);
        let who = |all: &[RemediationApproval], now| {
            decided(&r, &hash, all, expiry, at(now)).map(|a| a.spec.approver.clone())
        };
        assert_eq!(who(&[], 40), None);
        assert_eq!(who(&[own.clone(), other.clone()], 40), None);
        assert_eq!(who(&[own, yes.clone(), other], 40).as_deref(), Some("carol"));
        assert_eq!(who(&[yes.clone(), no], 40).as_deref(), Some("dave"));
        assert_eq!(who(&[yes], 920), None, "an old word is none");
    }
}
